//! An open transaction on a server.
//!
//! PostgreSQL answers COMMIT of a transaction that has failed with a success, having rolled it back; so what has failed
//! is noted here. The first write asks for the number of the transaction, by which [`super::settling`] finds out what
//! became of it.
//!
//! Invariants: dropping it closes the connection, which rolls back. So does giving up a call: what is asked afterwards
//! fails.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use belay_model::{EffectError, Isolation, Outcome};
use futures_util::future;
use tokio::time::timeout;
use tokio_postgres::Error;

use super::{
    super::{CommitError, SqlBegin, error, pool::Place, request::Query},
    Postgres,
    connection::PostgresConnection,
    failure,
    settling::{self, Identity},
    statement::{self, Failed},
};

/// A server rolls back at once, if it can be reached.
const ROLLBACK_WAIT: Duration = Duration::from_secs(5);

pub(in super::super) struct PostgresTransaction {
    /// `None` while a call is under way, and after one that was given up.
    connection: Option<PostgresConnection>,
    place: Place<PostgresConnection>,
    server: Postgres,
    /// What is sent together with the first statement.
    beginning: Option<String>,
    identity: Option<Identity>,
    read_only: bool,
    written: bool,
    /// A statement has failed since the last savepoint that was returned to.
    failed: bool,
}

impl PostgresTransaction {
    pub(super) async fn begin(
        server: Postgres,
        place: Place<PostgresConnection>,
        connection: PostgresConnection,
        begin: &SqlBegin,
    ) -> Result<Self, EffectError> {
        let read_only = begin.read_only || begin.mirror;
        let text = beginning(begin, read_only);
        let connection = match begun(connection, &text).await {
            // It was idle, and the server has closed it since.
            Err(error) if failure::is_broken(&error) => {
                let fresh = server.connector.connect().await?;
                begun(fresh, &text).await.map_err(|error| failure::told(&error))?
            }
            done => done.map_err(|error| failure::told(&error))?,
        };
        let connection = Some(connection);
        let beginning = None;
        let (identity, written, failed) = (None, false, false);
        Ok(Self { connection, place, server, beginning, identity, read_only, written, failed })
    }

    /// Begins with its first statement: whoever runs ahead has no time for another round trip. What is sent on such a connection
    /// writes nothing, even if it could not begin ([`PostgresConnection::read_only`]).
    pub(super) fn mirror(
        server: Postgres,
        place: Place<PostgresConnection>,
        connection: PostgresConnection,
        begin: &SqlBegin,
    ) -> Self {
        let (connection, beginning) = (Some(connection), Some(beginning(begin, true)));
        let (identity, written, failed) = (None, false, false);
        Self { connection, place, server, beginning, identity, read_only: true, written, failed }
    }

    pub(in super::super) fn number(&self) -> Option<u64> {
        self.identity.as_ref().map(Identity::number)
    }

    pub(in super::super) fn has_written(&self) -> bool {
        self.written
    }

    /// `likeness`: as [`super::super::SqlTransaction::perform_alike`].
    pub(in super::super) async fn perform(
        &mut self,
        query: Query,
        likeness: Option<&str>,
    ) -> Result<Outcome, EffectError> {
        if let Some(refused) = super::super::statement::refusal(&query.text) {
            return Err(refused);
        }
        if self.failed {
            return Err(error::failed_before());
        }
        let mut connection = self.connection.take().ok_or_else(error::ended)?;
        let busy = connection.busy();
        let done = match self.server.mirror {
            true => self.look(&mut connection, &query, likeness.unwrap_or(&query.text)).await,
            false => self.run(&mut connection, &query).await,
        };
        busy.done();
        if let Err(Failed::Theirs(error)) = &done
            && failure::is_stale(error)
        {
            connection.forget(&query.text);
        }
        self.put_back(connection, done.as_ref().err());
        done.map_err(|failed| failed.told())
    }

    async fn run(
        &mut self,
        connection: &mut PostgresConnection,
        query: &Query,
    ) -> Result<Outcome, Failed> {
        let prepared = statement::prepare(connection, query).await?;
        let running = statement::run(connection, &prepared, query);
        if !prepared.writes || self.read_only {
            return running.await.map(super::super::answer::Answer::outcome);
        }
        self.written = true;
        if self.identity.is_some() {
            return running.await.map(super::super::answer::Answer::outcome);
        }
        let asking = settling::identity(&connection.client);
        let (done, identity) = future::join(running, asking).await;
        self.identity = identity.ok();
        done.map(super::super::answer::Answer::outcome)
    }

    /// As [`Self::run`], in one round trip if all is known that the server would have to be asked.
    async fn look(
        &mut self,
        connection: &mut PostgresConnection,
        query: &Query,
        likeness: &str,
    ) -> Result<Outcome, Failed> {
        let described = self.server.described.get(likeness);
        let described = described.filter(|it| it.params.len() == query.params.len());
        let begin = self.beginning.take();
        let begun = async |connection: &PostgresConnection| match &begin {
            Some(begin) => connection.client.batch_execute(begin).await,
            None => Ok(()),
        };
        let answer = match described {
            Some(described) => {
                let running = statement::run_described(connection, &described, query);
                let (begun, done) = future::join(begun(connection), running).await;
                begun?;
                done.inspect_err(|_| self.server.described.forget(likeness))?
            }
            None => {
                begun(connection).await?;
                let prepared = statement::prepare(connection, query).await?;
                self.server.described.put(likeness, Arc::clone(&prepared.described));
                statement::run(connection, &prepared, query).await?
            }
        };
        Ok(answer.outcome())
    }

