//! What SQLite's catalog tells of a table. Conditions are in the text with which it was made.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlparser::{
    ast::{ColumnOption, CreateTable, Statement, TableConstraint},
    dialect::SQLiteDialect,
    parser::Parser,
};

use super::{
    Unmodelled,
    shape::{Affinity, Check, Column, Reference, Shape, Unique},
};

/// Words of what a mirror cannot know before it happens.
pub(super) const GUESSES: [&str; 5] =
    ["random", "randomblob", "last_insert_rowid", "changes", "total_changes"];

/// Of a table: how it was made, whether it has row numbers, and whether it is one.
pub(super) const TABLE: &str = "
    SELECT l.type AS type, l.wr AS wr, s.sql AS text,
        (SELECT count(*) FROM sqlite_schema t WHERE t.type = 'trigger' AND lower(t.tbl_name) = $1) AS triggers,
        (SELECT count(*) FROM sqlite_schema t WHERE t.type = 'table' AND lower(t.sql) LIKE '%deferred%') AS deferred
    FROM pragma_table_list($1) l JOIN sqlite_schema s ON s.type IN ('table', 'view') AND lower(s.name) = $1
    WHERE l.schema = 'main'";
pub(super) const COLUMNS: &str = "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo($1) ORDER BY cid";
pub(super) const UNIQUES: &str = "
    SELECT l.name AS index_name, l.origin AS origin, l.partial AS partial, i.name AS name, i.coll AS coll
    FROM pragma_index_list($1) l, pragma_index_xinfo(l.name) i
    WHERE l.\"unique\" = 1 AND i.key = 1 ORDER BY l.seq, i.seqno";
