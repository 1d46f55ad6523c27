//! What rows that are about to be written have to fulfil, asked of the database as it is, and of what the mirror has
//! written.
//!
//! Invariant: only questions are asked; no row is locked.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Flavour, Unmodelled,
    flavour::quoted,
    overlay::{self, Cell, Overlay},
    shape::{Check, Reference, Shape, Unique},
    statement,
};

/// A question, which has an answer of some row where something is violated.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) text: String,
    pub(super) violated: Violated,
}

/// What the engine would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violated {
    pub(super) constraint: String,
    pub(super) table: String,
    pub(super) message: String,
}

/// A row before and after a statement; one of them is missing where it was not there.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) before: Option<Vec<Cell>>,
    pub(super) after: Option<Vec<Cell>>,
}

pub(super) struct Checks<'a> {
    pub(super) flavour: Flavour,
    pub(super) shape: &'a Shape,
    /// As it is after the statement.
    pub(super) overlays: &'a BTreeMap<String, Overlay>,
    pub(super) changes: &'a [Change],
}

impl Checks<'_> {
    /// A value that may not be NULL, or is too long.
    pub(super) fn of_values(&self) -> Option<Violated> {
        let after = self.changes.iter().filter_map(|change| change.after.as_ref());
        let cells = after.flat_map(|cells| self.shape.columns.iter().zip(cells));
        for (column, cell) in cells {
            let table = &self.shape.name;
            if column.not_null && cell.is_null(self.flavour) {
                let message = match self.flavour {
                    Flavour::Postgres => format!(
                        "null value in column \"{}\" of relation \"{table}\" violates not-null constraint (SQLSTATE 23502, table {table})",
                        column.name
                    ),
                    Flavour::Sqlite => {
                        format!("NOT NULL constraint failed: {table}.{}", column.name)
                    }
                };
                return Some(self.violated(&column.name, message));
            }
            let Cell::Text(Some(text)) = cell else { continue };
            if let Some(length) = column.length.filter(|max| text.chars().count() > *max as usize) {
                let kind = &column.kind;
                let message = format!("value too long for type {kind}({length}) (SQLSTATE 22001)");
                return Some(self.violated(&column.name, message));
            }
        }
        None
    }

    /// What the database has to be asked, in the order in which it would find it.
    pub(super) fn questions(&self) -> Result<Vec<Question>, Unmodelled> {
        let mut all = self.conditions();
        all.extend(self.of_keys()?);
        Ok(all)
    }

    /// The same without conditions of rows.
    pub(super) fn of_keys(&self) -> Result<Vec<Question>, Unmodelled> {
        let mut all = Vec::new();
        for unique in &self.shape.uniques {
            all.extend(self.unique(unique)?);
        }
        for parent in &self.shape.parents {
            all.extend(self.parent(parent)?);
        }
        for child in &self.shape.children {
            all.extend(self.child(child)?);
        }
        Ok(all)
    }

    fn violated(&self, constraint: &str, message: String) -> Violated {
        Violated { constraint: constraint.to_owned(), table: self.shape.name.clone(), message }
    }

    /// Those of rows alone.
    pub(super) fn conditions(&self) -> Vec<Question> {
        let after: Vec<&[Cell]> =
            self.changes.iter().filter_map(|change| change.after.as_deref()).collect();
        if after.is_empty() {
            return Vec::new();
        }
        let (name, columns) = (quoted(&self.shape.name), overlay::names(self.shape).join(", "));
        let questions = self.shape.checks.iter().filter_map(|check| {
            let mut known = after.iter().copied().filter(|cells| self.knows(cells, check));
            let first = known.next()?;
            let known = std::iter::once(first).chain(known);
            let rows = overlay::table_of(self.flavour, self.shape, known);
            let condition = &check.text;
            let text = format!(
                "WITH {name}({columns}) AS ({rows}) SELECT 1 AS one FROM {name} WHERE ({condition}) IS FALSE LIMIT 1"
            );
            Some(Question { text, violated: self.broken(check) })
        });
        questions.collect()
    }

    /// A condition does not hold.
    pub(super) fn broken(&self, Check { name, .. }: &Check) -> Violated {
        let table = &self.shape.name;
        let message = match self.flavour {
            Flavour::Postgres => format!(
                "new row for relation \"{table}\" violates check constraint \"{name}\" (SQLSTATE 23514, constraint {name} of table {table})"
            ),
            Flavour::Sqlite => format!("CHECK constraint failed: {name}"),
        };
        self.violated(name, message)
    }

    /// Whether a condition can be asked of a row: of values that nobody knows yet it holds, as far as is known.
    fn knows(&self, cells: &[Cell], check: &Check) -> bool {
        let words = statement::words(self.flavour, &check.text).ok();
        let is_named = |name: &String| words.as_ref().is_none_or(|words| words.contains(name));
        let mut columns = self.shape.columns.iter().zip(cells);
        !columns.any(|(column, cell)| *cell == Cell::Unknown && is_named(&column.name))
    }

    /// Whether a value of a key is made up by the engine: then nobody knows whether another row has it, unless it can be
    /// nobody's.
    fn are_known(&self, columns: &[String], can_be_nobodys: bool) -> Result<(), Unmodelled> {
        let places = self.shape.all(columns)?;
        for cells in self.changes.iter().filter_map(|change| change.after.as_ref()) {
            let made_up = |at: &&usize| cells[**at] == Cell::Unknown;
            let is_null = |at: &usize| cells[*at].is_null(self.flavour);
            let nobodys = |at: &usize| self.shape.columns[*at].is_nobodys();
            let mut unknown = places.iter().filter(made_up).peekable();
            if unknown.peek().is_none() || places.iter().any(is_null) {
                continue;
            }
            if !(can_be_nobodys && unknown.any(nobodys)) {
                return Err(Unmodelled(format!("keys of {} that are made up", self.shape.name)));
            }
        }
        Ok(())
    }

    /// Keys that come, or go, with these changes: those of one side that the other side has not.
    fn keys(&self, columns: &[String], comes: bool) -> Vec<Vec<&str>> {
        let key = |cells: Option<&'_ Vec<Cell>>| {
            cells.and_then(|cells| {
                overlay::key(self.flavour, self.shape, columns, cells)
                    .map(|key| key.into_iter().map(str::to_owned).collect::<Vec<_>>())
            })
        };
        let (mut keys, mut seen) = (Vec::new(), BTreeSet::new());
        for change in self.changes {
            let (own, other) = match comes {
                true => (change.after.as_ref(), change.before.as_ref()),
                false => (change.before.as_ref(), change.after.as_ref()),
            };
            let Some(found) = own
                .filter(|_| key(own) != key(other))
                .and_then(|cells| overlay::key(self.flavour, self.shape, columns, cells))
            else {
                continue;
            };
            if seen.insert(found.clone()) {
                keys.push(found);
            }
        }
        keys
    }

    /// Keys as a table `belay_key(k0, k1, …)`.
    fn table(&self, columns: &[String], keys: &[Vec<&str>]) -> Result<String, Unmodelled> {
        let places = self.shape.all(columns)?;
        let rows = keys.iter().map(|key| {
            let values = key.iter().zip(&places);
            let values =
                values.map(|(text, at)| self.flavour.value(Some(text), &self.shape.columns[*at]));
            format!("({})", values.collect::<Vec<_>>().join(", "))
        });
        let names: Vec<_> = (0..columns.len()).map(|at| format!("k{at}")).collect();
        let rows = rows.collect::<Vec<_>>().join(", ");
        Ok(format!("WITH belay_key({}) AS (VALUES {rows})", names.join(", ")))
    }

    /// The rows of a table, with what the mirror has written, for a question of these columns.
    fn rows_of(&self, table: &str, columns: &[String]) -> Result<String, Unmodelled> {
        match self.overlays.values().find(|overlay| overlay.shape.table == table) {
            Some(overlay) => Ok(format!("({})", overlay.query_of(self.flavour, columns)?)),
            None => Ok(table.to_owned()),
        }
    }

    fn unique(&self, unique: &Unique) -> Result<Option<Question>, Unmodelled> {
        self.are_known(&unique.columns, true)?;
        let keys = self.keys(&unique.columns, true);
        if keys.is_empty() {
            return Ok(None);
        }
        // Engines look row by row: whether a key was free by then, the rows alone do not say.
        let gone: BTreeSet<Vec<&str>> = self.keys(&unique.columns, false).into_iter().collect();
        if keys.iter().any(|key| gone.contains(key)) {
            let what = format!("keys of {} that change hands", self.shape.name);
            return Err(Unmodelled(what));
        }
        let with = self.table(&unique.columns, &keys)?;
        let rows = self.rows_of(&self.shape.table, &unique.columns)?;
        let matches = matching(&unique.columns);
        let places: Vec<_> = (0..unique.columns.len()).map(|at| format!("k{at}")).collect();
        let text = format!(
            "{with} SELECT 1 AS one FROM belay_key JOIN {rows} AS belay_other ON {matches} GROUP BY {} HAVING count(*) > 1 LIMIT 1",
            places.join(", ")
        );
        let (table, name) = (&self.shape.name, &unique.name);
        let message = match self.flavour {
            Flavour::Postgres => format!(
                "duplicate key value violates unique constraint \"{name}\" (SQLSTATE 23505, constraint {name} of table {table})"
            ),
            Flavour::Sqlite => {
                let columns = unique.columns.iter().map(|column| format!("{table}.{column}"));
                let columns = columns.collect::<Vec<_>>().join(", ");
                format!("UNIQUE constraint failed: {columns}")
            }
        };
        Ok(Some(Question { text, violated: self.violated(name, message) }))
    }

    fn parent(&self, parent: &Reference) -> Result<Option<Question>, Unmodelled> {
        self.are_known(&parent.columns, false)?;
        let keys = self.keys(&parent.columns, true);
        if keys.is_empty() {
            return Ok(None);
        }
        let with = self.table(&parent.columns, &keys)?;
        let rows = self.rows_of(&parent.table, &parent.theirs)?;
        let matches = matching(&parent.theirs);
        let text = format!(
            "{with} SELECT 1 AS one FROM belay_key WHERE NOT EXISTS (SELECT 1 FROM {rows} AS belay_other WHERE {matches}) LIMIT 1"
        );
        let (table, name) = (&self.shape.name, &parent.name);
        let message = match self.flavour {
            Flavour::Postgres => format!(
                "insert or update on table \"{table}\" violates foreign key constraint \"{name}\" (SQLSTATE 23503, constraint {name} of table {table})"
            ),
            Flavour::Sqlite => "FOREIGN KEY constraint failed".to_owned(),
        };
        Ok(Some(Question { text, violated: self.violated(name, message) }))
    }

    fn child(&self, child: &Reference) -> Result<Option<Question>, Unmodelled> {
        let keys = self.keys(&child.columns, false);
        if keys.is_empty() {
            return Ok(None);
        }
        if !child.keeps {
            return Err(Unmodelled(format!("what becomes of rows of {}", child.table)));
        }
        let with = self.table(&child.columns, &keys)?;
        let rows = self.rows_of(&child.table, &child.theirs)?;
        let own = self.rows_of(&self.shape.table, &child.columns)?;
        let matches = matching(&child.theirs);
        // Another row may have the key by now, or the same one in another form.
        let still = matching(&child.columns).replace("belay_other.", "belay_own.");
        let text = format!(
            "{with} SELECT 1 AS one FROM belay_key JOIN {rows} AS belay_other ON {matches} WHERE NOT EXISTS (SELECT 1 FROM {own} AS belay_own WHERE {still}) LIMIT 1"
        );
        let (table, name) = (&self.shape.name, &child.name);
        let message = match self.flavour {
            Flavour::Postgres => format!(
                "update or delete on table \"{table}\" violates foreign key constraint \"{name}\" (SQLSTATE 23503, constraint {name})"
            ),
            Flavour::Sqlite => "FOREIGN KEY constraint failed".to_owned(),
        };
        Ok(Some(Question { text, violated: self.violated(name, message) }))
    }
}

fn matching(columns: &[String]) -> String {
    let parts = columns.iter().enumerate();
    let parts = parts.map(|(at, column)| format!("belay_other.{} = k{at}", quoted(column)));
    parts.collect::<Vec<_>>().join(" AND ")
}
