//! An open transaction on an SQLite file.
//!
//! Its first write marks it in `belay_commit`, a table of Belay's own in the same file: one row for each place of the
//! pool, which the next writer of that place overwrites. When COMMIT fails, the row tells on a fresh connection
//! whether the transaction is in the file.
//!
//! Invariants: dropping it rolls back. After a call that was given up, there is no connection, and nothing is done
//! any more.

use std::time::Duration;

use belay_model::{EffectError, Outcome};

use super::{
    super::{CommitError, answer::Answer, error, pool::Place, request::Query},
    Sqlite, SqliteConnection, failure, on_thread,
    past::{Looked, Past},
};

pub(in super::super) struct SqliteTransaction {
    /// `None` while a call is under way, and after one that was given up.
    connection: Option<SqliteConnection>,
    place: Place<SqliteConnection>,
    database: Sqlite,
    /// What it waits for other writers.
    wait: Duration,
    id: [u8; 16],
    read_only: bool,
    marked: bool,
    /// It has written, so nobody else can.
    locked: bool,
    past: Past,
    /// Why it is over, though nobody has ended it; and its connection, in which there is nothing any more.
    over: Option<EffectError>,
    spent: Option<SqliteConnection>,
}

impl SqliteTransaction {
    pub(super) fn new(
        database: Sqlite,
        place: Place<SqliteConnection>,
        (connection, wait): (SqliteConnection, Duration),
        read_only: bool,
    ) -> Self {
        let past = if read_only { Past::unknown() } else { Past::default() };
        Self {
            database,
            place,
            connection: Some(connection),
            wait,
            id: *uuid::Uuid::new_v4().as_bytes(),
            read_only,
            marked: false,
            locked: false,
            past,
            over: None,
            spent: None,
        }
    }

