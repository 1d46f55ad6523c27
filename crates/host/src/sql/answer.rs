//! What a statement has brought, as the JSON text that the guest gets.
//!
//! ```text
//! { "columns": ["id", "name"], "rows": [[1, "a"], [2, "b"]], "changed": 0 }
//! ```
//!
//! Cells are encoded as parameters are ([`super::request`]).
//!
//! Invariants: an answer is within its limits; nothing is left out of it to make it so.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use belay_model::{EffectError, Outcome};

use super::{error, request::float_text};

const ROWS_MAX: usize = 10_000;
const BYTES_MAX: usize = 8 << 20;
/// The greatest integer up to which a JavaScript number tells all of them apart.
const SAFE_MAX: u64 = (1 << 53) - 1;

/// An answer in the making.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Answer {
    columns: String,
    rows: String,
    count: usize,
    pub(super) changed: u64,
}

impl Answer {
    /// Refuses columns of the same name: a row is an object.
    pub(super) fn of<'a>(columns: impl Iterator<Item = &'a str>) -> Result<Self, EffectError> {
        let names: Vec<_> = columns.collect();
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(**name)) {
            let message =
                format!("two columns of the result are named {twice:?}: rename one with AS");
            return Err(error::failed(message));
        }
        let columns = serde_json::json!(names).to_string();
        Ok(Self { columns, rows: String::new(), count: 0, changed: 0 })
    }

    /// Begins another row.
    pub(super) fn row(&mut self) -> Result<Row<'_>, EffectError> {
        if self.count >= ROWS_MAX {
            return Err(too_large("10,000 rows"));
        }
        self.rows.push_str(if self.count == 0 { "[" } else { ",[" });
        self.count += 1;
        Ok(Row { out: &mut self.rows, first: true })
    }

    /// What it holds, about.
    pub(super) fn bytes(&self) -> usize {
        self.columns.len() + self.rows.len()
    }

    pub(super) fn outcome(self) -> Outcome {
        let Self { columns, rows, changed, .. } = self;
        Outcome::json(format!(r#"{{"columns":{columns},"rows":[{rows}],"changed":{changed}}}"#))
    }
}

fn too_large(limit: &str) -> EffectError {
    let message = format!("the result has more than {limit}: ask for less of it, with LIMIT");
    error::too_large(message)
}

/// A row, whose cells are added in their order.
pub(super) struct Row<'a> {
    out: &'a mut String,
    first: bool,
}

impl Row<'_> {
    pub(super) fn end(self) -> Result<(), EffectError> {
        self.out.push(']');
        if self.out.len() > BYTES_MAX { Err(too_large("8 MiB")) } else { Ok(()) }
    }

    fn cell(&mut self, json: &str) -> Result<(), EffectError> {
        if self.out.len() + json.len() > BYTES_MAX {
            return Err(too_large("8 MiB"));
        }
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        self.out.push_str(json);
        Ok(())
    }

    pub(super) fn null(&mut self) -> Result<(), EffectError> {
        self.cell("null")
    }

    pub(super) fn bool(&mut self, value: bool) -> Result<(), EffectError> {
        self.cell(if value { "true" } else { "false" })
    }

    pub(super) fn int(&mut self, value: i64) -> Result<(), EffectError> {
        if value.unsigned_abs() <= SAFE_MAX {
            return self.cell(&value.to_string());
        }
        self.cell(&format!(r#"{{"$int":"{value}"}}"#))
    }

    pub(super) fn float(&mut self, value: f64) -> Result<(), EffectError> {
        let text = float_text(value);
        if value.is_finite() {
            return self.cell(&text);
        }
        self.cell(&format!(r#"{{"$float":"{text}"}}"#))
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), EffectError> {
        self.cell(&serde_json::json!(text).to_string())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), EffectError> {
        if bytes.len() > BYTES_MAX {
            return Err(too_large("8 MiB"));
        }
        self.cell(&format!(r#"{{"$bytes":"{}"}}"#, BASE64_STANDARD.encode(bytes)))
    }

    /// What is well-formed JSON already.
    pub(super) fn json(&mut self, json: &str) -> Result<(), EffectError> {
        self.cell(&format!(r#"{{"$json":{json}}}"#))
    }

    /// Begins an array, which has to be ended with [`Self::close`].
    pub(super) fn open(&mut self) -> Result<(), EffectError> {
        self.cell(r#"{"$array":["#)?;
        self.first = true;
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.out.push_str("]}");
        self.first = false;
    }
}
