//! One connection to an SQLite file. Everything here blocks.
//!
//! Invariants: between two uses there is no transaction and no statement that has not come to its end; statements of
//! functions are prepared under the [`super::guard`], Belay's own are not.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use belay_model::EffectError;
use rusqlite::{
    Connection, OptionalExtension as _, Row, Statement, config::DbConfig, limits::Limit, params,
};
use tokio::sync::OwnedMutexGuard;

use super::{
    super::{answer::Answer, error, request::Query, statement},
    failure, guard,
    guard::Whose,
    past::{Looked, Read},
    values,
};

/// `BELS`.
const APPLICATION_ID: i64 = 0x4245_4c53;
const FORMAT: i64 = 1;
/// What a writer waits for another one.
pub(super) const BUSY: Duration = Duration::from_secs(5);
const STATEMENTS: usize = 64;
/// A single value, or row.
const VALUE_BYTES_MAX: i32 = 16 << 20;
/// Virtual instructions between two looks at whether the call was given up.
const STEPS: i32 = 1_000;

/// 1 GiB, as the quota of kv, in pages of 4 KiB.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA max_page_count = 262144;
    PRAGMA journal_size_limit = 4194304;
";

const SCHEMA: &str = "
    CREATE TABLE belay_commit (
        writer INTEGER PRIMARY KEY,
        transaction_id BLOB NOT NULL
    ) STRICT;
";

pub(in super::super) struct SqliteConnection {
    connection: Connection,
    whose: Whose,
    given_up: Arc<AtomicBool>,
    /// The right to write. It is here so that nobody else has it before this connection has done with it, on whatever thread
    /// that is, and whoever still waits.
    writer: Option<OwnedMutexGuard<()>>,
}

/// Stops what the connection does when it is dropped.
pub(super) struct Stop(Option<Arc<AtomicBool>>);

impl Stop {
    pub(super) fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        if let Some(given_up) = &self.0 {
            given_up.store(true, Ordering::Relaxed);
        }
    }
}

impl SqliteConnection {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, EffectError> {
        if let Some(dir) = path.parent() {
            let made = std::fs::create_dir_all(dir);
            made.map_err(|error| {
                error::unavailable(format!("the database cannot be opened: {error}"))
            })?;
        }
        Self::opened(path).map_err(|error| match failure::told(error) {
            found if found.code == crate::code::SQL_CONFLICT => found,
            found => {
                error::unavailable(format!("the database cannot be opened: {}", found.message))
            }
        })
    }

