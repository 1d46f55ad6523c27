// Event, EventTarget, AbortController, AbortSignal.
import { equal, ok, table, throws } from "./assert.mjs";

export const handler = table({
  "listeners run in order, once each"() {
    const target = new EventTarget();
    const seen = [];
    const listener = (event) => seen.push(["a", event.type, event.target === target, event.currentTarget === target, event.eventPhase]);
    target.addEventListener("x", listener);
    target.addEventListener("x", listener);
    target.addEventListener("x", { handleEvent() { seen.push(["b", this.constructor === Object]); } });
    target.addEventListener("x", () => seen.push(["c"]), { once: true });
    target.addEventListener("y", () => seen.push(["never"]));
    ok(target.dispatchEvent(new Event("x")));
    target.removeEventListener("x", listener);
    target.dispatchEvent(new Event("x"));
    equal(seen, [["a", "x", true, true, 2], ["b", true], ["c"], ["b", true]]);
  },
  "the state of an event"() {
    const event = new Event("x", { cancelable: true, bubbles: 1 });
    equal([event.cancelable, event.bubbles, event.composed, event.isTrusted, event.eventPhase, event.target], [true, true, false, false, 0, null]);
    const target = new EventTarget();
    target.addEventListener("x", (e) => e.preventDefault());
    equal([target.dispatchEvent(event), event.defaultPrevented, event.currentTarget], [false, true, null]);
    equal(target.dispatchEvent(new Event("x")), true);
    equal(typeof event.timeStamp, "number");
  },
  "stopImmediatePropagation, and listeners added or removed meanwhile"() {
    const target = new EventTarget();
    const seen = [];
    const late = () => seen.push("late");
    target.addEventListener("x", () => {
      seen.push(1);
      target.addEventListener("x", late);
      target.removeEventListener("x", gone);
    });
    const gone = () => seen.push("gone");
    target.addEventListener("x", gone);
    target.addEventListener("x", (event) => event.stopImmediatePropagation());
    target.addEventListener("x", () => seen.push("stopped"));
    target.dispatchEvent(new Event("x"));
    equal(seen, [1]);
  },
  "custom events and misuse"() {
    equal(new CustomEvent("x", { detail: 5 }).detail, 5);
    equal(new CustomEvent("x").detail, null);
    throws("TypeError", () => new Event());
    throws("TypeError", () => new EventTarget().dispatchEvent({ type: "x" }));
    const target = new EventTarget();
    const event = new Event("x");
    target.addEventListener("x", () => throws("InvalidStateError", () => target.dispatchEvent(event)));
    target.dispatchEvent(event);
    class Own extends EventTarget {}
    ok(new Own().dispatchEvent(new Event("x")));
  },
  "listeners end with a signal"() {
    const target = new EventTarget();
    const controller = new AbortController();
    let count = 0;
    target.addEventListener("x", () => count++, { signal: controller.signal });
    target.dispatchEvent(new Event("x"));
    controller.abort();
    target.dispatchEvent(new Event("x"));
    equal(count, 1);
  },
  aborting() {
    const controller = new AbortController();
    const { signal } = controller;
    const seen = [];
    signal.onabort = (event) => seen.push(event.type);
    signal.addEventListener("abort", () => seen.push(signal.aborted));
    equal([signal.aborted, signal.reason], [false, undefined]);
    signal.throwIfAborted();
    controller.abort();
    controller.abort("again");
    equal(seen, ["abort", true]);
    equal([signal.aborted, signal.reason.name, signal.reason.code], [true, "AbortError", 20]);
    throws("AbortError", () => signal.throwIfAborted());
    equal(AbortSignal.abort("why").reason, "why");
    equal(AbortSignal.abort().reason.name, "AbortError");
  },
  "any of several"() {
    const a = new AbortController();
    const b = new AbortController();
    const any = AbortSignal.any([a.signal, b.signal]);
    const of = AbortSignal.any([any]);
    ok(!any.aborted);
    b.abort("b");
    a.abort("a");
    equal([any.aborted, any.reason, of.reason], [true, "b", "b"]);
    equal(AbortSignal.any([AbortSignal.abort(1), a.signal]).reason, 1);
    ok(!AbortSignal.any([]).aborted);
    throws("TypeError", () => AbortSignal.any([{}]));
  },
  async "a timeout aborts"() {
    const signal = AbortSignal.timeout(5);
    ok(!signal.aborted);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    equal([signal.reason.name, signal.reason.code], ["TimeoutError", 23]);
    throws("TypeError", () => AbortSignal.timeout(-1));
  },
});
