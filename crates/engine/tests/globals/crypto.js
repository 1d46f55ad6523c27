// crypto and performance.
import { equal, ok, rejects, table, throws } from "./assert.mjs";

const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

const DIGESTS = {
  "SHA-1": "a9993e364706816aba3e25717850c26c9cd0d89d",
  "SHA-256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  "SHA-384": "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
  "SHA-512":
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
};

export const handler = table({
  async digests() {
    const abc = new TextEncoder().encode("abc");
    for (const name of Object.keys(DIGESTS)) equal(hex(await crypto.subtle.digest(name, abc)), DIGESTS[name]);
    equal(hex(await crypto.subtle.digest({ name: "sha-256" }, abc.buffer)), DIGESTS["SHA-256"]);
    equal(hex(await crypto.subtle.digest("SHA-1", new Uint8Array())), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    ok((await crypto.subtle.digest("SHA-1", new Uint8Array([1, 2, 3]).subarray(1))) instanceof ArrayBuffer);
    await rejects("NotSupportedError", crypto.subtle.digest("MD5", abc));
    await rejects("TypeError", crypto.subtle.digest("SHA-1", "abc"));
  },
  "random values"() {
    const view = new Uint32Array(4);
    equal(crypto.getRandomValues(view), view);
    ok(view.some((word) => word !== 0));
    ok(crypto.getRandomValues(new Uint8Array(64).subarray(32)).length === 32);
    equal(crypto.getRandomValues(new Uint8Array(0)).length, 0);
    throws("TypeMismatchError", () => crypto.getRandomValues(new Float64Array(1)));
    throws("TypeMismatchError", () => crypto.getRandomValues([1]));
    throws("QuotaExceededError", () => crypto.getRandomValues(new Uint8Array(65537)));
  },
  "identifiers"() {
    const ids = new Set(Array.from({ length: 50 }, () => crypto.randomUUID()));
    equal(ids.size, 50);
    for (const id of ids) ok(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id));
  },
  performance() {
    ok(Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 1000);
    const mark = performance.mark("a", { startTime: 1, detail: { x: 1 } });
    equal([mark.name, mark.entryType, mark.startTime, mark.duration, mark.detail], ["a", "mark", 1, 0, { x: 1 }]);
    performance.mark("b", { startTime: 5 });
    equal(performance.measure("m", "a", "b").duration, 4);
    equal(performance.measure("n", { start: 2, duration: 3 }).duration, 3);
    equal(performance.getEntriesByName("m").length, 1);
    equal(performance.getEntriesByType("mark").map((entry) => entry.name), ["a", "b"]);
    performance.clearMarks("a");
    throws("SyntaxError", () => performance.measure("o", "a"));
    equal(performance.getEntries().length, 3);
  },
});
