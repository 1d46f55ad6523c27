// The host's services: kv, http, secrets, env, log; 81-sql.js adds sql. They are on `context` and are what
// `import … from "belay"` gives. Their types are published in npm/index.d.ts.
//
// Every method is one effect, except `kv.update` and `kv.transaction`: their reads, then one conditional write.

/** With pauses of up to PAUSE_MS_MAX between them, so that many writers of one key get their turns. */
const CONFLICT_TRIES_MAX = 50;
const PAUSE_MS_MAX = 64;
const CONFLICT = "CONFLICT";

function effect(op, args, bytes) {
  return native.call(op, jsonText(args), bytes);
}

function kvKey(key) {
  if (typeof key !== "string") throw new TypeError(`kv: the key must be a string, not ${inspect(key, { depth: 0 })}`);
  return key;
}

/** A value as it is stored, from now on independent of the caller's: bytes as they are, anything else as JSON. */
function frozenValue(value) {
  const bytes = isObject(value) ? bytesOf(value) : undefined;
  if (bytes !== undefined) return { bytes: bytes.slice() };
  const json = jsonText(value ?? null);
  if (json === undefined) throw new TypeError(`kv: a value of type ${typeof value} has no JSON form`);
  return { json };
}

function thawedValue(frozen) {
  return frozen.bytes === undefined ? JSON.parse(frozen.json) : frozen.bytes.slice();
}

function optional(name, value) {
  return value === undefined ? "" : `,"${name}":${jsonText(value)}`;
}

/** The reads and writes of one attempt at a transaction. */
class Transaction {
  #seen = new Map();
  #writes = new Map();
  async get(key) {
    const written = this.#writes.get(kvKey(key));
    if (written !== undefined) return written === DELETED ? undefined : thawedValue(written);
    const found = await kv.entry(key);
    if (!this.#seen.has(key)) this.#seen.set(key, found?.revision ?? 0);
    return found?.value;
  }
  put(key, value) {
    this.#writes.set(kvKey(key), frozenValue(value));
  }
  delete(key) {
    this.#writes.set(kvKey(key), DELETED);
  }
  static async attempt(work) {
    const transaction = new Transaction();
    const result = await work(transaction);
    const { size: written } = transaction.#writes;
    if (written > 0 || transaction.#seen.size > 1) await commit([...transaction.#seen], [...transaction.#writes]);
    return result;
  }
}
const DELETED = Symbol("deleted");

/** Pairs of key and expected revision, pairs of key and value: all or nothing. */
function commit(seen, written) {
  const checks = seen.map(([key, revision]) => jsonText({ key, revision }));
  const writes = written.map(([key, value]) => `{"key":${jsonText(key)},${commitValue(value)}}`);
  return native.call("kv.commit", `{"checks":[${checks}],"writes":[${writes}]}`);
}

function commitValue(value) {
  if (value === DELETED) return '"delete":true';
  if (value.bytes === undefined) return `"json":${value.json}`;
  return `"base64":${jsonText(native.pure("base64.encode", "", value.bytes))}`;
}

const kv = {
  async get(key) {
    return (await kv.entry(key))?.value;
  },
  async entry(key) {
    const answer = await effect("kv.get", { key: kvKey(key) });
    if (!answer.found) return undefined;
    return { key, value: answer.bytes ? new Uint8Array(answer.body ?? 0) : answer.json, revision: answer.revision };
  },
  async put(key, value, { ifRevision } = {}) {
    const name = jsonText(kvKey(key));
    const { json, bytes } = frozenValue(value);
    const content = bytes === undefined ? `"json":${json}` : '"bytes":true';
    return native.call("kv.put", `{"key":${name},${content}${optional("ifRevision", ifRevision)}}`, bytes);
  },
  async delete(key, { ifRevision } = {}) {
    return (await effect("kv.delete", { key: kvKey(key), ifRevision })).deleted;
  },
  async list({ prefix, after, limit } = {}) {
    return effect("kv.list", { prefix, after, limit });
  },
  async commit({ checks = [], writes = [] }) {
    const frozen = writes.map((write) => [kvKey(write.key), write.delete ? DELETED : frozenValue(write.value)]);
    return commit(
      checks.map(({ key, revision }) => [kvKey(key), revision]),
      frozen,
    );
  },
  async update(key, change) {
    callable(change, "kv.update");
    return untilNoConflict(async () => {
      const found = await kv.entry(key);
      const value = await change(found?.value);
      await kv.put(key, value, { ifRevision: found?.revision ?? 0 });
      return value;
    });
  },
  async transaction(work) {
    callable(work, "kv.transaction");
    return untilNoConflict(() => Transaction.attempt(work));
  },
};

function pause(ms) {
  return new Promise((resolve) => startTimer(resolve, ms, []));
}

/** Again when another writer came between. */
async function untilNoConflict(attempt) {
  const origin = stackHere();
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!hostErrors.has(error)) throw error;
      if (tries === CONFLICT_TRIES_MAX || error.code !== CONFLICT) throw withOrigin(error, origin);
    }
    await pause(Math.random() * Math.min(2 ** tries, PAUSE_MS_MAX));
  }
}

/** A body that is a plain value is sent as JSON. */
function withBody(method, init, body) {
  if (body === undefined) return { ...init, method };
  const types = [Blob, FormData, URLSearchParams, ReadableStream];
  const asIs = typeof body === "string" || bytesOf(body) !== undefined || types.some((type) => body instanceof type);
  if (asIs) return { ...init, method, body };
  const headers = new Headers(init?.headers);
  if (!headers.has("content-type")) headers.set("content-type", "application/json");
  return { ...init, method, headers, body: jsonText(body) };
}

const http = {
  /** As the global `fetch`, but a refusal is the host's own error. */
  async fetch(input, init) {
    return send(new Request(input, init));
  },
  async get(url, init) {
    return http.fetch(url, { ...init, method: "GET" });
  },
  async post(url, body, init) {
    return http.fetch(url, withBody("POST", init, body));
  },
  async put(url, body, init) {
    return http.fetch(url, withBody("PUT", init, body));
  },
  async patch(url, body, init) {
    return http.fetch(url, withBody("PATCH", init, body));
  },
  async delete(url, init) {
    return http.fetch(url, { ...init, method: "DELETE" });
  },
};

const secrets = {
  async get(name) {
    return (await effect("secret.get", { name: `${name}` })).value;
  },
};

/** A line with its fields behind it as JSON, so that both people and programs can read it. */
function logLine(message, fields) {
  const text = typeof message === "string" ? message : inspect(message);
  if (fields === undefined) return text;
  return `${text} ${safely(() => jsonText(fields), undefined) ?? inspect(fields)}`;
}

function logger(level) {
  return (message, fields) => native.log(level, logLine(message, fields));
}

/** Callable itself, as `log.info`. */
const log = Object.assign((message, fields) => log.info(message, fields), {
  debug: logger(LEVEL_DEBUG),
  info: logger(LEVEL_INFO),
  warn: logger(LEVEL_WARN),
  error: logger(LEVEL_ERROR),
});

let env = Object.freeze({});

/** What `import … from "belay"` and `require("belay")` give. */
const belay = { kv, http, secrets, log, BelayError };
Object.defineProperty(belay, "env", { get: () => env, enumerable: true });
for (const service of [kv, http, secrets, log]) Object.freeze(service);

/** The variables of the app: frozen in `env`, plain in `process.env`. */
function setEnv(envJson) {
  env = Object.freeze(JSON.parse(envJson));
  process.env = { ...env };
}
