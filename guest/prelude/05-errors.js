// Errors: the one with which the host rejects an effect, DOMException, and how anything thrown is described to the
// host. `describe` is the last thing that runs when a function fails, so it must survive whatever was thrown.

const hostErrors = new WeakSet();
/** The categories of failures that the host has told of, by the errors made of them. */
const failureKinds = new WeakMap();
const CAUSE_DEPTH_PRINTED = 5;
const CAUSE_DEPTH_SEARCHED = 8;
const MESSAGE_LENGTH_MAX = 64 * 1024;

class BelayError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}
define(BelayError.prototype, "name", "BelayError");

/** Makes the error for a rejected effect. Only these count as failures of a dependency. */
function hostError(code, message) {
  const error = new BelayError(code, message);
  hostErrors.add(error);
  return error;
}

/** The stack at this moment; empty when an app has its own idea of stacks. */
function stackHere() {
  const { stack } = new Error();
  return typeof stack === "string" ? stack : "";
}

/** Gives an error the stack of the call that it answers. */
function withOrigin(error, stack) {
  if (stack) define(error, "stack", stack);
  return error;
}

/** The legacy constants, from 1; the name of the exception follows from each. */
const DOM_CONSTANTS = [
  "INDEX_SIZE",
  "DOMSTRING_SIZE",
  "HIERARCHY_REQUEST",
  "WRONG_DOCUMENT",
  "INVALID_CHARACTER",
  "NO_DATA_ALLOWED",
  "NO_MODIFICATION_ALLOWED",
  "NOT_FOUND",
  "NOT_SUPPORTED",
  "INUSE_ATTRIBUTE",
  "INVALID_STATE",
  "SYNTAX",
  "INVALID_MODIFICATION",
  "NAMESPACE",
  "INVALID_ACCESS",
  "VALIDATION",
  "TYPE_MISMATCH",
  "SECURITY",
  "NETWORK",
  "ABORT",
  "URL_MISMATCH",
  "QUOTA_EXCEEDED",
  "TIMEOUT",
  "INVALID_NODE_TYPE",
  "DATA_CLONE",
];
const DOM_NAMELESS = ["DOMSTRING_SIZE", "NO_DATA_ALLOWED", "VALIDATION"];

function domName(constant) {
  if (constant === "INUSE_ATTRIBUTE") return "InUseAttributeError";
  const words = constant.split("_").map((word) => (word === "URL" ? word : word[0] + word.slice(1).toLowerCase()));
  return `${words.join("")}Error`;
}

const DOM_CODES = {};
for (const constant of DOM_CONSTANTS) {
  if (!DOM_NAMELESS.includes(constant)) DOM_CODES[domName(constant)] = DOM_CONSTANTS.indexOf(constant) + 1;
}

