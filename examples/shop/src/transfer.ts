import { env, http, kv } from "belay";

/** `cents` go from one account to another. `id` is the caller's own. */
interface Transfer {
  id: string;
  from: string;
  to: string;
  cents: number;
}

/** What every account begins with. Cents. */
const OPENED_WITH = 1_000_000;

const laterKey = (id: string) => `later/${id}`;

async function balance(account: string): Promise<number> {
  return (await kv.get<number>(`account/${account}`)) ?? OPENED_WITH;
}

async function move(from: string, to: string, cents: number) {
  await kv.put(`account/${from}`, (await balance(from)) - cents);
  await kv.put(`account/${to}`, (await balance(to)) + cents);
}

/**
 * Books a transfer and has the payment provider carry it out: both, or nothing is booked. When the provider is about to
 * fail it, it is written down for later instead, and the provider is not called.
 *
 * @transaction transfer
 * @predict
 * @alternative transferLater
 * @resources timeout=1s retries=2
 * @success result.status !== "declined"
 */
export async function transfer({ id, from, to, cents }: Transfer) {
  if ((await balance(from)) < cents) throw new RangeError(`${from} does not have so much`);
  await move(from, to, cents);
  await kv.delete(laterKey(id));
  const paid = await http.post(`${env.PAYMENTS}/pay`, { id, cents }, { timeoutMs: 250 });
  return { id, status: paid.ok ? "paid" : "declined" };
}

/** The other way: nothing is booked, and somebody will have to come back to it. */
async function transferLater(order: Transfer) {
  await kv.put(laterKey(order.id), order);
  return { id: order.id, status: "later" };
}

/** Carries out what was written down for later, some at a time, one after another. */
export async function settle() {
  const { entries } = await kv.list({ prefix: laterKey(""), limit: 20 });
  let settled = 0;
  for (const { key } of entries) {
    const order = await kv.get<Transfer>(key);
    if (order !== undefined && (await transfer(order)).status === "paid") settled++;
  }
  return { settled, waiting: await waiting() };
}

/** What is on these accounts, and how many transfers wait. `{ accounts: [name] }` */
export async function books({ accounts }: { accounts: string[] }) {
  const balances = await Promise.all(accounts.map(async (name) => [name, await balance(name)]));
  return { balances: Object.fromEntries(balances), waiting: await waiting() };
}

async function waiting(): Promise<number> {
  return (await kv.list({ prefix: laterKey(""), limit: 1000 })).entries.length;
}
