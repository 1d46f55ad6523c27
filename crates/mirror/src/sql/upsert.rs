//! `INSERT … ON CONFLICT`: rows whose key is there already are left as they are, or become what the statement says.
//!
//! ```text
//! INSERT INTO stock VALUES ('a', 3)                     WITH excluded AS (VALUES (0, 'a', 3))
//!   ON CONFLICT (name) DO UPDATE                    ──▶ SELECT its row, stock.amount + excluded.amount
//!   SET amount = stock.amount + excluded.amount           FROM stock JOIN excluded ON stock.name = excluded.name
//! ```
//! Rows that are found become an UPDATE, the others an INSERT; both are one write.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use belay_model::Outcome;

use super::{
    Answered, Flavour, Performed, Unmodelled,
    checks::{Change, Checks},
    database::Database,
    flavour::quoted,
    names,
    overlay::{Cell, Found, ROWS_MAX},
    shape::{Shape, Unique},
    statement::{self, DoUpdate, Inserting, Key, Texts, Upsert, proposed},
    writes::{Conditions, InHand, answered, found_in, shown},
};

/// Rows that are to be inserted, as a table `excluded`, and how one of them is that of a row which is there.
struct Excluded {
    /// Without values that the engine makes up.
    table: String,
    /// For each key that counts: its columns in the table, none where it meets nothing, and when a row meets one of them.
    matches: Vec<(Vec<String>, String)>,
}

/// A row that is in the way of a proposed one.
struct Met {
    row: Found,
    /// What it becomes, if it does.
    change: Option<Change>,
}

