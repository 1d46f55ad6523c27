//! Cells as the server sends them, in binary, by their types.
//!
//! Invariant: what [`check`] has let pass is either read or an error, never a guess.

use std::error::Error;

use belay_model::EffectError;
use tokio_postgres::{
    Column,
    types::{FromSql, Kind, Type},
};

use super::{
    super::{answer::Row, error},
    calendar, numeric,
};

/// The bytes of a cell; `None` is NULL.
pub(super) struct Raw<'a>(pub(super) Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// How the values of a type are read.
#[derive(Clone, Copy)]
enum Form {
    Bool,
    Int2,
    Int4,
    Int8,
    Unsigned4,
    Unsigned8,
    Float4,
    Float8,
    Numeric,
    Text,
    Bytes,
    Json,
    Jsonb,
    Uuid,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Void,
}

fn form(kind: &Type) -> Option<Form> {
    if let Kind::Enum(_) = kind.kind() {
        return Some(Form::Text);
    }
    Some(match *kind {
        Type::BOOL => Form::Bool,
        Type::INT2 => Form::Int2,
        Type::INT4 => Form::Int4,
        Type::INT8 => Form::Int8,
        Type::OID | Type::XID | Type::CID => Form::Unsigned4,
        Type::XID8 => Form::Unsigned8,
        Type::FLOAT4 => Form::Float4,
        Type::FLOAT8 => Form::Float8,
        Type::NUMERIC => Form::Numeric,
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::CHAR
        | Type::UNKNOWN
        | Type::XML => Form::Text,
        Type::BYTEA => Form::Bytes,
        Type::JSON => Form::Json,
        Type::JSONB => Form::Jsonb,
        Type::UUID => Form::Uuid,
        Type::DATE => Form::Date,
        Type::TIME => Form::Time,
        Type::TIMETZ => Form::TimeTz,
        Type::TIMESTAMP => Form::Timestamp,
        Type::TIMESTAMPTZ => Form::TimestampTz,
        Type::INTERVAL => Form::Interval,
        Type::VOID => Form::Void,
        _ => return None,
    })
}

/// Extensions have types without fixed numbers, of which these are sent as texts.
fn is_text_by_name(kind: &Type) -> bool {
    matches!(kind.name(), "citext")
}

fn known(kind: &Type) -> Option<Form> {
    form(kind).or_else(|| is_text_by_name(kind).then_some(Form::Text))
}

fn base(kind: &Type) -> &Type {
    match kind.kind() {
        Kind::Domain(inner) | Kind::Array(inner) => base(inner),
        _ => kind,
    }
}

/// Refuses a column of a type that cannot be read.
pub(super) fn check(column: &Column) -> Result<(), EffectError> {
    match known(base(column.type_())) {
        Some(_) => Ok(()),
        None => {
            let (name, kind) = (column.name(), column.type_().name());
            let message = format!(
                "column {name:?} is of the type {kind}, which has no form here: cast it to text"
            );
            Err(error::failed(message))
        }
    }
}

pub(super) fn cell(row: &mut Row<'_>, kind: &Type, raw: Option<&[u8]>) -> Result<(), EffectError> {
    let Some(raw) = raw else { return row.null() };
    match kind.kind() {
        Kind::Domain(inner) => cell(row, inner, Some(raw)),
        Kind::Array(inner) => array(row, inner, raw),
        _ => {
            let form = known(kind).ok_or_else(malformed)?;
            scalar(row, form, raw)
        }
    }
}

pub(super) fn malformed() -> EffectError {
    error::failed("the server has sent a value that does not have the form of its type")
}

fn fixed<const N: usize>(raw: &[u8]) -> Result<[u8; N], EffectError> {
    raw.try_into().map_err(|_| malformed())
}

fn text(raw: &[u8]) -> Result<&str, EffectError> {
    std::str::from_utf8(raw).map_err(|_| error::failed("a text of the result is not UTF-8"))
}

