// Timers: each is one `timer` call to the host.
//
// Which callback runs when a call returns is decided here: always the earliest that is due, so that timers run in the
// order of their deadlines, and equal ones in the order in which they were set, whatever order the host answers in.
// A callback that throws rejects an unwatched promise, which fails the invocation.

const DELAY_MAX_MS = 2147483647;
const timers = new Map();
let timersMade = 0;
/** Timers up to this one wait until the transaction ends that is open: they were set outside of it. */
let timersHeld = 0;
/** The latest deadline that has passed: a host that answers early, such as a replay, moves time on. */
let reachedMs = 0;
const resolved = Promise.resolve();

function delayOf(value) {
  const ms = Math.trunc(Number(value));
  return ms > 0 && ms <= DELAY_MAX_MS ? ms : 0;
}

/** Waits for the host; the call's id is kept so that the timer can be dropped. */
function arm(timer) {
  timer.deadline = Math.max(native.monotonic(), reachedMs) + timer.ms;
  const { deadline } = timer;
  const waiting = native.call("timer", jsonText({ ms: timer.ms }));
  timer.call = native.lastCallId();
  waiting.then(() => fire(deadline));
}

function startTimer(callback, ms, args, repeats = false) {
  const timer = { id: timersMade + 1, callback, ms, args, repeats, deadline: 0, call: 0 };
  arm(timer);
  timersMade = timer.id;
  timers.set(timer.id, timer);
  return timer.id;
}

/**
 * Runs the timers that are due at `deadline`, the earliest first. All of them: the call of an earlier one may return
 * later, and then finds nothing left that is due by its own deadline.
 */
function fire(deadline) {
  reachedMs = Math.max(reachedMs, deadline);
  let next;
  for (const timer of timers.values()) {
    if (timer.id <= timersHeld) continue;
    if (timer.deadline <= deadline && (next === undefined || timer.deadline < next.deadline)) next = timer;
  }
  if (next === undefined) return;
  if (next.repeats) arm(next);
  else timers.delete(next.id);
  const { callback, args } = next;
  callback.apply(globalThis, args);
  // After the microtasks that the callback has queued.
  resolved.then(() => fire(deadline));
}

function stopTimer(id) {
  const timer = timers.get(Number(id));
  if (timer === undefined) return;
  timers.delete(timer.id);
  native.cancel(timer.call);
}

function callable(callback, where) {
  if (typeof callback !== "function") throw new TypeError(`${where}: the callback must be a function`);
  return callback;
}

publishFunctions({
  setTimeout(callback, delay = 0, ...args) {
    return startTimer(callable(callback, "setTimeout"), delayOf(delay), args);
  },
  setInterval(callback, delay = 0, ...args) {
    return startTimer(callable(callback, "setInterval"), Math.max(1, delayOf(delay)), args, true);
  },
  setImmediate(callback, ...args) {
    return startTimer(callable(callback, "setImmediate"), 0, args);
  },
  clearTimeout(id = 0) {
    stopTimer(id);
  },
  clearInterval(id = 0) {
    stopTimer(id);
  },
  clearImmediate(id = 0) {
    stopTimer(id);
  },
  queueMicrotask(callback) {
    callable(callback, "queueMicrotask");
    resolved.then(() => void callback());
  },
  reportError(error) {
    need(1, arguments.length, "reportError");
    surface(error);
  },
});
