// URL and URLSearchParams. The host parses (the URL standard is large); a parsed URL is kept here as its components,
// so that reading one costs nothing.

const HREF = 0,
  ORIGIN = 1,
  PROTOCOL = 2,
  USERNAME = 3,
  PASSWORD = 4,
  HOST = 5,
  HOSTNAME = 6,
  PORT = 7,
  PATHNAME = 8,
  SEARCH = 9,
  HASH = 10;

function parseUrl(input, base) {
  const parsedBase = base === undefined ? "" : native.pure("url.parse", `\n${usv(base)}`).split("\n", 1)[0];
  return native.pure("url.parse", `${parsedBase}\n${usv(input)}`).split("\n");
}

function urlParses(input, base) {
  return safely(() => parseUrl(input, base), undefined);
}

const PARSED = Symbol("components");
let paramsChanged; // set by URL: what a change of the search parameters does to the URL they belong to
let linkParams; // set by URLSearchParams

class URL {
  #parts;
  #params = undefined;
  constructor(url, base = undefined) {
    need(1, arguments.length, "URL constructor");
    this.#parts = base === PARSED ? url : parseUrl(url, base);
  }
  static canParse(url, base = undefined) {
    need(1, arguments.length, "URL.canParse");
    return urlParses(url, base) !== undefined;
  }
  static parse(url, base = undefined) {
    need(1, arguments.length, "URL.parse");
    const parts = urlParses(url, base);
    return parts === undefined ? null : new URL(parts, PARSED);
  }
  get href() {
    return this.#parts[HREF];
  }
  set href(value) {
    this.#parts = parseUrl(value);
    this.#refresh();
  }
  get origin() {
    return this.#parts[ORIGIN];
  }
  get searchParams() {
    if (this.#params === undefined) {
      this.#params = new URLSearchParams(this.#parts[SEARCH]);
      linkParams(this.#params, this);
    }
    return this.#params;
  }
  toString() {
    return this.#parts[HREF];
  }
  toJSON() {
    return this.#parts[HREF];
  }
  [inspectCustom](depth, options) {
    const shown = {};
    for (const name of [
      "href",
      "origin",
      "protocol",
      "username",
      "password",
      "host",
      "hostname",
      "port",
      "pathname",
      "search",
      "searchParams",
      "hash",
    ]) {
      shown[name] = this[name];
    }
    return depth < 0 ? "[URL]" : `URL ${inspect(shown, { depth: Math.max(depth, 0) })}`;
  }
  #refresh() {
    if (this.#params !== undefined) linkParams(this.#params, this, this.#parts[SEARCH]);
  }
  static {
    const attribute = (name, index) => {
      const get = Object.getOwnPropertyDescriptor(
        {
          get [name]() {
            return this.#parts[index];
          },
        },
        name,
      ).get;
      const set = Object.getOwnPropertyDescriptor(
        {
          set [name](value) {
            this.#parts = native.pure("url.set", `${this.#parts[HREF]}\n${name}\n${usv(value)}`).split("\n");
            if (name === "search") this.#refresh();
          },
        },
        name,
      ).set;
      accessor(URL.prototype, name, get, set);
    };
    attribute("protocol", PROTOCOL);
    attribute("username", USERNAME);
    attribute("password", PASSWORD);
    attribute("host", HOST);
    attribute("hostname", HOSTNAME);
    attribute("port", PORT);
    attribute("pathname", PATHNAME);
    attribute("search", SEARCH);
    attribute("hash", HASH);
    paramsChanged = (url, query) => {
      url.#parts = native.pure("url.set", `${url.#parts[HREF]}\nsearch\n${query}`).split("\n");
    };
  }
}
publishClass(URL, ["canParse", "parse"]);

/** Percent-decodes one name or value of a form; what is not UTF-8 is replaced. */
function formDecode(text) {
  const spaced = text.includes("+") ? text.replace(/\+/g, " ") : text;
  if (!spaced.includes("%")) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return decodeUtf8WithBom(percentBytes(spaced));
  }
}

function percentBytes(text) {
  const source = new Uint8Array(native.utf8Encode(text));
  const bytes = new Uint8Array(source.length);
  let length = 0;
  for (let i = 0; i < source.length; i++) {
    const digits = source[i] === 0x25 ? String.fromCharCode(source[i + 1], source[i + 2]) : "";
    const escaped = /^[0-9A-Fa-f]{2}$/.test(digits);
    bytes[length++] = escaped ? parseInt(digits, 16) : source[i];
    if (escaped) i += 2;
  }
  return bytes.subarray(0, length);
}

function decodeUtf8WithBom(bytes) {
  return native.utf8Decode(bytes) ?? native.pure("text.decode", "utf-8 replace last", bytes).slice(1);
}

