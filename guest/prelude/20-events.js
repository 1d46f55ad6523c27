// Events and cancellation: Event, CustomEvent, EventTarget, AbortController, AbortSignal.
//
// There is no tree, so an event has one target and no phases but AT_TARGET. A listener that throws does not stop the
// others; its error goes unhandled, which fails the invocation.

let dispatching; // gives the dispatch below access to an event's private state

class Event {
  #type;
  #init;
  #canceled = false;
  #stopped = false;
  #target = null;
  #current = null;
  #busy = false;
  #at = native.deployPhase() ? 0 : native.monotonic();
  constructor(type, init = {}) {
    need(1, arguments.length, "Event constructor");
    this.#type = `${type}`;
    this.#init = {
      bubbles: Boolean(init?.bubbles),
      cancelable: Boolean(init?.cancelable),
      composed: Boolean(init?.composed),
    };
  }
  get type() {
    return this.#type;
  }
  get target() {
    return this.#target;
  }
  get srcElement() {
    return this.#target;
  }
  get currentTarget() {
    return this.#current;
  }
  get eventPhase() {
    return this.#busy ? 2 : 0;
  }
  get bubbles() {
    return this.#init.bubbles;
  }
  get cancelable() {
    return this.#init.cancelable;
  }
  get composed() {
    return this.#init.composed;
  }
  get defaultPrevented() {
    return this.#canceled;
  }
  get returnValue() {
    return !this.#canceled;
  }
  get isTrusted() {
    return false;
  }
  get timeStamp() {
    return this.#at;
  }
  composedPath() {
    return this.#current === null ? [] : [this.#current];
  }
  preventDefault() {
    if (this.#init.cancelable) this.#canceled = true;
  }
  stopPropagation() {}
  stopImmediatePropagation() {
    this.#stopped = true;
  }
  static {
    dispatching = {
      has: (event) => #busy in event,
      start(event, target) {
        if (event.#busy) throw new DOMException("The event is already being dispatched", "InvalidStateError");
        event.#busy = true;
        event.#stopped = false;
        event.#target = event.#current = target;
      },
      stopped: (event) => event.#stopped,
      end(event) {
        event.#busy = false;
        event.#current = null;
        return !event.#canceled;
      },
    };
  }
}
constants(Event, { NONE: 0, CAPTURING_PHASE: 1, AT_TARGET: 2, BUBBLING_PHASE: 3 });
publishClass(Event);

class CustomEvent extends Event {
  #detail;
  constructor(type, init = {}) {
    super(type, init);
    this.#detail = init?.detail ?? null;
  }
  get detail() {
    return this.#detail;
  }
}
publishClass(CustomEvent);

class EventTarget {
  #listeners = new Map();
  addEventListener(type, callback, options = {}) {
    need(2, arguments.length, "addEventListener");
    if (callback === null || callback === undefined) return;
    const given = isObject(options) ? options : { capture: options };
    if (given.signal?.aborted) return;
    const entry = { callback, capture: Boolean(given.capture), once: Boolean(given.once), removed: false };
    const list = this.#listeners.get(`${type}`) ?? [];
    if (list.some((known) => known.callback === callback && known.capture === entry.capture)) return;
    this.#listeners.set(`${type}`, [...list, entry]);
    given.signal?.addEventListener("abort", () => this.removeEventListener(type, callback, entry.capture), {
      once: true,
    });
  }
  removeEventListener(type, callback, options = {}) {
    need(2, arguments.length, "removeEventListener");
    const capture = Boolean(isObject(options) ? options.capture : options);
    const list = this.#listeners.get(`${type}`);
    const entry = list?.find((known) => known.callback === callback && known.capture === capture);
    if (entry === undefined) return;
    entry.removed = true;
    this.#listeners.set(
      `${type}`,
      list.filter((known) => known !== entry),
    );
  }
  dispatchEvent(event) {
    if (!isObject(event) || !dispatching.has(event)) throw new TypeError("dispatchEvent: the argument is not an Event");
    dispatching.start(event, this);
    for (const entry of this.#listeners.get(event.type) ?? []) {
      if (entry.removed || dispatching.stopped(event)) continue;
      if (entry.once) this.removeEventListener(event.type, entry.callback, entry.capture);
      notify(entry.callback, this, event);
    }
    return dispatching.end(event);
  }
}
publishClass(EventTarget);

