//! `sql.query`: arguments as guests send them.
//!
//! A value that JSON cannot hold is an object with one key, which says what it is; plain objects are always inside
//! such a one, so that none is taken for it:
//!
//! ```text
//! null, true, 1.5, "text"
//! {"$int": "9007199254740993"}  {"$float": "NaN" | "Infinity" | "-Infinity"}
//! {"$bytes": "<base64>"}        {"$date": "2026-01-01T00:00:00.000Z"}
//! {"$json": …}                  {"$array": [<values>]}
//! ```
//!
//! Invariant: a [`Query`] is within its limits.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use belay_model::{Call, EffectError};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::request::{args, bad_arguments};

/// The operation.
pub(crate) const QUERY: &str = "sql.query";
const TEXT_BYTES_MAX: usize = 1 << 20;
const PARAMS_MAX: usize = 1_000;
const LABEL_BYTES_MAX: usize = 1_000;
/// How deep arrays may be in arrays.
const DEPTH_MAX: usize = 8;

/// One statement with its parameters, to a database of the app.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    pub(crate) database: Option<String>,
    pub(crate) text: String,
    pub(crate) params: Vec<Param>,
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Param {
    Null,
    Bool(bool),
    Int(i64),
    /// Digits that an `i64` does not hold.
    Digits(String),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// A JSON text.
    Json(Value),
    Array(Vec<Param>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryArgs {
    database: Option<String>,
    text: String,
    #[serde(default)]
    params: Vec<Value>,
}

impl Query {
    pub(crate) fn decode(call: &Call) -> Result<Self, EffectError> {
        let QueryArgs { database, text, params } = args(call)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(bad("a statement is at most 1 MiB"));
        }
        if text.contains('\0') {
            return Err(bad("a statement has no zero bytes"));
        }
        if params.len() > PARAMS_MAX {
            return Err(bad("a statement has at most 1,000 parameters"));
        }
        let params = params.into_iter().map(|value| param(value, DEPTH_MAX));
        let params = params.collect::<Result<_, _>>()?;
        Ok(Self { database, text, params })
    }

    /// What it takes of memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + self.params.iter().map(Param::bytes).sum::<usize>()
    }

    /// The statement and its parameters, in short: the same for calls that ask for the same.
    pub(crate) fn label(&self) -> String {
        let database = self.database.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let params: Value = self.params.iter().map(Param::to_json).collect();
        let label = format!("{database}{} {params}", self.text);
        if label.len() > LABEL_BYTES_MAX { self.subject() } else { label }
    }

    /// For people: the beginning of the statement.
    pub(crate) fn subject(&self) -> String {
        const CHARS: usize = 80;
        let words = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = words.chars().take(CHARS).collect();
        if short.len() < words.len() { format!("{short}…") } else { short }
    }
}

fn bad(reason: &str) -> EffectError {
    bad_arguments(QUERY, reason)
}

fn param(value: Value, depth: usize) -> Result<Param, EffectError> {
    Ok(match value {
        Value::Null => Param::Null,
        Value::Bool(value) => Param::Bool(value),
        Value::Number(number) => match number.as_i64() {
            Some(int) => Param::Int(int),
            None => Param::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Param::Text(text),
        Value::Array(_) => return Err(bad("an array is given as {\"$array\": […]}")),
        Value::Object(object) => tagged(object, depth)?,
    })
}

fn tagged(object: Map<String, Value>, depth: usize) -> Result<Param, EffectError> {
    let mut pairs = object.into_iter();
    let (Some((tag, value)), None) = (pairs.next(), pairs.next()) else {
        return Err(bad("a value that JSON cannot hold is an object with one key"));
    };
    match (tag.as_str(), value) {
        ("$int", Value::String(digits)) => int(digits),
        ("$float", Value::String(name)) => float(&name),
        ("$bytes", Value::String(text)) => {
            let bytes = BASE64_STANDARD.decode(text);
            bytes.map(Param::Bytes).map_err(|error| bad_arguments(QUERY, error))
        }
        ("$date", Value::String(text)) => Ok(Param::Text(text)),
        ("$json", value) => Ok(Param::Json(value)),
        ("$array", Value::Array(items)) if depth > 0 => {
            let items = items.into_iter().map(|item| param(item, depth - 1));
            items.collect::<Result<_, _>>().map(Param::Array)
        }
        ("$array", Value::Array(_)) => Err(bad("arrays are nested too deeply")),
        (tag, _) => Err(bad(&format!("a value cannot be {tag:?} of that"))),
    }
}

fn int(digits: String) -> Result<Param, EffectError> {
    if let Ok(int) = digits.parse() {
        return Ok(Param::Int(int));
    }
    let unsigned = digits.strip_prefix('-').unwrap_or(&digits);
    let fine = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    if fine { Ok(Param::Digits(digits)) } else { Err(bad("$int is not an integer")) }
}

fn float(name: &str) -> Result<Param, EffectError> {
    match name {
        "NaN" => Ok(Param::Float(f64::NAN)),
        "Infinity" => Ok(Param::Float(f64::INFINITY)),
        "-Infinity" => Ok(Param::Float(f64::NEG_INFINITY)),
        _ => Err(bad("$float is NaN, Infinity or -Infinity")),
    }
}

impl Param {
    fn bytes(&self) -> usize {
        let own = match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
            Self::Digits(text) | Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Json(value) => value.to_string().len(),
            Self::Array(items) => items.iter().map(Self::bytes).sum(),
        };
        size_of::<Self>() + own
    }

    /// As JSON would have it within a document.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Null | Self::Bytes(_) => Value::Null,
            Self::Bool(value) => Value::from(*value),
            Self::Int(value) => Value::from(*value),
            Self::Float(value) => Value::from(*value),
            Self::Digits(text) | Self::Text(text) => Value::from(text.clone()),
            Self::Json(value) => value.clone(),
            Self::Array(items) => items.iter().map(Self::to_json).collect(),
        }
    }
}

/// The text of a float as both JavaScript and databases write it.
pub(super) fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    serde_json::json!(value).to_string()
}
