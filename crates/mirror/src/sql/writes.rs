//! Writes that are not made: which rows a statement would write, and what they would be.
//!
//! Each is one question that finds the rows as the mirror sees them, with what every column would become; the answer goes
//! to the overlay, if all that has to hold for it does.

use std::{collections::BTreeMap, sync::Arc};

use belay_host::code;
use belay_model::{EffectError, Outcome};
use serde_json::Value;
use sqlparser::ast::{Expr, SelectItem};

use super::{
    Answered, Catalog, Flavour, Performed, Unmodelled,
    checks::{Change, Checks, Violated},
    database::{self, Database},
    flavour::quoted,
    names,
    overlay::{self, Cell, Found, Overlay, ROWS_MAX},
    postgres,
    shape::{Affinity, Shape},
    statement::{self, Inserting, Source, Target, Texts, Updating},
};

/// What a statement would leave.
pub(super) struct Written {
    shape: Arc<Shape>,
    /// The overlays as they would be after it.
    overlays: BTreeMap<String, Overlay>,
    changes: Vec<Change>,
    pub(super) conditions: Conditions,
}

/// Rows that a write finds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct InHand<'f> {
    /// That go, or become others.
    pub(super) gone: &'f [Found],
    /// That are locked, and stay as they are.
    pub(super) held: &'f [Found],
}

/// What is known of the conditions of a table, for rows as they would become.
#[derive(Debug, Clone, Copy)]
pub(super) enum Conditions {
    Unknown,
    Hold,
    /// The first one that does not hold for one of them.
    Broken(usize),
}

impl Written {
    pub(super) fn checks(&self, database: &Database) -> Checks<'_> {
        Checks {
            flavour: database.flavour,
            shape: &self.shape,
            overlays: &self.overlays,
            changes: &self.changes,
        }
    }
}

impl Database {
    /// The rows that a condition finds, with what `more` says of each: the new values of the columns `set`, if any are.
    async fn find(
        &mut self,
        (shape, target): (&Arc<Shape>, &Target),
        (more, selection): (&[String], Option<&Expr>),
        (mut texts, params): (Texts, &[Value]),
        set: &[usize],
    ) -> Answered<Vec<Value>> {
        let relations = selection.map(|it| statement::relations(self.flavour, it));
        self.has_no_views(relations.iter().flatten()).await?;
        if let Some(selection) = selection {
            names::shows_no_rows(self.flavour, (shape, &target.alias), selection)?;
        }
        let with = self.in_place(relations.iter().flatten())?;
        let rows = self.rows_of(shape)?;
        let all = shown(self.flavour, shape, more);
        let (with, alias) = (with_clause(&with), quoted(&target.alias));
        let selection = selection.map(|it| format!(" WHERE {}", texts.of(it))).unwrap_or_default();
        let limit = ROWS_MAX + 1;
        let text = format!("SELECT {all} FROM ({rows}) AS {alias}{selection} LIMIT {limit}");
        let text = match self.flavour {
            Flavour::Postgres if !set.is_empty() => postgres::with_checks(shape, set, &text),
            Flavour::Postgres | Flavour::Sqlite => text,
        };
        let text = format!("{with}{text}");
        let likeness = format!("SELECT {all} FROM {} AS {alias}{selection}", shape.table);
        let outcome = self.derived(&text, &texts.params(params)?, &likeness).await?;
        let rows = answered(&outcome);
        if rows.len() > ROWS_MAX {
            return Err(Unmodelled(format!("more than {ROWS_MAX} rows of {}", shape.name)).into());
        }
        Ok(rows)
    }

    /// A query of the rows of a table as the mirror sees them, with the name and locker of each.
    pub(super) fn rows_of(&self, shape: &Arc<Shape>) -> Result<String, Unmodelled> {
        match self.overlays.get(&shape.table) {
            Some(overlay) => overlay.query(self.flavour, true),
            None => Overlay::new(Arc::clone(shape)).query(self.flavour, true),
        }
    }

    /// What has the rows in hand that a statement finds, and who else.
    pub(super) async fn locked(
        &mut self,
        shape: &Arc<Shape>,
        target: &Target,
        (selection, params): (Option<&Expr>, &[Value]),
    ) -> Answered<Performed> {
        let texts = Texts::default();
        let (of, params) = ((shape, target), (texts, params));
        let found = self.find(of, (&[], selection), params, &[]).await?;
        let found: Vec<Found> = found.iter().map(|row| found_in(row, shape)).collect();
        let mut performed = Performed::of(Outcome::json("null"));
        performed.keys = self.keys(shape, found.iter().map(|row| &row.cells[..]));
        performed.blockers = self.lockers_of_rows(shape, lockers(&found)).await?;
        Ok(performed)
    }

