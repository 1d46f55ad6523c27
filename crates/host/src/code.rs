//! The codes with which the host rejects a call. Stable: functions compare `error.code` with them.
//!
//! What each means, and which operation gives it, is in `docs/effects.md`.

/// No such operation.
pub const UNKNOWN_EFFECT: &str = "UNKNOWN_EFFECT";
/// The arguments do not have the shape that the operation takes.
pub const BAD_ARGUMENTS: &str = "BAD_ARGUMENTS";
/// More calls in flight than `limits.calls_in_flight`.
pub const TOO_MANY_CALLS: &str = "TOO_MANY_CALLS";
pub const TOO_MANY_BYTES: &str = "TOO_MANY_BYTES";
/// A key has another revision than the call expects.
pub const CONFLICT: &str = "CONFLICT";
/// A key is empty or too long.
pub const KV_KEY: &str = "KV_KEY";
/// A value, or a commit as a whole, is too large.
pub const KV_VALUE_TOO_LARGE: &str = "KV_VALUE_TOO_LARGE";
/// The app's quota does not hold what the call would add.
pub const KV_FULL: &str = "KV_FULL";
/// The app's kv file cannot be opened, read or written.
pub const KV_UNAVAILABLE: &str = "KV_UNAVAILABLE";
/// The app's egress policy does not admit the host or its address.
pub const EGRESS_DENIED: &str = "EGRESS_DENIED";
/// The exchange took longer than the fetch's timeout.
pub const HTTP_TIMEOUT: &str = "HTTP_TIMEOUT";
/// The body of the request or of the response is past its limit.
pub const HTTP_BODY_TOO_LARGE: &str = "HTTP_BODY_TOO_LARGE";
/// No connection, no TLS session, or no well-formed answer.
pub const HTTP_FAILED: &str = "HTTP_FAILED";
/// A redirect that the call forbids, or that leads nowhere, or one too many.
pub const HTTP_REDIRECT: &str = "HTTP_REDIRECT";
/// A transaction has failed; its error has the history of its attempts.
pub const TX_FAILED: &str = "TX_FAILED";
/// Whether a transaction was committed cannot be known for now.
pub const TX_UNKNOWN: &str = "TX_UNKNOWN";
/// A transaction that has to be run again asked for something else than what it had done outside.
pub const DIVERGED_AFTER_EXTERNAL: &str = "DIVERGED_AFTER_EXTERNAL";
/// A transaction writes a second resource.
pub const TX_SECOND_RESOURCE: &str = "TX_SECOND_RESOURCE";
/// The app has no such secret.
pub const SECRET_UNKNOWN: &str = "SECRET_UNKNOWN";
/// The app declares no such database.
pub const DATABASE_UNKNOWN: &str = "DATABASE_UNKNOWN";
/// No connection to the database, or none that is free.
pub const SQL_UNAVAILABLE: &str = "SQL_UNAVAILABLE";
/// Another transaction is in the way: the same again may succeed.
pub const SQL_CONFLICT: &str = "SQL_CONFLICT";
/// A constraint of the schema does not hold.
pub const SQL_CONSTRAINT: &str = "SQL_CONSTRAINT";
/// The statement is wrong, or cannot be carried out.
pub const SQL_FAILED: &str = "SQL_FAILED";
/// The statement was stopped, by a time limit of the database or by its caller.
pub const SQL_TIMEOUT: &str = "SQL_TIMEOUT";
/// A statement that is not a function's to make.
pub const SQL_REFUSED: &str = "SQL_REFUSED";
/// More rows or bytes than an answer may have.
pub const SQL_RESULT_TOO_LARGE: &str = "SQL_RESULT_TOO_LARGE";
