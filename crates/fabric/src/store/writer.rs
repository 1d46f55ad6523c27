//! The one thread that writes.
//!
//! Group commit: the transactions that wait in the queue become one SQLite transaction, each in a savepoint of its
//! own, so that a conflicting one undoes only itself. They are answered after the one `COMMIT` has returned, that is
//! after the write-ahead log was synced; a loss of power later takes nothing back.
//!
//! Invariants: revisions and sequences grow by one, without gaps, in the order of the queue; `newest` never runs
//! ahead of what is durable; after an error of the disk nothing is committed any more, because a failed sync may
//! have thrown pages away.

use std::{mem, path::PathBuf};

use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::{
    record::{Collection, Revision, Sequence},
    row::{from_sql, to_sql},
    transaction::{Check, Committed, Expect, TRIM_MAX, Transaction, Write},
};
use crate::{CommitError, StoreError, directory::DirectoryLock};

/// Most transactions that share one sync.
const GROUP_MAX: usize = 256;

/// What the writer is asked to do.
pub(super) enum Job {
    Commit(Commit),
    /// Take no further jobs; those in the queue are still done.
    Close,
}

pub(super) struct Commit {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Answer>,
    /// The transaction's share of the memory of the queue.
    pub(super) weight: OwnedSemaphorePermit,
}

pub(super) type Answer = Result<Committed, CommitError>;

pub(super) struct Writer {
    connection: Connection,
    path: PathBuf,
    last: Counters,
    newest: watch::Sender<Revision>,
    halted: Option<StoreError>,
    /// Released last, when no connection is open any more.
    lock: DirectoryLock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counters {
    revision: Revision,
    sequence: Sequence,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        path: PathBuf,
        lock: DirectoryLock,
    ) -> Result<Self, StoreError> {
        let last =
            read_counters(&connection).map_err(StoreError::failed("read the counters", &path))?;
        let newest = watch::Sender::new(last.revision);
        Ok(Self { connection, path, last, newest, halted: None, lock })
    }

    pub(super) fn newest(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    /// Works until it is told to close, or until nobody is left who could ask for anything.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let group = gather(first, &mut jobs);
            self.commit_group(group);
        }
        self.shut_down();
    }

    fn commit_group(&mut self, group: Vec<Commit>) {
        let before = self.last;
        match self.try_group(&group) {
            Ok(answers) => {
                self.newest.send_if_modified(|newest| {
                    mem::replace(newest, self.last.revision) != self.last.revision
                });
                group.into_iter().zip(answers).for_each(|(commit, answer)| commit.reply(answer));
            }
            Err(error) => {
                self.last = before;
                group.into_iter().for_each(|commit| commit.reply(Err(error.clone().into())));
            }
        }
    }

    fn try_group(&mut self, group: &[Commit]) -> Result<Vec<Answer>, StoreError> {
        if let Some(halted) = &self.halted {
            return Err(halted.clone());
        }
        if group.is_empty() {
            return Ok(Vec::new());
        }
        self.execute("BEGIN IMMEDIATE")?;
        let done =
            self.apply_group(group).and_then(|answers| self.finish_group().map(|()| answers));
        if done.is_err() && !self.connection.is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        done
    }

    fn apply_group(&mut self, group: &[Commit]) -> Result<Vec<Answer>, StoreError> {
        group.iter().map(|commit| self.in_savepoint(&commit.transaction)).collect()
    }

    fn finish_group(&mut self) -> Result<(), StoreError> {
        let written = write_counters(&self.connection, self.last);
        written.map_err(|error| self.failed("write the counters", error))?;
        self.execute("COMMIT")
    }

    /// The outer error undoes the whole group, the inner one only this transaction.
    fn in_savepoint(&mut self, transaction: &Transaction) -> Result<Answer, StoreError> {
        let before = self.last;
        self.execute("SAVEPOINT one")?;
        let answer = self.apply(transaction);
        if let Err(error) = &answer {
            // SQLite itself undoes the whole transaction after some errors, such as a full disk.
            if self.connection.is_autocommit() {
                return Err(lost_group(error));
            }
            self.last = before;
            self.execute("ROLLBACK TO one")?;
        }
        self.execute("RELEASE one")?;
        Ok(answer)
    }

    fn apply(&mut self, transaction: &Transaction) -> Answer {
        transaction.checks.iter().try_for_each(|check| self.check(check))?;
        if !transaction.writes.is_empty() {
            self.last.revision.0 += 1;
        }
        let nothing = Committed { revision: self.last.revision, sequences: Vec::new(), trimmed: 0 };
        let write = |mut done, write| {
            let written = self.write(write, &mut done);
            written.map_err(|error| self.failed("write a transaction", error)).map(|()| done)
        };
        Ok(transaction.writes.iter().try_fold(nothing, write)?)
    }

    fn check(&mut self, check: &Check) -> Result<(), CommitError> {
        let found = revision_of(&self.connection, &check.collection, &check.key)
            .map_err(|error| self.failed("check a record", error))?;
        let expected = match check.expect {
            Expect::Absent => None,
            Expect::Revision(revision) => Some(revision),
        };
        if found == expected {
            return Ok(());
        }
        let (collection, key) = (check.collection.clone(), check.key.clone());
        Err(CommitError::Conflict { collection, key, found })
    }

    fn write(&mut self, write: &Write, done: &mut Committed) -> rusqlite::Result<()> {
        match write {
            Write::Put { collection, key, value } => self.statement(PUT)?.execute(params![
                collection.as_str(),
                key,
                to_sql(done.revision),
                value
            ])?,
            Write::Delete { collection, key } => {
                self.statement(DELETE)?.execute(params![collection.as_str(), key])?
            }
            Write::Append { log, value } => {
                self.last.sequence.0 += 1;
                done.sequences.push(self.last.sequence);
                let numbers = (to_sql(self.last.sequence), to_sql(done.revision));
                self.statement(APPEND)?.execute(params![
                    numbers.0,
                    log.as_str(),
                    numbers.1,
                    value
                ])?
            }
            Write::Trim { log, before } => {
                let bounds = params![log.as_str(), to_sql(*before), TRIM_MAX];
                let removed = self.statement(TRIM)?.execute(bounds)?;
                done.trimmed += removed as u64;
                removed
            }
        };
        Ok(())
    }

    fn statement(&self, sql: &str) -> rusqlite::Result<rusqlite::CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    fn execute(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let done = self.statement(sql).and_then(|mut statement| statement.execute([]));
        done.map(drop).map_err(|error| self.failed(sql, error))
    }

    /// Halts when the error says that the file or the disk under it cannot be trusted.
    fn failed(&mut self, action: &'static str, error: rusqlite::Error) -> StoreError {
        let fatal =
            [ErrorCode::SystemIoFailure, ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
        let is_fatal = error.sqlite_error_code().is_some_and(|code| fatal.contains(&code));
        let failed = StoreError::failed(action, &self.path)(error);
        if is_fatal {
            tracing::error!(error = %failed, "the store halts");
            self.halted = Some(halted(&failed));
        }
        failed
    }

    /// A checkpoint only saves the next start some work, so its failure is not one of the store.
    fn shut_down(self) {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = self.connection.query_row(checkpoint, [], |_| Ok(())) {
            tracing::warn!(%error, path = %self.path.display(), "no checkpoint at close");
        }
        drop(self.connection);
        drop(self.lock);
        drop(self.newest);
    }
}