    pub(in super::super) fn has_written(&self) -> bool {
        self.locked
    }

    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, EffectError> + Send + 'static,
    ) -> Result<T, EffectError> {
        let connection = self.connection.take().ok_or_else(|| self.why_over())?;
        let (connection, done) = on_thread(connection, work).await?;
        // Some failures roll back the whole; what came after would run outside.
        match connection.is_open() {
            true => self.connection = Some(connection),
            false => self.spent = Some(connection),
        }
        done
    }

    fn why_over(&self) -> EffectError {
        self.over.clone().unwrap_or_else(error::ended)
    }

    pub(in super::super) async fn perform(&mut self, query: Query) -> Result<Outcome, EffectError> {
        let done = match self.locked {
            true => self.run(query, Past::unknown()).await,
            false => match self.look(query).await? {
                Looked::Read(read) => Ok(self.past.note(read)),
                Looked::Writes(query) => {
                    self.take_turn().await?;
                    let past = std::mem::replace(&mut self.past, Past::unknown());
                    self.run(query, past).await
                }
            },
        };
        done.map(Answer::outcome)
    }

    /// Performs a statement if it only reads.
    async fn look(&mut self, query: Query) -> Result<Looked, EffectError> {
        let looked = self.with(move |connection| connection.look(query)).await;
        if looked.is_err() {
            // What it was told of a failure may depend on anything.
            self.past.forget();
        }
        looked
    }

    /// Among those that write.
    async fn take_turn(&mut self) -> Result<(), EffectError> {
        // It will be told that it cannot.
        if self.read_only {
            return Ok(());
        }
        let writer = self.database.writer(self.wait).await?;
        if let Some(connection) = &mut self.connection {
            connection.hold(writer);
        }
        Ok(())
    }

    /// Performs a statement, the first one that writes if the file is not locked yet.
    async fn run(&mut self, query: Query, past: Past) -> Result<Answer, EffectError> {
        let (number, id) = (self.place.number, self.id);
        let (marked, locked) = (self.marked, self.locked);
        let (marked, done) = self
            .with(move |connection| {
                let writes = !locked || connection.changes(&query)?;
                if !writes || marked {
                    return Ok((marked, run(connection, &query, writes)));
                }
                let done = mark(connection, &past, (number, &id));
                if done.is_err() && !locked {
                    connection.let_go();
                }
                Ok((done.is_ok(), done.and_then(|()| run(connection, &query, writes))))
            })
            .await?;
        self.marked = marked;
        self.locked |= marked;
        if self.connection.is_none() {
            self.over = done.as_ref().err().cloned();
        }
        done
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
        self.past.point(word, name);
        self.with(move |connection| connection.savepoint(word, name)).await
    }

    pub(in super::super) async fn commit(mut self) -> Result<(), CommitError> {
        let Some(connection) = self.connection.take() else {
            let error = self.why_over();
            self.rollback().await;
            return Err(CommitError::NotCommitted(error));
        };
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
        if !self.locked {
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
        let Some(connection) = self.connection.take().or(self.spent.take()) else { return };
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

/// Makes it one that writes: at the newest state of the file, if all that it has read is still so.
fn mark(
    connection: &mut SqliteConnection,
    past: &Past,
    (writer, transaction): (u32, &[u8]),
) -> Result<(), EffectError> {
    match connection.mark(writer, transaction) {
        Err(error) if failure::is_of_others(&error) => {
            past.renew(connection, error)?;
            connection.mark(writer, transaction)
        }
        marked => marked,
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

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;
    use crate::sql::{SqlBegin, pool::Pool, sqlite::CONNECTIONS};

    fn query(text: &str) -> Query {
        Query { database: None, text: text.to_owned(), params: Vec::new() }
    }

    fn file(path: &Path) -> Sqlite {
        Sqlite {
            path: Arc::new(path.to_owned()),
            opening: Arc::default(),
            writing: Arc::default(),
            pool: Pool::new(CONNECTIONS),
        }
    }

    /// One that has written a row.
    async fn written(database: &Sqlite) -> SqliteTransaction {
        database.perform(query("CREATE TABLE IF NOT EXISTS t (a INTEGER)")).await.unwrap();
        let mut transaction = database.begin(&SqlBegin::default()).await.unwrap();
        transaction.perform(query("INSERT INTO t VALUES (1)")).await.unwrap();
        transaction
    }

    /// What a disk says that fails while a commit is made: whether it was made, nobody has heard.
    async fn settled(transaction: SqliteTransaction) -> Result<(), CommitError> {
        transaction.settle(error::unavailable("disk I/O error")).await
    }

    #[tokio::test]
    async fn the_file_tells_whether_a_commit_was_made_of_which_nothing_was_heard() {
        let dir = tempfile::tempdir().unwrap();
        let database = file(&dir.path().join("main.sqlite"));
        let mut made = written(&database).await;
        made.connection.take().unwrap().commit().unwrap();
        settled(made).await.unwrap();

        let mut lost = written(&database).await;
        drop(lost.connection.take());
        let told = settled(lost).await;
        assert!(matches!(told, Err(CommitError::NotCommitted(_))), "{told:?}");

        // The mark of one is not taken for that of another one at the same place.
        let (mut first, number) = (written(&database).await, 1);
        assert_eq!(first.place.number, number);
        first.connection.take().unwrap().commit().unwrap();
        drop(first);
        let mut second = written(&database).await;
        assert_eq!(second.place.number, number);
        drop(second.connection.take());
        let told = settled(second).await;
        assert!(matches!(told, Err(CommitError::NotCommitted(_))), "{told:?}");
    }

    #[tokio::test]
    async fn a_file_that_is_gone_tells_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own").join("main.sqlite");
        let database = file(&path);
        let mut lost = written(&database).await;
        drop(lost.connection.take());
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path.parent().unwrap(), "no directory").unwrap();
        let told = settled(lost).await;
        assert!(matches!(told, Err(CommitError::Unknown(_))), "{told:?}");
    }

    async fn answered(transaction: &mut SqliteTransaction, text: &str) -> String {
        match transaction.perform(query(text)).await.unwrap() {
            Outcome::Ok { value, .. } => value,
            Outcome::Err(error) => panic!("{text}: {error}"),
        }
    }

    /// Another program has the lock of the file; it is waited for, and then only what was read has to be as it was.
    #[tokio::test]
    async fn another_program_is_waited_for_as_others_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.sqlite");
        let database = file(&path);
        database.perform(query("CREATE TABLE t (a INTEGER, b INTEGER)")).await.unwrap();
        database.perform(query("INSERT INTO t VALUES (1, 1)")).await.unwrap();
        for (read, column) in [("SELECT a FROM t", "b"), ("SELECT b FROM t", "b")] {
            let mut transaction = database.begin(&SqlBegin::default()).await.unwrap();
            answered(&mut transaction, read).await;
            let program = rusqlite::Connection::open(&path).unwrap();
            program
                .execute_batch(&format!("BEGIN IMMEDIATE; UPDATE t SET {column} = b + 1"))
                .unwrap();
            let written = {
                let mut write = Box::pin(transaction.perform(query("UPDATE t SET a = a + 1")));
                let waited = tokio::time::timeout(Duration::from_millis(100), &mut write).await;
                assert!(waited.is_err(), "{waited:?}");
                program.execute_batch("COMMIT").unwrap();
                write.await
            };
            match read.contains('a') {
                true => {
                    written.unwrap();
                    transaction.commit().await.unwrap();
                }
                false => {
                    let error = written.unwrap_err();
                    assert!(failure::is_of_others(&error), "{error}");
                    transaction.rollback().await;
                }
            }
        }
        let mut last = database.begin(&SqlBegin::default()).await.unwrap();
        assert!(answered(&mut last, "SELECT a, b FROM t").await.contains("[[2,3]]"));
    }

    /// A statement that was prepared before others have altered its table answers what there is now.
    #[tokio::test]
    async fn columns_are_those_of_the_table_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let database = file(&dir.path().join("main.sqlite"));
        drop(written(&database).await);
        database.perform(query("INSERT INTO t VALUES (1)")).await.unwrap();
        let (mut one, mut other) = (
            database.begin(&SqlBegin::default()).await.unwrap(),
            database.begin(&SqlBegin::default()).await.unwrap(),
        );
        for transaction in [&mut one, &mut other] {
            assert!(answered(transaction, "SELECT * FROM t").await.contains(r#"["a"]"#));
        }
        other.rollback().await;
        for (alter, expected) in [
            (
                "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 7",
                r#"{"columns":["a","b"],"rows":[[1,7]]"#,
            ),
            ("ALTER TABLE t RENAME COLUMN b TO c", r#"{"columns":["a","c"],"rows":[[1,7]]"#),
            ("ALTER TABLE t DROP COLUMN c", r#"{"columns":["a"],"rows":[[1]]"#),
        ] {
            database.perform(query(alter)).await.unwrap();
            let mut next = database.begin(&SqlBegin::default()).await.unwrap();
            let found = answered(&mut next, "SELECT * FROM t").await;
            assert!(found.starts_with(expected), "{alter}: {found}");
            next.rollback().await;
        }
        // The columns are as they were by now; another one that had read in between is refused.
        let mut late = database.begin(&SqlBegin::default()).await.unwrap();
        answered(&mut late, "SELECT * FROM t").await;
        database.perform(query("ALTER TABLE t RENAME COLUMN a TO z")).await.unwrap();
        let error = late.perform(query("INSERT INTO t VALUES (9)")).await.unwrap_err();
        assert!(failure::is_of_others(&error), "{error}");
        assert!(one.perform(query("INSERT INTO t VALUES (9)")).await.is_err());
    }
}