impl Database {
    pub(super) async fn upsert(
        &mut self,
        shape: Arc<Shape>,
        (insert, upsert): (&Inserting, &Upsert),
        rows: Vec<Vec<Cell>>,
        params: &[Value],
    ) -> Answered<Performed> {
        // Conditions have to hold for what is proposed, also where it comes to nothing.
        let inserted = |after: Vec<Cell>| Change { before: None, after: Some(after) };
        let changes: Vec<Change> = rows.iter().cloned().map(inserted).collect();
        let overlays = BTreeMap::new();
        let (flavour, changes) = (self.flavour, &changes[..]);
        let checks = Checks { flavour, shape: &shape, overlays: &overlays, changes };
        let violated = match checks.of_values() {
            Some(violated) => Some(violated),
            None => self.first_violated(checks.conditions()).await?,
        };
        if let Some(violated) = violated {
            if rows.len() > 1 && upsert.update.is_some() {
                // Another may be refused before it, for what it would become.
                return Err(Unmodelled("which row is refused first".to_owned()).into());
            }
            let mut performed = Performed::of(Outcome::json("null"));
            performed.keys = self.keys(&shape, rows.iter().map(Vec::as_slice));
            return Ok(performed.refused(violated));
        }
        let mut met = self.met(&shape, (insert, upsert), &rows, params).await?;
        let (mut gone, mut held, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for (at, row) in rows.into_iter().enumerate() {
            match met.remove(&at) {
                None => changes.push(inserted(row)),
                // DO UPDATE locks also what it leaves as it is. DO NOTHING waits for who has written a row, but not for who
                // has only locked it, and `Found::locker` may be either: nobody is said to be in its way.
                Some(Met { row, change: None }) if upsert.update.is_some() => held.push(row),
                Some(Met { change: None, .. }) => {}
                Some(Met { row, change: Some(change) }) => {
                    gone.push(row);
                    changes.push(change);
                }
            }
        }
        let returning = (insert.returning.as_deref(), &insert.target, params);
        let rows = InHand { gone: &gone, held: &held };
        self.write((shape, rows, changes), Conditions::Unknown, returning).await
    }

    /// What is in the way of proposed rows, by their places.
    async fn met(
        &mut self,
        shape: &Arc<Shape>,
        (insert, upsert): (&Inserting, &Upsert),
        rows: &[Vec<Cell>],
        params: &[Value],
    ) -> Answered<BTreeMap<usize, Met>> {
        let excluded = self.excluded(shape, insert, (upsert, rows))?;
        let (mut texts, mut places, mut more) = (Texts::default(), Vec::new(), Vec::new());
        if let Some(update) = &upsert.update {
            (places, more) = self.updated(shape, (insert, update), &mut texts)?;
        }
        more.push("CAST(excluded.belay_n AS text)".to_owned());
        let params = texts.params(params)?;
        let (all, alias) = (shown(self.flavour, shape, &more), quoted(&insert.target.alias));
        let mut met = BTreeMap::new();
        for (columns, matches) in &excluded.matches {
            self.are_proposed_once(&excluded.table, columns, rows.len()).await?;
            let (with, rows) = (&excluded.table, self.rows_of(shape)?);
            let text = format!(
                "WITH {with} SELECT {all} FROM ({rows}) AS {alias} JOIN excluded ON {matches} LIMIT {}",
                ROWS_MAX + 1
            );
            let table = &shape.table;
            let likeness = format!("SELECT {all} FROM {table} AS {alias} ON CONFLICT {matches}");
            let outcome = self.derived(&text, &params, &likeness).await?;
            let first = 2 + shape.columns.len() + places.len();
            for answer in answered(&outcome) {
                let row = found_in(&answer, shape);
                let told = |at: usize| answer[first + at].as_str().unwrap_or_default();
                let (change, at) = match &upsert.update {
                    None => (None, told(0)),
                    Some(_) if told(0) != "1" => (None, told(1)),
                    Some(_) => (Some(self.changed(shape, &row, (&answer, &places))?), told(1)),
                };
                let at = at.parse().map_err(|_| Unmodelled("which row is there".to_owned()))?;
                met.insert(at, Met { row, change });
            }
        }
        Ok(met)
    }

    /// The columns that DO UPDATE sets, and what is asked for it: what to, and whether it does so at all.
    fn updated(
        &self,
        shape: &Shape,
        (insert, DoUpdate { set, selection }): (&Inserting, &DoUpdate),
        texts: &mut Texts,
    ) -> Result<(Vec<usize>, Vec<String>), Unmodelled> {
        let (places, mut more) = self.assigned((shape, &insert.target), set, texts)?;
        let Some(selection) = selection else {
            more.push("'1'".to_owned());
            return Ok((places, more));
        };
        if !statement::relations(self.flavour, selection).is_empty() {
            return Err(Unmodelled("DO UPDATE WHERE a query finds something".to_owned()));
        }
        names::shows_no_rows(self.flavour, (shape, &insert.target.alias), selection)?;
        let holds = texts.of(selection);
        // Where it does not hold, nothing is computed that could fail.
        for value in &mut more {
            *value = format!("CASE WHEN ({holds}) THEN {value} END");
        }
        more.push(format!("CASE WHEN ({holds}) THEN '1' ELSE '0' END"));
        Ok((places, more))
    }

    /// Of two with one key the second meets the first, which is not there yet.
    async fn are_proposed_once(
        &mut self,
        table: &str,
        columns: &[String],
        count: usize,
    ) -> Result<(), Unmodelled> {
        if count < 2 || columns.is_empty() {
            return Ok(());
        }
        let known: Vec<_> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
        let (known, columns) = (known.join(" AND "), columns.join(", "));
        let text = format!(
            "WITH {table} SELECT 1 AS one FROM excluded WHERE {known} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1"
        );
        match self.ask_alike(&text, &[], "rows of one key").await?.is_empty() {
            true => Ok(()),
            false => Err(Unmodelled("rows of one key in one statement".to_owned())),
        }
    }

    fn excluded(
        &self,
        shape: &Shape,
        insert: &Inserting,
        (upsert, rows): (&Upsert, &[Vec<Cell>]),
    ) -> Result<Excluded, Unmodelled> {
        let is_unknown = |at: usize| move |cells: &Vec<Cell>| cells[at] == Cell::Unknown;
        let known: Vec<usize> =
            (0..shape.columns.len()).filter(|at| !rows.iter().any(is_unknown(*at))).collect();
        let mut matches = Vec::new();
        for unique in keys(shape, upsert)? {
            let places = shape.all(&unique.columns)?;
            let alias = quoted(&insert.target.alias);
            let parts = unique.columns.iter().map(|column| {
                let (own, other) = (quoted(column), quoted(&proposed(column)));
                format!("{alias}.{own} = excluded.{other}")
            });
            let columns = unique.columns.iter().map(|column| quoted(&proposed(column)));
            let sets = |DoUpdate { set, .. }: &DoUpdate| {
                set.iter().any(|(column, _)| unique.columns.contains(column))
            };
            if rows.len() > 1 && upsert.update.as_ref().is_some_and(sets) {
                // The next row may meet what this one becomes.
                return Err(Unmodelled("several rows, and SET of the key they meet".to_owned()));
            }
            let nobodys =
                |at: &&usize| shape.columns[**at].is_nobodys() && rows.iter().all(is_unknown(**at));
            if places.iter().all(|at| known.contains(at)) {
                matches.push((columns.collect(), parts.collect::<Vec<_>>().join(" AND ")));
            } else if places.iter().find(nobodys).is_some() {
                // It is in nobody's way; whether DO UPDATE can be understood is for the server to say.
                if upsert.update.is_some() {
                    matches.push((Vec::new(), "1 = 0".to_owned()));
                }
            } else {
                return Err(Unmodelled(format!("keys of {} that are made up", shape.name)));
            }
        }
        Ok(Excluded { table: self.proposed(shape, &known, rows), matches })
    }

    /// The table `excluded`, with the columns that are known.
    ///
    /// It is MATERIALIZED lest what is computed of a single row fails before its condition is looked at.
    fn proposed(&self, shape: &Shape, known: &[usize], rows: &[Vec<Cell>]) -> String {
        let row = |number: usize, cells: &[Cell]| {
            let values = known.iter().map(|at| {
                let text = match cells.get(*at) {
                    Some(Cell::Text(text)) => text.as_deref(),
                    Some(Cell::Unknown) | None => None,
                };
                let value = self.flavour.value(text, &shape.columns[*at]);
                // SQLite's own excluded has no affinity, which a CAST has.
                let sign = if self.flavour == Flavour::Sqlite { "+" } else { "" };
                if value.starts_with("CAST") { format!("{sign}{value}") } else { value }
            });
            let all: Vec<_> = [number.to_string()].into_iter().chain(values).collect();
            all.join(", ")
        };
        let names = known.iter().map(|at| quoted(&proposed(&shape.columns[*at].name)));
        let names: Vec<_> = ["belay_n".to_owned()].into_iter().chain(names).collect();
        let numbered = rows.iter().enumerate();
        let all: Vec<_> = numbered.map(|(at, cells)| format!("({})", row(at, cells))).collect();
        let rows = match all.is_empty() {
            true => format!("SELECT {} WHERE 1 = 0", row(0, &[])),
            false => format!("VALUES {}", all.join(", ")),
        };
        format!("excluded({}) AS MATERIALIZED ({rows})", names.join(", "))
    }
}

/// The keys that a row may have already.
fn keys<'s>(shape: &'s Shape, upsert: &Upsert) -> Result<Vec<&'s Unique>, Unmodelled> {
    let counts = |unique: &&Unique| match &upsert.key {
        Key::Any => true,
        Key::Constraint(name) => unique.constraint && unique.name == *name,
        Key::Columns(columns) => {
            unique.columns.iter().collect::<BTreeSet<_>>() == columns.iter().collect()
        }
    };
    let keys: Vec<&Unique> = shape.uniques.iter().filter(counts).collect();
    match (keys.len(), &upsert.key, &upsert.update) {
        (0, Key::Columns(_) | Key::Constraint(_), _) | (0, Key::Any, Some(_)) => {
            Err(Unmodelled(format!("ON CONFLICT of what is no key of {}", shape.name)))
        }
        (2.., _, Some(_)) => Err(Unmodelled(format!("which key of {} it meets", shape.name))),
        _ => Ok(keys),
    }
}
