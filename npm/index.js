// Stand-ins for Belay's services, so that the code of a function runs in Node: kv in memory, env from process.env,
// secrets from process.env too, log to the console, http.fetch is the global fetch, sql SQLite in memory. Nothing here is used inside Belay,
// which answers `import … from "belay"` itself; the answers have the same shapes and the same error codes.

const KEY_BYTES_MAX = 512;
const VALUE_BYTES_MAX = 1 << 20;
const LIST_DEFAULT = 100;
const LIST_MAX = 1000;
const ATTEMPTS_MAX = 16;

export class BelayError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "BelayError";
    this.code = code;
  }
}

const encoder = new TextEncoder();
const store = new Map(); // key -> { stored, revision }; `stored` is JSON text or bytes, so that no reference is shared
let revision = 0;

function checkKey(key) {
  const size = typeof key === "string" ? encoder.encode(key).length : 0;
  if (size < 1 || size > KEY_BYTES_MAX) {
    throw new BelayError("KV_KEY", `a key is 1 to ${KEY_BYTES_MAX} bytes of UTF-8`);
  }
}

function freeze(value) {
  const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : value;
  const stored = ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice()
    : JSON.stringify(value ?? null);
  const size = typeof stored === "string" ? encoder.encode(stored).length : stored.length;
  if (size > VALUE_BYTES_MAX) {
    throw new BelayError("KV_VALUE_TOO_LARGE", `a value is at most ${VALUE_BYTES_MAX} bytes, this one has ${size}`);
  }
  return stored;
}

const thaw = (stored) => (typeof stored === "string" ? JSON.parse(stored) : stored.slice());
const revisionOf = (key) => store.get(key)?.revision ?? 0;

function check(key, expected) {
  if (expected !== undefined && revisionOf(key) !== expected) {
    throw new BelayError("CONFLICT", `${key} has revision ${revisionOf(key)}, not ${expected}`);
  }
}

async function entry(key) {
  checkKey(key);
  const found = store.get(key);
  return found && { key, value: thaw(found.stored), revision: found.revision };
}

async function list({ prefix = "", after, limit = LIST_DEFAULT } = {}) {
  const keys = [...store.keys()]
    .filter((key) => key.startsWith(prefix) && (after === undefined || Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const page = keys.slice(0, Math.min(Math.max(limit, 1), LIST_MAX));
  return {
    entries: page.map((key) => ({ key, revision: revisionOf(key) })),
    next: page.length < keys.length ? page.at(-1) : null,
  };
}

async function attempt(work) {
  const seen = new Map();
  const writes = new Map();
  const tx = {
    async get(key) {
      if (writes.has(key)) return writes.get(key) === undefined ? undefined : thaw(writes.get(key));
      const found = await entry(key);
      if (!seen.has(key)) seen.set(key, found?.revision ?? 0);
      return found?.value;
    },
    put(key, value) {
      checkKey(key);
      writes.set(key, freeze(value));
    },
    delete(key) {
      checkKey(key);
      writes.set(key, undefined);
    },
  };
  const result = await work(tx);
  commit(seen, writes);
  return result;
}

/** All or nothing: pairs of key and expected revision, pairs of key and what is stored (undefined: removed). */
function commit(checks, writes) {
  for (const [key, expected] of checks) check(key, expected);
  revision += 1;
  for (const [key, stored] of writes) {
    checkKey(key);
    if (stored === undefined) store.delete(key);
    else store.set(key, { stored, revision });
  }
  return { revision };
}

export const kv = {
  async get(key) {
    return (await entry(key))?.value;
  },
  entry,
  async put(key, value, { ifRevision } = {}) {
    checkKey(key);
    const stored = freeze(value);
    check(key, ifRevision);
    revision += 1;
    store.set(key, { stored, revision });
    return { revision };
  },
  async delete(key, { ifRevision } = {}) {
    checkKey(key);
    check(key, ifRevision);
    return store.delete(key);
  },
  list,
  async update(key, change) {
    for (let left = ATTEMPTS_MAX; ; left -= 1) {
      const found = await entry(key);
      const value = await change(found?.value);
      try {
        await kv.put(key, value, { ifRevision: found?.revision ?? 0 });
        return value;
      } catch (error) {
        if (error?.code !== "CONFLICT" || left === 1) throw error;
      }
    }
  },
  async commit({ checks = [], writes = [] }) {
    const frozen = writes.map(({ key, value, delete: gone }) => [key, gone ? undefined : freeze(value)]);
    return commit(checks.map(({ key, revision: expected }) => [key, expected]), frozen);
  },
  async transaction(work) {
    for (let left = ATTEMPTS_MAX; ; left -= 1) {
      try {
        return await attempt(work);
      } catch (error) {
        if (error?.code !== "CONFLICT" || left === 1) throw error;
      }
    }
  },
};

/** `timeoutMs` becomes a signal; other failures are those of the global `fetch`. */
async function send(input, { timeoutMs, ...init } = {}) {
  const limit = timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)];
  const signals = [init.signal, ...limit].filter(Boolean);
  const signal = signals.length > 1 ? AbortSignal.any(signals) : signals[0];
  return globalThis.fetch(input, { ...init, signal });
}

