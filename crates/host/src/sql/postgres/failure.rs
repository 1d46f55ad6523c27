//! What a server says of a failure, as the error that a function gets.

use belay_model::EffectError;
use tokio_postgres::{
    Error,
    error::{DbError, ErrorPosition},
};

use super::super::error;

/// Of a statement.
pub(super) fn told(failure: &Error) -> EffectError {
    let Some(found) = failure.as_db_error() else {
        return error::unavailable(format!("the connection was lost: {}", reason(failure)));
    };
    let message = message(found);
    let state = found.code().code();
    match (state, state.get(..2).unwrap_or_default()) {
        _ if is_stale(failure) => error::conflict(message),
        ("40001" | "40P01" | "55P03", _) => error::conflict(message),
        ("57014", _) => error::timeout(message),
        // What controls transactions otherwise, as a procedure may.
        ("2D000", _) => error::refused(message),
        ("42601", _) if is_several(found) => {
            error::refused("a call has one statement: make a call for each")
        }
        (_, "23") => error::constraint(message),
        (_, "08" | "53" | "57") => error::unavailable(message),
        _ => error::failed(message),
    }
}

/// Whether the connection is of no use any more, and what was under way may have been done or not.
pub(super) fn is_broken(failure: &Error) -> bool {
    match failure.as_db_error() {
        None => true,
        Some(found) => {
            let state = found.code().code();
            state.starts_with("08")
                || matches!(state, "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
        }
    }
}

/// A plan that a change of the schema has made useless; nothing was run.
pub(super) fn is_stale(failure: &Error) -> bool {
    failure.as_db_error().is_some_and(|found| match found.code().code() {
        "0A000" => found.message().starts_with("cached plan must not change"),
        state => state == "26000",
    })
}

/// In words, without where the server is.
pub(super) fn reason(failure: &Error) -> String {
    match failure.as_db_error() {
        Some(found) => message(found),
        None => {
            use std::error::Error as _;
            let source = failure.source().map(|source| format!(": {source}"));
            format!("{failure}{}", source.unwrap_or_default())
        }
    }
}

fn is_several(found: &DbError) -> bool {
    found.message().starts_with("cannot insert multiple commands")
}

/// `duplicate key value … (SQLSTATE 23505, constraint t_pkey of table t)`.
fn message(found: &DbError) -> String {
    let mut about = vec![format!("SQLSTATE {}", found.code().code())];
    match found.position() {
        Some(ErrorPosition::Original(at)) => about.push(format!("at character {at}")),
        Some(ErrorPosition::Internal { position, .. }) => {
            about.push(format!("at character {position} of a query within"));
        }
        None => {}
    }
    let table = found.table().map(|table| format!("table {table}"));
    match (found.constraint(), table) {
        (Some(constraint), Some(table)) => {
            about.push(format!("constraint {constraint} of {table}"))
        }
        (Some(constraint), None) => about.push(format!("constraint {constraint}")),
        (None, Some(table)) => about.push(table),
        (None, None) => {}
    }
    let hint = found.hint().map(|hint| format!(" {hint}")).unwrap_or_default();
    format!("{} ({}){hint}", found.message(), about.join(", "))
}
