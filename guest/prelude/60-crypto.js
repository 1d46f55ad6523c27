// `crypto`: random values and digests. Keys, signatures and ciphers are not there yet, and a function can tell:
// `crypto.subtle.sign` is undefined.

const RANDOM_BYTES_MAX = 65536;
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
let makingCrypto = true;

class SubtleCrypto {
  constructor() {
    if (!makingCrypto) throw new TypeError("Illegal constructor");
  }
  async digest(algorithm, data) {
    need(2, arguments.length, "digest");
    const name = `${isObject(algorithm) ? algorithm.name : algorithm}`;
    const bytes = isObject(data) ? bytesOf(data) : undefined;
    if (bytes === undefined) throw new TypeError("digest: the data must be an ArrayBuffer or a view of one");
    return native.pure("digest", usv(name), bytes);
  }
}
publishClass(SubtleCrypto);

class Crypto {
  #subtle = new SubtleCrypto();
  constructor() {
    if (!makingCrypto) throw new TypeError("Illegal constructor");
  }
  get subtle() {
    return this.#subtle;
  }
  getRandomValues(array) {
    need(1, arguments.length, "getRandomValues");
    const kind = ArrayBuffer.isView(array) ? tagOf(array) : "";
    if (!/^\[object (?:Big)?(?:Int|Uint)(?:8|8Clamped|16|32|64)Array\]$/.test(kind)) {
      throw new DOMException("getRandomValues: the argument must be an array of integers", "TypeMismatchError");
    }
    if (array.byteLength > RANDOM_BYTES_MAX) {
      throw new DOMException(`getRandomValues: at most ${RANDOM_BYTES_MAX} bytes at once`, "QuotaExceededError");
    }
    native.random(bytesOf(array));
    return array;
  }
  randomUUID() {
    const b = new Uint8Array(16);
    native.random(b);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let text = "";
    for (let i = 0; i < 16; i++) text += (i === 4 || i === 6 || i === 8 || i === 10 ? "-" : "") + HEX[b[i]];
    return text;
  }
}
publishClass(Crypto);
publish("crypto", new Crypto());
makingCrypto = false;
