//! Parameters as SQLite stores them, and cells as the guest gets them.
//!
//! SQLite has integers, floats, texts and blobs: booleans are 0 and 1; dates, arrays and objects are texts.

use belay_model::EffectError;
use rusqlite::{
    Statement,
    types::{ToSqlOutput, Value, ValueRef},
};

use super::{
    super::{
        answer::Row,
        error,
        request::{Param, float_text},
    },
    failure,
};

/// Binds `$1`, `?1` or `?`; every parameter has to occur, and every one that occurs has to be given.
pub(super) fn bind(statement: &mut Statement<'_>, params: &[Param]) -> Result<(), EffectError> {
    let mut seen = vec![false; params.len()];
    for index in 1..=statement.parameter_count() {
        // A number that is left out, as 1 is in `?2`, has a place without a name.
        let name = statement.parameter_name(index).map(str::to_owned);
        let number = number(name.as_deref(), index)?;
        let param = params.get(number - 1).ok_or_else(|| wrong_count(number, params.len()))?;
        seen[number - 1] = true;
        let bound = statement.raw_bind_parameter(index, value(param)?);
        bound.map_err(failure::told)?;
    }
    if seen.iter().all(|seen| *seen) {
        return Ok(());
    }
    let used = seen.iter().filter(|seen| **seen).count();
    Err(wrong_count(used, params.len()))
}

pub(in super::super) fn wrong_count(needed: usize, given: usize) -> EffectError {
    error::failed(format!("the statement takes {needed} parameters, and {given} were given"))
}

fn number(name: Option<&str>, index: usize) -> Result<usize, EffectError> {
    let Some(name) = name else { return Ok(index) };
    let digits = name.strip_prefix(['$', '?']).filter(|digits| !digits.is_empty());
    let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| *number >= 1);
    number.ok_or_else(|| {
        error::failed(format!("parameter {name}: parameters are $1, $2, … in their order"))
    })
}

fn value(param: &Param) -> Result<ToSqlOutput<'_>, EffectError> {
    let text = |text: String| ToSqlOutput::Owned(Value::Text(text));
    Ok(match param {
        Param::Null => ToSqlOutput::Owned(Value::Null),
        Param::Bool(value) => ToSqlOutput::Owned(Value::Integer(i64::from(*value))),
        Param::Int(value) => ToSqlOutput::Owned(Value::Integer(*value)),
        Param::Float(value) if value.is_finite() => ToSqlOutput::Owned(Value::Real(*value)),
        Param::Float(value) => text(float_text(*value)),
        Param::Digits(digits) => {
            return Err(error::failed(format!("{digits} is more than an integer of SQLite holds")));
        }
        Param::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
        Param::Bytes(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        Param::Json(_) | Param::Array(_) => text(param.to_json().to_string()),
    })
}

pub(super) fn cell(row: &mut Row<'_>, value: ValueRef<'_>) -> Result<(), EffectError> {
    match value {
        ValueRef::Null => row.null(),
        ValueRef::Integer(value) => row.int(value),
        ValueRef::Real(value) => row.float(value),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => row.text(text),
            Err(_) => Err(error::failed("a text of the result is not UTF-8: cast it to a blob")),
        },
        ValueRef::Blob(bytes) => row.bytes(bytes),
    }
}
