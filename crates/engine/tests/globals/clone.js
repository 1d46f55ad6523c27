// structuredClone; cases after web-platform-tests, html/webappapis/structured-clone/.
import { equal, ok, table, throws } from "./assert.mjs";

class Point {
  x = 1;
}

export const handler = table({
  primitives() {
    for (const value of [undefined, null, true, 0, -0, NaN, Infinity, 1n, "a\ud800", ""]) ok(Object.is(structuredClone(value), value));
    throws("DataCloneError", () => structuredClone(Symbol("x")));
    throws("TypeError", () => structuredClone());
  },
  "boxed primitives stay boxed"() {
    for (const value of [Object(1), Object("x"), Object(false), Object(1n)]) {
      const copy = structuredClone(value);
      ok(typeof copy === "object" && copy !== value);
      equal(copy.valueOf(), value.valueOf());
    }
  },
  "objects lose their class and keep their own enumerable properties"() {
    const copy = structuredClone(new Point());
    equal([copy.x, copy instanceof Point], [1, false]);
    const source = Object.create({ inherited: 1 }, { hidden: { value: 1 }, shown: { get: () => 2, enumerable: true } });
    equal(Object.entries(structuredClone(source)), [["shown", 2]]);
    equal(Object.keys(structuredClone({ ["__proto__"]: 1 })), ["__proto__"]);
  },
  "cycles and shared references"() {
    const source = { list: [] };
    source.self = source;
    source.list.push(source.list, source);
    const copy = structuredClone(source);
    ok(copy !== source && copy.self === copy && copy.list[0] === copy.list && copy.list[1] === copy);
  },
  "arrays keep holes and properties"() {
    const source = [1, , 3];
    source.extra = "x";
    const copy = structuredClone(source);
    equal([copy.length, 1 in copy, copy[2], copy.extra], [3, false, 3, "x"]);
  },
  "maps and sets"() {
    const key = {};
    const source = new Map([[key, new Set([key, 1])]]);
    const [[newKey, set]] = structuredClone(source);
    ok(newKey !== key && set.has(newKey) && set.has(1));
  },
  "dates and regular expressions"() {
    equal(structuredClone(new Date(5)).getTime(), 5);
    ok(Number.isNaN(structuredClone(new Date(NaN)).getTime()));
    const source = /a(b)/gi;
    source.lastIndex = 3;
    const copy = structuredClone(source);
    equal([copy.source, copy.flags, copy.lastIndex], ["a(b)", "gi", 0]);
  },
  "buffers and views share what they shared"() {
    const buffer = new ArrayBuffer(8);
    const [bytes, view, data] = structuredClone([new Uint8Array(buffer, 1, 2), new Float32Array(buffer, 4), new DataView(buffer, 2, 3)]);
    equal([bytes.byteOffset, bytes.length, view.constructor, view.length, data.byteOffset, data.byteLength], [1, 2, Float32Array, 1, 2, 3]);
    ok(bytes.buffer === view.buffer && bytes.buffer === data.buffer && bytes.buffer !== buffer);
  },
  errors() {
    const source = new RangeError("far", { cause: new TypeError("why") });
    source.code = "not kept";
    const copy = structuredClone(source);
    ok(copy instanceof RangeError && copy.cause instanceof TypeError && copy !== source);
    equal([copy.name, copy.message, copy.cause.message, copy.code], ["RangeError", "far", "why", undefined]);
    class Odd extends Error {
      name = "Odd";
    }
    equal(structuredClone(new Odd("x")).name, "Error");
    const dom = structuredClone(new DOMException("m", "AbortError"));
    equal([dom instanceof DOMException, dom.name, dom.code], [true, "AbortError", 20]);
  },
  "what cannot be cloned"() {
    for (const value of [() => 1, Promise.resolve(), new WeakMap(), new WeakSet(), new AbortController().signal, { deep: [() => 1] }, new Headers(), new URL("https://a.b")]) {
      throws("DataCloneError", () => structuredClone(value));
    }
    equal(throws("DataCloneError", () => structuredClone(() => 1)).code, 25);
  },
  "a getter that throws"() {
    throws("RangeError", () => structuredClone({ get x() { throw new RangeError("x"); } }));
  },
  "a transferred buffer"() {
    const buffer = new Uint8Array([1, 2]).buffer;
    const copy = structuredClone({ buffer }, { transfer: [buffer] });
    equal([...new Uint8Array(copy.buffer)], [1, 2]);
    if (typeof buffer.transfer === "function") equal(buffer.byteLength, 0);
    throws("DataCloneError", () => structuredClone(1, { transfer: [{}] }));
    const twice = new ArrayBuffer(1);
    throws("DataCloneError", () => structuredClone(1, { transfer: [twice, twice] }));
  },
  "files and blobs"() {
    const copy = structuredClone(new File(["abc"], "a.txt", { type: "text/plain", lastModified: 7 }));
    equal([copy instanceof File, copy.name, copy.size, copy.type, copy.lastModified], [true, "a.txt", 3, "text/plain", 7]);
  },
});