/** A body given as a plain value is sent as JSON. */
function withBody(method, init, body) {
  if (body === undefined) return { ...init, method };
  const asIs =
    typeof body === "string" ||
    ArrayBuffer.isView(body) ||
    [ArrayBuffer, Blob, FormData, URLSearchParams, ReadableStream].some((type) => body instanceof type);
  if (asIs) return { ...init, method, body };
  const headers = new Headers(init?.headers);
  if (!headers.has("content-type")) headers.set("content-type", "application/json");
  return { ...init, method, headers, body: JSON.stringify(body) };
}

export const http = {
  fetch: send,
  get: (url, init) => send(url, { ...init, method: "GET" }),
  post: (url, body, init) => send(url, withBody("POST", init, body)),
  put: (url, body, init) => send(url, withBody("PUT", init, body)),
  patch: (url, body, init) => send(url, withBody("PATCH", init, body)),
  delete: (url, init) => send(url, { ...init, method: "DELETE" }),
};

export const env = Object.freeze({ ...globalThis.process?.env });

export const secrets = {
  async get(name) {
    const value = globalThis.process?.env?.[name];
    if (value === undefined) {
      throw new BelayError("SECRET_UNKNOWN", `no secret ${name}: outside Belay, secrets are environment variables`);
    }
    return value;
  },
};

const line = (level) => (message, fields) => console[level](...(fields === undefined ? [message] : [message, fields]));

export const log = Object.assign(line("info"), {
  debug: line("debug"),
  info: line("info"),
  warn: line("warn"),
  error: line("error"),
});

const databases = new Map(); // name -> Promise of a DatabaseSync in memory
const refusedWords = /^\s*(begin|start|commit|end|rollback|abort|savepoint|release|set|reset|attach|detach|vacuum|pragma|copy|listen|load)\b/i;

/** Every database is an SQLite one in memory, where Node has SQLite (from 22.13); its errors are those of SQLite. */
function opened(name) {
  if (!databases.has(name)) databases.set(name, open());
  return databases.get(name);
}

async function open() {
  const { DatabaseSync } = await import("node:sqlite").catch(() => {
    throw new BelayError("SQL_UNAVAILABLE", "outside Belay, databases need Node 22.13 or newer, which has SQLite");
  });
  return new DatabaseSync(":memory:");
}

/** As SQLite stores them. */
function sqlParam(value) {
  if (value === undefined) return null;
  if (typeof value === "boolean") return Number(value);
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (value instanceof Date) return value.toISOString();
  if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) return JSON.stringify(value);
  return value;
}

function sqlCell(value) {
  const safe = typeof value === "bigint" && Number.isSafeInteger(Number(value));
  return safe ? Number(value) : value;
}

function sqlCode(error) {
  const primary = (error?.errcode ?? 1) & 255;
  if (primary === 5 || primary === 6) return "SQL_CONFLICT";
  return primary === 19 ? "SQL_CONSTRAINT" : "SQL_FAILED";
}

async function ask(name, text, params, read) {
  if (refusedWords.test(text)) throw new BelayError("SQL_REFUSED", "transactions and settings are Belay's");
  const database = await opened(name);
  try {
    const statement = database.prepare(text);
    statement.setReadBigInts(true);
    const named = Object.fromEntries(params.map((value, index) => [`$${index + 1}`, sqlParam(value)]));
    return read(statement, params.length === 0 ? [] : [named]);
  } catch (error) {
    throw new BelayError(sqlCode(error), error.message);
  }
}

const rowOf = (row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, sqlCell(value)]));

function databaseOf(name) {
  const query = (text, params = []) => ask(name, text, params, (found, args) => found.all(...args).map(rowOf));
  const tag = async (strings, ...values) =>
    query(strings.reduce((text, part, index) => `${text}$${index}${part}`), values);
  return Object.freeze(
    Object.assign(tag, {
      query,
      one: async (text, params) => (await query(text, params))[0],
      execute: (text, params = []) =>
        ask(name, text, params, (found, args) => ({ changed: Number(found.run(...args).changes) })),
      database: (other) => databaseOf(other),
    }),
  );
}

export const sql = databaseOf("main");
