// `console`: every call becomes one log line of the invocation.

const LEVEL_DEBUG = 0;
const LEVEL_INFO = 1;
const LEVEL_WARN = 2;
const LEVEL_ERROR = 3;

const FORMATS = {
  s: (value) =>
    typeof value === "string"
      ? value
      : typeof value === "object" && value !== null
        ? inspect(value, { depth: 0 })
        : inspectPrimitiveOr(value),
  d: (value) =>
    typeof value === "bigint"
      ? `${value}n`
      : typeof value === "symbol"
        ? "NaN"
        : inspectPrimitive(isObject(value) ? NaN : Number(value)),
  i: (value) =>
    typeof value === "bigint"
      ? `${value}n`
      : typeof value === "symbol"
        ? "NaN"
        : inspectPrimitive(isObject(value) ? NaN : parseInt(value, 10)),
  f: (value) => (typeof value === "symbol" ? "NaN" : inspectPrimitive(parseFloat(value))),
  j: (value) => safely(() => jsonText(value) ?? "undefined", "[Circular]"),
  o: (value) => inspect(value, { depth: 4, showHidden: true }),
  O: (value) => inspect(value, { depth: 4 }),
  c: () => "",
};

function inspectPrimitiveOr(value) {
  return typeof value === "function"
    ? inspect(value)
    : typeof value === "symbol"
      ? String(value)
      : inspectPrimitive(value);
}

/** Node's `util.format`: a format string with its arguments, the others after it, one space between. */
function format(values) {
  const parts = [];
  let used = 0;
  if (typeof values[0] === "string") {
    used = 1;
    parts.push(
      values.length === 1
        ? values[0]
        : values[0].replace(/%[sdifjoOc%]/g, (mark) => {
            if (mark === "%%") return "%";
            return used < values.length ? FORMATS[mark[1]](values[used++]) : mark;
          }),
    );
  }
  for (; used < values.length; used++)
    parts.push(typeof values[used] === "string" ? values[used] : inspect(values[used]));
  return parts.join(" ");
}

let groupIndent = "";
const counts = new Map();
const timesStarted = new Map();

function print(level, text) {
  native.log(level, groupIndent === "" ? text : groupIndent + text.replace(/\n/g, `\n${groupIndent}`));
}

function elapsed(label, where) {
  const start = timesStarted.get(label);
  if (start === undefined) {
    print(LEVEL_WARN, `No such label '${label}' for ${where}`);
    return undefined;
  }
  const ms = native.monotonic() - start;
  return ms >= 1000 ? `${(ms / 1000).toFixed(3)}s` : `${ms.toFixed(3)}ms`;
}

const consoleMethods = {
  log(...values) {
    print(LEVEL_INFO, format(values));
  },
  info(...values) {
    print(LEVEL_INFO, format(values));
  },
  debug(...values) {
    print(LEVEL_DEBUG, format(values));
  },
  warn(...values) {
    print(LEVEL_WARN, format(values));
  },
  error(...values) {
    print(LEVEL_ERROR, format(values));
  },
  trace(...values) {
    const frames = framesOf(new Error()).slice(1);
    print(LEVEL_DEBUG, [`Trace${values.length ? `: ${format(values)}` : ""}`, ...frames].join("\n"));
  },
  dir(value, options) {
    print(LEVEL_INFO, inspect(value, options));
  },
  dirxml(...values) {
    print(LEVEL_INFO, format(values));
  },
  assert(condition, ...values) {
    if (condition) return;
    if (typeof values[0] === "string") values[0] = `Assertion failed: ${values[0]}`;
    else values.unshift("Assertion failed");
    print(LEVEL_ERROR, format(values));
  },
  count(label = "default") {
    const count = (counts.get(`${label}`) ?? 0) + 1;
    counts.set(`${label}`, count);
    print(LEVEL_INFO, `${label}: ${count}`);
  },
  countReset(label = "default") {
    counts.delete(`${label}`);
  },
  group(...values) {
    if (values.length > 0) print(LEVEL_INFO, format(values));
    groupIndent += "  ";
  },
  groupCollapsed(...values) {
    consoleMethods.group(...values);
  },
  groupEnd() {
    groupIndent = groupIndent.slice(2);
  },
  time(label = "default") {
    if (timesStarted.has(`${label}`)) print(LEVEL_WARN, `Label '${label}' already exists for console.time()`);
    else timesStarted.set(`${label}`, native.monotonic());
  },
  timeLog(label = "default", ...values) {
    const took = elapsed(`${label}`, "console.timeLog()");
    if (took !== undefined) print(LEVEL_INFO, format([`${label}: ${took}`, ...values]));
  },
  timeEnd(label = "default") {
    const took = elapsed(`${label}`, "console.timeEnd()");
    if (took === undefined) return;
    timesStarted.delete(`${label}`);
    print(LEVEL_INFO, `${label}: ${took}`);
  },
  table(data, columns) {
    if (!isObject(data)) return consoleMethods.log(data);
    print(LEVEL_INFO, tableText(data, Array.isArray(columns) ? columns.map(String) : undefined));
  },
};

/** Rows and columns in a box, as Node draws them. */
function tableText(data, only) {
  const names = [];
  let plain = false;
  const rows = rowsOf(data).map(([index, row]) => {
    const cells = new Map();
    if (!isObject(row)) plain = true;
    else
      for (const key of only ?? Object.keys(row)) {
        if (hasOwn.call(row, key)) cells.set(key, inspect(row[key], { depth: 0 }));
        if (!names.includes(key)) names.push(key);
      }
    return { index, cells, value: isObject(row) ? "" : inspect(row) };
  });
  const header = [isMap(data) || isSet(data) ? "(iteration index)" : "(index)", ...names, ...(plain ? ["Values"] : [])];
  const body = rows.map((row) => [
    row.index,
    ...names.map((name) => row.cells.get(name) ?? ""),
    ...(plain ? [row.value] : []),
  ]);
  return boxed(header, body);
}

function rowsOf(data) {
  if (isMap(data)) return [...data].map(([key, value], i) => [String(i), { Key: key, Values: value }]);
  if (isSet(data)) return [...data].map((value, i) => [String(i), value]);
  return Object.keys(data).map((key) => [key, data[key]]);
}

function boxed(header, body) {
  const widths = header.map((title, i) => Math.max(title.length, ...body.map((row) => row[i].length)) + 2);
  const line = (cells) => `│${cells.map((cell, i) => ` ${cell}`.padEnd(widths[i])).join("│")}│`;
  const rule = (left, middle, right) => left + widths.map((width) => "─".repeat(width)).join(middle) + right;
  return [rule("┌", "┬", "┐"), line(header), rule("├", "┼", "┤"), ...body.map(line), rule("└", "┴", "┘")].join("\n");
}

const console = {};
for (const name of Object.keys(consoleMethods)) {
  Object.defineProperty(console, name, {
    value: consoleMethods[name],
    writable: true,
    enumerable: true,
    configurable: true,
  });
}
Object.defineProperty(console, Symbol.toStringTag, { value: "console", configurable: true });
publish("console", console);
