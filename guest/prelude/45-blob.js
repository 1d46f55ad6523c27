// Blob and File: bytes that are all in memory. FormData: names with values or files, as `multipart/form-data` or
// `application/x-www-form-urlencoded`.

let blobBytes; // the bytes of a Blob, not copied

function partBytes(part) {
  if (part instanceof Blob) return blobBytes(part);
  const bytes = isObject(part) ? bytesOf(part) : undefined;
  return bytes ?? new Uint8Array(native.utf8Encode(`${part}`));
}

function concatBytes(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function mediaType(type) {
  const text = `${type ?? ""}`;
  return /[^\x20-\x7e]/.test(text) ? "" : text.toLowerCase();
}

class Blob {
  #bytes;
  #type;
  constructor(parts = [], options = {}) {
    if (!isObject(parts) || typeof parts[Symbol.iterator] !== "function")
      throw new TypeError("Blob: the parts must be a list");
    this.#bytes = concatBytes(Array.from(parts, partBytes));
    this.#type = mediaType(options?.type);
  }
  get size() {
    return this.#bytes.length;
  }
  get type() {
    return this.#type;
  }
  slice(start = 0, end = this.size, type = "") {
    return new Blob([this.#bytes.slice(start, end)], { type });
  }
  async arrayBuffer() {
    return this.#bytes.slice().buffer;
  }
  async bytes() {
    return this.#bytes.slice();
  }
  async text() {
    return decodeUtf8(this.#bytes);
  }
  stream() {
    return streamOfBytes(this.#bytes);
  }
  static {
    blobBytes = (blob) => blob.#bytes;
  }
}
publishClass(Blob);

class File extends Blob {
  #name;
  #modified;
  constructor(parts, name, options = {}) {
    need(2, arguments.length, "File constructor");
    super(parts, options);
    this.#name = usv(name);
    this.#modified = options?.lastModified === undefined ? native.now() : Number(options.lastModified);
  }
  get name() {
    return this.#name;
  }
  get lastModified() {
    return Math.trunc(this.#modified);
  }
}
publishClass(File);
cloneable.push([File, (file) => new File([file], file.name, { type: file.type, lastModified: file.lastModified })]);
cloneable.push([Blob, (blob) => new Blob([blob], { type: blob.type })]);

function streamOfBytes(bytes) {
  return new ReadableStream({
    type: "bytes",
    pull(controller) {
      if (bytes.length > 0) controller.enqueue(bytes.slice());
      controller.close();
    },
  });
}

function formValue(value, filename) {
  if (!(value instanceof Blob)) return usv(value);
  if (value instanceof File && filename === undefined) return value;
  return new File([value], filename === undefined ? "blob" : filename, {
    type: value.type,
    lastModified: value.lastModified,
  });
}

class FormData {
  #pairs = [];
  constructor(form = undefined) {
    if (form !== undefined) throw new TypeError("FormData: there are no form elements here");
  }
  append(name, value, filename = undefined) {
    need(2, arguments.length, "append");
    this.#pairs.push([usv(name), formValue(value, filename)]);
  }
  set(name, value, filename = undefined) {
    need(2, arguments.length, "set");
    const pair = [usv(name), formValue(value, filename)];
    const at = this.#pairs.findIndex((known) => known[0] === pair[0]);
    if (at < 0) this.#pairs.push(pair);
    else
      this.#pairs = this.#pairs
        .filter((known, i) => i <= at || known[0] !== pair[0])
        .map((known, i) => (i === at ? pair : known));
  }
  delete(name) {
    const key = usv(name);
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== key);
  }
  get(name) {
    const key = usv(name);
    return this.#pairs.find((pair) => pair[0] === key)?.[1] ?? null;
  }
  getAll(name) {
    const key = usv(name);
    return this.#pairs.filter((pair) => pair[0] === key).map((pair) => pair[1]);
  }
  has(name) {
    const key = usv(name);
    return this.#pairs.some((pair) => pair[0] === key);
  }
  forEach(callback, self = undefined) {
    callable(callback, "forEach");
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  keys() {
    return pairIterator(
      "FormData Iterator",
      () => this.#pairs,
      (pair) => pair[0],
    );
  }
  values() {
    return pairIterator(
      "FormData Iterator",
      () => this.#pairs,
      (pair) => pair[1],
    );
  }
  entries() {
    return pairIterator(
      "FormData Iterator",
      () => this.#pairs,
      (pair) => [pair[0], pair[1]],
    );
  }
}
define(FormData.prototype, Symbol.iterator, FormData.prototype.entries);
publishClass(FormData);

const BOUNDARY_BYTES = 12;

function multipartName(text) {
  return text.replace(/\r\n|\r|\n/g, "%0D%0A").replace(/"/g, "%22");
}

/** A form as the body of a request: its bytes and its media type. */
function encodeMultipart(form) {
  const random = native.random(new Uint8Array(BOUNDARY_BYTES)) ?? new Uint8Array(0);
  const boundary = `----belay${native.pure("base64.encode", "", random).replace(/[+/=]/g, "x")}`;
  const parts = [];
  for (const [name, value] of form) {
    let head = `--${boundary}\r\nContent-Disposition: form-data; name="${multipartName(name)}"`;
    if (value instanceof Blob) {
      head += `; filename="${multipartName(value.name)}"\r\nContent-Type: ${value.type || "application/octet-stream"}`;
    }
    const content = value instanceof Blob ? value : value.replace(/\r\n|\r|\n/g, "\r\n");
    parts.push(partBytes(`${head}\r\n\r\n`), partBytes(content), partBytes("\r\n"));
  }
  parts.push(partBytes(`--${boundary}--\r\n`));
  return { bytes: concatBytes(parts), type: `multipart/form-data; boundary=${boundary}` };
}

function findBytes(bytes, wanted, from) {
  for (let at = bytes.indexOf(wanted[0], from); at >= 0; at = bytes.indexOf(wanted[0], at + 1)) {
    let same = 1;
    while (same < wanted.length && bytes[at + same] === wanted[same]) same++;
    if (same === wanted.length) return at;
  }
  return -1;
}

const HEADER_END = new Uint8Array([13, 10, 13, 10]);

function parseMultipart(bytes, boundary) {
  const form = new FormData();
  const first = partBytes(`--${boundary}`);
  const delimiter = partBytes(`\r\n--${boundary}`);
  let at = findBytes(bytes, first, 0);
  if (at < 0) throw new TypeError("The body is not multipart/form-data with that boundary");
  at += first.length;
  while (!(bytes[at] === 0x2d && bytes[at + 1] === 0x2d)) {
    const end = findBytes(bytes, delimiter, at);
    const headEnd = findBytes(bytes, HEADER_END, at);
    if (end < 0 || headEnd < 0 || headEnd > end) throw new TypeError("The multipart body is cut off");
    addPart(form, decodeUtf8(bytes.subarray(at, headEnd)), bytes.slice(headEnd + HEADER_END.length, end));
    at = end + delimiter.length;
  }
  return form;
}

function addPart(form, head, content) {
  const field = (name) => {
    const found = new RegExp(`;\\s*${name}=(?:"([^"]*)"|([^;\\s]*))`, "i").exec(head);
    return found ? (found[1] ?? found[2]).replace(/%0D%0A/gi, "\r\n").replace(/%22/g, '"') : undefined;
  };
  const name = field("name");
  if (name === undefined) throw new TypeError("A part of the multipart body has no name");
  const filename = field("filename");
  const type = /^content-type:\s*(.*?)\s*$/im.exec(head)?.[1] ?? "text/plain";
  if (filename === undefined) form.append(name, decodeUtf8WithBom(content));
  else form.append(name, new File([content], filename, { type }));
}
