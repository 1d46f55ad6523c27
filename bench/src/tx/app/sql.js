import { sql } from "belay";

const TABLES = [
  "DROP TABLE IF EXISTS accounts",
  "DROP TABLE IF EXISTS transfers",
  "DROP TABLE IF EXISTS pending",
  "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0))",
  "CREATE TABLE transfers (id INTEGER PRIMARY KEY, sender INTEGER NOT NULL, receiver INTEGER NOT NULL, amount BIGINT NOT NULL)",
  "CREATE TABLE pending (id INTEGER PRIMARY KEY, sender INTEGER NOT NULL, receiver INTEGER NOT NULL, amount BIGINT NOT NULL)",
  `INSERT INTO accounts WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${ACCOUNTS} - 1) SELECT n, ${INITIAL} FROM numbers`,
];

export async function setup() {
  for (const text of TABLES) await sql.execute(text);
  return "ready";
}

async function listed(table) {
  const ids = [];
  for (let after = -1; after !== undefined; ) {
    const page = await sql.query(`SELECT id FROM ${table} WHERE id > $1 ORDER BY id LIMIT 5000`, [after]);
    ids.push(...page.map(({ id }) => id));
    after = page.at(-1)?.id;
  }
  return ids;
}

export async function audit() {
  const accounts = await sql.query("SELECT id, balance FROM accounts ORDER BY id");
  const balances = Object.fromEntries(accounts.map(({ id, balance }) => [id, balance]));
  return { balances, done: await listed("transfers"), pending: await listed("pending") };
}

async function read({ from, to }) {
  await sql.one("SELECT balance FROM accounts WHERE id = $1", [from]);
  await sql.one("SELECT balance FROM accounts WHERE id = $1", [to]);
}

async function write({ id, from, to, amount }) {
  await sql.execute("UPDATE accounts SET balance = balance - $1 WHERE id = $2", [amount, from]);
  await sql.execute("UPDATE accounts SET balance = balance + $1 WHERE id = $2", [amount, to]);
  await sql.execute("INSERT INTO transfers (id, sender, receiver, amount) VALUES ($1, $2, $3, $4)", [id, from, to, amount]);
}

async function defer({ id, from, to, amount }) {
  await sql.execute("INSERT INTO pending (id, sender, receiver, amount) VALUES ($1, $2, $3, $4)", [id, from, to, amount]);
}
