// `structuredClone`, as the HTML standard has it, for what this runtime can hold.

const ERROR_CLASSES = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

function cannotClone(what) {
  return new DOMException(`${what} could not be cloned`, "DataCloneError");
}

/** One cloning: `memory` keeps identity and cycles. */
class Cloning {
  constructor(memory) {
    this.memory = memory;
  }

  clone(value) {
    if (typeof value === "symbol") throw cannotClone(String(value));
    if (!isObject(value)) return value;
    if (this.memory.has(value)) return this.memory.get(value);
    if (typeof value === "function") throw cannotClone(inspect(value));
    return this.byKind(value);
  }

  remember(value, copy) {
    this.memory.set(value, copy);
    return copy;
  }

  byKind(value) {
    if (Array.isArray(value)) return this.fill(value, this.remember(value, new Array(value.length)));
    if (isDate(value)) return this.remember(value, new Date(Date.prototype.getTime.call(value)));
    if (isRegExp(value)) return this.remember(value, new RegExp(value.source, value.flags));
    if (isMap(value)) return this.map(value);
    if (isSet(value)) return this.set(value);
    if (isBuffer(value)) return this.remember(value, value.slice(0));
    if (ArrayBuffer.isView(value)) return this.view(value);
    if (isError(value)) return this.error(value);
    const boxed = this.boxed(value);
    if (boxed !== undefined) return this.remember(value, boxed);
    return this.plain(value);
  }

  plain(value) {
    const copy = cloneable.find(([constructor]) => value instanceof constructor);
    if (copy !== undefined) return this.remember(value, copy[1](value));
    const opaque = [Promise, WeakMap, WeakSet, globalThis.WeakRef, ...platformClasses];
    if (opaque.some((constructor) => constructor && value instanceof constructor))
      throw cannotClone(inspect(value, { depth: 0 }));
    return this.fill(value, this.remember(value, {}));
  }

  fill(value, copy) {
    for (const key of Object.keys(value)) {
      Object.defineProperty(copy, key, {
        value: this.clone(value[key]),
        writable: true,
        enumerable: true,
        configurable: true,
      });
    }
    return copy;
  }

  map(value) {
    const entries = [...Map.prototype.entries.call(value)];
    const copy = this.remember(value, new Map());
    for (const [key, item] of entries) copy.set(this.clone(key), this.clone(item));
    return copy;
  }

  set(value) {
    const items = [...Set.prototype.values.call(value)];
    const copy = this.remember(value, new Set());
    for (const item of items) copy.add(this.clone(item));
    return copy;
  }

  view(value) {
    const buffer = this.clone(value.buffer);
    const constructor = globalThis[tagOf(value).slice(8, -1)] ?? Uint8Array;
    const length = constructor === DataView ? value.byteLength : value.length;
    return this.remember(value, new constructor(buffer, value.byteOffset, length));
  }

  error(value) {
    if (value instanceof DOMException) {
      return this.remember(value, new DOMException(value.message, value.name));
    }
    const constructor = ERROR_CLASSES[errorText(value, "name", "Error")] ?? Error;
    const copy = this.remember(value, new constructor(errorText(value, "message", "")));
    if (!hasOwn.call(value, "message")) delete copy.message;
    define(copy, "stack", errorText(value, "stack", ""));
    if (hasOwn.call(value, "cause")) define(copy, "cause", this.clone(value.cause));
    return copy;
  }

  boxed(value) {
    if (value instanceof Boolean) return Object(Boolean.prototype.valueOf.call(value));
    if (value instanceof Number) return Object(Number.prototype.valueOf.call(value));
    if (value instanceof String) return Object(String.prototype.valueOf.call(value));
    if (value instanceof BigInt) return Object(BigInt.prototype.valueOf.call(value));
    return undefined;
  }
}

/** Platform classes that can be cloned, with how. Filled by the files that define them. */
const cloneable = [];

/** Takes the bytes of transferred buffers away from their old owner, where the engine can. */
function transfer(list, memory) {
  for (const item of list) {
    if (!isBuffer(item)) throw cannotClone("A transferred value that is not an ArrayBuffer");
    if (memory.has(item) || item.detached === true)
      throw cannotClone("An ArrayBuffer that is detached or listed twice");
    memory.set(item, item.slice(0));
  }
}

publishFunctions({
  structuredClone(value, options = {}) {
    need(1, arguments.length, "structuredClone");
    const memory = new Map();
    const list = Array.from(options?.transfer ?? []);
    transfer(list, memory);
    const copy = new Cloning(memory).clone(value);
    for (const item of list) if (typeof item.transfer === "function") item.transfer();
    return copy;
  },
});