    /// What others that write the same have in common with it. An SQLite file has one writer at a time.
    pub(super) fn keys<'c>(
        &self,
        shape: &Shape,
        rows: impl Iterator<Item = &'c [Cell]>,
    ) -> Vec<String> {
        match self.flavour {
            Flavour::Sqlite => vec![self.name().to_owned()],
            Flavour::Postgres => {
                let keys = rows.filter_map(|cells| overlay::named(self.flavour, shape, cells));
                keys.map(|key| format!("{}.{key}", self.name())).collect()
            }
        }
    }

    pub(super) async fn update(
        &mut self,
        shape: Arc<Shape>,
        update: &Updating,
        params: &[Value],
    ) -> Answered<Performed> {
        let mut texts = Texts::default();
        let (places, more) = self.assigned((&shape, &update.target), &update.set, &mut texts)?;
        let selection = update.selection.as_ref();
        let (target, of) = ((&shape, &update.target), (texts, params));
        let answered = self.find(target, (&more, selection), of, &places).await?;
        let found: Vec<Found> = answered.iter().map(|row| found_in(row, &shape)).collect();
        let changes = found.iter().zip(&answered);
        let changes = changes.map(|(row, answer)| self.changed(&shape, row, (answer, &places)));
        let changes = changes.collect::<Result<Vec<_>, _>>()?;
        let told = 2 + shape.columns.len() + places.len();
        let broken = answered.iter().filter_map(|row| usize::try_from(row[told].as_u64()?).ok());
        let conditions = match (self.flavour, broken.min()) {
            (Flavour::Sqlite, _) => Conditions::Unknown,
            (Flavour::Postgres, None) => Conditions::Hold,
            (Flavour::Postgres, Some(at)) => Conditions::Broken(at),
        };
        let rows = InHand { gone: &found, held: &[] };
        let returning = (update.returning.as_deref(), &update.target, params);
        self.write((shape, rows, changes), conditions, returning).await
    }

    /// The columns that are set, and what to.
    pub(super) fn assigned(
        &self,
        (shape, target): (&Shape, &Target),
        set: &[(String, Expr)],
        texts: &mut Texts,
    ) -> Result<(Vec<usize>, Vec<String>), Unmodelled> {
        let set = set.iter().map(|(name, expr)| {
            let at = shape.at(name)?;
            if shape.columns[at].made_up {
                return Err(Unmodelled(format!("SET {name}, which the engine makes up")));
            }
            if !statement::relations(self.flavour, expr).is_empty() {
                return Err(Unmodelled(format!("SET {name} to what a query finds")));
            }
            names::shows_no_rows(self.flavour, (shape, &target.alias), expr)?;
            Ok((at, self.flavour.stored(&texts.of(expr), &shape.columns[at])))
        });
        let set = set.collect::<Result<Vec<_>, _>>()?;
        Ok(set.into_iter().unzip())
    }

    /// A row that was found, and what it becomes: the answer has the values of the columns at `places` behind those of the row.
    pub(super) fn changed(
        &self,
        shape: &Shape,
        row: &Found,
        (answer, places): (&Value, &[usize]),
    ) -> Result<Change, Unmodelled> {
        let mut after = row.cells.clone();
        for (place, at) in places.iter().enumerate() {
            let value = cell(&answer[2 + shape.columns.len() + place]);
            fits(self.flavour, shape, *at, &value)?;
            after[*at] = value;
        }
        Ok(Change { before: Some(row.cells.clone()), after: Some(after) })
    }

    pub(super) async fn delete(
        &mut self,
        shape: Arc<Shape>,
        target: &Target,
        (selection, returning, params): (Option<&Expr>, Option<&[SelectItem]>, &[Value]),
    ) -> Answered<Performed> {
        let texts = Texts::default();
        let of = (texts, params);
        let found = self.find((&shape, target), (&[], selection), of, &[]).await?;
        let found: Vec<Found> = found.iter().map(|row| found_in(row, &shape)).collect();
        let rows = InHand { gone: &found, held: &[] };
        let changes =
            found.iter().map(|row| Change { before: Some(row.cells.clone()), after: None });
        let changes = changes.collect();
        self.write((shape, rows, changes), Conditions::Hold, (returning, target, params)).await
    }

    pub(super) async fn insert(
        &mut self,
        shape: Arc<Shape>,
        (insert, defaults): (&Inserting, Vec<Cell>),
        params: &[Value],
    ) -> Answered<Performed> {
        let columns = columns(insert, &shape)?;
        if let Source::Query(query) = &insert.source {
            let relations = statement::relations(self.flavour, &**query);
            self.has_no_views(relations.iter()).await?;
        }
        let mut texts = Texts::default();
        let given = self.given(insert, &shape, &columns, &mut texts)?;
        let rows = match given {
            None => vec![Value::Array(Vec::new())],
            Some(text) => {
                let (text, likeness) = text;
                let outcome = self.derived(&text, &texts.params(params)?, &likeness).await?;
                answered(&outcome)
            }
        };
        if rows.len() > ROWS_MAX {
            return Err(Unmodelled(format!("more than {ROWS_MAX} rows of {}", shape.name)).into());
        }
        let mut proposed = Vec::new();
        for row in &rows {
            let mut after = defaults.clone();
            for (place, at) in columns.iter().enumerate() {
                let value = Cell::Text(row[place].as_str().map(str::to_owned));
                let column = &shape.columns[*at];
                after[*at] = match (column.made_up, self.flavour) {
                    (true, Flavour::Sqlite) if value.is_null(self.flavour) => Cell::Unknown,
                    (true, Flavour::Postgres) => {
                        let what = format!("a value for the identity {}", column.name);
                        return Err(Unmodelled(what).into());
                    }
                    (true, Flavour::Sqlite) | (false, _) => value,
                };
                fits(self.flavour, &shape, *at, &after[*at])?;
            }
            proposed.push(after);
        }
        if let Some(upsert) = &insert.on_conflict {
            return self.upsert(shape, (insert, upsert), proposed, params).await;
        }
        let inserted = |after| Change { before: None, after: Some(after) };
        let changes = proposed.into_iter().map(inserted).collect();
        let returning = (insert.returning.as_deref(), &insert.target, params);
        self.write((shape, InHand::default(), changes), Conditions::Unknown, returning).await
    }

    /// A query of the rows that are to be inserted, by `columns`, and what it is like.
    fn given(
        &self,
        insert: &Inserting,
        shape: &Shape,
        columns: &[usize],
        texts: &mut Texts,
    ) -> Result<Option<(String, String)>, Unmodelled> {
        match &insert.source {
            Source::Defaults => Ok(None),
            Source::Rows(rows) => {
                let rows = rows.iter().map(|row| self.values(row, shape, columns, texts));
                let rows = rows.collect::<Result<Vec<_>, _>>()?;
                let text = format!("VALUES {}", rows.join(", "));
                Ok(Some((text.clone(), text)))
            }
            Source::Query(query) => {
                let relations = statement::relations(self.flavour, &**query);
                let with = self.in_place(relations.iter())?;
                let names: Vec<_> = (0..columns.len()).map(|at| format!("v{at}")).collect();
                let values = columns.iter().zip(&names);
                let values =
                    values.map(|(at, name)| self.flavour.stored(name, &shape.columns[*at]));
                let values: Vec<_> =
                    values.enumerate().map(|(at, text)| format!("{text} AS c{at}")).collect();
                let (values, names) = (values.join(", "), names.join(", "));
                let (with, query) = (with_clause(&with), texts.of(&**query));
                // The names of a query's columns are those that its place gives them, in either engine.
                let rest = format!(
                    "belay_given({names}) AS ({query}) SELECT {values} FROM belay_given LIMIT {}",
                    ROWS_MAX + 1
                );
                let first = if with.is_empty() { "WITH" } else { "," };
                Ok(Some((format!("{with}{first} {rest}"), rest)))
            }
        }
    }

    /// One row of VALUES.
    fn values(
        &self,
        row: &[Option<Expr>],
        shape: &Shape,
        columns: &[usize],
        texts: &mut Texts,
    ) -> Result<String, Unmodelled> {
        if row.len() != columns.len() {
            return Err(Unmodelled("a row that does not have a value for each column".to_owned()));
        }
        let values = row.iter().zip(columns).map(|(expr, at)| match expr {
            None => Err(Unmodelled("DEFAULT among values".to_owned())),
            Some(expr) if !statement::relations(self.flavour, expr).is_empty() => {
                Err(Unmodelled("VALUES that a query finds".to_owned()))
            }
            Some(expr) => Ok(self.flavour.stored(&texts.of(expr), &shape.columns[*at])),
        });
        Ok(format!("({})", values.collect::<Result<Vec<_>, _>>()?.join(", ")))
    }

    /// A row of what columns have where nothing is given for them.
    pub(super) async fn defaults(
        &mut self,
        catalog: &Catalog,
        shape: &Shape,
        insert: &Inserting,
    ) -> Answered<Vec<Cell>> {
        let given = columns(insert, shape)?;
        let mut row = vec![Cell::Text(None); shape.columns.len()];
        let mut asked = Vec::new();
        for (at, column) in shape.columns.iter().enumerate() {
            if given.contains(&at) {
                continue;
            }
            match &column.default {
                _ if column.made_up => row[at] = Cell::Unknown,
                None if self.flavour == Flavour::Sqlite => {
                    row[at] = Cell::Text(Some("NULL".to_owned()));
                }
                None => {}
                Some(text) if self.is_harmless(catalog, text).await.is_ok() => {
                    asked.push((at, self.flavour.stored(text, column)));
                }
                Some(_) => row[at] = Cell::Unknown,
            }
        }
        if asked.is_empty() {
            return Ok(row);
        }
        let texts: Vec<_> =
            asked.iter().enumerate().map(|(at, (_, text))| format!("{text} AS c{at}")).collect();
        let text = format!("SELECT {}", texts.join(", "));
        let outcome = self.derived(&text, &[], &text).await?;
        let values = answered(&outcome);
        for (place, (at, _)) in asked.iter().enumerate() {
            let value = values.first().and_then(|values| values[place].as_str());
            row[*at] = Cell::Text(value.map(str::to_owned));
        }
        Ok(row)
    }

    /// Takes changes into the overlay, if they may be.
    pub(super) async fn write(
        &mut self,
        (shape, rows, changes): (Arc<Shape>, InHand<'_>, Vec<Change>),
        conditions: Conditions,
        (returning, target, params): (Option<&[SelectItem]>, &Target, &[Value]),
    ) -> Answered<Performed> {
        let mut overlays = self.overlays.clone();
        let overlay =
            overlays.entry(shape.table.clone()).or_insert_with(|| Overlay::new(Arc::clone(&shape)));
        overlay.by_schema |= target.name.schema.is_some();
        rows.gone.iter().for_each(|found| overlay.remove(&found.row));
        for change in &changes {
            if let Some(after) = &change.after {
                overlay.insert(after.clone())?;
            }
        }
        let written = Written { shape, overlays, changes, conditions };
        let violated = self.violated(&written).await?;
        let mut performed = Performed::of(Outcome::json("null"));
        let known = written.changes.iter();
        let known = known.filter_map(|it| it.before.as_deref().or(it.after.as_deref()));
        let held = rows.held.iter().map(|found| &found.cells[..]);
        performed.keys = self.keys(&written.shape, known.chain(held));
        if let Some(violated) = violated {
            return Ok(performed.refused(violated));
        }
        performed.blockers = self
            .lockers_of_rows(&written.shape, lockers(rows.gone.iter().chain(rows.held)))
            .await?;
        performed.outcome = match returning {
            Some(items) => self.returned(&written, items, target, params).await?,
            None => changed(written.changes.len(), "[]", "[]"),
        };
        self.overlays = written.overlays;
        Ok(performed)
    }

    /// Whether RETURNING says nothing of values that nobody knows yet.
    fn unseen(&self, Written { shape, changes, .. }: &Written, items: &[SelectItem]) -> bool {
        let is_known = |name: &str| {
            let mut after = changes.iter().filter_map(|change| change.after.as_ref());
            shape.at(name).is_ok_and(|at| after.all(|cells| cells[at] != Cell::Unknown))
        };
        items.iter().all(|item| names::names_only(self.flavour, item, &is_known))
    }

    /// What RETURNING says of the rows that were written.
    async fn returned(
        &mut self,
        written: &Written,
        items: &[SelectItem],
        target: &Target,
        params: &[Value],
    ) -> Answered<Outcome> {
        let mut texts = Texts::default();
        let inner = items.iter().any(|it| !statement::relations(self.flavour, it).is_empty());
        if inner {
            return Err(Unmodelled("RETURNING what a query finds".to_owned()).into());
        }
        let of_table = |it: &SelectItem| matches!(it, SelectItem::QualifiedWildcard(..));
        if self.flavour == Flavour::Sqlite && items.iter().any(of_table) {
            return Err(Unmodelled("RETURNING table.* in SQLite".to_owned()).into());
        }
        let Written { shape, changes, .. } = written;
        let unseen = self.unseen(written, items);
        let items: Vec<_> = items.iter().map(|item| texts.of(item)).collect();
        let rows = changes.iter().filter_map(|it| it.after.as_ref().or(it.before.as_ref()));
        let rows = rows.map(|cells| {
            let values = overlay::values(self.flavour, shape, cells, &|_| unseen)?;
            Ok(format!("({})", values.join(", ")))
        });
        let rows = rows.collect::<Result<Vec<_>, Unmodelled>>()?;
        // In SQLite, RETURNING does not know another name of the table.
        let alias = match self.flavour {
            Flavour::Postgres => quoted(&target.alias),
            Flavour::Sqlite => quoted(&target.name.name),
        };
        let names = overlay::names(shape).join(", ");
        let count = rows.len();
        let rows = match rows.is_empty() {
            true => {
                let table = &shape.table;
                format!("SELECT {names} FROM {table} WHERE 1 = 0")
            }
            false => format!("VALUES {}", rows.join(", ")),
        };
        let items = items.join(", ");
        let text = format!("WITH {alias}({names}) AS ({rows}) SELECT {items} FROM {alias}");
        let likeness = format!("RETURNING {items} OF {alias}({names}) OF {}", shape.table);
        let outcome = self.derived(&text, &texts.params(params)?, &likeness).await?;
        let Outcome::Ok { value, .. } = &outcome else { return Ok(outcome) };
        let answer: Value = serde_json::from_str(value).unwrap_or_default();
        Ok(changed(count, &answer["columns"].to_string(), &answer["rows"].to_string()))
    }
}

