// ReadableStream, WritableStream, TransformStream.
import { equal, ok, rejects, table, throws } from "./assert.mjs";

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const count = (limit, seen = []) => {
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      if (next === limit) controller.close();
      else controller.enqueue(next++);
    },
    cancel: (reason) => void seen.push(reason),
  });
};

export const handler = table({
  async "reading to the end"() {
    equal(await all(count(3)), [0, 1, 2]);
    const reader = count(1).getReader();
    equal([await reader.read(), await reader.read()], [{ value: 0, done: false }, { value: undefined, done: true }]);
    equal(await reader.closed, undefined);
  },
  async "sources start, pull on demand, and are pulled one at a time"() {
    let pulls = 0;
    const stream = new ReadableStream({ async start(c) { await null; c.enqueue("s"); }, pull() { pulls++; } });
    const reader = stream.getReader();
    equal((await reader.read()).value, "s");
    await new Promise((resolve) => setTimeout(resolve, 1));
    equal(pulls, 1);
  },
  async "errors reach the reader"() {
    const broken = new ReadableStream({ pull() { throw new RangeError("x"); } });
    await rejects("RangeError", broken.getReader().read());
    const late = new ReadableStream({ start(c) { c.enqueue(1); c.error(new TypeError("y")); } });
    await rejects("TypeError", late.getReader().read());
  },
  async "locks"() {
    const stream = count(2);
    const reader = stream.getReader();
    ok(stream.locked);
    throws("TypeError", () => stream.getReader());
    await rejects("TypeError", stream.cancel());
    equal((await reader.read()).value, 0);
    reader.releaseLock();
    await rejects("TypeError", reader.read());
    equal(await all(stream), [1]);
  },
  async "cancelling"() {
    const seen = [];
    await count(5, seen).cancel("enough");
    // Not by leaving a loop: engines of 2024 do not call `return` there.
    const left = count(5, seen)[Symbol.asyncIterator]();
    await left.next();
    equal(await left.return("left"), { value: "left", done: true });
    equal((await left.next()).done, true);
    equal(seen, ["enough", "left"]);
    const kept = count(3);
    const part = kept.values({ preventCancel: true });
    await part.next();
    await part.return();
    equal(await all(kept), [1, 2]);
  },
  async "tee gives both all chunks"() {
    const [a, b] = count(3).tee();
    equal([await all(a), await all(b)], [[0, 1, 2], [0, 1, 2]]);
    const seen = [];
    const [c, d] = count(3, seen).tee();
    c.cancel("c");
    equal(await all(d), [0, 1, 2]);
  },
  async "from iterables"() {
    equal(await all(ReadableStream.from(["a", Promise.resolve("b")])), ["a", "b"]);
    equal(await all(ReadableStream.from((async function* () { yield 1; yield 2; })())), [1, 2]);
    throws("TypeError", () => ReadableStream.from(5));
  },
  async "byte streams and their readers"() {
    const make = () => new ReadableStream({ type: "bytes", start(c) { c.enqueue(new Uint8Array([1, 2, 3])); c.close(); } });
    const reader = make().getReader({ mode: "byob" });
    const first = await reader.read(new Uint8Array(2));
    equal([[...first.value], first.done], [[1, 2], false]);
    equal([...(await reader.read(new Uint8Array(2))).value], [3]);
    equal((await reader.read(new Uint8Array(2))).done, true);
    throws("TypeError", () => count(1).getReader({ mode: "byob" }));
  },
  async "writing in order, with back-pressure"() {
    const seen = [];
    const stream = new WritableStream({
      start: () => void seen.push("start"),
      async write(chunk) { await null; seen.push(chunk); },
      close: () => void seen.push("close"),
    }, { highWaterMark: 2 });
    const writer = stream.getWriter();
    equal(writer.desiredSize, 2);
    writer.write(1);
    writer.write(2);
    equal(writer.desiredSize, 0);
    await writer.ready;
    writer.write(3);
    await writer.close();
    await writer.closed;
    equal(seen, ["start", 1, 2, 3, "close"]);
    await rejects("TypeError", writer.write(4));
  },
  async "a sink that fails, and aborting"() {
    const writer = new WritableStream({ write() { throw new RangeError("full"); } }).getWriter();
    await rejects("RangeError", writer.write(1));
    await rejects("RangeError", writer.closed);
    await rejects("RangeError", writer.write(2));
    const seen = [];
    const stream = new WritableStream({ abort: (reason) => void seen.push(reason) });
    await stream.abort("stop");
    equal(seen, ["stop"]);
  },
  async "pipes"() {
    const seen = [];
    await count(3).pipeTo(new WritableStream({ write: (chunk) => void seen.push(chunk), close: () => void seen.push("end") }));
    equal(seen, [0, 1, 2, "end"]);
    const canceled = [];
    await rejects("RangeError", count(9, canceled).pipeTo(new WritableStream({ write() { throw new RangeError("x"); } })));
    equal(canceled.length, 1);
    const aborted = [];
    const broken = new ReadableStream({ start(c) { c.error(new TypeError("y")); } });
    await rejects("TypeError", broken.pipeTo(new WritableStream({ abort: (reason) => void aborted.push(reason.message) })));
    equal(aborted, ["y"]);
    await rejects("AbortError", count(9).pipeTo(new WritableStream(), { signal: AbortSignal.abort() }));
  },
  async "transforms"() {
    const double = () => new TransformStream({
      transform: (chunk, controller) => controller.enqueue(chunk * 2),
      flush: (controller) => controller.enqueue("end"),
    });
    equal(await all(count(3).pipeThrough(double())), [0, 2, 4, "end"]);
    equal(await all(count(2).pipeThrough(new TransformStream())), [0, 1]);
    const failing = count(2).pipeThrough(new TransformStream({ transform() { throw new RangeError("t"); } }));
    await rejects("RangeError", all(failing));
    const short = count(9).pipeThrough(new TransformStream({ transform(chunk, c) { c.enqueue(chunk); if (chunk === 1) c.terminate(); } }));
    equal(await all(short), [0, 1]);
  },
  async "text streams"() {
    const bytes = ReadableStream.from([new Uint8Array([0xe2, 0x82]), new Uint8Array([0xac, 0x61])]);
    equal((await all(bytes.pipeThrough(new TextDecoderStream()))).join(""), "€a");
    const encoded = await all(ReadableStream.from(["€"]).pipeThrough(new TextEncoderStream()));
    equal([...encoded[0]], [0xe2, 0x82, 0xac]);
  },
  "queuing strategies"() {
    equal([new CountQueuingStrategy({ highWaterMark: 3 }).highWaterMark, new CountQueuingStrategy({ highWaterMark: 3 }).size({})], [3, 1]);
    equal(new ByteLengthQueuingStrategy({ highWaterMark: 9 }).size(new Uint8Array(4)), 4);
    throws("RangeError", () => new ReadableStream({}, { highWaterMark: -1 }));
  },
});
