//! What a candidate does otherwise than the recording: fields by their paths, with both values.
//!
//! Invariant: bounded: `FIELDS_MAX` fields of a value, `TEXT_MAX` characters of each.

use serde::Serialize;
use serde_json::Value;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// Both have a result.
    Result { fields: Vec<Field> },
    /// One has a result and the other a failure, or both have failures that differ.
    Ending { was: String, now: String },
    /// A write, or a call that reaches outside, says something else.
    Changed { op: String, subject: String, fields: Vec<Field> },
    /// One that the recording has, and the candidate did not make.
    Missing { op: String, subject: String },
    /// One that only the candidate made.
    Additional { op: String, subject: String },
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// From `result`, `args` or `body` on: `result.items[2].price`.
    pub path: String,
    /// JSON, cut where it is long; `None` where there is no such field.
    pub was: Option<String>,
    pub now: Option<String>,
}

const FIELDS_MAX: usize = 32;
const TEXT_MAX: usize = 200;

/// The fields in which two values differ.
pub(super) fn fields(root: &str, was: &Value, now: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    compare(root, Some(was), Some(now), &mut fields);
    fields
}

fn compare(path: &str, was: Option<&Value>, now: Option<&Value>, into: &mut Vec<Field>) {
    if was == now || into.len() >= FIELDS_MAX {
        return;
    }
    match (was, now) {
        (Some(Value::Object(was)), Some(Value::Object(now))) => {
            let added = now.keys().filter(|key| !was.contains_key(*key));
            for key in was.keys().chain(added) {
                compare(&member(path, key), was.get(key), now.get(key), into);
            }
        }
        (Some(Value::Array(was)), Some(Value::Array(now))) => {
            for index in 0..was.len().max(now.len()) {
                compare(&format!("{path}[{index}]"), was.get(index), now.get(index), into);
            }
        }
        _ => into.push(Field { path: path.to_owned(), was: was.map(cut), now: now.map(cut) }),
    }
}

fn member(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
    if plain { format!("{path}.{key}") } else { format!("{path}[{}]", Value::from(key)) }
}

fn cut(value: &Value) -> String {
    shortened(&value.to_string())
}

pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