const FORM_EXTRA = /[!'()~]|%20/g;
function formEncode(text) {
  return encodeURIComponent(text).replace(FORM_EXTRA, (c) =>
    c === "%20" ? "+" : `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function parseForm(text) {
  const pairs = [];
  for (const piece of text.split("&")) {
    if (piece === "") continue;
    const at = piece.indexOf("=");
    pairs.push(at < 0 ? [formDecode(piece), ""] : [formDecode(piece.slice(0, at)), formDecode(piece.slice(at + 1))]);
  }
  return pairs;
}

function serializeForm(pairs) {
  return pairs.map(([name, value]) => `${formEncode(name)}=${formEncode(value)}`).join("&");
}

/** The pairs of a URLSearchParams constructor's argument. */
function pairsOf(init) {
  if (init === undefined || init === null) return init === null ? [["null", ""]] : [];
  if (!isObject(init)) {
    const text = usv(init);
    return parseForm(text[0] === "?" ? text.slice(1) : text);
  }
  const iterate = init[Symbol.iterator];
  if (iterate === undefined || iterate === null)
    return Reflect.ownKeys(init)
      .filter((key) => hasEnumerable(init, key))
      .map((key) => [usv(key), usv(init[key])]);
  return Array.from(init, (pair) => {
    const items = isObject(pair) ? Array.from(pair) : [];
    if (items.length !== 2) throw new TypeError("URLSearchParams: each pair must be a list of a name and a value");
    return [usv(items[0]), usv(items[1])];
  });
}

function hasEnumerable(object, key) {
  return Object.prototype.propertyIsEnumerable.call(object, key);
}

class URLSearchParams {
  #pairs;
  #url = undefined;
  constructor(init = "") {
    this.#pairs = pairsOf(init);
  }
  get size() {
    return this.#pairs.length;
  }
  append(name, value) {
    need(2, arguments.length, "append");
    this.#pairs.push([usv(name), usv(value)]);
    this.#changed();
  }
  delete(name, value = undefined) {
    need(1, arguments.length, "delete");
    const key = usv(name);
    const only = value === undefined ? undefined : usv(value);
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== key || (only !== undefined && pair[1] !== only));
    this.#changed();
  }
  get(name) {
    need(1, arguments.length, "get");
    const key = usv(name);
    return this.#pairs.find((pair) => pair[0] === key)?.[1] ?? null;
  }
  getAll(name) {
    need(1, arguments.length, "getAll");
    const key = usv(name);
    return this.#pairs.filter((pair) => pair[0] === key).map((pair) => pair[1]);
  }
  has(name, value = undefined) {
    need(1, arguments.length, "has");
    const key = usv(name);
    const only = value === undefined ? undefined : usv(value);
    return this.#pairs.some((pair) => pair[0] === key && (only === undefined || pair[1] === only));
  }
  set(name, value) {
    need(2, arguments.length, "set");
    const key = usv(name);
    const first = this.#pairs.find((pair) => pair[0] === key);
    if (first === undefined) this.#pairs.push([key, usv(value)]);
    else {
      first[1] = usv(value);
      this.#pairs = this.#pairs.filter((pair) => pair === first || pair[0] !== key);
    }
    this.#changed();
  }
  sort() {
    this.#pairs.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.#changed();
  }
  forEach(callback, self = undefined) {
    callable(callback, "forEach");
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  keys() {
    return pairIterator(
      "URLSearchParams Iterator",
      () => this.#pairs,
      (pair) => pair[0],
    );
  }
  values() {
    return pairIterator(
      "URLSearchParams Iterator",
      () => this.#pairs,
      (pair) => pair[1],
    );
  }
  entries() {
    return pairIterator(
      "URLSearchParams Iterator",
      () => this.#pairs,
      (pair) => [pair[0], pair[1]],
    );
  }
  toString() {
    return serializeForm(this.#pairs);
  }
  #changed() {
    if (this.#url !== undefined) paramsChanged(this.#url, this.toString());
  }
  static {
    linkParams = (params, url, search = undefined) => {
      params.#url = url;
      if (search !== undefined) params.#pairs = pairsOf(search);
    };
  }
}
define(URLSearchParams.prototype, Symbol.iterator, URLSearchParams.prototype.entries);
define(URLSearchParams.prototype, inspectCustom, function () {
  const pairs = [...this].map(([name, value]) => `${quote(name)} => ${quote(value)}`);
  return pairs.length === 0 ? "URLSearchParams {}" : `URLSearchParams { ${pairs.join(", ")} }`;
});
publishClass(URLSearchParams);

const iteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));

/** A live iterator over pairs, which sees changes made while it runs. */
function pairIterator(tag, pairs, pick) {
  let at = 0;
  const iterator = Object.create(iteratorPrototype);
  define(iterator, "next", () => {
    const list = pairs();
    return at < list.length ? { value: pick(list[at++]), done: false } : { value: undefined, done: true };
  });
  define(iterator, Symbol.toStringTag, tag);
  return iterator;
}
