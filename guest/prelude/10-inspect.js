// Values as text for people, in the manner of Node's `util.inspect`: depth 2, cycles, one line while it fits.
// It never throws and never runs a getter of the value's own class more than it must.

const INSPECT_DEPTH = 2;
const LINE_WIDTH = 72;
const ITEMS_MAX = 100;
const STRING_MAX = 10000;
const inspectCustom = Symbol.for("nodejs.util.inspect.custom");
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;
const ESCAPES = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v", "\\": "\\\\" };

function quote(text) {
  const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes("`") ? "`" : "'";
  const shown = text.length > STRING_MAX ? text.slice(0, STRING_MAX) : text;
  const body = shown.replace(/[\x00-\x1f\x7f\\'"`]/g, (c) => {
    if (c === "'" || c === '"' || c === "`") return c === mark && mark === "'" ? `\\${c}` : c;
    return ESCAPES[c] ?? `\\x${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
  });
  const more = text.length - shown.length;
  return mark + body + mark + (more > 0 ? `... ${more} more characters` : "");
}

function inspectPrimitive(value) {
  if (typeof value === "string") return quote(value);
  if (typeof value === "bigint") return `${value}n`;
  if (Object.is(value, -0)) return "-0";
  return String(value);
}

/** The name of the class that made an object, or null for an object without a prototype. */
function classNameOf(value) {
  for (let proto = Object.getPrototypeOf(value); proto; proto = Object.getPrototypeOf(proto)) {
    const own = Object.getOwnPropertyDescriptor(proto, "constructor");
    if (own && typeof own.value === "function" && typeof own.value.name === "string" && own.value.name) {
      return own.value.name;
    }
  }
  return null;
}

function inspectKey(key) {
  if (typeof key === "symbol") return `[${String(key)}]`;
  return IDENTIFIER.test(key) ? key : quote(key);
}

/** What is set when the value has that brand, found without trusting `Symbol.toStringTag`. */
function branded(value, constructor, probe) {
  if (!(value instanceof constructor)) return false;
  try {
    probe(value);
    return true;
  } catch {
    return false;
  }
}
const mapSize = Object.getOwnPropertyDescriptor(Map.prototype, "size").get;
const setSize = Object.getOwnPropertyDescriptor(Set.prototype, "size").get;
const isMap = (v) => branded(v, Map, (m) => mapSize.call(m));
const isSet = (v) => branded(v, Set, (s) => setSize.call(s));
const isDate = (v) => branded(v, Date, (d) => Date.prototype.getTime.call(d));
const isRegExp = (v) => branded(v, RegExp, () => tagOf(v) === "[object RegExp]" || RegExp.prototype.exec.call(v, ""));

/** One run of `inspect`: how deep, and which objects are being shown right now. */
class Inspection {
  constructor(depth, extra = {}) {
    this.depth = depth;
    this.showHidden = Boolean(extra.showHidden);
    this.path = [];
    this.circular = new Map();
  }

  show(value, level) {
    if (!isObject(value)) return inspectPrimitive(value);
    if (this.path.includes(value)) return this.reference(value);
    this.path.push(value);
    const { length } = this.path;
    try {
      return this.marked(value, this.custom(value, level) ?? this.object(value, level));
    } catch (error) {
      if (limitKind(error) !== undefined) throw error;
      return unshowable(error);
    } finally {
      this.path.length = length - 1;
    }
  }

  /** What the value's own `inspect` method makes of it, if it has one. */
  custom(value, level) {
    const method = peek(value, inspectCustom);
    if (typeof method !== "function") return undefined;
    const made = method.call(value, this.depth - level, { depth: this.depth }, inspect);
    if (made === value) return undefined;
    return typeof made === "string" ? made : this.show(made, level);
  }

  marked(value, text) {
    const mark = this.circular.get(value);
    return mark === undefined ? text : `<ref *${mark}> ${text}`;
  }

  reference(value) {
    if (!this.circular.has(value)) this.circular.set(value, this.circular.size + 1);
    return `[Circular *${this.circular.get(value)}]`;
  }

  object(value, level) {
    const kind = shapeOf(value);
    const keys = this.keysOf(value, kind);
    const empty = keys.length === 0 && !kind.count;
    if (empty && kind.bare !== undefined) return kind.bare;
    if (level > this.depth) return kind.bare ?? `[${kind.short}]`;
    if (empty) return `${kind.prefix}${kind.open}${kind.close}`;
    const parts = kind.items ? kind.items(this, value, level + 1) : [];
    for (const key of keys) parts.push(this.property(value, key, level + 1));
    const head = kind.bare !== undefined ? `${kind.bare} ` : kind.prefix;
    return layOut(head, kind.open, kind.close, parts, level, kind.grid);
  }

  keysOf(value, kind) {
    const keys = this.showHidden ? Object.getOwnPropertyNames(value) : Object.keys(value);
    const shown = kind.indexed ? keys.filter((key) => !/^(?:0|[1-9]\d*)$/.test(key)) : keys;
    const rest = kind.hides ? shown.filter((key) => !kind.hides.includes(key)) : shown;
    const symbols = Object.getOwnPropertySymbols(value).filter((s) =>
      Object.prototype.propertyIsEnumerable.call(value, s),
    );
    if (kind.always) {
      for (const key of kind.always) if (hasOwn.call(value, key) && !rest.includes(key)) rest.push(key);
    }
    return rest.concat(symbols);
  }

  property(value, key, level) {
    const own = Object.getOwnPropertyDescriptor(value, key);
    const name = own && !own.enumerable ? `[${String(key)}]` : inspectKey(key);
    if (!own) return `${name}: ${this.show(peek(value, key), level)}`;
    if (own.get) return `${name}: ${own.set ? "[Getter/Setter]" : "[Getter]"}`;
    if (own.set) return `${name}: [Setter]`;
    return `${name}: ${this.show(own.value, level)}`;
  }
}

function layOut(prefix, open, close, parts, level, grid) {
  const length = parts.reduce((sum, part) => sum + part.length + 2, prefix.length + open.length);
  const flat = !parts.some((part) => part.includes("\n"));
  const pad = open === "[" || open === "{" ? " " : "";
  if (flat && length + level * 2 <= LINE_WIDTH && (parts.length <= 6 || grid || length <= 60)) {
    return `${prefix}${open}${pad}${parts.join(", ")}${pad}${close}`;
  }
  const indent = "  ".repeat(level + 1);
  const lines = grid && flat ? inRows(parts, LINE_WIDTH - indent.length) : parts;
  return `${prefix}${open}\n${indent}${lines.join(`,\n${indent}`)}\n${"  ".repeat(level)}${close}`;
}

/** Puts short items of a list side by side, in columns of one width; numbers to the right. */
function inRows(parts, width) {
  const note = /^\.\.\. \d+ more/.test(parts[parts.length - 1]) ? [parts[parts.length - 1]] : [];
  const items = note.length > 0 ? parts.slice(0, -1) : parts;
  const widest = Math.max(...items.map((part) => part.length));
  const columns = Math.max(
    1,
    Math.min(
      16,
      Math.floor(width / (widest + 2)),
      Math.ceil(Math.sqrt(2.5 * (widest + 2) * items.length) / (widest + 2)),
    ),
  );
  const numbers = items.every((part) => /^-?[\d.]+n?$/.test(part));
  const rows = [];
  for (let at = 0; at < items.length; at += columns) {
    const row = items.slice(at, at + columns);
    rows.push(
      row
        .map((part) => (numbers ? part.padStart(widest) : part.padEnd(widest)))
        .join(", ")
        .trimEnd(),
    );
  }
  return rows.concat(note);
}

function unshowable(error) {
  return `[an object that cannot be shown: ${errorText(error, "message", "it throws")}]`;
}

/** Anything as text. Throws nothing: a hostile object shows as such. */
function inspect(value, options) {
  const given = options === null || typeof options !== "object" ? {} : options;
  const depth = given.depth === null ? Infinity : (given.depth ?? INSPECT_DEPTH);
  try {
    return new Inspection(depth, given).show(value, 0);
  } catch (error) {
    return unshowable(error);
  }
}
