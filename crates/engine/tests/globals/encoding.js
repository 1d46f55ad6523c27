// TextEncoder, TextDecoder, atob, btoa; vectors after web-platform-tests, encoding/ and html/webappapis/atob/.
import { equal, table, throws } from "./assert.mjs";

const bytes = (...values) => new Uint8Array(values);
const list = (view) => Array.from(view);
const decode = (label, data, options) => new TextDecoder(label, options).decode(data);

const LEGACY = [
  ["windows-1252", "latin1", bytes(0x80, 0xe4), "€ä"],
  ["utf-16le", "unicode", bytes(0x61, 0, 0x3d, 0xd8, 0, 0xde), "a😀"],
  ["utf-16be", "utf-16be", bytes(0, 0x61, 0xd8, 0x3d), "a\ufffd"],
  ["shift_jis", "sjis", bytes(0x82, 0xa0), "あ"],
  ["gb18030", "gb18030", bytes(0x81, 0x30, 0x81, 0x30), "\x80"],
  ["big5", "big5", bytes(0xa4, 0xa4), "中"],
  ["euc-jp", "x-euc-jp", bytes(0xa4, 0xa2), "あ"],
  ["euc-kr", "korean", bytes(0xb0, 0xa1), "가"],
  ["iso-2022-jp", "iso-2022-jp", bytes(0x1b, 0x24, 0x42, 0x24, 0x22, 0x1b, 0x28, 0x42), "あ"],
  ["koi8-r", "koi", bytes(0xc1), "а"],
];

const ATOB = [
  ["", ""], ["abcd", "i\xb7\x1d"], [" abcd ", "i\xb7\x1d"], ["abcd===", null], ["ab\t\n\f\r =\t\n\f\r =", "i"],
  ["a", null], ["ab", "i"], ["abc", "i\xb7"], ["abcde", null], ["=", null], ["ab=", null], ["ab=x", null], ["a\xa0bc", null],
  ["/A", "\xfc"], ["//A", "\xff\xf0"], ["///A", "\xff\xff\xc0"], ["////A", null], ["/", null], ["Infinity", '"w\xe2\x9e+r'], ["NaN", "5\xa3"], ["-1", null], ["ab\u0100d", null],
];

