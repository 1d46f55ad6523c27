// The stand-ins keep the promises of index.d.ts that code relies on. Run with `node --test`.

import assert from "node:assert/strict";
import test from "node:test";

import { env, kv, log, secrets, sql } from "./index.js";

test("kv keeps values apart from what the caller holds", async () => {
  const value = { n: 1 };
  await kv.put("apart", value);
  value.n = 2;
  assert.deepEqual(await kv.get("apart"), { n: 1 });
  assert.equal(await kv.get("absent"), undefined);
});

test("kv stores bytes", async () => {
  await kv.put("bytes", new Uint8Array([1, 2, 3]));
  assert.deepEqual(await kv.get("bytes"), new Uint8Array([1, 2, 3]));
});

test("compare-and-set refuses a stale revision", async () => {
  const { revision } = await kv.put("cas", 1, { ifRevision: 0 });
  await kv.put("cas", 2, { ifRevision: revision });
  await assert.rejects(kv.put("cas", 3, { ifRevision: revision }), { name: "BelayError", code: "CONFLICT" });
  assert.equal(await kv.get("cas"), 2);
});

test("list pages in byte order", async () => {
  for (const key of ["page/b", "page/a", "page/c"]) await kv.put(key, null);
  const first = await kv.list({ prefix: "page/", limit: 2 });
  assert.deepEqual(first.entries.map((entry) => entry.key), ["page/a", "page/b"]);
  const rest = await kv.list({ prefix: "page/", after: first.next });
  assert.deepEqual([rest.entries.map((entry) => entry.key), rest.next], [["page/c"], null]);
});

test("a transaction reads its own writes, retries on a conflict and commits all or nothing", async () => {
  await kv.put("stock", 5);
  let attempts = 0;
  const left = await kv.transaction(async (tx) => {
    attempts += 1;
    const stock = await tx.get("stock");
    if (attempts === 1) await kv.put("stock", 4); // someone else is faster
    tx.put("stock", stock - 1);
    return tx.get("stock");
  });
  assert.deepEqual([attempts, left, await kv.get("stock")], [2, 3, 3]);
  await assert.rejects(kv.transaction((tx) => {
    tx.put("stock", 0);
    throw new Error("no");
  }), /no/);
  assert.equal(await kv.get("stock"), 3);
});

test("update and commit", async () => {
  assert.equal(await kv.update("count", (n = 0) => n + 1), 1);
  assert.equal(await kv.update("count", (n) => n + 1), 2);
  const { revision } = await kv.entry("count");
  await kv.commit({ checks: [{ key: "count", revision }], writes: [{ key: "a", value: 1 }, { key: "count", delete: true }] });
  assert.deepEqual([await kv.get("a"), await kv.get("count"), await kv.delete("count")], [1, undefined, false]);
  await assert.rejects(kv.commit({ checks: [{ key: "a", revision: 0 }], writes: [{ key: "a", value: 2 }] }), { code: "CONFLICT" });
  assert.equal(await kv.get("a"), 1);
});

test("bad keys and unknown secrets are refused with a code", async () => {
  await assert.rejects(kv.get(""), { code: "KV_KEY" });
  await assert.rejects(kv.put("x".repeat(513), 1), { code: "KV_KEY" });
  await assert.rejects(kv.put("big", "x".repeat(1 << 20)), { code: "KV_VALUE_TOO_LARGE" });
  await assert.rejects(secrets.get("NO_SUCH_SECRET_HERE"), { code: "SECRET_UNKNOWN" });
});

test("env is read-only and log has four levels", () => {
  assert.ok(Object.isFrozen(env));
  assert.deepEqual(Object.keys(log), ["debug", "info", "warn", "error"]);
  assert.equal(typeof log, "function");
});

const hasSqlite = await import("node:sqlite").then(() => true, () => false);

test("sql answers rows, and values are parameters", { skip: !hasSqlite }, async () => {
  await sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
  assert.deepEqual(await sql.execute("INSERT INTO t VALUES ($1, $2), ($3, $4)", [1, "a", 2, "'"]), { changed: 2 });
  assert.deepEqual(await sql`SELECT name FROM t WHERE id = ${2}`, [{ name: "'" }]);
  assert.deepEqual(await sql.one("SELECT id FROM t WHERE name = $1", ["a"]), { id: 1 });
  assert.equal(await sql.one("SELECT id FROM t WHERE id = 9"), undefined);
  assert.equal((await sql.one("SELECT 9007199254740993 AS n")).n, 9007199254740993n);
  await assert.rejects(sql.execute("INSERT INTO t VALUES (1, 'b')"), { code: "SQL_CONSTRAINT" });
  await assert.rejects(sql.query("SELEC"), { code: "SQL_FAILED" });
  await assert.rejects(sql.query("BEGIN"), { code: "SQL_REFUSED" });
  await assert.rejects(sql.database("other").query("SELECT * FROM t"), { code: "SQL_FAILED" });
});
