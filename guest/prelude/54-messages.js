// Request and Response.

const METHODS_UPPER = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];
const METHODS_FORBIDDEN = ["CONNECT", "TRACE", "TRACK"];
const REDIRECT_STATUS = [301, 302, 303, 307, 308];
const NULL_BODY_STATUS = [101, 204, 205, 304];

function methodName(method) {
  const text = `${method}`;
  if (!TOKEN.test(text)) throw new TypeError(`Invalid method: ${quote(text)}`);
  const upper = text.toUpperCase();
  if (METHODS_FORBIDDEN.includes(upper)) throw new TypeError(`The method ${upper} is not allowed`);
  return METHODS_UPPER.includes(upper) ? upper : text;
}

function oneOf(value, allowed, what) {
  const text = `${value}`;
  if (!allowed.includes(text)) throw new TypeError(`${what}: ${quote(text)} is not one of ${allowed.join(", ")}`);
  return text;
}

/** The content of a new request: its own body, or the one of the request it is made from. */
function requestContent(input, init, method) {
  const own = init.body !== undefined && init.body !== null;
  if (own && (method === "GET" || method === "HEAD")) throw new TypeError(`A ${method} request cannot have a body`);
  if (own) return extractBody(init.body);
  return input instanceof Request && init.body === undefined ? moveBody(input) : extractBody(null);
}

/** A request's URL, absolute and without credentials. */
function requestUrl(input) {
  const parts = parseUrl(`${input}`);
  if (parts[USERNAME] !== "" || parts[PASSWORD] !== "")
    throw new TypeError("A request URL cannot have a user name or password");
  return parts[HREF];
}

const HINTS = ["cache", "credentials", "destination", "integrity", "keepalive", "mode", "referrer", "referrerPolicy"];
const HINTS_DEFAULT = {
  cache: "default",
  credentials: "same-origin",
  destination: "",
  integrity: "",
  keepalive: false,
  mode: "cors",
  referrer: "about:client",
  referrerPolicy: "",
};
let requestTimeout;

class Request extends Body {
  #url;
  #method;
  #headers;
  #redirect;
  #signal;
  #timeout;
  #hints;
  constructor(input, init = {}) {
    need(1, arguments.length, "Request constructor");
    const options = init ?? {};
    const from = input instanceof Request ? input : undefined;
    const url = from === undefined ? requestUrl(input) : from.#url;
    const method = options.method === undefined ? (from?.method ?? "GET") : methodName(options.method);
    const content = requestContent(input, options, method);
    super(content);
    this.#url = url;
    this.#method = method;
    this.#headers = withType(new Headers(options.headers ?? from?.headers), content);
    this.#redirect = oneOf(options.redirect ?? from?.redirect ?? "follow", ["follow", "error", "manual"], "redirect");
    this.#signal = followSignal(options.signal === undefined ? from?.signal : options.signal);
    this.#timeout = options.timeoutMs ?? from?.#timeout;
    this.#hints = { ...HINTS_DEFAULT };
    for (const name of HINTS) this.#hints[name] = options[name] ?? from?.[name] ?? HINTS_DEFAULT[name];
  }
  get method() {
    return this.#method;
  }
  get url() {
    return this.#url;
  }
  get headers() {
    return this.#headers;
  }
  get redirect() {
    return this.#redirect;
  }
  get signal() {
    return this.#signal;
  }
  get duplex() {
    return "half";
  }
  clone() {
    const content = shareBody(this);
    return setBody(
      new Request(this.#url, {
        ...this.#hints,
        method: this.#method,
        headers: this.#headers,
        redirect: this.#redirect,
        signal: this.#signal,
        timeoutMs: this.#timeout,
      }),
      content,
    );
  }
  static {
    for (const name of HINTS) {
      accessor(
        Request.prototype,
        name,
        Object.getOwnPropertyDescriptor(
          {
            get [name]() {
              return this.#hints[name];
            },
          },
          name,
        ).get,
      );
    }
    requestTimeout = (request) => request.#timeout;
  }
}
publishClass(Request);
define(Request.prototype, inspectCustom, function () {
  return `Request ${inspect({ method: this.method, url: this.url, headers: this.headers, bodyUsed: this.bodyUsed }, { depth: 1 })}`;
});

