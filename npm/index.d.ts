/**
 * Types of Belay's services and of handlers.
 *
 * Inside Belay, `import { kv } from "belay"` is answered by the platform. Elsewhere the npm package `belay` stands in.
 * `fetch`, `URL`, `crypto` and the like are globals; their types come from TypeScript's `WebWorker` (or `DOM`) library.
 */

/** What JSON can hold. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

// ---------------------------------------------------------------------------------------------- kv

/**
 * Numbers the writes of an app's store. It grows with every write to the app, and a key's revision is that of its
 * last write. 0 stands for "there is no such key".
 */
export type Revision = number;

/** What a key may hold: JSON, or bytes (they come back as a `Uint8Array`). At most 1 MiB. */
export type KvValue = unknown;

export interface KvEntry<T = any> {
  key: string;
  value: T;
  revision: Revision;
}

export interface KvListOptions {
  /** Only keys that start with it. */
  prefix?: string;
  /** Only keys after this one, in byte order: the `next` of the page before. */
  after?: string;
  /** At most so many, 1 to 1,000. Default 100. */
  limit?: number;
}

export interface KvPage {
  entries: { key: string; revision: Revision }[];
  /** Give it as `after` to get the next page; `null` when there is none. */
  next: string | null;
}

/** The reads and writes of one transaction. Writes are seen by later reads of the same transaction. */
export interface KvTransaction {
  get<T = any>(key: string): Promise<T | undefined>;
  put(key: string, value: KvValue): void;
  delete(key: string): void;
}

/** The app's own key-value store. Keys are 1 to 512 bytes of UTF-8. */
export interface Kv {
  get<T = any>(key: string): Promise<T | undefined>;
  /** The value with its revision. */
  entry<T = any>(key: string): Promise<KvEntry<T> | undefined>;
  /**
   * @param options.ifRevision write only if the key still has this revision (0: only if it does not exist);
   *   otherwise a {@link BelayError} with code `CONFLICT`.
   */
  put(key: string, value: KvValue, options?: { ifRevision?: Revision }): Promise<{ revision: Revision }>;
  /** Answers whether there was such a key. */
  delete(key: string, options?: { ifRevision?: Revision }): Promise<boolean>;
  list(options?: KvListOptions): Promise<KvPage>;
  /** Reads, changes and writes back one key; again when another writer came between. Answers the new value. */
  update<T = any>(key: string, change: (value: T | undefined) => T | Promise<T>): Promise<T>;
  /** Writes several keys, all or nothing, and only if all checked keys have the given revisions (0: do not exist). */
  commit(batch: {
    checks?: { key: string; revision: Revision }[];
    writes?: ({ key: string; value: KvValue } | { key: string; delete: true })[];
  }): Promise<{ revision: Revision }>;
  /**
   * Runs `work` and commits all of its writes or none. What it read must not have changed meanwhile; if it has,
   * `work` runs again, with pauses. After 50 attempts it gives up with a {@link BelayError} of code `CONFLICT`.
   * Keep other effects out of `work`: they would happen once per attempt.
   */
  transaction<T>(work: (tx: KvTransaction) => T | Promise<T>): Promise<T>;
}

// --------------------------------------------------------------------------------------------- sql

/**
 * What a parameter may be. Arrays are arrays of PostgreSQL, or JSON where it expects that; plain objects are JSON; a
 * `Date` is its ISO text. `undefined` is NULL.
 */
export type SqlValue =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Date
  | ArrayBuffer
  | ArrayBufferView
  | SqlValue[]
  | { [key: string]: unknown };

/** A row: a property for each column. */
export type SqlRow = Record<string, any>;

/**
 * A database of `[databases]` in belay.toml. Parameters are `$1`, `$2`, … in both engines. Each call is one statement,
 * and a transaction of its own. A refusal is a {@link BelayError}, for example of code `SQL_CONSTRAINT`.
 */
export interface Sql {
  /** The rows of sql`SELECT … WHERE id = ${id}`: what is put in becomes a parameter, and never part of the text. */
  <T = SqlRow>(text: TemplateStringsArray, ...params: SqlValue[]): Promise<T[]>;
  query<T = SqlRow>(text: string, params?: SqlValue[]): Promise<T[]>;
  /** The first row, `undefined` where there is none. */
  one<T = SqlRow>(text: string, params?: SqlValue[]): Promise<T | undefined>;
  /** How many rows were inserted, updated or deleted. */
  execute(text: string, params?: SqlValue[]): Promise<{ changed: number }>;
  /** Another database of the app. `sql` itself is the one named `main`, or the only one. */
  database(name: string): Sql;
}

// ------------------------------------------------------------------------------------ http, secrets

export interface HttpInit extends RequestInit {
  /** Milliseconds until the host gives up. */
  timeoutMs?: number;
}

/**
 * The global `fetch` and short forms of it. Where it may go is the app's `[egress]`. A failure is a {@link BelayError},
 * for example of code `EGRESS_DENIED` (the global `fetch` throws a `TypeError`, as everywhere).
 */
export interface Http {
  fetch(input: RequestInfo | URL, init?: HttpInit): Promise<Response>;
  get(url: string | URL, init?: HttpInit): Promise<Response>;
  /** A body that is no string, bytes, `Blob`, form, parameters or stream is sent as JSON. So for `put` and `patch`. */
  post(url: string | URL, body?: unknown, init?: HttpInit): Promise<Response>;
  put(url: string | URL, body?: unknown, init?: HttpInit): Promise<Response>;
  patch(url: string | URL, body?: unknown, init?: HttpInit): Promise<Response>;
  delete(url: string | URL, init?: HttpInit): Promise<Response>;
}

