// The same transfer by hand: Node, the pg package, and a retry loop as its documentation and that of PostgreSQL ask for.
// Arguments: port, database, provider, accounts, initial balance, timeout of an attempt in ms, retries, connections.
import { createServer } from "node:http";
import pg from "pg";

const [port, connectionString, provider, ...numbers] = process.argv.slice(2);
const [accounts, initial, timeout, retries, max] = numbers.map(Number);
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

const open = () => {
  const pool = new pg.Pool({ connectionString, max, statement_timeout: timeout });
  // A connection that breaks while nobody has it is replaced when one is needed.
  pool.on("error", () => {});
  return pool;
};
let pool = open();

const columns = "(id INTEGER PRIMARY KEY, sender INTEGER NOT NULL, receiver INTEGER NOT NULL, amount BIGINT NOT NULL)";
const tables = [
  "DROP TABLE IF EXISTS accounts, transfers, pending",
  "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0))",
  `CREATE TABLE transfers ${columns}`,
  `CREATE TABLE pending ${columns}`,
  `INSERT INTO accounts SELECT n, ${initial} FROM generate_series(0, ${accounts} - 1) n`,
];

async function pay({ id, amount }, end) {
  const headers = { "content-type": "application/json", "idempotency-key": `order-${id}` };
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(end - performance.now())));
  const paid = await fetch(provider, { method: "POST", headers, body: JSON.stringify({ id, amount }), signal });
  await paid.text();
  if (!paid.ok) throw Object.assign(new Error(`the provider said ${paid.status}`), { passes: true });
}

const run = (client, name, text, values) => client.query({ name, text, values });

async function attempt(order) {
  const end = performance.now() + timeout;
  const client = await pool.connect();
  try {
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await run(client, "read", "SELECT balance FROM accounts WHERE id = $1", [order.from]);
    await run(client, "read", "SELECT balance FROM accounts WHERE id = $1", [order.to]);
    await pay(order, end);
    await run(client, "take", "UPDATE accounts SET balance = balance - $1 WHERE id = $2", [order.amount, order.from]);
    await run(client, "give", "UPDATE accounts SET balance = balance + $1 WHERE id = $2", [order.amount, order.to]);
    const { id, from, to, amount } = order;
    await run(client, "note", "INSERT INTO transfers (id, sender, receiver, amount) VALUES ($1, $2, $3, $4)", [id, from, to, amount]);
    await client.query("COMMIT");
    client.release();
  } catch (error) {
    await client.query("ROLLBACK").then(() => client.release(), (broken) => client.release(broken));
    throw error;
  }
}

const passing = (error) =>
  error.passes || error.name === "TimeoutError" || error.cause !== undefined || ["40001", "40P01", "57014"].includes(error.code);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function order(asked) {
  for (let attempts = 1; ; attempts++) {
    try {
      await attempt(asked);
      return { status: "done", attempts };
    } catch (error) {
      if (!passing(error) || attempts > retries) return { status: "failed", attempts, why: `${error.code ?? error.name}: ${error.message}` };
      await pause(Math.random() * Math.min(10 * 2 ** (attempts - 1), 1000));
    }
  }
}

const calls = {
  order0: order,
  async setup() {
    for (const text of tables) await pool.query(text);
    return "ready";
  },
  async audit() {
    const [all, done, pending] = await Promise.all(
      ["SELECT id, balance FROM accounts", "SELECT id FROM transfers", "SELECT id FROM pending"].map((text) => pool.query(text)));
    const ids = ({ rows }) => rows.map(({ id }) => id);
    return { balances: Object.fromEntries(all.rows.map(({ id, balance }) => [id, balance])), done: ids(done), pending: ids(pending) };
  },
  // So that the database knows what its connections have seen.
  async close() {
    const last = pool;
    pool = open();
    await last.end();
    return "closed";
  },
};

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const answer = await calls[request.url.slice(1)](JSON.parse(Buffer.concat(chunks).toString()));
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer));
  } catch (error) {
    response.writeHead(500).end(`${error.stack}`);
  }
}).listen(Number(port), "127.0.0.1");
