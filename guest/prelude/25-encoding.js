// Text and bytes: TextEncoder, TextDecoder, atob, btoa. UTF-8 is done by the engine, everything else by the host.

const INCOMPLETE = { start: 0xc0, three: 0xe0, four: 0xf0 };

class TextEncoder {
  get encoding() {
    return "utf-8";
  }
  encode(input = "") {
    return new Uint8Array(native.utf8Encode(`${input}`));
  }
  encodeInto(source, destination) {
    need(2, arguments.length, "encodeInto");
    if (!(destination instanceof Uint8Array)) throw new TypeError("encodeInto: the destination is not a Uint8Array");
    const text = `${source}`;
    const bytes = new Uint8Array(native.utf8Encode(text));
    let written = Math.min(bytes.length, destination.length);
    while (written > 0 && written < bytes.length && (bytes[written] & 0xc0) === 0x80) written--;
    destination.set(bytes.subarray(0, written));
    const read = written === bytes.length ? text.length : unitsIn(bytes, written);
    return { read, written };
  }
}
publishClass(TextEncoder);

/** How many UTF-16 units the first `length` bytes of UTF-8 stand for. */
function unitsIn(bytes, length) {
  let units = 0;
  for (let i = 0; i < length; i++) {
    if ((bytes[i] & 0xc0) !== 0x80) units += bytes[i] >= INCOMPLETE.four ? 2 : 1;
  }
  return units;
}

/** How many bytes at the end begin a UTF-8 character that is not complete. */
function incompleteUtf8(bytes) {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back];
    if (byte < 0x80) return 0;
    if (byte < INCOMPLETE.start) continue;
    const size = byte >= INCOMPLETE.four ? 4 : byte >= INCOMPLETE.three ? 3 : 2;
    return size > back ? back : 0;
  }
  return 0;
}

function joinBytes(first, second) {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

const NO_BYTES = new Uint8Array(0);
const UTF8_LABELS = ["utf-8", "utf8", "UTF-8"];
/** So much is decoded at a time: limits are looked at between two pieces. */
const PIECE_BYTES = 1 << 20;
const BOM_ENCODINGS = ["utf-8", "utf-16le", "utf-16be"];

class TextDecoder {
  #encoding;
  #fatal;
  #ignoreBOM;
  #pending = NO_BYTES;
  #started = false;
  #flushed = true;
  constructor(label = "utf-8", options = {}) {
    this.#encoding = UTF8_LABELS.includes(label) ? "utf-8" : native.pure("text.label", usv(label));
    this.#fatal = Boolean(options?.fatal);
    this.#ignoreBOM = Boolean(options?.ignoreBOM);
  }
  get encoding() {
    return this.#encoding;
  }
  get fatal() {
    return this.#fatal;
  }
  get ignoreBOM() {
    return this.#ignoreBOM;
  }
  decode(input, options) {
    const more = Boolean(options?.stream);
    const given = input === undefined ? NO_BYTES : bytesOf(input);
    if (given === undefined) throw new TypeError("decode: the input is not an ArrayBuffer or a view of one");
    if (this.#flushed) this.#reset();
    this.#flushed = !more;
    const bytes = this.#pending.length > 0 ? joinBytes(this.#pending, given) : given;
    this.#pending = NO_BYTES;
    const text = this.#encoding === "utf-8" ? this.#utf8(bytes, more) : this.#legacy(bytes, more);
    return this.#withoutBom(text);
  }
  #reset() {
    this.#pending = NO_BYTES;
    this.#started = false;
  }
  #utf8(bytes, more) {
    const tail = more ? incompleteUtf8(bytes) : 0;
    const whole = tail > 0 ? bytes.subarray(0, bytes.length - tail) : bytes;
    const text = native.utf8Decode(whole);
    if (text === undefined) return this.#legacy(bytes, more);
    if (tail > 0) this.#pending = bytes.slice(bytes.length - tail);
    return text;
  }
  #legacy(bytes, more) {
    if (more && this.#encoding === "iso-2022-jp") {
      this.#pending = bytes.slice();
      return "";
    }
    const piece = this.#encoding === "iso-2022-jp" ? bytes.length : PIECE_BYTES;
    let text = "";
    for (let at = 0; ; ) {
      const end = Math.min(at + piece, bytes.length);
      const last = end === bytes.length;
      const how = `${this.#encoding} ${this.#fatal ? "fatal" : "replace"} ${last && !more ? "last" : "more"}`;
      const answer = native.pure("text.decode", how, bytes.subarray(at, end));
      text += answer.slice(1);
      at = end - Number(answer[0]);
      if (!last) continue;
      if (at < end) this.#pending = bytes.slice(at);
      return text;
    }
  }
  #withoutBom(text) {
    if (this.#started || text === "") return text;
    this.#started = true;
    const strip = !this.#ignoreBOM && text[0] === "\uFEFF" && BOM_ENCODINGS.includes(this.#encoding);
    return strip ? text.slice(1) : text;
  }
}
publishClass(TextDecoder);

/** Bytes as text, malformed sequences replaced, a byte order mark removed. */
function decodeUtf8(bytes) {
  const text = native.utf8Decode(bytes) ?? native.pure("text.decode", "utf-8 replace last", bytes).slice(1);
  return text[0] === "\uFEFF" ? text.slice(1) : text;
}

publishFunctions({
  atob(data) {
    need(1, arguments.length, "atob");
    return native.pure("base64.atob", usv(data));
  },
  btoa(data) {
    need(1, arguments.length, "btoa");
    return native.pure("base64.btoa", usv(data));
  },
});
