// DOMException, errors in logs.
import { equal, ok, table, throws } from "./assert.mjs";

export const handler = table({
  "DOMException has the legacy codes"() {
    const error = new DOMException("gone", "AbortError");
    equal([error.name, error.message, error.code], ["AbortError", "gone", 20]);
    ok(error instanceof Error && error instanceof DOMException);
    equal(DOMException.ABORT_ERR, 20);
    equal(error.DATA_CLONE_ERR, 25);
    equal(DOMException.INVALID_CHARACTER_ERR, 5);
    equal(Object.keys(DOMException).length, 25);
    equal(String(error), "AbortError: gone");
    equal([new DOMException().name, new DOMException().message, new DOMException().code], ["Error", "", 0]);
    equal(new DOMException("x", { name: "Odd", cause: 1 }).cause, 1);
    equal(Object.prototype.toString.call(error), "[object DOMException]");
    ok(typeof error.stack === "string");
  },
  "reportError needs an argument"() {
    throws("TypeError", () => reportError());
  },
});
