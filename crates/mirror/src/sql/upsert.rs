//! `INSERT … ON CONFLICT`: rows whose key is there already are left as they are, or become what the statement says.
//!
//! ```text
//! INSERT INTO stock VALUES ('a', 3)                     WITH excluded AS (VALUES (0, 'a', 3))
//!   ON CONFLICT (name) DO UPDATE                    ──▶ SELECT its row, stock.amount + excluded.amount
//!   SET amount = stock.amount + excluded.amount           FROM stock JOIN excluded ON stock.name = excluded.name
//! ```
//! Rows that are found become an UPDATE, the others an INSERT; both are one write.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use belay_model::Outcome;

use super::{
    Answered, Performed, Unmodelled,
    checks::{Change, Checks},
    database::Database,
    flavour::quoted,
    overlay::{Cell, Found, ROWS_MAX},
    shape::{Shape, Unique},
    statement::{self, DoUpdate, Inserting, Key, Texts, Upsert, proposed},
    writes::{Conditions, answered, found_in, shown},
};

/// Rows that are to be inserted, as a table `excluded`, and how one of them is that of a row which is there.
struct Excluded {
    /// Without values that the engine makes up.
    table: String,
    /// For each key that counts: its columns in the table, and one of them.
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
            return Ok(Performed::of(Outcome::json("null")).refused(violated));
        }
        let mut met = self.met(&shape, (insert, upsert), &rows, params).await?;
        let (mut gone, mut changes) = (Vec::new(), Vec::new());
        for (at, row) in rows.into_iter().enumerate() {
            match met.remove(&at) {
                None => changes.push(inserted(row)),
                Some(Met { change: None, .. }) => {}
                Some(Met { row, change: Some(change) }) => {
                    gone.push(row);
                    changes.push(change);
                }
            }
        }
        let returning = (insert.returning.as_deref(), &insert.target, params);
        let gone: Vec<&Found> = gone.iter().collect();
        self.write((shape, &gone, changes), Conditions::Unknown, returning).await
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
        if let Some(DoUpdate { set, selection }) = &upsert.update {
            let inner = selection.as_ref().map(|it| statement::relations(self.flavour, it));
            if inner.is_some_and(|it| !it.is_empty()) {
                return Err(Unmodelled("DO UPDATE WHERE a query finds something".to_owned()).into());
            }
            (places, more) = self.assigned(shape, set, &mut texts)?;
            let holds = selection.as_ref().map_or("1 = 1".to_owned(), |it| texts.of(it));
            more.push(format!("CAST(CASE WHEN ({holds}) THEN 1 ELSE 0 END AS text)"));
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

    /// Of two with one key the second meets the first, which is not there yet.
    async fn are_proposed_once(
        &mut self,
        table: &str,
        columns: &[String],
        count: usize,
    ) -> Result<(), Unmodelled> {
        if count < 2 {
            return Ok(());
        }
        let known: Vec<_> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
        let (known, columns) = (known.join(" AND "), columns.join(", "));
        let text = format!(
            "WITH {table} SELECT 1 AS one FROM excluded WHERE {known} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1"
        );
        match self.ask(&text, &[]).await?.is_empty() {
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
        let known: Vec<usize> = (0..shape.columns.len())
            .filter(|at| !rows.iter().any(|cells| cells[*at] == Cell::Unknown))
            .collect();
        let values = rows.iter().enumerate().map(|(number, cells)| {
            let values = known.iter().map(|at| {
                let Cell::Text(text) = &cells[*at] else { return "NULL".to_owned() };
                self.flavour.value(text.as_deref(), &shape.columns[*at])
            });
            let all: Vec<_> = [number.to_string()].into_iter().chain(values).collect();
            format!("({})", all.join(", "))
        });
        let names = known.iter().map(|at| quoted(&proposed(&shape.columns[*at].name)));
        let names: Vec<_> = ["belay_n".to_owned()].into_iter().chain(names).collect();
        let values = values.collect::<Vec<_>>().join(", ");
        let table = format!("excluded({}) AS (VALUES {values})", names.join(", "));
        let mut matches = Vec::new();
        for unique in keys(shape, upsert)? {
            let places = shape.all(&unique.columns)?;
            // A value that nobody has yet is in nobody's way.
            if places.iter().any(|at| rows.iter().all(|cells| cells[*at] == Cell::Unknown)) {
                continue;
            }
            if !places.iter().all(|at| known.contains(at)) {
                return Err(Unmodelled(format!("keys of {} that are made up", shape.name)));
            }
            let alias = quoted(&insert.target.alias);
            let parts = unique.columns.iter().map(|column| {
                let (own, other) = (quoted(column), quoted(&proposed(column)));
                format!("{alias}.{own} = excluded.{other}")
            });
            let matched = parts.collect::<Vec<_>>().join(" AND ");
            let columns = unique.columns.iter().map(|column| quoted(&proposed(column)));
            matches.push((columns.collect(), matched));
        }
        Ok(Excluded { table, matches })
    }
}

/// The keys that a row may have already.
fn keys<'s>(shape: &'s Shape, upsert: &Upsert) -> Result<Vec<&'s Unique>, Unmodelled> {
    let counts = |unique: &&Unique| match &upsert.key {
        Key::Any => true,
        Key::Constraint(name) => unique.name == *name,
        Key::Columns(columns) => {
            columns.len() == unique.columns.len()
                && columns.iter().all(|column| unique.columns.contains(column))
        }
    };
    let keys: Vec<&Unique> = shape.uniques.iter().filter(counts).collect();
    match (keys.len(), &upsert.key, &upsert.update) {
        (0, Key::Columns(_) | Key::Constraint(_), _) => {
            Err(Unmodelled(format!("ON CONFLICT of what is no key of {}", shape.name)))
        }
        (2.., _, Some(_)) => Err(Unmodelled(format!("which key of {} it meets", shape.name))),
        _ => Ok(keys),
    }
}
