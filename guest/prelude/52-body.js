// What Request and Response share: a body that is read once. The host hands bodies over whole, so a body is bytes;
// a stream that a function made is collected when it is read or sent.

/** Bytes and media type of a body's initial value. A stream stays a stream until it is read. */
function extractBody(init) {
  if (init === null || init === undefined) return { bytes: null, stream: null, type: null };
  if (init instanceof ReadableStream) {
    if (init.locked || streamOf(init).disturbed) throw new TypeError("The stream is locked or was read already");
    return { bytes: null, stream: init, type: null };
  }
  if (init instanceof URLSearchParams)
    return whole(partBytes(init.toString()), "application/x-www-form-urlencoded;charset=UTF-8");
  if (init instanceof FormData) {
    const { bytes, type } = encodeMultipart(init);
    return whole(bytes, type);
  }
  if (init instanceof Blob) return whole(blobBytes(init), init.type || null);
  const bytes = isObject(init) ? bytesOf(init) : undefined;
  if (bytes !== undefined) return whole(bytes.slice(), null);
  return whole(partBytes(usv(init)), "text/plain;charset=UTF-8");
}

function whole(bytes, type) {
  return { bytes, stream: null, type };
}

async function collect(stream) {
  const parts = [];
  for await (const chunk of stream) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError("A body stream must yield Uint8Array chunks");
    parts.push(chunk);
  }
  return parts.length === 1 ? parts[0] : concatBytes(parts);
}

let takeBody; // the bytes of a body, which counts as used from then on
let shareBody; // the content for a second body with the same bytes
let moveBody; // the content for a body that takes this one's place
let setBody;

class Body {
  #bytes;
  #stream;
  #used = false;
  constructor(content) {
    this.#bytes = content.bytes;
    this.#stream = content.stream;
  }
  get body() {
    if (this.#stream === null && this.#bytes !== null) this.#stream = streamOfBytes(this.#bytes);
    return this.#stream;
  }
  get bodyUsed() {
    return this.#used || (this.#stream !== null && streamOf(this.#stream).disturbed);
  }
  async arrayBuffer() {
    return ownBuffer(await takeBody(this));
  }
  async bytes() {
    return new Uint8Array(ownBuffer(await takeBody(this)));
  }
  async text() {
    return decodeUtf8(await takeBody(this));
  }
  async json() {
    return JSON.parse(decodeUtf8(await takeBody(this)));
  }
  async blob() {
    return new Blob([await takeBody(this)], { type: this.headers.get("content-type") ?? "" });
  }
  async formData() {
    const type = this.headers.get("content-type") ?? "";
    const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type);
    if (/^multipart\/form-data/i.test(type) && boundary)
      return parseMultipart(await takeBody(this), boundary[1] ?? boundary[2]);
    if (!/^application\/x-www-form-urlencoded/i.test(type))
      throw new TypeError(`A body of type ${quote(type)} is not a form`);
    const form = new FormData();
    for (const [name, value] of parseForm(decodeUtf8(await takeBody(this)))) form.append(name, value);
    return form;
  }
  static {
    takeBody = async (body) => {
      if (body.bodyUsed || body.#stream?.locked) throw new TypeError("The body was read already, or is locked");
      if (body.#bytes === null && body.#stream === null) return NO_BYTES;
      body.#used = true;
      const bytes = body.#bytes ?? (await collect(body.#stream));
      if (body.#stream !== null) streamOf(body.#stream).disturbed = true;
      return bytes;
    };
    shareBody = (body) => {
      if (body.bodyUsed || body.#stream?.locked) throw new TypeError("The body was read already, or is locked");
      if (body.#bytes !== null || body.#stream === null) return { bytes: body.#bytes, stream: null, type: null };
      const [mine, theirs] = body.#stream.tee();
      body.#stream = mine;
      return { bytes: null, stream: theirs, type: null };
    };
    moveBody = (body) => {
      if (body.bodyUsed || body.#stream?.locked) throw new TypeError("The body was read already, or is locked");
      const content = { bytes: body.#bytes, stream: body.#bytes === null ? body.#stream : null, type: null };
      body.#used = body.#bytes !== null || body.#stream !== null;
      return content;
    };
    setBody = (body, content) => {
      body.#bytes = content.bytes;
      body.#stream = content.stream;
      return body;
    };
  }
}
for (const name of ["body", "bodyUsed", "arrayBuffer", "bytes", "text", "json", "blob", "formData"]) {
  Object.defineProperty(Body.prototype, name, { enumerable: true });
}

/** An ArrayBuffer with exactly these bytes, which the caller may change. */
function ownBuffer(bytes) {
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

/** Sets Content-Type from the body when the user gave none. */
function withType(headers, content) {
  if (content.type !== null && !headers.has("content-type")) headers.set("content-type", content.type);
  return headers;
}
