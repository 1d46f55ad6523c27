// ReadableStream: queue, back-pressure, readers, `tee`, async iteration, byte sources. A compact implementation of the
// parts of the Streams standard that libraries use.
//
// Invariant: a stream in state "readable" either has queued chunks or may have waiting reads, never both.

const QUEUED_FOREVER = Infinity;
let streamOf; // private access for the functions of this file

/** The state of one readable stream; the public classes are handles on it. */
class ReadableState {
  constructor(source, strategy) {
    this.source = source;
    this.bytes = source.type === "bytes";
    this.size = strategy.size ?? (() => 1);
    this.room = highWaterMark(strategy, this.bytes ? 0 : 1);
    this.state = "readable";
    this.queue = [];
    this.queued = 0;
    this.reads = [];
    this.closing = false;
    this.pulling = false;
    this.pullAgain = false;
    this.started = false;
    this.error = undefined;
    this.reader = undefined;
    this.disturbed = false;
  }

  start(controller) {
    this.controller = controller;
    const started = this.source.start?.(controller);
    Promise.resolve(started).then(
      () => {
        this.started = true;
        this.pull();
      },
      (error) => this.fail(error),
    );
  }

  desiredSize() {
    if (this.state === "errored") return null;
    return this.state === "closed" ? 0 : this.room - this.queued;
  }

  pull() {
    const wanted =
      this.started && this.state === "readable" && !this.closing && (this.reads.length > 0 || this.desiredSize() > 0);
    if (!wanted || typeof this.source.pull !== "function") return;
    if (this.pulling) {
      this.pullAgain = true;
      return;
    }
    this.pulling = true;
    const done = () => {
      this.pulling = false;
      if (!this.pullAgain) return;
      this.pullAgain = false;
      this.pull();
    };
    attempt(() => this.source.pull(this.controller)).then(done, (error) => this.fail(error));
  }

  enqueue(chunk) {
    if (this.closing || this.state !== "readable") throw new TypeError("The stream takes no more chunks");
    const value = this.bytes ? chunkBytes(chunk) : chunk;
    if (this.reads.length > 0) this.reads.shift().give(value);
    else this.keep(value);
    this.pull();
  }

