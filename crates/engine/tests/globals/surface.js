// Which globals there are, and how they are defined.
import { equal, ok, table, throws } from "./assert.mjs";

const FUNCTIONS = {
  atob: 1, btoa: 1, clearImmediate: 0, clearInterval: 0, clearTimeout: 0, fetch: 1, queueMicrotask: 1, reportError: 1,
  setImmediate: 1, setInterval: 1, setTimeout: 1, structuredClone: 1,
};
const CLASSES = {
  AbortController: 0, AbortSignal: 0, Blob: 0, CustomEvent: 1, DOMException: 0, Event: 1, EventTarget: 0, File: 2,
  FormData: 0, Headers: 0, ReadableStream: 0, Request: 1, Response: 0, TextDecoder: 0, TextEncoder: 0,
  TransformStream: 0, URL: 1, URLSearchParams: 0, WritableStream: 0,
};
const OBJECTS = ["console", "crypto", "performance", "process", "navigator", "global", "self"];

function described(name) {
  const { value, ...rest } = Object.getOwnPropertyDescriptor(globalThis, name);
  equal(rest, { writable: true, enumerable: false, configurable: true });
  return value;
}

export const handler = table({
  functions() {
    for (const name of Object.keys(FUNCTIONS)) {
      const value = described(name);
      equal([name, value.name, value.length], [name, name, FUNCTIONS[name]]);
      throws("TypeError", () => new value());
    }
  },
  classes() {
    for (const name of Object.keys(CLASSES)) {
      const value = described(name);
      equal([name, value.name, value.length], [name, name, CLASSES[name]]);
      equal(value.prototype[Symbol.toStringTag], name);
      throws("TypeError", () => value());
    }
  },
  objects() {
    for (const name of OBJECTS) ok(described(name));
    equal(global, globalThis);
    equal(self, globalThis);
    equal(navigator.userAgent, "Belay");
  },
  "brand checks"() {
    for (const [prototype, name] of [
      [URL.prototype, "href"], [Headers.prototype, "keys"], [AbortSignal.prototype, "aborted"], [Blob.prototype, "size"],
      [TextDecoder.prototype, "encoding"], [Response.prototype, "status"], [Request.prototype, "url"], [Event.prototype, "type"],
    ]) {
      throws("TypeError", () => {
        const member = prototype[name];
        if (typeof member === "function") member.call({}).next();
      });
    }
  },
  "nothing of the engine's own shell, and no Buffer"() {
    for (const name of ["print", "scriptArgs", "std", "os", "gc", "Buffer", "native", "hooks"]) equal(typeof globalThis[name], "undefined");
  },
  "illegal constructors"() {
    for (const constructor of [AbortSignal, Crypto, SubtleCrypto, Performance, Navigator]) throws("TypeError", () => new constructor());
  },
});