export interface Secrets {
  /** The value set with `belay secret set`; a {@link BelayError} of code `SECRET_UNKNOWN` when there is none. */
  get(name: string): Promise<string>;
}

/** `[env]` of belay.toml, the same as `process.env`. Part of the version: changing it takes a deploy. */
export type Env = Readonly<Record<string, string>>;

/** Log lines with fields; `console.log` and the like are logged too. */
export interface Log {
  /** The same as `log.info`. */
  (message: string, fields?: Record<string, unknown>): void;
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/**
 * How a service refuses: `name` is `"BelayError"`. If it reaches the top of a handler uncaught, the failure counts as
 * `dependency`.
 */
export class BelayError extends Error {
  constructor(code: string, message?: string);
  override name: "BelayError";
  readonly code:
    | "UNKNOWN_EFFECT"
    | "BAD_ARGUMENTS"
    | "TOO_MANY_CALLS"
    | "TOO_MANY_BYTES"
    | "CONFLICT"
    | "KV_KEY"
    | "KV_VALUE_TOO_LARGE"
    | "KV_FULL"
    | "KV_UNAVAILABLE"
    | "DATABASE_UNKNOWN"
    | "SQL_UNAVAILABLE"
    | "SQL_CONFLICT"
    | "SQL_CONSTRAINT"
    | "SQL_FAILED"
    | "SQL_TIMEOUT"
    | "SQL_REFUSED"
    | "SQL_RESULT_TOO_LARGE"
    | "EGRESS_DENIED"
    | "HTTP_TIMEOUT"
    | "HTTP_BODY_TOO_LARGE"
    | "HTTP_FAILED"
    | "HTTP_REDIRECT"
    | "SECRET_UNKNOWN"
    | (string & {});
}

export const kv: Kv;
export const sql: Sql;
export const http: Http;
export const secrets: Secrets;
export const env: Env;
export const log: Log;

// ---------------------------------------------------------------------------------------- handlers

/** The second argument of a handler: as on AWS Lambda, and the services. */
export interface Context {
  readonly awsRequestId: string;
  readonly functionName: string;
  readonly functionVersion: string;
  readonly invokedFunctionArn: string;
  readonly memoryLimitInMB: string;
  readonly logGroupName: string;
  readonly logStreamName: string;
  readonly callbackWaitsForEmptyEventLoop: boolean;
  /** What the caller gave as `X-Amz-Client-Context`. */
  readonly clientContext?: any;
  readonly identity?: undefined;
  /** W3C trace context of this invocation. */
  readonly traceparent?: string;
  getRemainingTimeInMillis(): number;
  readonly kv: Kv;
  readonly sql: Sql;
  readonly http: Http;
  readonly secrets: Secrets;
  readonly env: Env;
  readonly log: Log;
  /** Of the innermost open transaction (`@transaction`): undefined outside of one. */
  readonly transaction?: TransactionTurn;
}

/** What a transaction is told when an attempt of it begins. */
export interface TransactionTurn {
  readonly id: string;
  /** From 1. */
  readonly attempt: number;
  /** 0 is the function itself, then its alternatives in their order. */
  readonly way: number;
  /** Why it is not the first attempt. */
  readonly reasons: readonly string[];
}

/**
 * The final failure of a transaction: a {@link BelayError} named `TransactionError`, of code `TX_FAILED`, `TX_UNKNOWN`,
 * `TX_SECOND_RESOURCE` (at its end, where only a database knows that it was written) or `DIVERGED_AFTER_EXTERNAL`. Its `cause`
 * is what the last attempt threw, if it threw something.
 */
export interface TransactionError extends BelayError {
  readonly name: "TransactionError";
  /** How each attempt ended. */
  readonly attempts: readonly { number: number; way: string; took_ms: number; ended: string; [detail: string]: any }[];
}

/** An exported function. The event and the result are JSON. */
export type Handler<Event = any, Result = any> = (event: Event, context: Context) => Result | Promise<Result>;

/** What an HTTP trigger (`/fn/<function>/…`) passes: the API Gateway HTTP API event, format 2.0. */
export interface HttpEvent {
  version: "2.0";
  routeKey: string;
  rawPath: string;
  rawQueryString: string;
  cookies?: string[];
  /** Names in lower case; repeated headers joined with commas. */
  headers: Record<string, string | undefined>;
  queryStringParameters?: Record<string, string | undefined>;
  pathParameters?: Record<string, string | undefined>;
  stageVariables?: Record<string, string | undefined>;
  requestContext: {
    accountId: string;
    apiId: string;
    domainName: string;
    domainPrefix: string;
    http: { method: string; path: string; protocol: string; sourceIp: string; userAgent: string };
    requestId: string;
    routeKey: string;
    stage: string;
    time: string;
    timeEpoch: number;
  };
  /** Base64 when `isBase64Encoded`. */
  body?: string;
  isBase64Encoded: boolean;
}

/** What an HTTP trigger understands as a response. */
export interface HttpResponse {
  statusCode?: number;
  headers?: Record<string, string | number | boolean>;
  multiValueHeaders?: Record<string, (string | number | boolean)[]>;
  cookies?: string[];
  body?: string;
  isBase64Encoded?: boolean;
}

/** A response, or any JSON value: then it is the body of a 200 of type `application/json`. */
export type HttpResult = HttpResponse | Json | void;

export type HttpHandler = Handler<HttpEvent, HttpResult>;