  keep(value) {
    try {
      const size = this.bytes ? value.byteLength : Number(this.size(value));
      if (!(size >= 0) || size === QUEUED_FOREVER) throw new RangeError("The size of a chunk must be a finite number");
      this.queue.push({ value, size });
      this.queued += size;
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  take() {
    const { value, size } = this.queue.shift();
    this.queued -= size;
    if (this.closing && this.queue.length === 0) this.finish();
    else this.pull();
    return value;
  }

  close() {
    if (this.closing || this.state !== "readable") throw new TypeError("The stream is closed already");
    this.closing = true;
    if (this.queue.length === 0) this.finish();
  }

  finish() {
    this.state = "closed";
    for (const read of this.reads.splice(0)) read.end();
    this.reader?.settleClosed();
  }

  fail(error) {
    if (this.state !== "readable") return;
    this.state = "errored";
    this.error = error;
    this.queue = [];
    this.queued = 0;
    for (const read of this.reads.splice(0)) read.reject(error);
    this.reader?.failClosed(error);
  }

  read(view) {
    this.disturbed = true;
    if (this.state === "errored") return Promise.reject(this.error);
    return new Promise((resolve, reject) => {
      const give = (value) => resolve({ value: view === undefined ? value : this.into(view, value), done: false });
      const end = () => resolve({ value: view === undefined ? undefined : view.subarray(0, 0), done: true });
      if (this.queue.length > 0) return give(this.take());
      if (this.state === "closed") return end();
      this.reads.push({ give, end, reject });
      this.pull();
    });
  }

  /** Fills a caller's buffer; what does not fit goes back to the front of the queue. */
  into(view, value) {
    const target = bytesOf(view);
    const size = Math.min(target.length, value.length);
    target.set(value.subarray(0, size));
    if (size < value.length) {
      this.queue.unshift({ value: value.subarray(size), size: value.length - size });
      this.queued += value.length - size;
    }
    return target.subarray(0, size);
  }

  cancel(reason) {
    this.disturbed = true;
    if (this.state === "errored") return Promise.reject(this.error);
    if (this.state === "closed") return Promise.resolve();
    this.queue = [];
    this.queued = 0;
    this.finish();
    return attempt(() => this.source.cancel?.(reason)).then(() => undefined);
  }
}

function attempt(run) {
  try {
    return Promise.resolve(run());
  } catch (error) {
    return Promise.reject(error);
  }
}

function highWaterMark(strategy, otherwise) {
  if (strategy.highWaterMark === undefined) return otherwise;
  const mark = Number(strategy.highWaterMark);
  if (!(mark >= 0)) throw new RangeError("highWaterMark must be a number that is not negative");
  return mark;
}

function chunkBytes(chunk) {
  const bytes = ArrayBuffer.isView(chunk) ? bytesOf(chunk) : undefined;
  if (bytes === undefined || bytes.length === 0) throw new TypeError("A byte stream takes views that are not empty");
  return bytes;
}

/** The parts that readers of both modes share. */
class Reader {
  #state;
  #closed;
  constructor(stream) {
    this.#state = streamOf(stream);
    if (this.#state.reader !== undefined) throw new TypeError("The stream is locked to another reader");
    this.#state.reader = this;
    this.#open();
  }
  #open() {
    this.#closed = deferred();
    this.#closed.promise.catch(() => undefined);
    if (this.#state.state === "closed") this.#closed.resolve();
    if (this.#state.state === "errored") this.#closed.reject(this.#state.error);
  }
  get closed() {
    return this.#closed.promise;
  }
  read(view) {
    if (this.#state === undefined) return Promise.reject(new TypeError("The reader was released"));
    return this.#state.read(view);
  }
  cancel(reason) {
    if (this.#state === undefined) return Promise.reject(new TypeError("The reader was released"));
    return this.#state.cancel(reason);
  }
  releaseLock() {
    if (this.#state === undefined) return;
    const released = new TypeError("The reader was released");
    for (const read of this.#state.reads.splice(0)) read.reject(released);
    this.#state.reader = undefined;
    this.#state = undefined;
    this.#closed.reject(released);
    this.#closed = deferred();
    this.#closed.promise.catch(() => undefined);
    this.#closed.reject(released);
  }
  settleClosed() {
    this.#closed.resolve();
  }
  failClosed(error) {
    this.#closed.reject(error);
  }
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => {
    made.resolve = resolve;
    made.reject = reject;
  });
  return made;
}

class ReadableStreamDefaultReader extends Reader {
  read() {
    return super.read();
  }
}
publishClass(ReadableStreamDefaultReader);

class ReadableStreamBYOBReader extends Reader {
  read(view) {
    if (!ArrayBuffer.isView(view) || view.byteLength === 0) {
      return Promise.reject(new TypeError("read: the argument must be a view that is not empty"));
    }
    return super.read(bytesOf(view));
  }
}
publishClass(ReadableStreamBYOBReader);

class ReadableStreamDefaultController {
  #state;
  constructor(state) {
    if (!(state instanceof ReadableState)) throw new TypeError("Illegal constructor");
    this.#state = state;
  }
  get desiredSize() {
    return this.#state.desiredSize();
  }
  get byobRequest() {
    return null;
  }
  enqueue(chunk) {
    this.#state.enqueue(chunk);
  }
  close() {
    this.#state.close();
  }
  error(error) {
    this.#state.fail(error);
  }
}
publishClass(ReadableStreamDefaultController);

class ReadableStream {
  #state;
  constructor(source = {}, strategy = {}) {
    this.#state = new ReadableState(source ?? {}, strategy ?? {});
    this.#state.start(new ReadableStreamDefaultController(this.#state));
  }
  static from(iterable) {
    const iterator = iterable?.[Symbol.asyncIterator]?.() ?? iterable?.[Symbol.iterator]?.();
    if (!isObject(iterator)) throw new TypeError("ReadableStream.from: the argument is not iterable");
    return new ReadableStream(
      {
        async pull(controller) {
          const step = await iterator.next();
          if (step.done) controller.close();
          else controller.enqueue(await step.value);
        },
        cancel: (reason) => iterator.return?.(reason),
      },
      { highWaterMark: 0 },
    );
  }
  get locked() {
    return this.#state.reader !== undefined;
  }
  cancel(reason) {
    if (this.locked) return Promise.reject(new TypeError("The stream is locked"));
    return this.#state.cancel(reason);
  }
  getReader(options = {}) {
    if (options?.mode === undefined) return new ReadableStreamDefaultReader(this);
    if (options.mode !== "byob" || !this.#state.bytes) throw new TypeError("This stream has no reader of that mode");
    return new ReadableStreamBYOBReader(this);
  }
  tee() {
    return teeStream(this.getReader());
  }
  pipeThrough(pair, options = {}) {
    const done = this.pipeTo(pair.writable, options);
    done.catch(() => undefined);
    return pair.readable;
  }
  pipeTo(destination, options = {}) {
    return attempt(() => pipe(this, destination, options ?? {}));
  }
  values(options = {}) {
    return streamIterator(this.getReader(), Boolean(options?.preventCancel));
  }
  static {
    streamOf = (stream) => stream.#state;
  }
}
publishClass(ReadableStream, ["from"]);
define(ReadableStream.prototype, Symbol.asyncIterator, ReadableStream.prototype.values);

const asyncIteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf(async function* () {}.prototype));

/** Not a generator: `return` must cancel the stream also before the first `next`. */
function streamIterator(reader, preventCancel) {
  const iterator = Object.create(asyncIteratorPrototype);
  let ended = false;
  let last = resolved;
  const end = () => {
    ended = true;
    reader.releaseLock();
  };
  const next = async () => {
    if (ended) return { value: undefined, done: true };
    try {
      const step = await reader.read();
      if (step.done) end();
      return step;
    } catch (error) {
      end();
      throw error;
    }
  };
  const finish = async (value) => {
    if (!ended) {
      const canceled = preventCancel ? undefined : reader.cancel(value);
      end();
      await canceled;
    }
    return { value, done: true };
  };
  const queue = (run) => {
    last = last.then(run, run);
    return last;
  };
  define(iterator, "next", () => queue(next));
  define(iterator, "return", (value) => queue(() => finish(value)));
  return iterator;
}

/** Two streams of the same chunks; each pull of either reads one chunk for both. */
function teeStream(reader) {
  const canceled = [false, false];
  const reasons = [];
  const controllers = [];
  const done = deferred();
  let reading = false;
  const pull = async () => {
    if (reading) return;
    reading = true;
    const step = await reader.read();
    reading = false;
    controllers.forEach(
      (controller, i) => !canceled[i] && (step.done ? controller.close() : controller.enqueue(step.value)),
    );
    if (step.done) done.resolve();
  };
  const branch = (index) =>
    new ReadableStream({
      start: (controller) => void (controllers[index] = controller),
      pull,
      cancel(reason) {
        canceled[index] = true;
        reasons[index] = reason;
        if (canceled[0] && canceled[1]) done.resolve(reader.cancel(reasons));
        return done.promise;
      },
    });
  const branches = [branch(0), branch(1)];
  reader.closed.catch((error) => controllers.forEach((controller) => controller.error(error)));
  return branches;
}