/// Whose rows refer to whose; either is this table.
pub(super) const REFERENCES: &str = "
    SELECT lower(m.name) AS child, f.id AS id, lower(f.\"table\") AS parent, f.\"from\" AS from_column, f.\"to\" AS to_column,
        f.on_update AS on_update, f.on_delete AS on_delete
    FROM sqlite_schema m, pragma_foreign_key_list(m.name) f
    WHERE m.type = 'table' AND (lower(m.name) = $1 OR lower(f.\"table\") = $1) ORDER BY child, id, f.seq";
/// Views: through one, a table could be read as it was.
pub(super) const VIEWS: &str = "SELECT lower(name) AS name FROM sqlite_schema WHERE type = 'view'";

/// Answers of the statements above, in their order.
pub(super) struct Told<'a> {
    pub(super) table: &'a [Value],
    pub(super) columns: &'a [Value],
    pub(super) uniques: &'a [Value],
    pub(super) references: &'a [Value],
}

pub(super) fn shape(name: &str, told: &Told<'_>) -> Result<Shape, Unmodelled> {
    let unmodelled = |what: String| Err(Unmodelled(what));
    let Some(table) = told.table.first() else {
        return unmodelled(format!("a table {name} that is not there"));
    };
    if table[0] != "table" || table[1] != 0 || table[3] != 0 || table[4] != 0 {
        return unmodelled(format!("what {name} is, or what is attached to it"));
    }
    let made = made(table[2].as_str().unwrap_or_default(), name)?;
    let columns = told.columns.iter().map(|row| column(row, told.columns, &made));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(Shape {
        table: format!("main.{}", super::flavour::quoted(name)),
        name: name.to_owned(),
        number: String::new(),
        uniques: uniques(name, told)?,
        checks: checks(&made),
        parents: references(name, told.references, &columns, true)?,
        children: references(name, told.references, &columns, false)?,
        columns,
    })
}

fn made(text: &str, name: &str) -> Result<CreateTable, Unmodelled> {
    let parsed = Parser::parse_sql(&SQLiteDialect {}, text);
    let parsed = parsed.ok().and_then(|mut all| all.pop());
    match parsed {
        Some(Statement::CreateTable(made))
            if !made.strict && !has(text, &["collate", "deferred"]) =>
        {
            Ok(made)
        }
        _ => Err(Unmodelled(format!("how {name} was made"))),
    }
}

fn has(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| text.contains(word))
}

fn column(row: &Value, all: &[Value], made: &CreateTable) -> Result<Column, Unmodelled> {
    let text = |at: usize| row[at].as_str().unwrap_or_default();
    let name = text(0).to_lowercase();
    let plain = made.columns.iter().filter(|it| it.name.value.to_lowercase() == name);
    let generated = plain.flat_map(|it| &it.options).any(|it| {
        matches!(it.option, ColumnOption::Generated { .. } | ColumnOption::OnConflict(_))
    });
    if row[5] != 0 || generated {
        return Err(Unmodelled(format!("the column {name} of {}", made.name)));
    }
    let keys = all.iter().filter(|row| row[4].as_u64().unwrap_or_default() > 0).count();
    let is_row_number = row[4] == 1 && keys == 1 && text(1).eq_ignore_ascii_case("integer");
    Ok(Column {
        name,
        kind: String::new(),
        affinity: affinity(text(1)),
        length: None,
        not_null: row[2] == 1,
        default: row[3].as_str().map(str::to_owned),
        made_up: is_row_number,
    })
}

/// Source: <https://www.sqlite.org/datatype3.html>, "Determination Of Column Affinity".
fn affinity(kind: &str) -> Affinity {
    let kind = kind.to_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| kind.contains(word));
    if has(&["INT"]) {
        Affinity::Numeric
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Affinity::Text
    } else if has(&["BLOB"]) || kind.is_empty() {
        Affinity::None
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

fn checks(made: &CreateTable) -> Vec<Check> {
    let of_columns = made.columns.iter().flat_map(|column| {
        let checks = column.options.iter().filter_map(|it| match &it.option {
            ColumnOption::Check(check) => Some((it.name.clone(), check)),
            _ => None,
        });
        checks.collect::<Vec<_>>()
    });
    let of_table = made.constraints.iter().filter_map(|it| match it {
        TableConstraint::Check(check) => Some((check.name.clone(), check)),
        _ => None,
    });
    let all = of_columns.chain(of_table).map(|(name, check)| {
        let text = check.expr.to_string();
        Check { name: name.map_or_else(|| text.clone(), |name| name.value), text }
    });
    all.collect()
}

fn uniques(table: &str, told: &Told<'_>) -> Result<Vec<Unique>, Unmodelled> {
    let mut found: Vec<(bool, Unique)> = Vec::new();
    for row in told.uniques {
        let index = row[0].as_str().unwrap_or_default();
        let plain = row[2] == 0 && row[4] == "BINARY";
        let (Some(column), true) = (row[3].as_str(), plain) else {
            return Err(Unmodelled(format!("the index {index}")));
        };
        if found.last().is_none_or(|(_, last)| last.name != index) {
            let unique = Unique { name: index.to_owned(), columns: Vec::new(), constraint: false };
            found.push((row[1] == "pk", unique));
        }
        if let Some((_, last)) = found.last_mut() {
            last.columns.push(column.to_lowercase());
        }
    }
    // One that is the number of its row has no index.
    let mut key: Vec<_> = told.columns.iter().filter(|row| row[4].as_u64() > Some(0)).collect();
    key.sort_by_key(|row| row[4].as_u64());
    if !found.iter().any(|(is_primary, _)| *is_primary) && !key.is_empty() {
        let columns = key.iter().filter_map(|row| row[0].as_str().map(str::to_lowercase));
        let (name, columns) = (table.to_owned(), columns.collect());
        let unique = Unique { name, columns, constraint: false };
        found.push((true, unique));
    }
    found.sort_by_key(|(is_primary, _)| !is_primary);
    Ok(found.into_iter().map(|(_, unique)| unique).collect())
}

fn references(
    table: &str,
    rows: &[Value],
    columns: &[Column],
    as_child: bool,
) -> Result<Vec<Reference>, Unmodelled> {
    let mut found: BTreeMap<(String, u64), Reference> = BTreeMap::new();
    for row in rows {
        let text = |at: usize| row[at].as_str().unwrap_or_default().to_lowercase();
        let (child, parent) = (text(0), text(2));
        let (own, other) = if as_child { (&child, &parent) } else { (&parent, &child) };
        if own != table {
            continue;
        }
        // Without columns, it is the primary key of the parent, which only that one's shape tells.
        if row[4].is_null() {
            return Err(Unmodelled(format!("to what of {parent} the rows of {child} refer")));
        }
        let keeps = [text(5), text(6)].iter().all(|it| it == "no action" || it == "restrict");
        let id = row[1].as_u64().unwrap_or_default();
        let reference = found.entry((child.clone(), id)).or_insert_with(|| Reference {
            name: format!("FOREIGN KEY of {child}"),
            columns: Vec::new(),
            table: format!("main.{}", super::flavour::quoted(other)),
            theirs: Vec::new(),
            keeps,
        });
        let (from, to) = (text(3), text(4));
        let (own, theirs) = if as_child { (from, to) } else { (to, from) };
        if !columns.iter().any(|column| column.name == own) {
            return Err(Unmodelled(format!("a column {own} that {table} lacks")));
        }
        reference.columns.push(own);
        reference.theirs.push(theirs);
    }
    Ok(found.into_values().collect())
}
