//! The databases of an app: SQLite files that Belay keeps, and PostgreSQL servers that others keep.
//!
//! - [`request`] decodes calls, [`answer`] encodes what a statement has brought; [`statement`] says what a statement is
//!   by its text; [`error`] has the errors;
//! - [`sqlite`] and [`postgres`] are the engines, [`pool`] holds their connections, [`shared`] finds the pools of a
//!   process;
//! - [`transaction`] is a transaction that is held open between calls.
//!
//! Invariants: a function reaches what its app declares and nothing else; where a server is, only a secret of the app
//! says. A call holds one statement, and outside a [`SqlTransaction`] it is a transaction of its own. A connection
//! whose state is not known is closed, never used again. Nothing is left out of a result to make it fit.
//!
//! The egress policy is not asked: an address comes from a secret that an operator has set, not from a function.

mod answer;
mod error;
mod pool;
mod postgres;
mod request;
mod shared;
mod sqlite;
mod statement;
mod transaction;

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{
    AppName, Call, DatabaseName, DatabaseSpec, EffectError, MAIN_DATABASE, Outcome, SecretName,
};

pub use self::transaction::{CommitError, SqlBegin, SqlEngine, SqlTransaction};
use self::{postgres::Postgres, sqlite::Sqlite, transaction::Engine};
pub(crate) use self::{
    request::{QUERY, Query},
    shared::SqlShared,
    statement::writes,
};
use crate::SecretSource;

/// What calls of `sql.query` have in common that ask for the same: the statement with its parameters.
pub fn statement(call: &Call) -> Option<String> {
    Some(Query::decode(call).ok()?.label())
}

/// The databases of one app.
pub(crate) struct Sql {
    app: AppName,
    declared: BTreeMap<DatabaseName, DatabaseSpec>,
    secrets: SecretSource,
    shared: Arc<SqlShared>,
}

impl Sql {
    pub(crate) fn new(
        app: AppName,
        declared: BTreeMap<DatabaseName, DatabaseSpec>,
        secrets: SecretSource,
        shared: Arc<SqlShared>,
    ) -> Self {
        Self { app, declared, secrets, shared }
    }

    /// When this future is dropped before it is ready, the statement is stopped; what it writes may or may not be made.
    pub(crate) async fn perform(&self, query: Query) -> Outcome {
        self.performed(query).await.unwrap_or_else(Outcome::Err)
    }

    async fn performed(&self, query: Query) -> Result<Outcome, EffectError> {
        let (name, spec) = self.find(query.database.as_deref())?;
        match spec {
            DatabaseSpec::Sqlite {} => self.sqlite(name, false).perform(query).await,
            DatabaseSpec::Postgres { .. } => self.postgres(name, spec, false)?.perform(query).await,
        }
    }

    pub(crate) async fn begin(
        &self,
        database: Option<&str>,
        begin: &SqlBegin,
    ) -> Result<SqlTransaction, EffectError> {
        let (name, spec) = self.find(database)?;
        let engine = match spec {
            DatabaseSpec::Sqlite {} => {
                Engine::Sqlite(Box::new(self.sqlite(name, begin.mirror).begin(begin).await?))
            }
            DatabaseSpec::Postgres { .. } => {
                let postgres = self.postgres(name, spec, begin.mirror)?;
                Engine::Postgres(Box::new(postgres.begin(begin).await?))
            }
        };
        Ok(SqlTransaction::new(name.clone(), engine))
    }

    /// The database that is meant where `name` is said, or nothing.
    pub(crate) fn find(
        &self,
        name: Option<&str>,
    ) -> Result<(&DatabaseName, &DatabaseSpec), EffectError> {
        let by_name = |name: &str| self.declared.iter().find(|(known, _)| known.as_str() == name);
        let only = || self.declared.iter().next().filter(|_| self.declared.len() == 1);
        let found = match name {
            Some(name) => by_name(name),
            None => by_name(MAIN_DATABASE).or_else(only),
        };
        found.ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: Option<&str>) -> EffectError {
        let declared: Vec<_> = self.declared.keys().map(DatabaseName::as_str).collect();
        let what = match name {
            Some(name) => format!("the app declares no database {name:?}"),
            None => {
                format!("no database is named, and the app declares none named {MAIN_DATABASE:?}")
            }
        };
        error::unknown(match declared.is_empty() {
            true => format!("{what}: add [databases.{MAIN_DATABASE}] to belay.toml"),
            false => format!("{what}: it declares {}", declared.join(", ")),
        })
    }

    fn sqlite(&self, name: &DatabaseName, mirror: bool) -> Sqlite {
        self.shared.sqlite(&self.app, name, mirror)
    }

    fn postgres(
        &self,
        name: &DatabaseName,
        spec: &DatabaseSpec,
        mirror: bool,
    ) -> Result<Postgres, EffectError> {
        let DatabaseSpec::Postgres { url, readonly_url, pool } = spec else {
            return Err(self.unknown(Some(name.as_str())));
        };
        let secret = readonly_url.as_ref().filter(|_| mirror).unwrap_or(url);
        let url = self.secret(name, secret)?;
        self.shared.postgres(&self.app, name, &url, pool.get(), mirror)
    }

    fn secret(&self, database: &DatabaseName, secret: &SecretName) -> Result<String, EffectError> {
        self.secrets.get(secret.as_str()).ok_or_else(|| {
            error::unavailable(format!(
                "database {database}: the app has no secret {secret}, which says where it is"
            ))
        })
    }
}
