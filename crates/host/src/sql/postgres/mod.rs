//! PostgreSQL servers, version 13 or later.
//!
//! - [`connector`] makes connections from a connection string, [`connection`] is one with its prepared statements, and
//!   [`statement`] runs one statement on it; [`failure`] says what the server says;
//! - [`parameters`] are sent as text, so that the server reads them as the types that it has inferred; [`cells`],
//!   [`calendar`] and [`numeric`] read what comes back in binary; [`described`] keeps what a server has said of statements;
//! - [`transaction`] is an open transaction, [`settling`] finds out what became of one whose commit broke off.
//!
//! Invariant: a connection is given to the next one only after every statement on it has been answered.

mod calendar;
mod cells;
mod connection;
mod connector;
mod described;
mod failure;
mod numeric;
mod parameters;
mod settling;
mod statement;
mod transaction;

use std::sync::Arc;

use belay_model::{EffectError, Outcome};

use self::{connection::PostgresConnection, described::Described};
pub(super) use self::{
    connector::{Connector, Tls},
    transaction::PostgresTransaction,
};
use super::{
    SqlBegin, error,
    pool::{Place, Pool, WAIT},
    request::Query,
};

/// One server and role, with its connections.
#[derive(Clone)]
pub(super) struct Postgres {
    pub(super) connector: Arc<Connector>,
    pub(super) pool: Arc<Pool<PostgresConnection>>,
    pub(super) mirror: bool,
    described: Arc<Described>,
}

impl Postgres {
    pub(super) fn new(connector: Connector, connections: u32, mirror: bool) -> Self {
        let (connector, pool) = (Arc::new(connector), Pool::new(connections));
        Self { connector, pool, mirror, described: Arc::default() }
    }

    pub(super) async fn perform(&self, query: Query) -> Result<Outcome, EffectError> {
        if let Some(refused) = super::statement::refusal(&query.text) {
            return Err(refused);
        }
        let (place, mut connection) = self.enter().await?;
        let busy = connection.busy();
        let done = statement::autocommit(&mut connection, &query).await;
        let is_whole =
            !matches!(&done, Err(error) if error.code == crate::code::SQL_RESULT_TOO_LARGE);
        // Of a result that is too large the rest is still to come: not for the next one to wait for.
        if is_whole {
            busy.done();
        }
        if connection.is_clean() {
            place.leave(connection);
        }
        done.map(super::answer::Answer::outcome)
    }

    pub(super) async fn begin(&self, begin: &SqlBegin) -> Result<PostgresTransaction, EffectError> {
        if begin.mirror {
            return self.begin_mirror(begin).await;
        }
        let (place, connection) = self.enter().await?;
        PostgresTransaction::begin(self.clone(), place, connection, begin).await
    }

    /// Who must not wait does not wait for a connection to be made either: it is made for the next one.
    async fn begin_mirror(&self, begin: &SqlBegin) -> Result<PostgresTransaction, EffectError> {
        let (place, idle) = self.pool.enter(None).await?;
        match idle.filter(PostgresConnection::is_clean) {
            Some(connection) => {
                Ok(PostgresTransaction::mirror(self.clone(), place, connection, begin))
            }
            None => {
                let connector = Arc::clone(&self.connector);
                tokio::spawn(async move {
                    // That it cannot be is told to whoever needs it.
                    if let Ok(connection) = connector.connect().await
                        && connection.read_only().await.is_ok()
                    {
                        place.leave(connection);
                    }
                });
                Err(error::unavailable("no connection for a mirror is open yet"))
            }
        }
    }

    async fn enter(&self) -> Result<(Place<PostgresConnection>, PostgresConnection), EffectError> {
        let (place, idle) = self.pool.enter(Some(WAIT)).await?;
        let connection = match idle.filter(PostgresConnection::is_clean) {
            Some(connection) => connection,
            None => self.connector.connect().await?,
        };
        Ok((place, connection))
    }
}