/** A signal of its own that aborts when the given one does. */
function followSignal(signal) {
  return signal === null || signal === undefined ? newSignal() : AbortSignal.any([signal]);
}

let hostResponse; // makes the response of a fetch

class Response extends Body {
  #status;
  #statusText;
  #headers;
  #type = "default";
  #url = "";
  #redirected = false;
  constructor(body = null, init = {}) {
    const options = init ?? {};
    const status = options.status === undefined ? 200 : Math.trunc(Number(options.status));
    if (!(status >= 200 && status <= 599))
      throw new RangeError(`Response: the status ${status} is not between 200 and 599`);
    if (body !== null && body !== undefined && NULL_BODY_STATUS.includes(status)) {
      throw new TypeError(`Response: a response with status ${status} cannot have a body`);
    }
    const content = extractBody(body);
    super(content);
    this.#status = status;
    this.#statusText = reasonPhrase(options.statusText ?? "");
    this.#headers = withType(new Headers(options.headers), content);
  }
  static error() {
    const response = new Response();
    response.#status = 0;
    response.#type = "error";
    lockHeaders(response.#headers);
    return response;
  }
  static json(data, init = {}) {
    need(1, arguments.length, "Response.json");
    const text = jsonText(data);
    if (text === undefined) throw new TypeError("Response.json: the value has no JSON form");
    const headers = new Headers(init?.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(text, { ...init, headers });
  }
  static redirect(url, status = 302) {
    need(1, arguments.length, "Response.redirect");
    const location = parseUrl(url)[HREF];
    if (!REDIRECT_STATUS.includes(Number(status)))
      throw new RangeError(`Response.redirect: ${status} is not the status of a redirect`);
    const response = new Response(null, { status, headers: { location } });
    lockHeaders(response.#headers);
    return response;
  }
  get type() {
    return this.#type;
  }
  get url() {
    return this.#url;
  }
  get redirected() {
    return this.#redirected;
  }
  get status() {
    return this.#status;
  }
  get ok() {
    return this.#status >= 200 && this.#status <= 299;
  }
  get statusText() {
    return this.#statusText;
  }
  get headers() {
    return this.#headers;
  }
  clone() {
    const copy = setBody(new Response(), shareBody(this));
    copy.#status = this.#status;
    copy.#statusText = this.#statusText;
    copy.#headers = new Headers(this.#headers);
    copy.#type = this.#type;
    copy.#url = this.#url;
    copy.#redirected = this.#redirected;
    return copy;
  }
  static {
    hostResponse = (answer) => {
      const empty = NULL_BODY_STATUS.includes(answer.status);
      const response = setBody(new Response(), whole(empty ? null : new Uint8Array(answer.body ?? 0), null));
      response.#status = answer.status;
      response.#statusText = answer.statusText ?? "";
      response.#headers = hostHeaders(answer.headers);
      response.#type = "basic";
      response.#url = answer.url;
      response.#redirected = Boolean(answer.redirected);
      return response;
    };
  }
}
publishClass(Response, ["error", "json", "redirect"]);
define(Response.prototype, inspectCustom, function () {
  const { status, statusText, headers, type, url, ok, redirected, bodyUsed } = this;
  return `Response ${inspect({ status, statusText, headers, type, url, ok, redirected, bodyUsed }, { depth: 1 })}`;
});

function reasonPhrase(text) {
  if (/[^\t\x20-\x7e\x80-\xff]/.test(`${text}`))
    throw new TypeError("Response: the status text has characters that HTTP does not allow");
  return `${text}`;
}