    fn opened(path: &Path) -> rusqlite::Result<Self> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.execute_batch(SETTINGS)?;
        recognise(&mut connection)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
        let whose = guard::install(&mut connection)?;
        let given_up = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&given_up);
        connection.progress_handler(STEPS, Some(move || asked.load(Ordering::Relaxed)))?;
        Ok(Self { connection, whose, given_up, writer: None })
    }

    pub(super) fn stop_when_dropped(&self) -> Stop {
        Stop(Some(Arc::clone(&self.given_up)))
    }

    /// Whether the next one may have it.
    pub(super) fn is_clean(&self) -> bool {
        self.connection.is_autocommit() && !self.given_up.load(Ordering::Relaxed)
    }

    /// A statement of Belay's own.
    fn own(&self, text: &str) -> Result<(), EffectError> {
        let _own = self.whose.own();
        let done = self.connection.prepare_cached(text).and_then(|mut found| found.raw_execute());
        done.map(drop).map_err(failure::told)
    }

    fn is_given_up(&self) -> Result<(), EffectError> {
        let given_up = self.given_up.load(Ordering::Relaxed);
        if given_up { Err(error::ended()) } else { Ok(()) }
    }

    /// Until its transaction ends, or [`Self::let_go`].
    pub(super) fn hold(&mut self, writer: OwnedMutexGuard<()>) {
        self.writer = Some(writer);
    }

    pub(super) fn let_go(&mut self) {
        self.writer = None;
    }

    /// Performs a statement if it only reads.
    pub(super) fn look(&mut self, query: Query) -> Result<Looked, EffectError> {
        self.is_given_up()?;
        match self.changes(&query)? {
            true => Ok(Looked::Writes(query)),
            false => Read::of(self, query).map(Looked::Read),
        }
    }

    /// A statement that writes as a transaction of its own. If its result is too large, nothing of it is made.
    pub(super) fn autocommit(&mut self, query: &Query) -> Result<Answer, EffectError> {
        self.is_given_up()?;
        let begun = self.own("BEGIN IMMEDIATE");
        let done = begun.and_then(|()| self.run(query));
        let done = done.and_then(|answer| self.commit().map(|()| answer));
        if done.is_err() {
            self.roll_back();
        }
        done
    }

    /// Whether a statement is one that may change something, as SQLite sees it.
    pub(super) fn changes(&self, query: &Query) -> Result<bool, EffectError> {
        if let Some(refused) = statement::refusal(&query.text) {
            return Err(refused);
        }
        let prepared = self.connection.prepare_cached(&query.text).map_err(failure::told)?;
        Ok(!prepared.readonly())
    }

    /// A statement within whatever transaction there is.
    pub(super) fn run(&mut self, query: &Query) -> Result<Answer, EffectError> {
        let mut prepared = self.connection.prepare_cached(&query.text).map_err(failure::told)?;
        values::bind(&mut prepared, &query.params)?;
        let reads = prepared.readonly();
        let before = self.connection.total_changes();
        let mut answer = None;
        let mut rows = prepared.raw_query();
        while let Some(found) = rows.next().map_err(failure::told)? {
            // Its columns are known now: others may have altered the table since it was prepared.
            let answer = match &mut answer {
                Some(answer) => answer,
                None => answer.insert(Answer::of(found.as_ref().column_names())?),
            };
            row(answer, found)?;
        }
        drop(rows);
        let mut answer = match answer {
            Some(answer) => answer,
            None => Answer::of(prepared.column_names())?,
        };
        let changed = self.connection.total_changes() != before;
        answer.changed = if changed && !reads { self.connection.changes() } else { 0 };
        Ok(answer)
    }

    /// Begins a transaction, which waits for other writers so long.
    pub(super) fn begin(&mut self, read_only: bool, wait: Duration) -> Result<(), EffectError> {
        self.connection.busy_timeout(wait).map_err(failure::told)?;
        self.set_read_only(read_only)?;
        self.own("BEGIN")
    }

    fn set_read_only(&self, read_only: bool) -> Result<(), EffectError> {
        let _own = self.whose.own();
        self.connection.pragma_update(None, "query_only", read_only).map_err(failure::told)
    }

    /// Begins it anew, at the newest state of the file and as the only one that writes.
    pub(super) fn begin_anew(&self) -> Result<(), EffectError> {
        self.own("ROLLBACK")?;
        self.own("BEGIN IMMEDIATE")
    }

    pub(super) fn is_open(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Notes in the transaction itself which one it is.
    pub(super) fn mark(&self, writer: u32, transaction: &[u8]) -> Result<(), EffectError> {
        let _own = self.whose.own();
        let text = "INSERT INTO belay_commit (writer, transaction_id) VALUES (?1, ?2)
             ON CONFLICT (writer) DO UPDATE SET transaction_id = excluded.transaction_id";
        let mut prepared = self.connection.prepare_cached(text).map_err(failure::told)?;
        prepared.execute(params![writer, transaction]).map(drop).map_err(failure::told)
    }

    /// Whether the transaction that was marked so is in the file.
    pub(super) fn has_committed(
        &self,
        writer: u32,
        transaction: &[u8],
    ) -> Result<bool, EffectError> {
        let _own = self.whose.own();
        let text = "SELECT transaction_id = ?2 FROM belay_commit WHERE writer = ?1";
        let mut prepared = self.connection.prepare_cached(text).map_err(failure::told)?;
        let found = prepared.query_row(params![writer, transaction], |row| row.get(0)).optional();
        Ok(found.map_err(failure::told)?.unwrap_or(false))
    }

    pub(super) fn savepoint(&self, word: &str, name: u32) -> Result<(), EffectError> {
        self.own(&format!("{word} belay_{name}"))
    }

    pub(super) fn commit(&mut self) -> Result<(), EffectError> {
        self.own("COMMIT")?;
        self.let_go();
        Ok(())
    }

    /// Fails where nothing is left to be rolled back, which is what is wanted.
    pub(super) fn roll_back(&mut self) {
        let _ = self.own("ROLLBACK");
        self.let_go();
    }

    /// After a transaction: as it was before.
    pub(super) fn reset(&self) -> Result<(), EffectError> {
        self.connection.busy_timeout(BUSY).map_err(failure::told)?;
        self.set_read_only(false)
    }
}

fn row(answer: &mut Answer, found: &Row<'_>) -> Result<(), EffectError> {
    let statement: &Statement<'_> = found.as_ref();
    let mut row = answer.row()?;
    for index in 0..statement.column_count() {
        values::cell(&mut row, found.get_ref(index).map_err(failure::told)?)?;
    }
    row.end()
}

/// Makes Belay's own table in a file that is new; leaves a file alone that is another's.
fn recognise(connection: &mut Connection) -> rusqlite::Result<()> {
    let number = |connection: &Connection, pragma| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
    };
    let found = |connection: &Connection| {
        Ok::<_, rusqlite::Error>((
            number(connection, "application_id")?,
            number(connection, "user_version")?,
        ))
    };
    if found(connection)? == (APPLICATION_ID, FORMAT) {
        return Ok(());
    }
    let behavior = rusqlite::TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior)?;
    match found(&transaction)? {
        (APPLICATION_ID, FORMAT) => return Ok(()),
        (0, 0) => {}
        _ => return Err(rusqlite::Error::InvalidQuery),
    }
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}
