// Compares what customers were told, what the payment provider did, and what the shop has booked.
//
//   node audit.mjs URL ANSWERS PROVIDER
//
// Fails if any transfer was paid twice, paid and not booked, or booked and not paid.
import { readFileSync } from "node:fs";

const [url, file, provider] = process.argv.slice(2);
const OPENED_WITH = 1_000_000;
const answers = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const { calls, payments } = await (await fetch(provider)).json();
const { balances, waiting } = await (
  await fetch(`${url}/2015-03-31/functions/shop.books/invocations`, {
    method: "POST",
    body: JSON.stringify({ accounts: ["shop", "ropemaker"] }),
  })
).json();

const told = (status) => answers.filter((answer) => answer.status === status).map((answer) => answer.id);
const [paid, later, failed] = ["paid", "later", "failed"].map(told);
const called = (ids) => calls.filter((call) => ids.includes(call.id)).length;
const settled = later.length - waiting;
const cents = payments.reduce((sum, payment) => sum + payment.cents, 0);
console.log(`answered  ${paid.length} paid, ${later.length} later, ${failed.length} failed`);
console.log(`provider  called ${called(paid)} times for the paid, ${called(failed)} for the failed, ${called(later)} for the later ones`);
console.log(`provider  carried out ${payments.length} payments, ${cents} cents`);
console.log(`booked    shop ${balances.shop - OPENED_WITH}, ropemaker +${balances.ropemaker - OPENED_WITH}; ${waiting} wait`);

const wrong = [];
const check = (holds, what) => holds || wrong.push(what);
const once = new Set(payments.map((payment) => payment.id));
check(once.size === payments.length, "a transfer was paid twice");
check(paid.every((id) => once.has(id)), "a transfer that was told to be paid was not");
check(failed.every((id) => !once.has(id)), "a transfer that failed was paid");
check(payments.length === paid.length + settled, "what was paid is not what was carried out");
check(later.filter((id) => !once.has(id)).length === waiting, "a transfer for later was lost");
check(waiting < later.length || called(later) === 0, "a transfer for later called the provider");
check(balances.shop + balances.ropemaker === 2 * OPENED_WITH, "money was lost or made");
check(OPENED_WITH - balances.shop === cents, "what was booked is not what was paid");
wrong.forEach((what) => console.log(`WRONG: ${what}`));
console.log(wrong.length === 0 ? "the books are right: nothing lost, nothing twice" : "the books are wrong");
process.exit(wrong.length === 0 ? 0 : 1);
