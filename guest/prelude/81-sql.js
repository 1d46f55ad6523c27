// `sql`: the databases that the app declares. Every query is one effect, `sql.query`; how values travel that JSON
// cannot hold is told there (docs/effects.md).

/** The key of a value that is more than JSON. */
const SQL_INT = "$int";
const SQL_FLOAT = "$float";
const SQL_BYTES = "$bytes";
const SQL_DATE = "$date";
const SQL_JSON = "$json";
const SQL_ARRAY = "$array";

function sqlParam(value) {
  if (value === undefined || value === null) return null;
  switch (typeof value) {
    case "boolean":
    case "string":
      return value;
    case "number":
      return Number.isFinite(value) ? value : { [SQL_FLOAT]: `${value}` };
    case "bigint":
      return { [SQL_INT]: `${value}` };
    case "object":
      return sqlObject(value);
    default:
      throw new TypeError(`sql: a parameter cannot be a ${typeof value}`);
  }
}

function sqlObject(value) {
  const bytes = bytesOf(value);
  if (bytes !== undefined) return { [SQL_BYTES]: native.pure("base64.encode", "", bytes) };
  if (value instanceof Date) return { [SQL_DATE]: value.toISOString() };
  if (Array.isArray(value)) return { [SQL_ARRAY]: Array.from(value, sqlParam) };
  return { [SQL_JSON]: value };
}

function sqlCell(cell) {
  if (cell === null || typeof cell !== "object") return cell;
  if (SQL_JSON in cell) return cell[SQL_JSON];
  if (SQL_INT in cell) return BigInt(cell[SQL_INT]);
  if (SQL_FLOAT in cell) return Number(cell[SQL_FLOAT]);
  if (SQL_ARRAY in cell) return cell[SQL_ARRAY].map(sqlCell);
  if (SQL_BYTES in cell) return sqlBytes(native.pure("base64.atob", cell[SQL_BYTES]));
  // On a tape, what stands for a value that was taken out of it.
  return null;
}

function sqlBytes(binary) {
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < bytes.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

/** Rows are plain objects; a column called `__proto__` is a property like any other. */
function sqlRow(columns, cells) {
  const row = {};
  for (let index = 0; index < columns.length; index++) {
    const value = sqlCell(cells[index]);
    Object.defineProperty(row, columns[index], { value, writable: true, enumerable: true, configurable: true });
  }
  return row;
}

/** Asynchronous, so that a wrong argument rejects; called first thing, so that the stack is the caller's. */
function sqlAsk(database, text, params) {
  if (typeof text !== "string") throw new TypeError(`sql: the statement must be a string, not ${inspect(text, { depth: 0 })}`);
  if (!Array.isArray(params)) throw new TypeError("sql: the parameters must be an array");
  return effect("sql.query", { database, text, params: Array.from(params, sqlParam) });
}

async function sqlRows(database, text, params = []) {
  const { columns, rows } = await sqlAsk(database, text, params);
  return rows.map((cells) => sqlRow(columns, cells));
}

async function sqlFirst(database, text, params = []) {
  const { columns, rows } = await sqlAsk(database, text, params);
  return rows.length === 0 ? undefined : sqlRow(columns, rows[0]);
}

async function sqlChanged(database, text, params = []) {
  const { changed } = await sqlAsk(database, text, params);
  return { changed };
}

/** sql`… ${value} …`: the values become parameters, and never part of the text. */
async function sqlTemplate(database, strings, values) {
  if (!Array.isArray(strings) || !Array.isArray(strings.raw)) {
    throw new TypeError("sql: call it as a tagged template, or sql.query(text, params)");
  }
  const text = strings.reduce((text, part, index) => `${text}$${index}${part}`);
  return sqlRows(database, text, values);
}

function sqlDatabase(database) {
  const tag = (strings, ...values) => sqlTemplate(database, strings, values);
  return Object.freeze(
    Object.assign(tag, {
      query: (text, params) => sqlRows(database, text, params),
      one: (text, params) => sqlFirst(database, text, params),
      execute: (text, params) => sqlChanged(database, text, params),
      database(name) {
        if (typeof name !== "string") throw new TypeError("sql.database: the name must be a string");
        return sqlDatabase(name);
      },
    }),
  );
}

const sql = sqlDatabase(undefined);
belay.sql = sql;
