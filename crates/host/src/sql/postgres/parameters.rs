//! Parameters as text, in the form that PostgreSQL reads for the type that it has inferred.

use std::{error::Error, fmt::Write as _};

use belay_model::EffectError;
use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::super::{
    error,
    request::{Param, float_text},
};

/// `None` is NULL.
#[derive(Debug)]
pub(super) struct Text(Option<String>);

impl Text {
    pub(super) fn of(param: &Param, kind: &Type) -> Result<Self, EffectError> {
        Ok(Self(text(param, kind)?))
    }
}

fn text(param: &Param, kind: &Type) -> Result<Option<String>, EffectError> {
    Ok(Some(match param {
        Param::Null => return Ok(None),
        // A text is taken for JSON that was written already.
        Param::Json(_) | Param::Array(_) if is_json(kind) => param.to_json().to_string(),
        Param::Bool(value) => value.to_string(),
        Param::Int(value) => value.to_string(),
        Param::Float(value) => float_text(*value),
        Param::Digits(text) => text.clone(),
        Param::Text(text) if text.contains('\0') => {
            return Err(error::failed("PostgreSQL stores no text with a zero character"));
        }
        Param::Text(text) => text.clone(),
        Param::Bytes(bytes) => hex(bytes),
        Param::Json(value) => value.to_string(),
        Param::Array(items) => array(items, kind)?,
    }))
}

fn is_json(kind: &Type) -> bool {
    *kind == Type::JSON || *kind == Type::JSONB
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// `{1,NULL,"a \"quoted\" text",{…}}`
fn array(items: &[Param], kind: &Type) -> Result<String, EffectError> {
    let element = match kind.kind() {
        Kind::Array(element) => element,
        _ => kind,
    };
    let items = items.iter().map(|item| match item {
        Param::Array(nested) if !is_json(element) => array(nested, kind),
        item => Ok(text(item, element)?.map_or_else(|| "NULL".to_owned(), |text| quoted(&text))),
    });
    let items = items.collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{{{}}}", items.join(",")))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl ToSql for Text {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(match &self.0 {
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