impl Performed {
    pub(super) fn refused(mut self, violated: Violated) -> Self {
        let Violated { constraint, table, message } = violated;
        let of_data = message.contains("SQLSTATE 22");
        let code = if of_data { code::SQL_FAILED } else { code::SQL_CONSTRAINT };
        self.outcome = Outcome::Err(EffectError { code: code.to_owned(), message });
        self.violated = Some((constraint, table));
        self
    }
}

/// What is asked of rows: the name and locker of each, the text of each column, and more.
pub(super) fn shown(flavour: Flavour, shape: &Shape, more: &[String]) -> String {
    let columns = shape.columns.iter().map(|column| flavour.shown(column));
    let first = ["belay_row".to_owned(), "belay_locker".to_owned()];
    let all = first.into_iter().chain(columns).chain(more.iter().cloned());
    let all: Vec<_> = all.enumerate().map(|(at, it)| format!("{it} AS c{at}")).collect();
    all.join(", ")
}

/// The columns that values are given for.
fn columns(insert: &Inserting, shape: &Shape) -> Result<Vec<usize>, Unmodelled> {
    match insert.columns.is_empty() && !matches!(insert.source, Source::Defaults) {
        true => Ok((0..shape.columns.len()).collect()),
        false => shape.all(&insert.columns),
    }
}