impl Commit {
    fn reply(self, answer: Answer) {
        drop(self.weight);
        // Whoever asked may have gone; the commit stands all the same.
        drop(self.answer.send(answer));
    }
}

const PUT: &str = "INSERT INTO records (collection, key, revision, value) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (collection, key) DO UPDATE SET revision = excluded.revision, value = excluded.value";
const DELETE: &str = "DELETE FROM records WHERE collection = ?1 AND key = ?2";
const APPEND: &str =
    "INSERT INTO log_entries (sequence, log, revision, value) VALUES (?1, ?2, ?3, ?4)";
const TRIM: &str = "DELETE FROM log_entries WHERE sequence IN (
    SELECT sequence FROM log_entries WHERE log = ?1 AND sequence < ?2 ORDER BY sequence LIMIT ?3)";

/// Waits for nobody: takes what has queued up while the last group was being written.
fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Commit> {
    let mut group = Vec::new();
    let mut next = Some(first);
    while let Some(job) = next {
        match job {
            Job::Commit(commit) => group.push(commit),
            Job::Close => jobs.close(),
        }
        next = (group.len() < GROUP_MAX).then(|| jobs.try_recv().ok()).flatten();
    }
    group
}

fn read_counters(connection: &Connection) -> rusqlite::Result<Counters> {
    connection.query_one("SELECT revision, sequence FROM counters", [], |row| {
        Ok(Counters { revision: from_sql(row.get(0)?), sequence: from_sql(row.get(1)?) })
    })
}

fn write_counters(connection: &Connection, last: Counters) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("UPDATE counters SET revision = ?1, sequence = ?2")?;
    statement.execute(params![to_sql(last.revision), to_sql(last.sequence)]).map(drop)
}

fn revision_of(
    connection: &Connection,
    collection: &Collection,
    key: &str,
) -> rusqlite::Result<Option<Revision>> {
    let mut statement = connection
        .prepare_cached("SELECT revision FROM records WHERE collection = ?1 AND key = ?2")?;
    let mut rows = statement.query(params![collection.as_str(), key])?;
    rows.next()?.map(|row| row.get(0).map(from_sql)).transpose()
}

fn lost_group(error: &CommitError) -> StoreError {
    match error {
        CommitError::Store(error) => error.clone(),
        CommitError::Conflict { .. } => StoreError::Closed,
    }
}

fn halted(error: &StoreError) -> StoreError {
    StoreError::Halted { source: std::sync::Arc::new(error.clone()) }
}
