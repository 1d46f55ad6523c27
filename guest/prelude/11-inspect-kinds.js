// How `inspect` shows each kind of object: what stands before the braces, which braces, and the items between them.
//
// A shape has: prefix (before the braces), short (when too deep), bare (the whole text when there is nothing to list),
// open and close, count (of items), items (makes their texts), indexed (index keys are items), hides and always
// (own keys not listed, and hidden ones listed all the same), grid (items may share a line).

function shapeOf(value) {
  const name = safely(() => classNameOf(value), null);
  if (Array.isArray(value)) return arrayShape(value, name);
  if (ArrayBuffer.isView(value)) return viewShape(value, name);
  if (typeof value === "function") return functionShape(value);
  if (isError(value)) return errorShape(value, name);
  if (isMap(value)) return mapShape(value, name);
  if (isSet(value)) return setShape(value, name);
  if (isDate(value)) return { ...plainShape(name), bare: dateText(value) };
  if (isRegExp(value))
    return { ...plainShape(name), bare: RegExp.prototype.toString.call(value), hides: ["lastIndex"] };
  if (isBuffer(value)) return bufferShape(value, name);
  return boxedShape(value, name) ?? taggedShape(value, name);
}

function safely(run, fallback) {
  try {
    return run();
  } catch {
    return fallback;
  }
}

function plainShape(name) {
  const title = name ?? "[Object: null prototype]";
  return { prefix: name === "Object" ? "" : `${title} `, short: title, open: "{", close: "}", count: 0 };
}

/** An object whose class says by its tag what it is: `Response { … }`, `Promise {}`, `Object [Math] { … }`. */
function taggedShape(value, name) {
  const tag = peek(value, Symbol.toStringTag);
  const shape = plainShape(name);
  if (value instanceof Promise && native.promiseState) return promiseShape(value, shape);
  if (typeof tag === "string" && tag !== "" && tag !== name) {
    shape.prefix = `${name ?? "[Object: null prototype]"} [${tag}] `;
  }
  return shape;
}

function promiseShape(value, shape) {
  const { state, value: settled } = native.promiseState(value);
  const items = (run, _, level) => {
    if (state === "pending") return ["<pending>"];
    return [`${state === "rejected" ? "<rejected> " : ""}${run.show(settled, level)}`];
  };
  return { ...shape, count: 1, items };
}

function more(parts, total) {
  const rest = total - ITEMS_MAX;
  if (rest > 0) parts.push(`... ${rest} more item${rest === 1 ? "" : "s"}`);
  return parts;
}

function arrayShape(value, name) {
  const prefix = name === "Array" ? "" : `${name ?? "[Array: null prototype]"}(${value.length}) `;
  return {
    prefix,
    short: name ?? "Array",
    open: "[",
    close: "]",
    count: value.length,
    items: arrayItems,
    indexed: true,
    grid: value.length > 6,
  };
}

function arrayItems(run, value, level) {
  const parts = [];
  const length = Math.min(value.length, ITEMS_MAX);
  for (let i = 0; i < length; i++) {
    if (hasOwn.call(value, i)) {
      parts.push(run.property(value, String(i), level).slice(inspectKey(String(i)).length + 2));
      continue;
    }
    const start = i;
    while (i + 1 < length && !hasOwn.call(value, i + 1)) i++;
    const holes = i - start + 1;
    parts.push(`<${holes} empty item${holes === 1 ? "" : "s"}>`);
  }
  return more(parts, value.length);
}

function viewShape(value, name) {
  if (value instanceof DataView) {
    return {
      ...plainShape(name),
      count: 1,
      items: (run, view, level) => [
        `byteLength: ${view.byteLength}`,
        `byteOffset: ${view.byteOffset}`,
        `buffer: ${run.show(view.buffer, level)}`,
      ],
    };
  }
  const items = (run, view) => more(Array.from(view.subarray(0, ITEMS_MAX), inspectPrimitive), view.length);
  return {
    prefix: `${name}(${value.length}) `,
    short: name,
    open: "[",
    close: "]",
    count: value.length,
    items,
    indexed: true,
    grid: true,
  };
}

function bufferShape(value, name) {
  const items = (_, buffer) => {
    const bytes = Array.from(new Uint8Array(buffer, 0, Math.min(50, buffer.byteLength)), (b) =>
      b.toString(16).padStart(2, "0"),
    );
    if (buffer.byteLength > 50) bytes.push(`... ${buffer.byteLength - 50} more bytes`);
    return [`[Uint8Contents]: <${bytes.join(" ")}>`, `byteLength: ${buffer.byteLength}`];
  };
  return { ...plainShape(name), count: 1, items };
}

function mapShape(value, name) {
  const size = mapSize.call(value);
  const items = (run, map, level) => {
    const parts = [];
    for (const [key, item] of Map.prototype.entries.call(map)) {
      if (parts.length === ITEMS_MAX) break;
      parts.push(`${run.show(key, level)} => ${run.show(item, level)}`);
    }
    return more(parts, size);
  };
  return { prefix: `${name}(${size}) `, short: name, open: "{", close: "}", count: size, items };
}

function setShape(value, name) {
  const size = setSize.call(value);
  const items = (run, set, level) => {
    const parts = [];
    for (const item of Set.prototype.values.call(set)) {
      if (parts.length === ITEMS_MAX) break;
      parts.push(run.show(item, level));
    }
    return more(parts, size);
  };
  return { prefix: `${name}(${size}) `, short: name, open: "{", close: "}", count: size, items };
}

function functionShape(value) {
  const name = errorText(value, "name", "");
  const source = safely(() => Function.prototype.toString.call(value), "");
  const parent = safely(() => Object.getPrototypeOf(value)?.name, "");
  const isClass = source.startsWith("class");
  const kind = isClass ? "class" : (safely(() => classNameOf(value), "Function") ?? "Function");
  const title = isClass
    ? `class ${name || "(anonymous)"}${parent ? ` extends ${parent}` : ""}`
    : `${kind}${name ? `: ${name}` : " (anonymous)"}`;
  return { ...plainShape("Function"), prefix: "", short: title, bare: `[${title}]` };
}

function errorShape(value, name) {
  const heading = errorHeading(value, name);
  const frames = framesOf(value);
  const bare = frames.length > 0 ? `${heading}\n${frames.join("\n")}` : `[${heading}]`;
  const always = ["cause", "errors"].filter((key) => hasOwn.call(value, key));
  return {
    ...plainShape(name),
    bare,
    always,
    hides: ["stack", "message", "name", "fileName", "lineNumber", "columnNumber"],
  };
}

/** The error's name and message, with the class's name where the name does not tell it. */
function errorHeading(value, name) {
  const text = headingOf(value);
  const own = errorText(value, "name", "Error");
  return name && name !== own && own === "Error" ? `${name}${text.slice(own.length)}` : text;
}

function dateText(value) {
  const time = Date.prototype.getTime.call(value);
  return Number.isNaN(time) ? "Invalid Date" : Date.prototype.toISOString.call(value);
}

/** Wrapper objects of primitives. */
function boxedShape(value, name) {
  for (const [constructor, label] of [
    [String, "String"],
    [Number, "Number"],
    [Boolean, "Boolean"],
    [Symbol, "Symbol"],
    [BigInt, "BigInt"],
  ]) {
    if (!(value instanceof constructor)) continue;
    const inner = safely(() => constructor.prototype.valueOf.call(value), undefined);
    if (inner === undefined) continue;
    return {
      ...plainShape(name),
      bare: `[${label}: ${inspectPrimitive(inner)}]`,
      indexed: label === "String",
      hides: ["length"],
    };
  }
  return undefined;
}