class DOMException extends Error {
  #name;
  constructor(message = "", options = "Error") {
    super(message);
    const named = isObject(options);
    this.#name = `${named ? (options.name ?? "Error") : options}`;
    if (named && "cause" in options) define(this, "cause", options.cause);
    if (!hasOwn.call(this, "message")) define(this, "message", "");
  }
  get name() {
    return this.#name;
  }
  get code() {
    return hasOwn.call(DOM_CODES, this.#name) ? DOM_CODES[this.#name] : 0;
  }
}
publishClass(DOMException);
DOM_CONSTANTS.forEach((constant, index) => constants(DOMException, { [`${constant}_ERR`]: index + 1 }));

/** Whether this is an error object, also one of another shape than `instanceof` sees. */
function isError(value) {
  return value instanceof Error || tagOf(value) === "[object Error]";
}

/** A string property of an error, or the fallback. */
function errorText(error, name, fallback) {
  const value = peek(error, name);
  return typeof value === "string" ? value : fallback;
}

/** Text of bounded length that the host can read: half of a surrogate pair is not text to it. */
function cut(text) {
  return usv(text.length > MESSAGE_LENGTH_MAX ? `${text.slice(0, MESSAGE_LENGTH_MAX)}…` : text);
}

/** Which limit of the engine this error stands for, if any. */
function limitKind(error) {
  if (failureKinds.has(error)) return failureKinds.get(error);
  const message = errorText(error, "message", "");
  // Also `out of memory in regexp execution`.
  if (message.startsWith("out of memory") && errorText(error, "name", "") === "InternalError") return "out_of_memory";
  if (message === "stack overflow" && errorText(error, "name", "") === "InternalError") return "stack_overflow";
  if (message === "Maximum call stack size exceeded" && error instanceof RangeError) return "stack_overflow";
  return undefined;
}

/** Whether the error, or one of its causes, is one with which the host rejected an effect. */
function isDependency(error) {
  for (let depth = 0; depth <= CAUSE_DEPTH_SEARCHED && isObject(error); depth++) {
    if (hostErrors.has(error)) return true;
    const errors = peek(error, "errors");
    if (Array.isArray(errors) && errors.length > 0) {
      return errors.slice(0, CAUSE_DEPTH_SEARCHED).every((inner) => isObject(inner) && hostErrors.has(inner));
    }
    error = peek(error, "cause");
  }
  return false;
}

/** The code with which the host rejected an effect, if that is why there is this error. */
function hostCode(error) {
  for (let depth = 0; depth <= CAUSE_DEPTH_SEARCHED && isObject(error); depth++) {
    if (hostErrors.has(error)) return error.code;
    error = peek(error, "cause");
  }
  return undefined;
}

/** The frames of an error, one a line, without a heading. */
function framesOf(error) {
  const stack = errorText(error, "stack", "");
  const lines = stack.split("\n").filter((line) => line.trim().length > 0);
  const first = lines.findIndex((line) => /^\s*at /.test(line));
  return first < 0 ? [] : withoutOwn(lines.slice(first));
}

/** Frames without those of this runtime, and without the native ones that it was in at the time. */
function withoutOwn(frames) {
  const kept = [];
  for (const frame of frames) {
    if (!/\(belay:/.test(frame)) kept.push(frame);
    else while (kept.length > 0 && /\(native\)$/.test(kept[kept.length - 1])) kept.pop();
  }
  return kept;
}

/** The causes of an error, and the errors that it aggregates, as Node prints them. */
function causeLines(error, depth, indent, lines) {
  const outer = framesOf(error).join("\n");
  const add = (label, inner) => {
    lines.push(`${indent}[${label}]: ${isError(inner) ? headingOf(inner) : thrownText(inner)}`);
    if (!isError(inner)) return;
    const frames = framesOf(inner);
    // An error that wraps another at the same place need not say so twice.
    if (frames.join("\n") !== outer) for (const frame of frames) lines.push(indent + frame);
    causeLines(inner, depth + 1, `${indent}  `, lines);
  };
  if (depth >= CAUSE_DEPTH_PRINTED) return;
  if (hasOwn.call(error, "cause")) add("cause", peek(error, "cause"));
  const errors = peek(error, "errors");
  if (Array.isArray(errors)) errors.slice(0, 8).forEach((inner, index) => add(`errors.${index}`, inner));
}

function headingOf(error) {
  const name = errorText(error, "name", "Error");
  const message = errorText(error, "message", "");
  return cut(message === "" ? name : `${name}: ${message}`);
}

/** A thrown value that is no error, as text. */
function thrownText(value) {
  if (typeof value === "string") return cut(value);
  try {
    return cut(inspect(value));
  } catch {
    return "a value that cannot be shown";
  }
}

function describeError(error) {
  const lines = framesOf(error);
  causeLines(error, 0, "  ", lines);
  return {
    type: cut(errorText(error, "name", "Error")),
    message: cut(errorText(error, "message", "")),
    stack: cut(lines.join("\n")),
    dependency: isDependency(error),
    kind: limitKind(error),
  };
}

/** A thrown object that is no error but looks like one (a serialised error, another library's class). */
function looksLikeError(value) {
  return isObject(value) && typeof peek(value, "message") === "string";
}

/** Anything thrown, as JSON: type, message, stack, dependency, and kind when an engine limit was hit. */
function describe(thrown) {
  try {
    if (isError(thrown) || looksLikeError(thrown)) return jsonText(describeError(thrown));
    const type = thrown === null ? "null" : typeof thrown;
    return jsonText({ type, message: thrownText(thrown), stack: "", dependency: isDependency(thrown) });
  } catch {
    return '{"type":"Error","message":"The thrown value cannot be described","stack":"","dependency":false}';
  }
}

const PLAIN_ERRORS = { TypeError, RangeError };

/** The error with which a pure host function refuses its input. */
function namedError(message, name) {
  const constructor = hasOwn.call(PLAIN_ERRORS, name) ? PLAIN_ERRORS[name] : DOMException;
  return new constructor(message, constructor === DOMException ? name : undefined);
}

/** What the shim throws for rejected effects, and when top-level code tries one. */
function errorFor(code, message, origin) {
  if (code !== "TOP_LEVEL_EFFECT") return withOrigin(hostError(code, message), origin);
  return hostError(code, `${message} is not available while a module is loaded: call it inside the handler`);
}
