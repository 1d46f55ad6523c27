// WritableStream, TransformStream, and what is made of them: pipes and text streams. Compact, as 40-readable.js.

let sinkOf;

/** The state of one writable stream: a queue of writes, done one after the other. */
class WritableState {
  constructor(sink, strategy) {
    this.sink = sink;
    this.size = strategy.size ?? (() => 1);
    this.room = highWaterMark(strategy, 1);
    this.state = "writable";
    this.error = undefined;
    this.queued = 0;
    this.writer = undefined;
    this.ready = deferred();
    this.closed = deferred();
    this.closed.promise.catch(() => undefined);
    this.aborting = new AbortController();
  }

  start(controller) {
    this.controller = controller;
    this.last = attempt(() => this.sink.start?.(controller));
    this.last.catch((error) => this.fail(error));
    this.update();
  }

  desiredSize() {
    if (this.state === "errored") return null;
    return this.state === "writable" ? this.room - this.queued : 0;
  }

  update() {
    if (this.state === "writable" && this.desiredSize() <= 0) {
      if (this.ready.done) this.ready = deferred();
      return;
    }
    this.ready.done = true;
    this.ready.resolve();
  }

  write(chunk) {
    if (this.state === "errored") return Promise.reject(this.error);
    if (this.state !== "writable") return Promise.reject(new TypeError("The stream is closed"));
    const size = Number(this.size(chunk));
    this.queued += size;
    this.update();
    return this.next(
      () => this.sink.write?.(chunk, this.controller),
      () => {
        this.queued -= size;
        this.update();
      },
    );
  }

  /** Runs after all earlier work; an error ends the stream. */
  next(run, after) {
    const work = this.last
      .then(() => {
        if (this.state === "errored") throw this.error;
        return run();
      })
      .then(after);
    this.last = work;
    work.catch((error) => this.fail(error));
    return work.then(() => undefined);
  }

  close() {
    if (this.state === "errored") return Promise.reject(this.error);
    if (this.state !== "writable") return Promise.reject(new TypeError("The stream is closed"));
    this.state = "closing";
    this.update();
    return this.next(
      () => this.sink.close?.(),
      () => {
        this.state = "closed";
        this.closed.resolve();
      },
    );
  }

  abort(reason) {
    if (this.state === "closed" || this.state === "errored") return Promise.resolve();
    this.aborting.abort(reason);
    this.fail(reason);
    return attempt(() => this.sink.abort?.(reason)).then(() => undefined);
  }

  fail(error) {
    if (this.state === "closed" || this.state === "errored") return;
    this.state = "errored";
    this.error = error;
    this.closed.reject(error);
    this.ready = deferred();
    this.ready.done = true;
    this.ready.promise.catch(() => undefined);
    this.ready.reject(error);
  }
}

class WritableStreamDefaultController {
  #state;
  constructor(state) {
    if (!(state instanceof WritableState)) throw new TypeError("Illegal constructor");
    this.#state = state;
  }
  get signal() {
    return this.#state.aborting.signal;
  }
  error(error) {
    this.#state.fail(error);
  }
}
publishClass(WritableStreamDefaultController);

