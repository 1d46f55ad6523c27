//! Rows that a mirror has written, and that only it can see.
//!
//! Invariant: what is read of a table with an overlay is what the primary would read after the same writes.

use std::collections::BTreeSet;

use super::{
    Flavour, Unmodelled,
    flavour::quoted,
    shape::{Shape, Unique},
};

/// Rows of one statement, and of one table.
pub(super) const ROWS_MAX: usize = 1_000;
/// What begins the name of a row that only the overlay has.
const OWN: &str = "o:";

/// The value of one column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// As the flavour writes it; nothing for NULL in PostgreSQL.
    Text(Option<String>),
    /// The engine makes one up: nobody knows it before.
    Unknown,
}

/// A row as a statement has found it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its name: of a row of the table, or of the overlay.
    pub(super) row: String,
    /// The transaction that has locked or replaced it, if any has.
    pub(super) locker: String,
    pub(super) cells: Vec<Cell>,
}

/// Of one table.
#[derive(Debug, Clone)]
pub(super) struct Overlay {
    pub(super) shape: std::sync::Arc<Shape>,
    /// A statement has named it with its schema.
    pub(super) by_schema: bool,
    /// Rows of the table that are as they were no more.
    gone: BTreeSet<String>,
    rows: Vec<(u64, Vec<Cell>)>,
    next: u64,
}

impl Overlay {
    pub(super) fn new(shape: std::sync::Arc<Shape>) -> Self {
        Self { shape, by_schema: false, gone: BTreeSet::new(), rows: Vec::new(), next: 0 }
    }

    pub(super) fn remove(&mut self, row: &str) {
        match row.strip_prefix(OWN).map(str::parse::<u64>) {
            Some(Ok(number)) => self.rows.retain(|(known, _)| *known != number),
            Some(Err(_)) | None => drop(self.gone.insert(row.to_owned())),
        }
    }

    pub(super) fn insert(&mut self, cells: Vec<Cell>) -> Result<(), Unmodelled> {
        if self.rows.len() >= ROWS_MAX {
            return Err(Unmodelled(format!("more than {ROWS_MAX} rows of {}", self.shape.name)));
        }
        self.next += 1;
        self.rows.push((self.next, cells));
        Ok(())
    }

    /// A query of its rows, with the name and locker of each if `named`.
    pub(super) fn query(&self, flavour: Flavour, named: bool) -> Result<String, Unmodelled> {
        self.rows(flavour, named, &|_| false)
    }

    /// The same where nobody looks at other columns than these: values that nobody knows are NULL there.
    pub(super) fn query_of(
        &self,
        flavour: Flavour,
        columns: &[String],
    ) -> Result<String, Unmodelled> {
        self.rows(flavour, false, &|column| !columns.iter().any(|it| it == column))
    }

    fn rows(
        &self,
        flavour: Flavour,
        named: bool,
        unseen: &dyn Fn(&str) -> bool,
    ) -> Result<String, Unmodelled> {
        let shape = &self.shape;
        let columns = names(shape).join(", ");
        let (row, locker) = (flavour.row(), flavour.locker());
        let first = if named {
            format!("{row} AS belay_row, {locker} AS belay_locker, ")
        } else {
            String::new()
        };
        let kept = flavour.is_none_of(self.gone.iter().map(String::as_str));
        let table = &shape.table;
        let mut text = format!("SELECT {first}{columns} FROM {table} WHERE {kept}");
        if !self.rows.is_empty() {
            let rows = self.rows.iter().map(|(number, cells)| {
                let first = named.then(|| vec![format!("'{OWN}{number}'"), "'0'".to_owned()]);
                let cells = values(flavour, shape, cells, unseen)?;
                Ok(format!(
                    "({})",
                    first.into_iter().flatten().chain(cells).collect::<Vec<_>>().join(", ")
                ))
            });
            let rows = rows.collect::<Result<Vec<_>, Unmodelled>>()?;
            text = format!("{text} UNION ALL VALUES {}", rows.join(", "));
        }
        Ok(text)
    }

    /// Stands for the table in a statement that names it.
    pub(super) fn in_place(&self, flavour: Flavour) -> Result<String, Unmodelled> {
        let (name, columns) = (quoted(&self.shape.name), names(&self.shape).join(", "));
        let query = self.query(flavour, false)?;
        Ok(format!("{name}({columns}) AS NOT MATERIALIZED ({query})"))
    }
}

pub(super) fn names(shape: &Shape) -> Vec<String> {
    shape.columns.iter().map(|column| quoted(&column.name)).collect()
}

/// The values of a row, as expressions. One that nobody knows is NULL where its column is `unseen`.
pub(super) fn values(
    flavour: Flavour,
    shape: &Shape,
    cells: &[Cell],
    unseen: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, Unmodelled> {
    let values = shape.columns.iter().zip(cells).map(|(column, cell)| match cell {
        Cell::Text(text) => Ok(flavour.value(text.as_deref(), column)),
        Cell::Unknown if unseen(&column.name) => Ok(flavour.value(None, column)),
        Cell::Unknown => {
            let (table, column) = (&shape.name, &column.name);
            Err(Unmodelled(format!("the value that {table}.{column} is given")))
        }
    });
    values.collect()
}

/// Rows that are nowhere, as a table. What nobody knows is NULL.
pub(super) fn table_of<'c>(
    flavour: Flavour,
    shape: &Shape,
    rows: impl Iterator<Item = &'c [Cell]>,
) -> String {
    let rows: Vec<String> = rows
        .map(|cells| {
            let cells = shape.columns.iter().zip(cells).map(|(column, cell)| match cell {
                Cell::Text(text) => flavour.value(text.as_deref(), column),
                Cell::Unknown => flavour.value(None, column),
            });
            format!("({})", cells.collect::<Vec<_>>().join(", "))
        })
        .collect();
    format!("VALUES {}", rows.join(", "))
}

impl Cell {
    pub(super) fn is_null(&self, flavour: Flavour) -> bool {
        match (self, flavour) {
            (Self::Text(None), _) => true,
            (Self::Text(Some(text)), Flavour::Sqlite) => text == "NULL",
            (Self::Text(Some(_)), Flavour::Postgres) | (Self::Unknown, _) => false,
        }
    }
}

/// The values of a key; nothing where one of them is NULL or unknown, and so equal to none.
pub(super) fn key<'c>(
    flavour: Flavour,
    shape: &Shape,
    columns: &[String],
    cells: &'c [Cell],
) -> Option<Vec<&'c str>> {
    let parts = columns.iter().map(|column| {
        let at = shape.columns.iter().position(|known| known.name == *column)?;
        match cells.get(at)? {
            cell if cell.is_null(flavour) => None,
            Cell::Text(text) => text.as_deref(),
            Cell::Unknown => None,
        }
    });
    parts.collect()
}

/// What a row is called among those that write it: by its primary key, if it has one.
pub(super) fn named(flavour: Flavour, shape: &Shape, cells: &[Cell]) -> Option<String> {
    let Unique { columns, .. } = shape.uniques.first()?;
    let key = key(flavour, shape, columns, cells)?;
    Some(format!("{}[{}]", shape.name, key.join(", ")))
}
