//! What the engines say differently.

use belay_host::SqlEngine;
use sqlparser::dialect::{Dialect, PostgreSqlDialect, SQLiteDialect};

use super::shape::{Affinity, Column};

/// Of which engine a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    Postgres,
    Sqlite,
}

impl From<SqlEngine> for Flavour {
    fn from(engine: SqlEngine) -> Self {
        match engine {
            SqlEngine::Postgres => Self::Postgres,
            SqlEngine::Sqlite => Self::Sqlite,
        }
    }
}

impl Flavour {
    pub(super) fn dialect(self) -> Box<dyn Dialect> {
        match self {
            Self::Postgres => Box::new(PostgreSqlDialect {}),
            Self::Sqlite => Box::new(SQLiteDialect {}),
        }
    }

    /// A name as the catalog has it. SQLite's mean the same however they are spelled.
    pub(super) fn spelled(self, name: &str, quote: Option<char>) -> String {
        match (self, quote) {
            (Self::Postgres, Some(_)) => name.to_owned(),
            (Self::Postgres, None) | (Self::Sqlite, _) => name.to_lowercase(),
        }
    }

    /// What names a row of a table as long as its transaction goes on.
    pub(super) fn row(self) -> &'static str {
        match self {
            Self::Postgres => "CAST(ctid AS text)",
            Self::Sqlite => "CAST(rowid AS text)",
        }
    }

    /// Who has locked or replaced a row, if anybody has.
    pub(super) fn locker(self) -> &'static str {
        match self {
            Self::Postgres => "CAST(xmax AS text)",
            Self::Sqlite => "'0'",
        }
    }

    /// That a row is none of these.
    pub(super) fn is_none_of<'r>(self, rows: impl Iterator<Item = &'r str>) -> String {
        let rows: Vec<&str> = rows.collect();
        match (self, rows.is_empty()) {
            (_, true) => "1 = 1".to_owned(),
            (Self::Postgres, false) => {
                let quoted: Vec<_> = rows.iter().map(|row| format!("\"{row}\"")).collect();
                format!("ctid <> ALL (CAST('{{{}}}' AS tid[]))", quoted.join(","))
            }
            (Self::Sqlite, false) => format!("rowid NOT IN ({})", rows.join(",")),
        }
    }

    /// The text of a value as it is stored in `column`, of an expression that is to be stored there.
    pub(super) fn stored(self, expr: &str, column: &Column) -> String {
        match self {
            Self::Postgres => format!("CAST(CAST(({expr}) AS {}) AS text)", column.kind),
            Self::Sqlite => format!("quote({})", in_sqlite(expr, column.affinity)),
        }
    }

    /// The text of the value of `column` in a row that is there.
    pub(super) fn shown(self, column: &Column) -> String {
        let name = quoted(&column.name);
        match self {
            Self::Postgres => format!("CAST({name} AS text)"),
            Self::Sqlite => format!("quote({name})"),
        }
    }

    /// A value of `column`, from its text.
    pub(super) fn value(self, text: Option<&str>, column: &Column) -> String {
        match (self, text) {
            (Self::Postgres, text) => {
                let literal = text.map_or_else(|| "NULL".to_owned(), literal);
                format!("CAST({literal} AS {})", column.kind)
            }
            // The text is a literal already.
            (Self::Sqlite, None) => "NULL".to_owned(),
            // A text or a blob is stored as it is, whatever its column would rather have.
            (Self::Sqlite, Some(text)) if text.starts_with(['\'', 'X', 'x']) => text.to_owned(),
            (Self::Sqlite, Some(text)) => match column.affinity {
                Affinity::Numeric => format!("CAST({text} AS NUMERIC)"),
                Affinity::Real => format!("CAST({text} AS REAL)"),
                Affinity::Text | Affinity::None => text.to_owned(),
            },
        }
    }
}

/// What a column makes of a value; a text that is to become a number is left as it is, for the caller to refuse.
///
/// Source: <https://www.sqlite.org/datatype3.html>, "Type Affinity".
fn in_sqlite(expr: &str, affinity: Affinity) -> String {
    match affinity {
        Affinity::Numeric => format!(
            "CASE WHEN typeof({expr}) = 'real' AND ({expr}) = CAST(({expr}) AS INTEGER) \
             THEN CAST(({expr}) AS INTEGER) ELSE ({expr}) END"
        ),
        Affinity::Real => format!(
            "CASE typeof({expr}) WHEN 'integer' THEN CAST(({expr}) AS REAL) ELSE ({expr}) END"
        ),
        Affinity::Text => format!(
            "CASE WHEN typeof({expr}) IN ('integer', 'real') THEN CAST(({expr}) AS TEXT) \
             ELSE ({expr}) END"
        ),
        Affinity::None => format!("({expr})"),
    }
}

/// A name in quotes, for either engine.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text, whatever the server takes a backslash for.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}
