//! What a table is like: its columns, what its rows have to fulfil, and who refers to them.
//!
//! Invariant: a table of which anything is not modelled (triggers, rules, policies, partitions, exclusions, and so on) has
//! no shape.

use serde::Deserialize;

use super::Unmodelled;

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Shape {
    /// With its schema, in quotes as they are needed.
    pub(super) table: String,
    /// Of the table, for people and keys.
    pub(super) name: String,
    /// Its number in the catalog, if it has one.
    #[serde(default)]
    pub(super) number: String,
    pub(super) columns: Vec<Column>,
    pub(super) checks: Vec<Check>,
    /// The primary key first.
    pub(super) uniques: Vec<Unique>,
    /// To whose rows its own refer.
    pub(super) parents: Vec<Reference>,
    /// Whose rows refer to its own.
    pub(super) children: Vec<Reference>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    /// As what its values are cast, without a length that would cut them.
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) affinity: Affinity,
    /// Characters of a text.
    #[serde(default)]
    pub(super) length: Option<u32>,
    pub(super) not_null: bool,
    /// An expression.
    #[serde(default)]
    pub(super) default: Option<String>,
    /// The engine makes up a value where none is given.
    #[serde(default)]
    pub(super) made_up: bool,
}

/// What a column of SQLite prefers to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) enum Affinity {
    /// Integers, where a value is one.
    Numeric,
    Real,
    Text,
    #[default]
    None,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Check {
    pub(super) name: String,
    /// An expression over its columns.
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Unique {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// A constraint, which statements can name, and not just an index.
    #[serde(default)]
    pub(super) constraint: bool,
}

/// A foreign key, seen from either side.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Reference {
    pub(super) name: String,
    /// Of the table of this shape.
    pub(super) columns: Vec<String>,
    /// The other table, with its schema, and its columns.
    pub(super) table: String,
    pub(super) theirs: Vec<String>,
    /// What becomes of rows that refer to one that goes is that it may not go.
    #[serde(default)]
    pub(super) keeps: bool,
}

impl Column {
    /// What the engine makes up for it is nobody's yet: the next number, or a random one that is long enough.
    pub(super) fn is_nobodys(&self) -> bool {
        const RANDOM: [&str; 3] =
            ["gen_random_uuid()", "uuid_generate_v4()", "lower(hex(randomblob(16)))"];
        let Some(text) = &self.default else { return self.made_up };
        let next = text.strip_prefix("nextval('").and_then(|it| it.strip_suffix("'::regclass)"));
        let is_next = next.is_some_and(|name| !name.replace("''", "").contains('\''));
        let inner = text.strip_prefix('(').and_then(|it| it.strip_suffix(")::text"));
        let call = inner.unwrap_or(text);
        let (schema, call) = call.rsplit_once('.').unwrap_or(("", call));
        let is_plain = schema.chars().all(|it| it.is_ascii_alphanumeric() || it == '_');
        self.made_up || is_next || (is_plain && RANDOM.contains(&call))
    }
}

impl Shape {
    pub(super) fn at(&self, column: &str) -> Result<usize, Unmodelled> {
        let found = self.columns.iter().position(|known| known.name == column);
        found.ok_or_else(|| Unmodelled(format!("a column {column} that {} lacks", self.name)))
    }

    /// Where several columns are.
    pub(super) fn all(&self, columns: &[String]) -> Result<Vec<usize>, Unmodelled> {
        columns.iter().map(|column| self.at(column)).collect()
    }
}