class WritableStreamDefaultWriter {
  #state;
  constructor(stream) {
    this.#state = sinkOf(stream);
    if (this.#state.writer !== undefined) throw new TypeError("The stream is locked to another writer");
    this.#state.writer = this;
  }
  get closed() {
    return this.#held().closed.promise;
  }
  get ready() {
    return this.#held().ready.promise;
  }
  get desiredSize() {
    return this.#held().desiredSize();
  }
  write(chunk) {
    return attempt(() => this.#held().write(chunk));
  }
  close() {
    return attempt(() => this.#held().close());
  }
  abort(reason) {
    return attempt(() => this.#held().abort(reason));
  }
  releaseLock() {
    if (this.#state === undefined) return;
    this.#state.writer = undefined;
    this.#state = undefined;
  }
  #held() {
    if (this.#state === undefined) throw new TypeError("The writer was released");
    return this.#state;
  }
}
publishClass(WritableStreamDefaultWriter);

class WritableStream {
  #state;
  constructor(sink = {}, strategy = {}) {
    this.#state = new WritableState(sink ?? {}, strategy ?? {});
    this.#state.start(new WritableStreamDefaultController(this.#state));
  }
  get locked() {
    return this.#state.writer !== undefined;
  }
  getWriter() {
    return new WritableStreamDefaultWriter(this);
  }
  close() {
    if (this.locked) return Promise.reject(new TypeError("The stream is locked"));
    return this.#state.close();
  }
  abort(reason) {
    if (this.locked) return Promise.reject(new TypeError("The stream is locked"));
    return this.#state.abort(reason);
  }
  static {
    sinkOf = (stream) => stream.#state;
  }
}
publishClass(WritableStream);

/** Moves all chunks of a stream into another; errors travel both ways unless the options say otherwise. */
async function pipe(source, destination, options) {
  const reader = source.getReader();
  const writer = destination.getWriter();
  const { signal } = options;
  const stopped = deferred();
  const stop = () => stopped.reject(signal.reason);
  if (signal?.aborted) stop();
  else if (signal !== undefined) aborting.add(signal, stop);
  stopped.promise.catch(() => undefined);
  writer.closed.catch((error) => stopped.reject(error));
  try {
    await pump(reader, writer, stopped.promise, options);
  } finally {
    if (signal !== undefined) aborting.remove(signal, stop);
    reader.releaseLock();
    writer.releaseLock();
  }
}

async function pump(reader, writer, stopped, options) {
  let reading = false;
  try {
    for (;;) {
      await Promise.race([writer.ready, stopped]);
      reading = true;
      const { value, done } = await Promise.race([reader.read(), stopped]);
      reading = false;
      if (done) break;
      writer.write(value).catch(() => undefined);
    }
    if (!options.preventClose) await writer.close();
    else await Promise.race([writer.ready, stopped]);
  } catch (error) {
    const ended = reading
      ? await Promise.race([
          reader.closed.then(
            () => false,
            () => true,
          ),
          resolved.then(() => resolved).then(() => false),
        ])
      : false;
    if (!options.preventAbort) await writer.abort(error).catch(() => undefined);
    if (!ended && !options.preventCancel) await reader.cancel(error).catch(() => undefined);
    throw error;
  }
}

class TransformStreamDefaultController {
  #readable;
  #fail;
  constructor(readable, fail) {
    this.#readable = readable;
    this.#fail = fail;
  }
  get desiredSize() {
    return this.#readable.desiredSize;
  }
  enqueue(chunk) {
    this.#readable.enqueue(chunk);
  }
  error(error) {
    this.#fail(error);
  }
  terminate() {
    this.#readable.close();
    this.#fail(new TypeError("The transform was terminated"), true);
  }
}
publishClass(TransformStreamDefaultController);

class TransformStream {
  #readable;
  #writable;
  constructor(transformer = {}, writableStrategy = {}, readableStrategy = { highWaterMark: 0 }) {
    const work = transformer ?? {};
    let source;
    let wanted = deferred();
    this.#readable = new ReadableStream(
      {
        start: (controller) => void (source = controller),
        pull: () => wanted.resolve(),
        cancel: (reason) => {
          wanted.resolve();
          sinkOf(this.#writable).fail(reason);
          return work.cancel?.(reason);
        },
      },
      readableStrategy,
    );
    const fail = (error, ended = false) => {
      if (!ended) source.error(error);
      sinkOf(this.#writable).fail(error);
    };
    const controller = new TransformStreamDefaultController(source, fail);
    const room = () => {
      const { state, reads } = streamOf(this.#readable);
      if (state !== "readable" || reads.length > 0 || source.desiredSize > 0) return undefined;
      wanted = deferred();
      return wanted.promise;
    };
    const guarded = (run) =>
      attempt(run).catch((error) => {
        source.error(error);
        throw error;
      });
    this.#writable = new WritableStream(
      {
        start: () => guarded(() => work.start?.(controller)),
        write: async (chunk) => {
          await room();
          await guarded(() => (work.transform ? work.transform(chunk, controller) : source.enqueue(chunk)));
        },
        close: async () => {
          await guarded(() => work.flush?.(controller));
          safely(() => source.close(), undefined);
        },
        abort: (reason) => source.error(reason),
      },
      writableStrategy,
    );
  }
  get readable() {
    return this.#readable;
  }
  get writable() {
    return this.#writable;
  }
}
publishClass(TransformStream);

class TextEncoderStream extends TransformStream {
  constructor() {
    super({ transform: (chunk, controller) => controller.enqueue(new Uint8Array(native.utf8Encode(`${chunk}`))) });
  }
  get encoding() {
    return "utf-8";
  }
}
publishClass(TextEncoderStream);

class TextDecoderStream extends TransformStream {
  #decoder;
  constructor(label = "utf-8", options = {}) {
    const decoder = new TextDecoder(label, options);
    const give = (controller, text) => text !== "" && controller.enqueue(text);
    super({
      transform: (chunk, controller) => give(controller, decoder.decode(chunk, { stream: true })),
      flush: (controller) => give(controller, decoder.decode()),
    });
    this.#decoder = decoder;
  }
  get encoding() {
    return this.#decoder.encoding;
  }
  get fatal() {
    return this.#decoder.fatal;
  }
  get ignoreBOM() {
    return this.#decoder.ignoreBOM;
  }
}
publishClass(TextDecoderStream);

class CountQueuingStrategy {
  constructor({ highWaterMark: mark }) {
    accessor(this, "highWaterMark", () => Number(mark));
  }
  get size() {
    return () => 1;
  }
}
publishClass(CountQueuingStrategy);

class ByteLengthQueuingStrategy {
  constructor({ highWaterMark: mark }) {
    accessor(this, "highWaterMark", () => Number(mark));
  }
  get size() {
    return (chunk) => chunk.byteLength;
  }
}
publishClass(ByteLengthQueuingStrategy);