fn changed(count: usize, columns: &str, rows: &str) -> Outcome {
    Outcome::json(format!(r#"{{"columns":{columns},"rows":{rows},"changed":{count}}}"#))
}

fn with_clause(with: &[String]) -> String {
    if with.is_empty() { String::new() } else { format!("WITH {} ", with.join(", ")) }
}

/// Others that have locked or replaced some of these.
fn lockers<'f>(rows: impl IntoIterator<Item = &'f Found>) -> Vec<String> {
    rows.into_iter().map(|row| row.locker.clone()).filter(|it| it != "0").collect()
}

pub(super) fn answered(outcome: &Outcome) -> Vec<Value> {
    match outcome {
        Outcome::Ok { value, .. } => database::rows(value),
        Outcome::Err(_) => Vec::new(),
    }
}

fn cell(value: &Value) -> Cell {
    Cell::Text(value.as_str().map(str::to_owned))
}

pub(super) fn found_in(row: &Value, shape: &Shape) -> Found {
    let text = |at: usize| row[at].as_str().unwrap_or_default().to_owned();
    let cells = (0..shape.columns.len()).map(|at| cell(&row[at + 2])).collect();
    Found { row: text(0), locker: text(1), cells }
}

/// A text that SQLite would try to make a number of is not modelled, nor is what has no text.
fn fits(flavour: Flavour, shape: &Shape, at: usize, value: &Cell) -> Result<(), Unmodelled> {
    let column = &shape.columns[at];
    let is_text = matches!(value, Cell::Text(Some(text)) if text.starts_with('\''));
    let numeric = matches!(column.affinity, Affinity::Numeric | Affinity::Real);
    if flavour == Flavour::Sqlite && is_text && numeric {
        return Err(Unmodelled(format!("a text as {}.{}", shape.name, column.name)));
    }
    Ok(())
}
