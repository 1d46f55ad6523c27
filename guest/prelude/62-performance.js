// `performance`: time since the invocation began, and marks and measures of it.

let makingPerformance = true;

class PerformanceEntry {
  #fields;
  constructor(fields) {
    this.#fields = fields;
  }
  get name() {
    return this.#fields.name;
  }
  get entryType() {
    return this.#fields.entryType;
  }
  get startTime() {
    return this.#fields.startTime;
  }
  get duration() {
    return this.#fields.duration;
  }
  get detail() {
    return this.#fields.detail ?? null;
  }
  toJSON() {
    return { ...this.#fields };
  }
}
publishClass(PerformanceEntry);

const ENTRIES_MAX = 10000;

class Performance extends EventTarget {
  #entries = [];
  constructor() {
    if (!makingPerformance) throw new TypeError("Illegal constructor");
    super();
  }
  get timeOrigin() {
    return native.now() - native.monotonic();
  }
  now() {
    return native.monotonic();
  }
  mark(name, options = {}) {
    need(1, arguments.length, "mark");
    const startTime = options?.startTime ?? native.monotonic();
    return this.#add({
      name: `${name}`,
      entryType: "mark",
      startTime: Number(startTime),
      duration: 0,
      detail: options?.detail ?? null,
    });
  }
  measure(name, start = undefined, end = undefined) {
    need(1, arguments.length, "measure");
    const given = isObject(start) ? start : { start, end };
    const from = this.#time(given.start, 0);
    const to =
      given.duration !== undefined && given.end === undefined
        ? from + Number(given.duration)
        : this.#time(given.end, native.monotonic());
    return this.#add({
      name: `${name}`,
      entryType: "measure",
      startTime: from,
      duration: to - from,
      detail: given.detail ?? null,
    });
  }
  getEntries() {
    return [...this.#entries];
  }
  getEntriesByType(type) {
    return this.#entries.filter((entry) => entry.entryType === `${type}`);
  }
  getEntriesByName(name, type = undefined) {
    return this.#entries.filter(
      (entry) => entry.name === `${name}` && (type === undefined || entry.entryType === `${type}`),
    );
  }
  clearMarks(name = undefined) {
    this.#clear("mark", name);
  }
  clearMeasures(name = undefined) {
    this.#clear("measure", name);
  }
  toJSON() {
    return { timeOrigin: this.timeOrigin };
  }
  #clear(type, name) {
    this.#entries = this.#entries.filter(
      (entry) => entry.entryType !== type || (name !== undefined && entry.name !== `${name}`),
    );
  }
  #time(value, otherwise) {
    if (value === undefined) return otherwise;
    if (typeof value === "number") return value;
    const mark = this.#entries.filter((entry) => entry.entryType === "mark" && entry.name === `${value}`).pop();
    if (mark === undefined) throw new DOMException(`There is no mark ${quote(`${value}`)}`, "SyntaxError");
    return mark.startTime;
  }
  #add(fields) {
    const entry = new PerformanceEntry(fields);
    if (this.#entries.length < ENTRIES_MAX) this.#entries.push(entry);
    return entry;
  }
}
publishClass(Performance);
publish("performance", new Performance());
makingPerformance = false;
