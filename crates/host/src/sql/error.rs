//! The errors of `sql.query`, by their codes. What each means is in `docs/effects.md`.
//!
//! Invariant: no message holds a connection string, nor any part of one.

use belay_model::EffectError;

use crate::code;

fn error(code: &str, message: impl Into<String>) -> EffectError {
    EffectError { code: code.to_owned(), message: message.into() }
}

pub(super) fn unknown(message: impl Into<String>) -> EffectError {
    error(code::DATABASE_UNKNOWN, message)
}

pub(super) fn unavailable(message: impl Into<String>) -> EffectError {
    error(code::SQL_UNAVAILABLE, message)
}

pub(super) fn conflict(message: impl Into<String>) -> EffectError {
    error(code::SQL_CONFLICT, message)
}

pub(super) fn constraint(message: impl Into<String>) -> EffectError {
    error(code::SQL_CONSTRAINT, message)
}

pub(super) fn failed(message: impl Into<String>) -> EffectError {
    error(code::SQL_FAILED, message)
}

pub(super) fn timeout(message: impl Into<String>) -> EffectError {
    error(code::SQL_TIMEOUT, message)
}

pub(super) fn refused(message: impl Into<String>) -> EffectError {
    error(code::SQL_REFUSED, message)
}

pub(super) fn too_large(message: impl Into<String>) -> EffectError {
    error(code::SQL_RESULT_TOO_LARGE, message)
}

/// The transaction cannot go on: a call in it was given up, or its connection is gone.
pub(super) fn ended() -> EffectError {
    unavailable(
        "the transaction has ended: a statement of it was given up, or its connection was lost",
    )
}

/// What a statement is told after another of its transaction has failed.
pub(super) fn failed_before() -> EffectError {
    failed(
        "a statement of the transaction failed before: it can only be rolled back, as a whole or to a savepoint",
    )
}