    /// Keeps a connection that is of use.
    fn put_back(&mut self, connection: PostgresConnection, failed: Option<&Failed>) {
        let broken = match failed {
            Some(Failed::Theirs(error)) => {
                self.failed = true;
                failure::is_broken(error)
            }
            Some(Failed::Ours(_)) | None => false,
        };
        self.connection = Some(connection).filter(|_| !broken);
    }

    pub(in super::super) async fn savepoint(
        &mut self,
        word: &'static str,
        name: u32,
    ) -> Result<(), EffectError> {
        let returns = word.starts_with("ROLLBACK");
        if self.failed && !returns {
            return Err(error::failed_before());
        }
        let connection = self.connection.take().ok_or_else(error::ended)?;
        let busy = connection.busy();
        let begin = self.beginning.take().map(|begin| format!("{begin}; ")).unwrap_or_default();
        let text = format!("{begin}{word} belay_{name}");
        let done = connection.client.batch_execute(&text).await;
        busy.done();
        let done = done.map_err(Failed::Theirs);
        self.put_back(connection, done.as_ref().err());
        self.failed &= !(returns && done.is_ok());
        done.map_err(|failed| failed.told())
    }

    /// Whether the server says that it has changed a table, whatever its statements look like.
    pub(in super::super) async fn has_changed(&mut self) -> Result<bool, EffectError> {
        if self.read_only {
            return Ok(false);
        }
        if self.failed {
            return Err(error::failed_before());
        }
        let connection = self.connection.take().ok_or_else(error::ended)?;
        let busy = connection.busy();
        let asked = settling::has_changed(&connection.client).await;
        busy.done();
        let asked = asked.map_err(Failed::Theirs);
        self.put_back(connection, asked.as_ref().err());
        asked.map_err(|failed| failed.told())
    }

    pub(in super::super) async fn commit(mut self) -> Result<(), CommitError> {
        if self.beginning.is_some() {
            self.rollback().await;
            return Ok(());
        }
        if self.failed {
            self.rollback().await;
            return Err(CommitError::NotCommitted(error::failed_before()));
        }
        let connection = self.connection.take().ok_or_else(error::ended);
        let connection = connection.map_err(CommitError::NotCommitted)?;
        let busy = connection.busy();
        let (assigned, done) =
            committed(&connection, self.identity.is_none() && !self.read_only).await;
        busy.done();
        match done {
            Ok(()) => {
                self.leave(connection).await;
                Ok(())
            }
            Err(failed) if failure::is_broken(&failed) => {
                drop(connection);
                let told = failure::told(&failed);
                self.settle(assigned, told).await
            }
            Err(failed) => {
                drop(connection);
                Err(CommitError::NotCommitted(failure::told(&failed)))
            }
        }
    }

    /// `assigned` is what the server has said just before, where it had not been asked earlier.
    async fn settle(
        self,
        assigned: Option<Option<Identity>>,
        failed: EffectError,
    ) -> Result<(), CommitError> {
        let identity = match (self.identity, assigned, self.read_only) {
            (Some(identity), _, _) | (None, Some(Some(identity)), _) => identity,
            // Without a number, nothing was written.
            (None, Some(None), _) | (None, None, true) => {
                return Err(CommitError::NotCommitted(failed));
            }
            (None, None, false) => return Err(CommitError::Unknown(failed)),
        };
        match settling::settle(&self.server.connector, &identity).await {
            Some(true) => Ok(()),
            Some(false) => Err(CommitError::NotCommitted(failed)),
            None => Err(CommitError::Unknown(failed)),
        }
    }

    pub(in super::super) async fn rollback(mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.beginning.is_some() {
            return self.place.leave(connection);
        }
        let busy = connection.busy();
        // Of a server that says nothing more, the connection is closed instead.
        let done = timeout(ROLLBACK_WAIT, connection.client.batch_execute("ROLLBACK")).await;
        if matches!(done, Ok(Ok(()))) {
            busy.done();
            self.leave(connection).await;
        }
    }

    async fn leave(self, mut connection: PostgresConnection) {
        let discarded = match self.server.mirror {
            true => connection.discard().await.is_ok(),
            false => true,
        };
        if discarded && connection.is_clean() {
            self.place.leave(connection);
        }
    }
}

fn beginning(begin: &SqlBegin, read_only: bool) -> String {
    let isolation = match begin.isolation.unwrap_or(Isolation::RepeatableRead) {
        Isolation::ReadCommitted => "READ COMMITTED",
        Isolation::RepeatableRead => "REPEATABLE READ",
        Isolation::Serializable => "SERIALIZABLE",
    };
    let access = if read_only { "READ ONLY" } else { "READ WRITE" };
    let mut text = format!("BEGIN ISOLATION LEVEL {isolation} {access}");
    if let Some(timeout) = begin.lock_timeout {
        // 0 would be none at all. Writing to a string does not fail.
        let ms = timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
        let _ = write!(text, "; SET LOCAL lock_timeout = {ms}");
    }
    text
}

async fn begun(connection: PostgresConnection, text: &str) -> Result<PostgresConnection, Error> {
    let busy = connection.busy();
    connection.client.batch_execute(text).await?;
    busy.done();
    Ok(connection)
}

/// Commits; on the way asks which transaction it is, if it is to be asked.
async fn committed(
    connection: &PostgresConnection,
    asks: bool,
) -> (Option<Option<Identity>>, Result<(), Error>) {
    let client = &connection.client;
    if !asks {
        return (None, client.batch_execute("COMMIT").await);
    }
    let (assigned, done) =
        future::join(settling::assigned(client), client.batch_execute("COMMIT")).await;
    (assigned.ok(), done)
}
