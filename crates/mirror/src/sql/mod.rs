//! Databases as a mirror sees them: reads are real, writes go to an overlay that later reads see.
//!
//! ```text
//! SELECT sum FROM account WHERE name = $1       WITH account AS (its rows but those written, and those written) SELECT …
//! UPDATE account SET sum = sum - $1 WHERE …     SELECT every row that it finds, with what it would become; then CHECKs,
//!                                               UNIQUE and FOREIGN KEYs as questions about these rows
//! ```
//! - [`statement`] reads a statement, [`names`] what its expressions name; [`catalog`] keeps what was asked lately; [`flavour`] is what the engines say differently; [`shape`] is a table, which
//!   [`postgres`] and [`sqlite`] find in their catalogs;
//! - [`overlay`] holds the rows that were written, [`writes`] makes them, [`upsert`] where there may be some already, [`checks`] asks whether they may be;
//! - [`database`] is one database of one mirror.
//!
//! Modelled is INSERT, UPDATE and DELETE of one table that has no triggers, rules or policies, and reads that call nothing
//! but what PostgreSQL knows as IMMUTABLE or STABLE. Everything else is [`Unmodelled`].
//!
//! Invariants: nothing is written, no lock is taken that anybody waits for, and nothing is called that may do either; what
//! is not understood is not guessed.

mod catalog;
mod checks;
mod database;
mod flavour;
mod names;
mod overlay;
mod postgres;
mod shape;
mod sqlite;
mod statement;
mod upsert;
mod writes;

use std::collections::BTreeMap;

use belay_host::AppHost;
use belay_model::{Call, EffectError, Outcome};
use serde_json::Value;

pub(crate) use self::catalog::Catalog;
use self::{database::Database, flavour::Flavour};

/// Where prediction ends, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unmodelled(pub(crate) String);

/// What has come of a statement.
#[derive(Debug)]
pub(crate) struct Performed {
    pub(crate) outcome: Outcome,
    /// Rows that it has in hand, by their names.
    pub(crate) keys: Vec<String>,
    pub(crate) violated: Option<(String, String)>,
    pub(crate) blockers: Vec<Blocker>,
}

/// Another transaction that is in the way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blocker {
    /// The table.
    pub(crate) what: String,
    /// The number of the transaction, if it has one.
    pub(crate) number: String,
    /// By which it is told apart from all others.
    holder: String,
    /// How long it has been going on, or since when it is known, where the role is not told.
    pub(crate) age_ms: Option<f64>,
    /// Others that wait for it.
    pub(crate) waiting: f64,
}

impl Blocker {
    /// What goes on for long goes on for as long again, as far as anybody knows; and so does each that waits for it.
    pub(crate) fn lasts_ms(&self) -> f64 {
        self.age_ms.unwrap_or_default() * (1.0 + self.waiting)
    }
}

/// The databases of one mirror.
pub(crate) struct SqlAhead<'h> {
    host: &'h AppHost,
    catalog: &'h Catalog,
    open: BTreeMap<String, Database>,
}

/// To which it can go back.
pub(crate) struct Point(BTreeMap<String, database::Point>);

impl<'h> SqlAhead<'h> {
    pub(crate) fn new(host: &'h AppHost, catalog: &'h Catalog) -> Self {
        Self { host, catalog, open: BTreeMap::new() }
    }

    pub(crate) async fn perform(&mut self, call: &Call) -> Result<Performed, Unmodelled> {
        let args: Value = serde_json::from_str(&call.args).unwrap_or_default();
        let (name, engine) = match self.host.database_of(call) {
            Ok(found) => found,
            Err(error) => return Ok(Performed::of(Outcome::Err(error))),
        };
        let name = name.to_string();
        if !self.open.contains_key(&name) {
            let opened = Database::open((self.host, self.catalog), &name, engine.into()).await?;
            self.open.insert(name.clone(), opened);
        }
        let lost = || Unmodelled(format!("the database {name}"));
        let database = self.open.get_mut(&name).ok_or_else(lost)?;
        let text = args["text"].as_str().unwrap_or_default();
        let params = args["params"].as_array().map(Vec::as_slice).unwrap_or_default();
        database.perform(self.catalog, text, params).await
    }

    pub(crate) fn point(&self) -> Point {
        Point(self.open.iter().map(|(name, database)| (name.clone(), database.point())).collect())
    }

    /// What came after the point is not to be seen any more.
    pub(crate) fn go_back(&mut self, to: &Point) -> Result<(), Unmodelled> {
        for (name, database) in &mut self.open {
            database.go_back(to.0.get(name))?;
        }
        Ok(())
    }
}

impl Drop for SqlAhead<'_> {
    /// Its connections go back to their pool, clean.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        for (_, database) in std::mem::take(&mut self.open) {
            runtime.spawn(database.close());
        }
    }
}

impl Performed {
    fn of(outcome: Outcome) -> Self {
        Self { outcome, keys: Vec::new(), violated: None, blockers: Vec::new() }
    }
}

/// What a statement has answered, or why it was refused.
type Answered<T> = Result<T, Refused>;

enum Refused {
    /// As the primary's will be.
    Likewise(EffectError),
    Unmodelled(Unmodelled),
}

impl From<Unmodelled> for Refused {
    fn from(unmodelled: Unmodelled) -> Self {
        Self::Unmodelled(unmodelled)
    }
}
