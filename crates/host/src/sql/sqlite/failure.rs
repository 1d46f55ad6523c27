//! What SQLite says of a failure, as the error that a function gets.

use belay_model::EffectError;
use rusqlite::{Error, ErrorCode, ffi};

use super::super::error;

/// Since the transaction has read, another one has written.
const STALE: &str = "SQLITE_BUSY_SNAPSHOT";

/// What a transaction has read is not as it was.
pub(super) fn changed(read: &str) -> EffectError {
    error::conflict(format!("{STALE}: others have changed what \"{read}\" answers"))
}

/// Whether others are, or were, in the way of one that is to write, so that it may do so at a newer state of the file.
pub(super) fn is_of_others(error: &EffectError) -> bool {
    error.code == crate::code::SQL_CONFLICT
}

/// Whether it is too old to write.
pub(super) fn is_stale(error: &EffectError) -> bool {
    is_of_others(error) && error.message.starts_with(STALE)
}

/// Whether it says of the database nothing.
pub(super) fn says_nothing(error: &EffectError) -> bool {
    [crate::code::SQL_UNAVAILABLE, crate::code::SQL_TIMEOUT].contains(&error.code.as_str())
}

pub(super) fn told(error: Error) -> EffectError {
    match error {
        Error::SqliteFailure(code, message) => failure(code, message),
        Error::SqlInputError { error: code, msg, offset, .. } => {
            let at = usize::try_from(offset).ok().map(|offset| format!(" at byte {offset}"));
            failure(code, Some(format!("{msg}{}", at.unwrap_or_default())))
        }
        Error::MultipleStatement => {
            error::refused("a call has one statement: make a call for each")
        }
        Error::InvalidQuery => error::unavailable("the file is not of this format"),
        other => error::failed(other.to_string()),
    }
}

fn failure(code: ffi::Error, message: Option<String>) -> EffectError {
    let message = message.unwrap_or_else(|| code.to_string());
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            let name = match code.extended_code {
                ffi::SQLITE_BUSY_SNAPSHOT => STALE,
                _ if code.code == ErrorCode::DatabaseLocked => "SQLITE_LOCKED",
                _ => "SQLITE_BUSY",
            };
            error::conflict(format!("{name}: {message}"))
        }
        ErrorCode::ConstraintViolation => error::constraint(message),
        ErrorCode::AuthorizationForStatementDenied => error::refused(format!(
            "{message}: a function may neither control transactions nor settings"
        )),
        ErrorCode::OperationInterrupted => error::timeout("the statement was stopped"),
        ErrorCode::CannotOpen
        | ErrorCode::SystemIoFailure
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::OutOfMemory
        | ErrorCode::DiskFull => error::unavailable(message),
        _ => error::failed(message),
    }
}
