//! What a transaction and its driver say to each other: the calls `tx.begin` and `tx.end`, of code that is compiled around
//! tagged functions. Whoever drives without transactions answers them as unknown.

use belay_model::{Call, Category, Isolation, Outcome, RuleSpec, TransactionName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::{code, request::bad_arguments};

/// The calls.
pub const BEGIN: &str = "tx.begin";
pub const END: &str = "tx.end";

/// Arguments of [`BEGIN`]: what the tags say.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    pub id: TransactionName,
    /// The function, then its alternatives. Never empty.
    pub ways: Vec<String>,
    #[serde(default)]
    pub predict: bool,
    /// Names of errors.
    #[serde(default)]
    pub retry: Vec<String>,
    pub timeout_ms: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub retries: Option<u32>,
    pub isolation: Option<Isolation>,
    /// The criterion, as its author wrote it.
    pub success: Option<String>,
    /// Of the app's own, by which it is foreseen that it fails.
    #[serde(default)]
    pub rules: Vec<RuleSpec>,
}

/// The answer to [`BEGIN`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn<'a> {
    pub id: &'a TransactionName,
    /// From 1.
    pub attempt: u32,
    /// Which of the ways.
    pub way: usize,
    /// Why it is not the first one: what was foreseen, or how earlier ones ended.
    pub reasons: &'a [String],
}

/// Arguments of [`END`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Ended {
    pub ended: How,
    /// What was thrown.
    #[serde(default)]
    pub failure: Option<Box<RawValue>>,
    /// The code of the refused effect that it was thrown for.
    #[serde(default)]
    pub code: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Done,
    Failed,
    /// Its result is not what it promises.
    Unmet,
}

/// Another answer to either: it has failed. Without this, what was thrown goes on its way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failed {
    pub code: &'static str,
    pub message: String,
    pub category: Category,
    /// One entry for each.
    pub attempts: Value,
}

/// The answers as they go to the guest.
pub fn turn(turn: &Turn<'_>) -> String {
    serde_json::json!(turn).to_string()
}

pub fn committed() -> String {
    r#"{"committed":true}"#.to_owned()
}

/// What was thrown is to be thrown on.
pub fn thrown() -> String {
    r#"{"committed":false}"#.to_owned()
}

pub fn failed(failed: &Failed) -> String {
    serde_json::json!({ "committed": false, "failed": failed }).to_string()
}

/// Whether a replayed call can be answered as the recorded one was.
pub(crate) fn goes_on_as(call: &Call, recorded: &Call, answer: Option<&Outcome>) -> bool {
    if call.op == END {
        let how = |call: &Call| Some(serde_json::from_str::<Ended>(&call.args).ok()?.ended);
        return how(call).is_some() && how(call) == how(recorded);
    }
    // There may be fewer ways now.
    let Ok(spec) = serde_json::from_str::<Spec>(&call.args) else { return false };
    let Some(Outcome::Ok { value, .. }) = answer else { return false };
    let answer: Value = serde_json::from_str(value).unwrap_or_default();
    answer["way"].as_u64().is_none_or(|way| way < spec.ways.len() as u64)
}

/// The answer where there is one attempt, and whatever it does can be committed.
pub fn only_attempt(call: &Call) -> Outcome {
    if call.op == BEGIN {
        let spec: Result<Spec, _> = serde_json::from_str(&call.args);
        return match spec {
            Ok(spec) => {
                let first = Turn { id: &spec.id, attempt: 1, way: 0, reasons: &[] };
                Outcome::json(turn(&first))
            }
            Err(error) => Outcome::Err(bad_arguments(BEGIN, error)),
        };
    }
    match serde_json::from_str::<Ended>(&call.args).map(|ended| ended.ended) {
        Ok(How::Done) => Outcome::json(committed()),
        Ok(How::Failed) => Outcome::json(thrown()),
        Ok(How::Unmet) => Outcome::json(failed(&Failed {
            code: code::TX_FAILED,
            message: "the transaction's result is not what it promises".to_owned(),
            category: Category::Exception,
            attempts: Value::Array(Vec::new()),
        })),
        Err(error) => Outcome::Err(bad_arguments(END, error)),
    }
}