function notify(callback, target, event) {
  try {
    if (typeof callback === "function") callback.call(target, event);
    else callback.handleEvent(event);
  } catch (error) {
    surface(error);
  }
}

/** An `onabort`-like attribute: one listener that can be replaced. */
function handlerAttribute(constructor, type) {
  const handlers = new WeakMap();
  const set = function (value) {
    const known = handlers.get(this);
    if (known) known.handler = isObject(value) ? value : null;
    else {
      const entry = { handler: isObject(value) ? value : null };
      handlers.set(this, entry);
      this.addEventListener(type, (event) => typeof entry.handler === "function" && entry.handler.call(this, event));
    }
  };
  accessor(
    constructor.prototype,
    `on${type}`,
    function () {
      return handlers.get(this)?.handler ?? null;
    },
    set,
  );
}

let makingSignal = false;
let aborting;

class AbortSignal extends EventTarget {
  #aborted = false;
  #reason = undefined;
  #steps = [];
  constructor() {
    if (!makingSignal) throw new TypeError("Illegal constructor");
    super();
  }
  get aborted() {
    return this.#aborted;
  }
  get reason() {
    return this.#reason;
  }
  throwIfAborted() {
    if (this.#aborted) throw this.#reason;
  }
  static abort(reason) {
    const signal = newSignal();
    aborting.abort(signal, reason);
    return signal;
  }
  static timeout(ms) {
    need(1, arguments.length, "AbortSignal.timeout");
    const safe = Number(ms) >= 0 && Number(ms) <= Number.MAX_SAFE_INTEGER;
    if (!safe) throw new TypeError("AbortSignal.timeout: the time must be a number of milliseconds that is not negative");
    const signal = newSignal();
    startTimer(
      () => aborting.abort(signal, new DOMException("The operation timed out", "TimeoutError")),
      Math.min(Number(ms), DELAY_MAX_MS),
      [],
    );
    return signal;
  }
  static any(signals) {
    const list = Array.from(signals, (signal) => aborting.check(signal));
    const result = newSignal();
    const aborted = list.find((signal) => signal.aborted);
    if (aborted) aborting.abort(result, aborted.reason);
    else for (const signal of list) aborting.add(signal, () => aborting.abort(result, signal.reason));
    return result;
  }
  static {
    aborting = {
      check(signal) {
        if (!isObject(signal) || !(#aborted in signal)) throw new TypeError("The value is not an AbortSignal");
        return signal;
      },
      add: (signal, step) => signal.#steps.push(step),
      remove(signal, step) {
        signal.#steps = signal.#steps.filter((known) => known !== step);
      },
      abort(signal, reason) {
        if (signal.#aborted) return;
        signal.#aborted = true;
        signal.#reason = reason === undefined ? new DOMException("The operation was aborted", "AbortError") : reason;
        const steps = signal.#steps;
        signal.#steps = [];
        for (const step of steps) step();
        signal.dispatchEvent(new Event("abort"));
      },
    };
  }
}
publishClass(AbortSignal, ["abort", "timeout", "any"]);
handlerAttribute(AbortSignal, "abort");

function newSignal() {
  makingSignal = true;
  try {
    return new AbortSignal();
  } finally {
    makingSignal = false;
  }
}

class AbortController {
  #signal = newSignal();
  get signal() {
    return this.#signal;
  }
  abort(reason) {
    aborting.abort(this.#signal, reason);
  }
}
publishClass(AbortController);
