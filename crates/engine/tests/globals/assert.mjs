// What the fixtures of this folder share. A fixture's handler runs its table of cases and answers "ok", or throws an
// error that names each case that failed.

export function same(actual, expected) {
  if (Object.is(actual, expected)) return true;
  if (typeof actual !== "object" || typeof expected !== "object" || actual === null || expected === null) return false;
  if (Array.isArray(actual) !== Array.isArray(expected)) return false;
  const keys = Object.keys(actual);
  return keys.length === Object.keys(expected).length && keys.every((key) => same(actual[key], expected[key]));
}

function shown(value) {
  try {
    return typeof value === "string" ? JSON.stringify(value) : JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

export function equal(actual, expected) {
  if (!same(actual, expected)) throw new Error(`got ${shown(actual)}, expected ${shown(expected)}`);
}

export function ok(value) {
  if (!value) throw new Error(`got ${shown(value)}, expected something true`);
}

function matches(error, name) {
  if (error?.name !== name) throw new Error(`got ${error?.name}: ${error?.message}, expected ${name}`);
  return error;
}

export function throws(name, run) {
  try {
    run();
  } catch (error) {
    return matches(error, name);
  }
  throw new Error(`nothing was thrown, expected ${name}`);
}

export async function rejects(name, promise) {
  try {
    await promise;
  } catch (error) {
    return matches(error, name);
  }
  throw new Error(`nothing was thrown, expected ${name}`);
}

/** A handler that runs every case, an object from name to function. */
export function table(cases) {
  return async (event, context) => {
    const failures = [];
    for (const name of Object.keys(cases)) {
      try {
        await cases[name](context, event);
      } catch (error) {
        failures.push(`${name}: ${error.message}`);
      }
    }
    if (failures.length > 0) throw new Error(failures.join("\n"));
    return "ok";
  };
}
