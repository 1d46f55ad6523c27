// Timers and microtasks. The test's clock jumps from deadline to deadline, so long delays cost nothing.
import { equal, ok, table, throws } from "./assert.mjs";

const sleep = (ms, value) => new Promise((resolve) => setTimeout(resolve, ms, value));

export const handler = table({
  async "arguments are passed on"() {
    equal(await sleep(1, "x"), "x");
    const args = await new Promise((resolve) => setTimeout((...all) => resolve(all), 0, 1, 2, 3));
    equal(args, [1, 2, 3]);
  },
  async "they run in the order of their deadlines"() {
    const seen = [];
    setTimeout(() => seen.push("30"), 3e6);
    setTimeout(() => seen.push("10a"), 1e6);
    setTimeout(() => seen.push("10b"), 1e6);
    setTimeout(() => seen.push("0"));
    queueMicrotask(() => seen.push("micro"));
    Promise.resolve().then(() => seen.push("then"));
    process.nextTick((x) => seen.push(x), "tick");
    seen.push("sync");
    await sleep(4e6);
    equal(seen, ["sync", "micro", "then", "tick", "0", "10a", "10b", "30"]);
  },
  async "each timer runs, also when the host answers a later one first"() {
    const seen = [];
    await Promise.all([3e6, 1e6, 2e6].map((ms) => sleep(ms).then(() => seen.push(ms))));
    equal(seen, [1e6, 2e6, 3e6]);
  },
  async "an interval keeps its pace beside a longer timer"() {
    let count = 0;
    const id = setInterval(() => count++, 1e6);
    await sleep(35e5);
    clearInterval(id);
    equal(count, 3);
  },
  async "a cleared timer does not run"() {
    let ran = false;
    const id = setTimeout(() => (ran = true), 1);
    clearTimeout(id);
    clearTimeout(id);
    clearTimeout(undefined);
    clearTimeout(12345);
    clearTimeout("no");
    await sleep(5);
    equal([ran, typeof id], [false, "number"]);
  },
  async "an interval repeats until it is cleared, also from inside"() {
    let count = 0;
    await new Promise((resolve) => {
      const id = setInterval(() => {
        if (++count === 3) {
          clearInterval(id);
          resolve();
        }
      }, 1);
    });
    await sleep(5);
    equal(count, 3);
  },
  async "setImmediate and its clearing"() {
    let ran = false;
    clearImmediate(setImmediate(() => (ran = true)));
    equal(await new Promise((resolve) => setImmediate(resolve, 7)), 7);
    equal(ran, false);
  },
  async "timers set by timers"() {
    const seen = [];
    await new Promise((resolve) => setTimeout(() => {
      seen.push(1);
      setTimeout(() => {
        seen.push(2);
        resolve();
      }, 1);
    }, 1));
    equal(seen, [1, 2]);
  },
  async "odd delays mean soon"() {
    for (const delay of [-5, NaN, undefined, null, "1", Infinity, {}]) await new Promise((resolve) => setTimeout(resolve, delay));
  },
  "callbacks must be functions"() {
    throws("TypeError", () => setTimeout("code", 1));
    throws("TypeError", () => queueMicrotask());
  },
  async "the clock goes on"() {
    const [started, since] = [performance.now(), Date.now()];
    await sleep(20);
    ok(performance.now() >= started && Date.now() >= since);
    ok(process.hrtime.bigint() >= 0n && process.uptime() >= 0);
    equal(process.hrtime().length, 2);
  },
});
