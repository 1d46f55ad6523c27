// Transactions: what is compiled around a function that is tagged `@transaction`.
//
// The host does the work. It copies the invocation at `tx.begin`; an attempt that is to be made again never comes back
// from its `tx.end`: the copy goes on instead, from `tx.begin`, with another turn. While a transaction is open the host
// holds back whatever else the invocation waits for, so nothing but its own code runs between the two.

/** The final failure of a transaction. */
class TransactionError extends BelayError {
  constructor({ code, message, attempts }, cause) {
    super(code, message);
    if (cause !== undefined) define(this, "cause", cause);
    this.attempts = attempts;
  }
}
define(TransactionError.prototype, "name", "TransactionError");

/** What the innermost open transaction was told when it began. */
let turnNow;

async function transaction(spec, ways, input, success) {
  const origin = stackHere();
  const [outer, held] = [turnNow, timersHeld];
  const turn = await native.call("tx.begin", spec);
  if (turn.failed !== undefined) throw transactionError(turn.failed, undefined, origin);
  [turnNow, timersHeld] = [Object.freeze(turn), timersMade];
  const { ended, result, thrown } = await attemptTransaction(ways[turn.way], input, success);
  [turnNow, timersHeld] = [outer, held];
  const verdict = await native.call("tx.end", ended);
  if (verdict.committed) return result;
  if (verdict.failed === undefined) throw thrown;
  throw transactionError(verdict.failed, thrown, origin);
}

/** How it ended, as the host is told, with its result or what it threw. */
async function attemptTransaction(way, input, success) {
  try {
    const result = await way(...input);
    return { ended: holds(success, result) ? '{"ended":"done"}' : '{"ended":"unmet"}', result };
  } catch (thrown) {
    const code = hostCode(thrown);
    return { ended: `{"ended":"failed","failure":${describe(thrown)}${optional("code", code)}}`, thrown };
  }
}

/** A criterion that throws does not hold. */
function holds(success, result) {
  try {
    return success === undefined || success(result);
  } catch {
    return false;
  }
}

function transactionError(failed, cause, origin) {
  const error = withOrigin(new TransactionError(failed, cause), origin);
  if (failed.category === "dependency") hostErrors.add(error);
  else failureKinds.set(error, failed.category);
  return error;
}

/** An arrow function that is a transaction. */
function transactional(spec, ways, success) {
  const [{ name, length }] = ways;
  const run = (...input) => transaction(spec, ways, input, success);
  Object.defineProperty(run, "name", { value: name, configurable: true });
  Object.defineProperty(run, "length", { value: length, configurable: true });
  return run;
}
