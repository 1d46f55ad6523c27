// console: what is printed. The test that runs this fixture compares the log with a snapshot.
import { table } from "./assert.mjs";

class Point {
  constructor(x, y) {
    this.x = x;
    this.y = y;
  }
  get sum() {
    return this.x + this.y;
  }
}

const cyclic = { name: "loop", list: [] };
cyclic.self = cyclic;
cyclic.list.push(cyclic);

const hostile = new Proxy({}, {
  get() {
    throw new Error("hostile");
  },
  ownKeys() {
    throw new Error("hostile");
  },
});

export const handler = table({
  formats() {
    console.log("%s is %d years and %i months, %f, %j %% %o", "Ann", 41.5, 5.9, "1.25x", { a: [1] }, [1]);
    console.log("%s %s %s %s", Symbol("s"), 12n, { deep: { er: {} } }, null, "extra", { b: 2 });
    console.log("%c styled", "color: red");
    console.log("100%", 5, "%d");
    console.log("%d %d", 1);
    console.log();
    console.log("");
    console.log(-0, 0, 1e21, NaN, 10n, true, undefined, null, Symbol("x"));
  },
  strings() {
    console.log(["it's", 'say "hi"', `both ' and "`, "line\nbreak", "\x01\u007f", "back\\slash"]);
  },
  objects() {
    console.log({}, [], new Point(1, 2), Object.create(null), { a: { b: { c: { d: 1 } } } });
    console.log({ "a-b": 1, 2: 3, [Symbol("key")]: 4, get g() { return 1; }, set s(v) {}, f() {}, g2: () => 1 });
    console.log([1, , , 4], [undefined, null], Object.assign([1], { extra: true }));
    console.log(cyclic);
    console.log({ long: "x".repeat(50), other: "y".repeat(50) });
    console.log(Array.from({ length: 120 }, (_, i) => i));
  },
  kinds() {
    console.log(new Map([["a", { b: 1 }], [{ k: 1 }, new Set([1, "x"])]]), new Set(), new Map());
    console.log(new Date(0), new Date(NaN), /a+b/gi, new Uint8Array([1, 2, 3]), new ArrayBuffer(3));
    console.log(function named() {}, () => 1, class A {}, class B extends Point {}, async function g() {}, Math.max);
    console.log([new String("boxed"), new Number(1), Object(2n), Object(Symbol("b"))]);
    console.log(new URL("https://a.b/c?d=1").searchParams, new Headers({ A: "b" }), new WeakMap());
    console.log({ [Symbol.toStringTag]: "Tagged", a: 1 }, globalThis === global);
  },
  hostile() {
    console.log(hostile);
    console.log({ inner: hostile });
    console.log(Object.create({ get constructor() { throw new Error("no"); } }));
  },
  errors() {
    const at = (error, stack) => Object.defineProperty(error, "stack", { value: stack });
    const cause = at(new TypeError("inner"), "    at inner (a.js:1:2)\n");
    console.log(at(new RangeError("outer", { cause }), "    at outer (b.js:3:4)\n    at main (b.js:9:9)\n"));
    console.log(at(Object.assign(new Error("with fields"), { code: "E_X" }), ""));
    console.log({ nested: at(new Error("short"), "") });
    console.log(at(new AggregateError([at(new Error("one"), "")], "all"), ""));
    console.log(at(new (class OwnError extends Error {})("own"), ""), at(new DOMException("gone", "AbortError"), ""));
    console.log("%s", at(new Error("as text"), ""));
  },
  custom() {
    console.log({ [Symbol.for("nodejs.util.inspect.custom")]: () => "made to measure" });
  },
  "process streams"() {
    process.stdout.write("written\n");
    process.stderr.write(new Uint8Array([104, 105]));
  },
  levels() {
    console.debug("debug");
    console.info("info");
    console.warn("warn");
    console.error("error");
    console.assert(1 === 1, "not shown");
    console.assert(false, "shown %s", "so");
    console.assert(false);
    console.dir({ a: { b: { c: {} } } }, { depth: 0 });
  },
  groups() {
    console.group("outer");
    console.log("in\ntwo lines");
    console.group();
    console.log({ a: 1 });
    console.groupEnd();
    console.groupEnd();
    console.groupEnd();
    console.log("out");
  },
  counts() {
    console.count();
    console.count("a");
    console.count();
    console.countReset();
    console.count();
    console.timeEnd("never started");
  },
  tables() {
    console.table([{ a: 1, b: "x" }, { a: 2, c: true }]);
    console.table([[1, 2], [3]]);
    console.table(["p", "q"]);
    console.table(new Map([["k", 1]]));
    console.table([{ a: 1, b: 2 }], ["b"]);
    console.table("plain");
  },
});