fn scalar(row: &mut Row<'_>, form: Form, raw: &[u8]) -> Result<(), EffectError> {
    match form {
        Form::Void => row.null(),
        Form::Bool => row.bool(raw == [1]),
        Form::Int2 => row.int(i16::from_be_bytes(fixed(raw)?).into()),
        Form::Int4 => row.int(i32::from_be_bytes(fixed(raw)?).into()),
        Form::Int8 => row.int(i64::from_be_bytes(fixed(raw)?)),
        Form::Unsigned4 => row.int(u32::from_be_bytes(fixed(raw)?).into()),
        Form::Unsigned8 => row.text(&u64::from_be_bytes(fixed(raw)?).to_string()),
        Form::Float4 => row.float(shortest(f32::from_be_bytes(fixed(raw)?))),
        Form::Float8 => row.float(f64::from_be_bytes(fixed(raw)?)),
        Form::Numeric => row.text(&numeric::text(raw).ok_or_else(malformed)?),
        Form::Text => row.text(text(raw)?),
        Form::Bytes => row.bytes(raw),
        Form::Json => json(row, text(raw)?),
        // The first byte is the version of the format.
        Form::Jsonb => json(row, text(raw.strip_prefix(&[1]).ok_or_else(malformed)?)?),
        Form::Uuid => row.text(&uuid::Uuid::from_bytes(fixed(raw)?).to_string()),
        Form::Date => row.text(&calendar::date(i32::from_be_bytes(fixed(raw)?))),
        Form::Time => row.text(&calendar::time(i64::from_be_bytes(fixed(raw)?))),
        Form::TimeTz => {
            let (micros, zone) = raw.split_at_checked(8).ok_or_else(malformed)?;
            let zone = i32::from_be_bytes(fixed(zone)?);
            row.text(&calendar::time_in_zone(i64::from_be_bytes(fixed(micros)?), zone))
        }
        Form::Timestamp => row.text(&calendar::timestamp(i64::from_be_bytes(fixed(raw)?), "")),
        Form::TimestampTz => row.text(&calendar::timestamp(i64::from_be_bytes(fixed(raw)?), "Z")),
        Form::Interval => {
            let (micros, rest) = raw.split_at_checked(8).ok_or_else(malformed)?;
            let (days, months) = rest.split_at_checked(4).ok_or_else(malformed)?;
            let (days, months) = (fixed(days)?, fixed(months)?);
            let micros = i64::from_be_bytes(fixed(micros)?);
            let (days, months) = (i32::from_be_bytes(days), i32::from_be_bytes(months));
            row.text(&calendar::interval(months, days, micros))
        }
    }
}

/// The `f64` that is written as the `f32` is, so that 0.1 stays 0.1.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// The server has checked it, but what goes into an answer is looked at here.
fn json(row: &mut Row<'_>, text: &str) -> Result<(), EffectError> {
    let raw: &serde_json::value::RawValue = serde_json::from_str(text).map_err(|error| {
        error::failed(format!("a JSON value of the result cannot be read: {error}"))
    })?;
    row.json(raw.get())
}

/// Number of dimensions, flags, type; of each dimension its length and lower bound; then the items, each with its
/// length or -1. Source: `array_send` in PostgreSQL's arrayfuncs.c.
fn array(row: &mut Row<'_>, kind: &Type, raw: &[u8]) -> Result<(), EffectError> {
    const DIMENSIONS_MAX: usize = 6;
    let mut rest = raw;
    let dimensions = usize::try_from(number(&mut rest)?).map_err(|_| malformed())?;
    let (_flags, _type) = (number(&mut rest)?, number(&mut rest)?);
    if dimensions > DIMENSIONS_MAX {
        return Err(malformed());
    }
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(usize::try_from(number(&mut rest)?).map_err(|_| malformed())?);
        number(&mut rest)?;
    }
    if lengths.is_empty() {
        lengths.push(0);
    }
    items(row, kind, &lengths, &mut rest)
}

fn items(
    row: &mut Row<'_>,
    kind: &Type,
    lengths: &[usize],
    rest: &mut &[u8],
) -> Result<(), EffectError> {
    let Some((length, inner)) = lengths.split_first() else { return item(row, kind, rest) };
    row.open()?;
    for _ in 0..*length {
        items(row, kind, inner, rest)?;
    }
    row.close();
    Ok(())
}

fn item(row: &mut Row<'_>, kind: &Type, rest: &mut &[u8]) -> Result<(), EffectError> {
    let Ok(length) = usize::try_from(number(rest)?) else { return row.null() };
    let (raw, after) = rest.split_at_checked(length).ok_or_else(malformed)?;
    *rest = after;
    cell(row, kind, Some(raw))
}

fn number(rest: &mut &[u8]) -> Result<i32, EffectError> {
    let (number, after) = rest.split_first_chunk().ok_or_else(malformed)?;
    *rest = after;
    Ok(i32::from_be_bytes(*number))
}
