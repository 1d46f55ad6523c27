// Headers: names are compared in lower case; several values of one name are joined, except Set-Cookie.

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function headerName(name) {
  const text = `${name}`;
  if (!TOKEN.test(text)) throw new TypeError(`Invalid header name: ${quote(text)}`);
  return text.toLowerCase();
}

function headerValue(value) {
  const text = `${value}`.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
  if (/[\0\n\r]|[^\0-\xff]/.test(text)) throw new TypeError(`Invalid header value: ${quote(text)}`);
  return text;
}

let headerList; // the raw pairs of a Headers object
let lockHeaders;
let hostHeaders; // what a server sent, taken as it is: its values need not be ones that a function may set

class Headers {
  #pairs = [];
  #locked = false;
  constructor(init = undefined) {
    if (init === undefined) return;
    if (!isObject(init)) throw new TypeError("Headers: the argument must be a list of pairs or an object");
    if (init instanceof Headers) this.#pairs = init.#pairs.map((pair) => [...pair]);
    else if (typeof init[Symbol.iterator] === "function") this.#addPairs(init);
    else for (const key of Reflect.ownKeys(init)) if (hasEnumerable(init, key)) this.append(key, init[key]);
  }
  #addPairs(init) {
    for (const pair of init) {
      const items = isObject(pair) ? Array.from(pair) : [];
      if (items.length !== 2) throw new TypeError("Headers: each pair must be a list of a name and a value");
      this.append(items[0], items[1]);
    }
  }
  #change() {
    if (this.#locked) throw new TypeError("These headers cannot be changed");
  }
  append(name, value) {
    need(2, arguments.length, "append");
    const pair = [headerName(name), headerValue(value)];
    this.#change();
    this.#pairs.push(pair);
  }
  delete(name) {
    const key = headerName(name);
    this.#change();
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== key);
  }
  get(name) {
    const key = headerName(name);
    const values = this.#pairs.filter((pair) => pair[0] === key).map((pair) => pair[1]);
    return values.length === 0 ? null : values.join(", ");
  }
  getSetCookie() {
    return this.#pairs.filter((pair) => pair[0] === "set-cookie").map((pair) => pair[1]);
  }
  has(name) {
    const key = headerName(name);
    return this.#pairs.some((pair) => pair[0] === key);
  }
  set(name, value) {
    need(2, arguments.length, "set");
    const pair = [headerName(name), headerValue(value)];
    this.#change();
    const at = this.#pairs.findIndex((known) => known[0] === pair[0]);
    if (at < 0) this.#pairs.push(pair);
    else
      this.#pairs = this.#pairs
        .filter((known, i) => i <= at || known[0] !== pair[0])
        .map((known, i) => (i === at ? pair : known));
  }
  forEach(callback, self = undefined) {
    callable(callback, "forEach");
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  keys() {
    return pairIterator(
      "Headers Iterator",
      () => this.#sorted(),
      (pair) => pair[0],
    );
  }
  values() {
    return pairIterator(
      "Headers Iterator",
      () => this.#sorted(),
      (pair) => pair[1],
    );
  }
  entries() {
    return pairIterator(
      "Headers Iterator",
      () => this.#sorted(),
      (pair) => [pair[0], pair[1]],
    );
  }
  /** Sorted by name, values of one name joined, but each Set-Cookie by itself. */
  #sorted() {
    const joined = [];
    const seen = new Map();
    for (const [name, value] of this.#pairs) {
      const known = name === "set-cookie" ? undefined : seen.get(name);
      if (known !== undefined) known[1] += `, ${value}`;
      else {
        const pair = [name, value];
        seen.set(name, pair);
        joined.push(pair);
      }
    }
    return joined.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  }
  static {
    headerList = (headers) => headers.#pairs;
    hostHeaders = (pairs) => {
      const headers = new Headers();
      headers.#pairs = pairs.map(([name, value]) => [name.toLowerCase(), value]);
      headers.#locked = true;
      return headers;
    };
    lockHeaders = (headers) => {
      headers.#locked = true;
      return headers;
    };
  }
}
define(Headers.prototype, Symbol.iterator, Headers.prototype.entries);
define(Headers.prototype, inspectCustom, function () {
  const shown = {};
  for (const [name, value] of this) shown[name] = value;
  return `Headers ${inspect(shown)}`;
});
publishClass(Headers);
