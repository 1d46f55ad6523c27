// kv, secrets, log. The test answers the calls from a store of its own, which counts revisions from 1; every write to a
// key that begins with "contended/" meets `CONFLICT` the first time.
import { equal, ok, rejects, table } from "./assert.mjs";
import { BelayError, kv, log, secrets } from "belay";

export const handler = table({
  async "a value comes back as what it was"() {
    for (const value of [null, 0, "text", [1, { a: "é" }], { nested: { list: [] } }, true]) {
      await kv.put("k", value);
      equal(await kv.get("k"), value);
    }
    await kv.put("k", undefined);
    equal(await kv.get("k"), null);
    equal(await kv.get("absent"), undefined);
    await rejects("TypeError", kv.put("k", () => 1));
    await rejects("TypeError", kv.get(5));
  },
  async "bytes come back as bytes"() {
    await kv.put("b", new Uint8Array([0, 255, 7]));
    const value = await kv.get("b");
    ok(value instanceof Uint8Array);
    equal([...value], [0, 255, 7]);
    await kv.put("b", new Uint8Array([1, 2, 3]).subarray(1).buffer);
    equal([...(await kv.get("b"))], [1, 2, 3]);
    await kv.put("b", new Uint8Array(0));
    equal((await kv.get("b")).length, 0);
  },
  async "revisions guard writes"() {
    const { revision } = await kv.put("r", 1, { ifRevision: 0 });
    equal(await kv.entry("r"), { key: "r", value: 1, revision });
    equal(await kv.entry("absent"), undefined);
    const refused = await rejects("BelayError", kv.put("r", 2, { ifRevision: 0 }));
    equal([refused.code, refused instanceof BelayError], ["CONFLICT", true]);
    equal([await kv.delete("r"), await kv.delete("r")], [true, false]);
  },
  async "a list passes its options on"() {
    await kv.put("l/1", 1);
    const page = await kv.list({ prefix: "l/" });
    equal([page.entries.map((entry) => entry.key), page.next], [["l/1"], null]);
    ok((await kv.list()).entries.length > 0);
  },
  async "a transaction sees its own writes and commits them at once"() {
    await kv.put("t/a", 5);
    const result = await kv.transaction(async (tx) => {
      const a = await tx.get("t/a");
      tx.put("t/a", a - 1);
      tx.put("t/b", { list: [a] });
      (await tx.get("t/b")).list.push("changed afterwards");
      tx.put("t/c", new Uint8Array([9]));
      tx.delete("t/c");
      equal(await tx.get("t/c"), undefined);
      return tx.get("t/a");
    });
    equal([result, await kv.get("t/a"), await kv.get("t/b"), await kv.get("t/c")], [4, 4, { list: [5] }, undefined]);
    await kv.transaction((tx) => tx.put("t/bytes", new Uint8Array([1, 2])));
    equal([...(await kv.get("t/bytes"))], [1, 2]);
  },
  async "a transaction that meets a conflict runs again"() {
    let attempts = 0;
    await kv.transaction((tx) => {
      attempts++;
      tx.put("contended/x", attempts);
    });
    equal([attempts, await kv.get("contended/x")], [2, 2]);
    let tries = 0;
    await rejects("RangeError", kv.transaction(() => {
      tries++;
      throw new RangeError("mine");
    }));
    equal(tries, 1);
  },
  async "a commit is all or nothing"() {
    const { revision } = await kv.put("c/a", 1);
    const writes = [{ key: "c/b", value: { n: 2 } }, { key: "c/bytes", value: new Uint8Array([3]) }, { key: "c/a", delete: true }];
    equal((await rejects("BelayError", kv.commit({ checks: [{ key: "c/a", revision: 0 }], writes }))).code, "CONFLICT");
    equal([await kv.get("c/a"), await kv.get("c/b")], [1, undefined]);
    ok((await kv.commit({ checks: [{ key: "c/a", revision }], writes })).revision > revision);
    equal([await kv.get("c/a"), await kv.get("c/b"), [...(await kv.get("c/bytes"))]], [undefined, { n: 2 }, [3]]);
  },
  async "an update runs again when another writer came between"() {
    equal(await kv.update("u", (n = 0) => n + 1), 1);
    let first = true;
    const result = await kv.update("u", async (n) => {
      if (first) await kv.put("u", 10);
      first = false;
      return n + 1;
    });
    equal([result, await kv.get("u")], [11, 11]);
    let tries = 0;
    const stubborn = kv.update("u", async () => void (await kv.put("u", ++tries)));
    equal((await rejects("BelayError", stubborn)).code, "CONFLICT");
    equal(tries, 50);
  },
  async secrets() {
    equal(await secrets.get("known"), "hush");
    equal((await rejects("BelayError", secrets.get("other"))).code, "SECRET_UNKNOWN");
  },
  log() {
    log("called");
    log.debug("debug");
    log.info("info", { a: 1, b: "two" });
    log.warn("warn", {});
    log.error({ not: "text" }, { cyclic: log });
    const cyclic = {};
    cyclic.self = cyclic;
    log.info("cyclic", cyclic);
  },
});
