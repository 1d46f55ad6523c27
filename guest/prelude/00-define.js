// How the prelude puts things where functions find them.
//
// All prelude files share one function scope, in the order of their names, with `native` (the C shim's interface) as
// the argument. Nothing here touches the world: effects go through `native.call`, and a module's top-level code may
// run any of it at deploy. The files must run on every engine that Belay ships, the oldest being QuickJS 2024-02, so
// what a younger engine adds is tested for before use. What an engine lacks of ECMAScript itself is not filled in:
// environments differ in that on purpose.

const textOf = Object.prototype.toString;
const hasOwn = Object.prototype.hasOwnProperty;
const jsonText = JSON.stringify;

/** Defines a property that does not show up when keys are listed. */
function define(target, name, value) {
  Object.defineProperty(target, name, { value, writable: true, enumerable: false, configurable: true });
}

/** Defines a getter (and a setter) that shows up when keys are listed, as Web IDL attributes do. */
function accessor(target, name, get, set) {
  Object.defineProperty(target, name, { get, set, enumerable: true, configurable: true });
}

/** Makes a class or function a global: writable, configurable, not enumerable. */
function publish(name, value) {
  define(globalThis, name, value);
}

/** Makes the methods of an object globals. Methods, unlike functions, cannot be called with `new`, as built-ins. */
function publishFunctions(functions) {
  for (const name of Object.keys(functions)) publish(name, functions[name]);
}

/** Every class that `publishClass` made a global. */
const platformClasses = [];

/** Makes a class a global as Web IDL wants it: members enumerable, and a tag for `Object.prototype.toString`. */
function publishClass(constructor, statics = []) {
  const prototype = constructor.prototype;
  for (const name of Object.getOwnPropertyNames(prototype)) {
    if (name !== "constructor") Object.defineProperty(prototype, name, { enumerable: true });
  }
  for (const name of statics) Object.defineProperty(constructor, name, { enumerable: true });
  Object.defineProperty(prototype, Symbol.toStringTag, { value: constructor.name, configurable: true });
  publish(constructor.name, constructor);
  platformClasses.push(constructor);
}

/** Defines constants on a class and on its prototype, as Web IDL does. */
function constants(constructor, values) {
  for (const target of [constructor, constructor.prototype]) {
    for (const name of Object.keys(values)) {
      Object.defineProperty(target, name, { value: values[name], enumerable: true });
    }
  }
}

/** Throws as Web IDL does when an operation gets fewer arguments than it needs. */
function need(count, given, where) {
  if (given < count) {
    throw new TypeError(`${where}: ${count} argument${count === 1 ? "" : "s"} required, but only ${given} present`);
  }
}

const LONE_SURROGATES = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?:[^\uD800-\uDBFF]|^)[\uDC00-\uDFFF]/;

/** A Web IDL USVString: lone surrogates become U+FFFD. */
function usv(value) {
  const text = `${value}`;
  return LONE_SURROGATES.test(text) ? native.utf8Decode(native.utf8Encode(text)) : text;
}

/** The bytes behind an ArrayBuffer or a view, not copied; undefined for anything else. */
function bytesOf(value) {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return isBuffer(value) ? new Uint8Array(value) : undefined;
}

function isBuffer(value) {
  return value instanceof ArrayBuffer || tagOf(value) === "[object ArrayBuffer]";
}

function isObject(value) {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** `Object.prototype.toString`, which a hostile object may make throw. */
function tagOf(value) {
  try {
    return textOf.call(value);
  } catch {
    return "[object Object]";
  }
}

/** Reads a property of anything; what throws reads as undefined. */
function peek(value, name) {
  try {
    return value[name];
  } catch {
    return undefined;
  }
}

/** Lets an error go unhandled, which fails the invocation. */
function surface(error) {
  Promise.reject(error);
}
