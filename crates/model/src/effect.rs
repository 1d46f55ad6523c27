//! Effects: the host calls of a function, as values that a driver performs, records, answers or suppresses.
//!
//! The table of operations (names, arguments, results) is in `docs/effects.md`.

use serde::{Deserialize, Serialize};

/// Numbers the calls of one invocation, from 1, in the order in which the function made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u32);

/// One host call that a function made and now waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub id: CallId,
    /// `service.operation`, such as `kv.get`.
    pub op: String,
    /// A JSON text.
    pub args: String,
    /// Bytes that travel beside the arguments, such as a request body.
    pub body: Option<Vec<u8>>,
}

/// What a driver answers to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Ok {
        /// A JSON text: the value with which the guest's promise is fulfilled.
        value: String,
        /// Bytes beside the value; the guest gets an `ArrayBuffer`.
        body: Option<Vec<u8>>,
    },
    Err(EffectError),
}

impl Outcome {
    /// Fulfilled with a JSON text and no bytes.
    pub fn json(value: impl Into<String>) -> Self {
        Self::Ok { value: value.into(), body: None }
    }

    /// Rejected. `code` is stable and upper-case, such as `EGRESS_DENIED`; `message` is for people.
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self::Err(EffectError { code: code.to_owned(), message: message.into() })
    }
}

/// The error with which the host rejects a call; the guest sees an `Error` with this `code`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct EffectError {
    pub code: String,
    pub message: String,
}

/// What a call does to the world, which decides what a mirror, a replay or a retry may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// Changes nothing, inside or outside.
    Read,
    /// Changes Belay's own state, undoable inside a transaction.
    Write,
    /// Reaches outside and cannot be undone. `safe` when it is not expected to change anything there (GET, HEAD).
    External { safe: bool },
}