export const handler = table({
  "encoding is UTF-8"() {
    const encoder = new TextEncoder();
    equal(encoder.encoding, "utf-8");
    equal(list(encoder.encode("aä€😀\0")), [0x61, 0xc3, 0xa4, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0]);
    equal(list(encoder.encode("\ud800a\udc00")), [0xef, 0xbf, 0xbd, 0x61, 0xef, 0xbf, 0xbd]);
    equal(list(encoder.encode()), []);
    equal(list(encoder.encode(null)), [0x6e, 0x75, 0x6c, 0x6c]);
    equal(encoder.encode("x") instanceof Uint8Array, true);
  },
  "encodeInto writes whole characters"() {
    const into = (text, size) => {
      const view = new Uint8Array(size);
      const { read, written } = new TextEncoder().encodeInto(text, view);
      return [read, written, ...view];
    };
    equal(into("ä€", 4), [1, 2, 0xc3, 0xa4, 0, 0]);
    equal(into("😀a", 4), [2, 4, 0xf0, 0x9f, 0x98, 0x80]);
    equal(into("😀", 3), [0, 0, 0, 0, 0]);
    equal(into("\ud834", 3), [1, 3, 0xef, 0xbf, 0xbd]);
    equal(into("", 1), [0, 0, 0]);
    throws("TypeError", () => new TextEncoder().encodeInto("a", [1]));
  },
  "decoding UTF-8"() {
    equal(decode(undefined, bytes(0x61, 0xf0, 0x9f, 0x98, 0x80)), "a😀");
    equal(decode("utf8", bytes(0xff, 0x61, 0xe2, 0x82)), "\ufffda\ufffd");
    equal(decode("utf-8", bytes(0xed, 0xa0, 0x80)), "\ufffd\ufffd\ufffd");
    equal(decode("utf-8", bytes(0xf4, 0x90, 0x80, 0x80)), "\ufffd\ufffd\ufffd\ufffd");
    equal(decode("utf-8", bytes(0xc0, 0x80)), "\ufffd\ufffd");
    equal(decode("utf-8", bytes(0x61, 0x62).buffer), "ab");
    equal(decode("utf-8", new DataView(bytes(0x61, 0x62).buffer, 1)), "b");
    equal(new TextDecoder().decode(), "");
    equal(decode("utf-8", bytes(0)), "\0");
    throws("TypeError", () => new TextDecoder().decode("text"));
  },
  "a byte order mark is taken off once"() {
    const bom = bytes(0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf, 0x61);
    equal(decode("utf-8", bom), "\ufeffa");
    equal(decode("utf-8", bom, { ignoreBOM: true }), "\ufeff\ufeffa");
    equal(decode("utf-16le", bytes(0xff, 0xfe, 0x61, 0)), "a");
    equal(decode("utf-16be", bytes(0xff, 0xfe, 0x61, 0)), "\ufffe\u6100");
    const decoder = new TextDecoder();
    equal(decoder.decode(bytes(0xef, 0xbb), { stream: true }) + decoder.decode(bytes(0xbf, 0x61)), "a");
    equal(decoder.decode(bom), "\ufeffa");
  },
  "fatal refuses malformed input"() {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    equal([decoder.fatal, decoder.ignoreBOM], [true, false]);
    throws("TypeError", () => decoder.decode(bytes(0xc3)));
    equal(decoder.decode(bytes(0xc3), { stream: true }), "");
    equal(decoder.decode(bytes(0xa4)), "ä");
    equal(decoder.decode(bytes(0xe2, 0x82), { stream: true }), "");
    throws("TypeError", () => decoder.decode());
    throws("TypeError", () => decode("shift_jis", bytes(0x82), { fatal: true }));
  },
  "streams of pieces"() {
    const pieces = (label, data, size) => {
      const decoder = new TextDecoder(label);
      let text = "";
      for (let at = 0; at < data.length; at += size) text += decoder.decode(data.subarray(at, at + size), { stream: true });
      return text + decoder.decode();
    };
    for (const [name, , data, text] of LEGACY) for (const size of [1, 2, 3]) equal([name, size, pieces(name, data, size)], [name, size, text]);
    equal(pieces("utf-8", bytes(0xf0, 0x9f, 0x98, 0x80, 0xe2, 0x82), 1), "😀\ufffd");
    equal(pieces("utf-8", bytes(0xf0, 0x9f, 0x41), 1), "\ufffdA");
  },
  "legacy encodings"() {
    for (const [name, label, data, text] of LEGACY) {
      const decoder = new TextDecoder(label);
      equal([name, decoder.encoding, decoder.decode(data)], [name, name, text]);
    }
    for (const label of ["utf-7", "iso-2022-kr", "hz-gb-2312", "nope", ""]) throws("RangeError", () => new TextDecoder(label));
    equal(new TextDecoder(" UTF-8\n").encoding, "utf-8");
  },
  atob() {
    for (const [input, output] of ATOB) {
      if (output === null) equal(throws("InvalidCharacterError", () => atob(input)).code, 5);
      else equal([input, atob(input)], [input, output]);
    }
    equal(atob(null), "\x9e\xe9e");
    throws("TypeError", () => atob());
  },
  btoa() {
    equal(btoa("\0\xff"), "AP8=");
    equal(btoa(""), "");
    equal(btoa(12.5), "MTIuNQ==");
    throws("InvalidCharacterError", () => btoa("ĀĀ"));
    throws("InvalidCharacterError", () => btoa("😀"));
    const all = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join("");
    equal(atob(btoa(all)), all);
  },
});
