// Customers who transfer money, one after another, until so many transfers in a row had the same answer.
//
//   node transfers.mjs URL ANSWERS paid|later COUNT
//
// Each answer is added to the file ANSWERS, one JSON object a line; what was answered is told in short, in order.
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [url, file, wanted, count] = process.argv.slice(2);
const PAUSE_MS = 80;
const MINUTES_MAX = 2;
const before = existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").length : 0;
const runs = [];

async function transfer(id) {
  const order = { id, from: "shop", to: "ropemaker", cents: 100 };
  const response = await fetch(`${url}/2015-03-31/functions/shop.transfer/invocations`, {
    method: "POST",
    body: JSON.stringify(order),
  });
  const answer = await response.json();
  const request = response.headers.get("x-amzn-requestid");
  return { id, request, status: answer.status ?? "failed", answer };
}

const told = () => runs.map(({ status, times }) => `${status} × ${times}`).join(", ");
const reached = () => runs.at(-1)?.status === wanted && runs.at(-1).times >= Number(count);
const end = Date.now() + MINUTES_MAX * 60_000;
for (let n = before + 1; !reached(); n++) {
  const made = await transfer(`t${n}`);
  appendFileSync(file, `${JSON.stringify(made)}\n`);
  if (runs.at(-1)?.status === made.status) runs.at(-1).times += 1;
  else runs.push({ status: made.status, times: 1 });
  if (Date.now() > end) {
    console.error(`not so after ${MINUTES_MAX} minutes: ${told()}\n${JSON.stringify(made.answer, null, 2)}`);
    process.exit(1);
  }
  await sleep(PAUSE_MS);
}
console.log(told());
