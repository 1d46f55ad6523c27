//! An open transaction on an SQLite file.
//!
//! Its first write marks it in `belay_commit`, a table of Belay's own in the same file: one row for each place of the
//! pool, which the next writer of that place overwrites. When COMMIT fails, the row tells on a fresh connection
//! whether the transaction is in the file.
//!
//! Invariants: dropping it rolls back. After a call that was given up, there is no connection, and nothing is done
//! any more.

use belay_model::{EffectError, Outcome};

use super::{
    super::{CommitError, answer::Answer, error, pool::Place, request::Query},
    Sqlite, SqliteConnection, on_thread,
};

pub(in super::super) struct SqliteTransaction {
    /// `None` while a call is under way, and after one that was given up.
    connection: Option<SqliteConnection>,
    place: Place<SqliteConnection>,
    database: Sqlite,
    id: [u8; 16],
    marked: bool,
    written: bool,
}

impl SqliteTransaction {
    pub(super) fn new(
        database: Sqlite,
        place: Place<SqliteConnection>,
        connection: SqliteConnection,
    ) -> Self {
        let id = *uuid::Uuid::new_v4().as_bytes();
        Self { database, place, connection: Some(connection), id, marked: false, written: false }
    }

    pub(in super::super) fn has_written(&self) -> bool {
        self.written
    }

    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, EffectError> + Send + 'static,
    ) -> Result<T, EffectError> {
        let connection = self.connection.take().ok_or_else(error::ended)?;
        let (connection, done) = on_thread(connection, work).await?;
        // Some failures roll back the whole; what came after would run outside.
        if connection.is_open() {
            self.connection = Some(connection);
        }
        done
    }

    pub(in super::super) async fn perform(&mut self, query: Query) -> Result<Outcome, EffectError> {
        let (number, id, marked) = (self.place.number, self.id, self.marked);
        let (writes, marks, done) = self
            .with(move |connection| {
                let writes = connection.changes(&query)?;
                let marks = writes && !marked;
                let marked = if marks { connection.mark(number, &id) } else { Ok(()) };
                let is_marked = marked.is_ok();
                let done = marked.and_then(|()| run(connection, &query, writes));
                Ok((writes, marks && is_marked, done))
            })
            .await?;
        self.written |= writes;
        self.marked |= marks;
        done.map(Answer::outcome)
    }

    pub(in super::super) async fn savepoint(
        &mut self,
        word: &'static str,
        name: u32,
    ) -> Result<(), EffectError> {
        if word.starts_with("ROLLBACK") {
            // The mark may be of after the savepoint.
            self.marked = false;
        }
        self.with(move |connection| connection.savepoint(word, name)).await
    }

    pub(in super::super) async fn commit(mut self) -> Result<(), CommitError> {
        let connection = self.connection.take().ok_or_else(error::ended);
        let connection = connection.map_err(CommitError::NotCommitted)?;
        let committed = on_thread(connection, |connection| {
            let done = connection.commit();
            if done.is_err() {
                connection.roll_back();
            }
            done
        });
        let failed = match committed.await {
            Ok((connection, Ok(()))) => {
                self.leave(connection).await;
                return Ok(());
            }
            Ok((connection, Err(error))) => {
                drop(connection);
                error
            }
            Err(error) => error,
        };
        self.settle(failed).await
    }

    /// Busy and broken constraints leave no doubt; anything else the file has to answer.
    async fn settle(self, failed: EffectError) -> Result<(), CommitError> {
        if failed.code != crate::code::SQL_UNAVAILABLE {
            return Err(CommitError::NotCommitted(failed));
        }
        if !self.written {
            return Err(CommitError::NotCommitted(failed));
        }
        let (number, id) = (self.place.number, self.id);
        let Ok(connection) = self.database.open().await else {
            return Err(CommitError::Unknown(failed));
        };
        let asked = on_thread(connection, move |connection| connection.has_committed(number, &id));
        match asked.await {
            Ok((_, Ok(true))) => Ok(()),
            Ok((_, Ok(false))) => Err(CommitError::NotCommitted(failed)),
            Ok((_, Err(_))) | Err(_) => Err(CommitError::Unknown(failed)),
        }
    }

    pub(in super::super) async fn rollback(mut self) {
        let Some(connection) = self.connection.take() else { return };
        let done = on_thread(connection, |connection| connection.roll_back()).await;
        if let Ok((connection, ())) = done {
            self.leave(connection).await;
        }
    }

    async fn leave(self, connection: SqliteConnection) {
        let reset = on_thread(connection, |connection| connection.reset()).await;
        if let Ok((connection, Ok(()))) = reset
            && connection.is_clean()
        {
            self.place.leave(connection);
        }
    }
}

/// A statement that fails leaves nothing behind, also one whose result is too large.
fn run(
    connection: &mut SqliteConnection,
    query: &Query,
    writes: bool,
) -> Result<Answer, EffectError> {
    if !writes {
        return connection.run(query);
    }
    connection.savepoint("SAVEPOINT", STATEMENT)?;
    let done = connection.run(query);
    if done.is_err() && connection.is_open() {
        connection.savepoint("ROLLBACK TO", STATEMENT)?;
    }
    if connection.is_open() {
        connection.savepoint("RELEASE", STATEMENT)?;
    }
    done
}

/// The savepoint around one statement; beyond those that the driver numbers.
const STATEMENT: u32 = u32::MAX;
