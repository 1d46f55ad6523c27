//! A transaction that is held open between calls.
//!
//! Invariants: it has one connection, which nobody else uses before the transaction has ended; dropping it rolls back.
//! What became of a commit is told apart as far as it can be known: an answer that was lost is asked for again.

use std::time::Duration;

use belay_model::{Call, DatabaseName, DatabaseSpec, EffectError, Isolation, Outcome};

use super::{Query, error, postgres::PostgresTransaction, sqlite::SqliteTransaction};

/// What a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlEngine {
    Sqlite,
    Postgres,
}

impl From<&DatabaseSpec> for SqlEngine {
    fn from(spec: &DatabaseSpec) -> Self {
        match spec {
            DatabaseSpec::Sqlite {} => Self::Sqlite,
            DatabaseSpec::Postgres { .. } => Self::Postgres,
        }
    }
}

/// How a transaction begins.
#[derive(Debug, Clone, Default)]
pub struct SqlBegin {
    /// Of PostgreSQL, repeatable read by default; SQLite's are always serializable.
    pub isolation: Option<Isolation>,
    pub read_only: bool,
    /// For what must not change anything, and must not get into the way of what does: reads only, has connections of
    /// its own, as the role of `readonly_url` if there is one, and never waits for one.
    pub mirror: bool,
    /// What a statement waits for others. By default PostgreSQL's wait as long as it takes, and SQLite's 5 seconds.
    pub lock_timeout: Option<Duration>,
}

/// Why a commit did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Nothing of the transaction was made.
    #[error("not committed: {0}")]
    NotCommitted(EffectError),
    /// It may have been made or not, and the database cannot be asked.
    #[error("it is not known whether the transaction was committed: {0}")]
    Unknown(EffectError),
}

/// One connection with one open transaction.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct SqlTransaction {
    database: DatabaseName,
    engine: Engine,
}

pub(super) enum Engine {
    Sqlite(Box<SqliteTransaction>),
    Postgres(Box<PostgresTransaction>),
}

impl SqlTransaction {
    pub(super) fn new(database: DatabaseName, engine: Engine) -> Self {
        Self { database, engine }
    }

    pub fn database(&self) -> &str {
        self.database.as_str()
    }

    /// Performs a `sql.query` within the transaction. When the future is dropped before it is ready, the transaction is
    /// lost: it is rolled back, and whatever it is asked afterwards fails.
    pub async fn perform(&mut self, call: &Call) -> Outcome {
        self.performed(call, None).await.unwrap_or_else(Outcome::Err)
    }

    /// As [`Self::perform`], for a mirror. All statements of one `likeness` take parameters of the same types, and answer
    /// the same columns: a server is asked once for these.
    pub async fn perform_alike(&mut self, call: &Call, likeness: &str) -> Outcome {
        self.performed(call, Some(likeness)).await.unwrap_or_else(Outcome::Err)
    }

    async fn performed(
        &mut self,
        call: &Call,
        likeness: Option<&str>,
    ) -> Result<Outcome, EffectError> {
        if call.op != super::QUERY {
            return Err(crate::request::unknown_effect(&call.op));
        }
        let query = Query::decode(call)?;
        if let Some(other) = query.database.as_deref().filter(|name| *name != self.database()) {
            let message =
                format!("the transaction is of the database {}, not of {other}", self.database);
            return Err(error::unknown(message));
        }
        match &mut self.engine {
            Engine::Sqlite(transaction) => transaction.perform(query).await,
            Engine::Postgres(transaction) => transaction.perform(query, likeness).await,
        }
    }

    /// Whether what it writes is locked for all others until it ends.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.engine, Engine::Sqlite(_))
    }

    /// The number by which PostgreSQL knows it, once it has written something.
    pub fn number(&self) -> Option<u64> {
        match &self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(transaction) => transaction.number(),
        }
    }

    /// Whether any statement so far may have changed something.
    pub fn has_written(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(transaction) => transaction.has_written(),
            Engine::Postgres(transaction) => transaction.has_written(),
        }
    }

    /// Whether a table would be changed by its commit, as the database says: a function that somebody has defined there may
    /// have changed one in a statement that looks as if it only read. SQLite has none such, and is not asked.
    pub async fn has_changed(&mut self) -> Result<bool, EffectError> {
        match &mut self.engine {
            Engine::Sqlite(_) => Ok(false),
            Engine::Postgres(transaction) => transaction.has_changed().await,
        }
    }

    pub async fn savepoint(&mut self, name: u32) -> Result<(), EffectError> {
        self.point("SAVEPOINT", name).await
    }

    /// Undoes what came after the savepoint, which stays.
    pub async fn rollback_to(&mut self, name: u32) -> Result<(), EffectError> {
        self.point("ROLLBACK TO", name).await
    }

    /// Forgets the savepoint, and keeps what came after it.
    pub async fn release(&mut self, name: u32) -> Result<(), EffectError> {
        self.point("RELEASE", name).await
    }

    async fn point(&mut self, word: &'static str, name: u32) -> Result<(), EffectError> {
        match &mut self.engine {
            Engine::Sqlite(transaction) => transaction.savepoint(word, name).await,
            Engine::Postgres(transaction) => transaction.savepoint(word, name).await,
        }
    }

    pub async fn commit(self) -> Result<(), CommitError> {
        match self.engine {
            Engine::Sqlite(transaction) => transaction.commit().await,
            Engine::Postgres(transaction) => transaction.commit().await,
        }
    }

    /// The connection goes back clean, or is closed.
    pub async fn rollback(self) {
        match self.engine {
            Engine::Sqlite(transaction) => transaction.rollback().await,
            Engine::Postgres(transaction) => transaction.rollback().await,
        }
    }
}

impl std::fmt::Debug for SqlTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlTransaction").field("database", &self.database).finish_non_exhaustive()
    }
}
