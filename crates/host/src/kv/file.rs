//! One kv file, open: a SQLite database with one table of entries. Its format is in `docs/formats/kv.md`.
//!
//! Invariants: `meta` always agrees with `entry` (both change in one transaction); a command that fails with an
//! error of its own has changed nothing; a revision is given out once. So the newest revision tells what became of a
//! transaction whose COMMIT has failed, which may be in the file or not.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OptionalExtension, params};

use super::command::{Command, Commit, Key, KvError, Range, Reply, Revision, Value, Write};

/// `BELK`.
const APPLICATION_ID: i64 = 0x4245_4c4b;
const FORMAT: i64 = 1;
/// What an entry counts for in the quota beyond its key and value.
const ENTRY_BYTES: u64 = 64;
/// Waits for whoever else has opened the file, such as a person with a SQLite shell.
const BUSY: Duration = Duration::from_secs(5);
const STATEMENTS: usize = 16;

const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA cache_size = -512;
    PRAGMA journal_size_limit = 4194304;
";

const SCHEMA: &str = "
    CREATE TABLE entry (
        key BLOB NOT NULL UNIQUE,
        revision INTEGER NOT NULL,
        kind INTEGER NOT NULL CHECK (kind IN (0, 1)),
        value BLOB NOT NULL
    ) STRICT;
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        revision INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;
    INSERT INTO meta (id, revision, bytes) VALUES (0, 0, 0);
";

const KIND_JSON: i64 = 0;
const KIND_BYTES: i64 = 1;

pub(crate) struct KvFile {
    connection: Connection,
    meta: Meta,
}

/// Answers to commands, one for each.
pub(crate) type Answers = Vec<Result<Reply, KvError>>;

/// Why commands were not carried out.
pub(crate) enum Broken {
    /// None of the writes is made.
    Undone(KvError),
    /// COMMIT itself has failed: only the file can tell, opened anew.
    Doubtful(Doubt),
}

/// A transaction that is in the file or is not.
pub(crate) struct Doubt {
    error: KvError,
    before: Meta,
    after: Meta,
    answers: Answers,
}

/// The row of `meta`, kept in memory; written once per transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meta {
    revision: u64,
    bytes: u64,
}

impl KvFile {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self, KvError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let known = recognise(&connection)?;
        connection.execute_batch(SETTINGS)?;
        if !known {
            create(&mut connection)?;
        }
        let meta = load_meta(&connection)?;
        Ok(Self { connection, meta })
    }

    /// Carries out commands, all writes of them in one transaction, and returns an answer for each. When this
    /// fails as a whole, the file is of no use any more.
    pub(crate) fn run(&mut self, commands: &[(&Command, u64)]) -> Result<Answers, Broken> {
        if !commands.iter().any(|(command, _)| command.writes()) {
            return self.execute_all(commands).map_err(Broken::Undone);
        }
        let before = self.meta;
        let done = self.transaction(commands);
        if done.is_err() {
            self.meta = before;
            // Fails when there is nothing to roll back, which is what is wanted.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    fn transaction(&mut self, commands: &[(&Command, u64)]) -> Result<Answers, Broken> {
        let before = self.meta;
        let answers = self.prepare(commands, before).map_err(Broken::Undone)?;
        match self.execute("COMMIT") {
            Ok(()) => Ok(answers),
            Err(error) if self.meta == before => Err(Broken::Undone(error)),
            Err(error) => Err(Broken::Doubtful(Doubt { error, before, after: self.meta, answers })),
        }
    }

    /// All of a transaction but its COMMIT.
    fn prepare(&mut self, commands: &[(&Command, u64)], before: Meta) -> Result<Answers, KvError> {
        self.execute("BEGIN IMMEDIATE")?;
        let answers = self.execute_all(commands)?;
        if self.meta != before {
            self.store_meta()?;
        }
        Ok(answers)
    }

    /// What became of a transaction, by this file, which was opened after the one that had it was closed. Nobody else may
    /// have written in between.
    pub(crate) fn settle(&self, doubt: Doubt) -> Result<Answers, KvError> {
        match self.meta {
            meta if meta == doubt.after => Ok(doubt.answers),
            meta if meta == doubt.before => Err(doubt.error),
            _ => Err(doubt.unknown()),
        }
    }

    fn execute(&self, statement: &str) -> Result<(), KvError> {
        Ok(self.connection.prepare_cached(statement)?.execute([]).map(drop)?)
    }

    fn execute_all(&mut self, commands: &[(&Command, u64)]) -> Result<Answers, KvError> {
        let answers = commands.iter().map(|(command, quota_bytes)| {
            match self.answer(command, *quota_bytes) {
                Err(error) if error.is_fatal() => Err(error),
                answer => Ok(answer),
            }
        });
        answers.collect()
    }

    fn answer(&mut self, command: &Command, quota_bytes: u64) -> Result<Reply, KvError> {
        match command {
            Command::Get(key) => self.get(key).map(Reply::Entry),
            Command::List(range) => self.list(range),
            Command::Commit(commit) => {
                self.commit(commit, quota_bytes).map(|_| Reply::Committed(self.revision()))
            }
            Command::Delete(commit) => self.commit(commit, quota_bytes).map(Reply::Deleted),
            // The pool erases files itself, as this one must be closed before.
            Command::Erase => Ok(Reply::Erased),
        }
    }

    fn revision(&self) -> Revision {
        Revision(self.meta.revision)
    }

    fn get(&self, key: &Key) -> Result<Option<(Revision, Value)>, KvError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT revision, kind, value FROM entry WHERE key = ?1")?;
        let row = statement
            .query_row([key.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        row.map(|(revision, kind, value)| Ok((Revision(unsigned(revision)), decode(kind, value)?)))
            .transpose()
    }

    fn list(&self, range: &Range) -> Result<Reply, KvError> {
        let (from, to) = bounds(range);
        let mut statement = self.connection.prepare_cached(
            "SELECT key, revision FROM entry WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
        )?;
        let rows = statement.query_map(params![from, to, i64::from(range.limit) + 1], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?))
        })?;
        let mut entries = Vec::new();
        for row in rows {
            let (key, revision) = row?;
            entries.push((utf8(0, key)?, Revision(unsigned(revision))));
        }
        let more = entries.len() > range.limit as usize;
        entries.truncate(range.limit as usize);
        Ok(Reply::Listed { entries, more })
    }

    /// Says whether an entry was deleted.
    fn commit(&mut self, commit: &Commit, quota_bytes: u64) -> Result<bool, KvError> {
        for (key, expected) in &commit.checks {
            self.check(key, *expected)?;
        }
        for (range, listed) in &commit.lists {
            match self.list(range)? {
                Reply::Listed { entries, .. } if entries == *listed => {}
                _ => return Err(KvError::ListConflict { prefix: range.prefix.clone() }),
            }
        }
        let sizes = commit.writes.iter().map(|write| self.size(write.key()));
        let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
        let bytes = self.bytes_after(commit, &sizes, quota_bytes)?;
        let deletes = |write: &Write, size: &Option<u64>| write.value().is_none() && size.is_some();
        let deleted = commit.writes.iter().zip(&sizes).any(|(write, size)| deletes(write, size));
        if deleted || commit.writes.iter().any(|write| write.value().is_some()) {
            self.meta = Meta { revision: self.meta.revision + 1, bytes };
            commit.writes.iter().try_for_each(|write| self.write(write))?;
        }
        Ok(deleted)
    }

    fn check(&self, key: &Key, expected: Revision) -> Result<(), KvError> {
        let mut statement =
            self.connection.prepare_cached("SELECT revision FROM entry WHERE key = ?1")?;
        let found = statement.query_row([key.as_bytes()], |row| row.get(0)).optional()?;
        let found = found.map_or(Revision::ABSENT, |revision| Revision(unsigned(revision)));
        if found == expected {
            return Ok(());
        }
        Err(KvError::Conflict { key: key.as_str().to_owned(), expected, found })
    }

    /// What the entry counts for in the quota, if there is one.
    fn size(&self, key: &Key) -> Result<Option<u64>, KvError> {
        let mut statement =
            self.connection.prepare_cached("SELECT length(value) FROM entry WHERE key = ?1")?;
        let bytes = statement.query_row([key.as_bytes()], |row| row.get(0)).optional()?;
        Ok(bytes.map(|bytes| weight(key, unsigned(bytes))))
    }

    fn bytes_after(
        &self,
        commit: &Commit,
        sizes: &[Option<u64>],
        quota_bytes: u64,
    ) -> Result<u64, KvError> {
        let freed: u64 = sizes.iter().flatten().sum();
        let added: u64 = commit
            .writes
            .iter()
            .filter_map(|write| Some(weight(write.key(), write.value()?.as_bytes().len() as u64)))
            .sum();
        let bytes = self.meta.bytes.saturating_sub(freed) + added;
        if bytes > quota_bytes && added > freed {
            return Err(KvError::Full { quota_bytes });
        }
        Ok(bytes)
    }

    fn write(&self, write: &Write) -> Result<(), KvError> {
        match write {
            Write::Put(key, value) => self.put(key, value),
            Write::Delete(key) => {
                let mut statement =
                    self.connection.prepare_cached("DELETE FROM entry WHERE key = ?1")?;
                Ok(statement.execute([key.as_bytes()]).map(drop)?)
            }
        }
    }

    fn put(&self, key: &Key, value: &Value) -> Result<(), KvError> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO entry (key, revision, kind, value) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO UPDATE SET
                 revision = excluded.revision, kind = excluded.kind, value = excluded.value",
        )?;
        let kind = match value {
            Value::Json(_) => KIND_JSON,
            Value::Bytes(_) => KIND_BYTES,
        };
        let revision = signed(self.meta.revision);
        Ok(statement
            .execute(params![key.as_bytes(), revision, kind, value.as_bytes()])
            .map(drop)?)
    }

    fn store_meta(&self) -> Result<(), KvError> {
        let mut statement =
            self.connection.prepare_cached("UPDATE meta SET revision = ?1, bytes = ?2")?;
        let values = params![signed(self.meta.revision), signed(self.meta.bytes)];
        Ok(statement.execute(values).map(drop)?)
    }
}

impl Doubt {
    /// Where the file cannot tell either.
    pub(crate) fn unknown(self) -> KvError {
        KvError::Unknown(Box::new(self.error))
    }
}

/// Whether the file is a kv file of a known format; `false` when it is still empty.
fn recognise(connection: &Connection) -> Result<bool, KvError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    let format = number("PRAGMA user_version")?;
    match (application, format) {
        (APPLICATION_ID, FORMAT) => Ok(true),
        (APPLICATION_ID, found) => Err(KvError::Newer { found, known: FORMAT }),
        (0, 0) if number("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(false),
        _ => Err(KvError::Foreign),
    }
}

fn create(connection: &mut Connection) -> Result<(), KvError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    Ok(transaction.commit()?)
}

fn load_meta(connection: &Connection) -> Result<Meta, KvError> {
    Ok(connection.query_row("SELECT revision, bytes FROM meta", [], |row| {
        Ok(Meta { revision: unsigned(row.get(0)?), bytes: unsigned(row.get(1)?) })
    })?)
}

/// The half-open range of keys, as bytes. No byte of UTF-8 is 0xFF, so that one is above every key.
fn bounds(range: &Range) -> (Vec<u8>, Vec<u8>) {
    let prefix = range.prefix.as_bytes();
    let after = range.after.as_ref().map(|after| [after.as_bytes(), &[0]].concat());
    let from = after.unwrap_or_default().max(prefix.to_vec());
    (from, [prefix, &[0xFF]].concat())
}

fn decode(kind: i64, value: Vec<u8>) -> Result<Value, KvError> {
    match kind {
        KIND_JSON => utf8(2, value).map(Value::Json),
        _ => Ok(Value::Bytes(value)),
    }
}

fn utf8(column: usize, bytes: Vec<u8>) -> Result<String, KvError> {
    String::from_utf8(bytes)
        .map_err(|error| rusqlite::Error::Utf8Error(column, error.utf8_error()).into())
}

fn weight(key: &Key, value_bytes: u64) -> u64 {
    key.as_bytes().len() as u64 + value_bytes + ENTRY_BYTES
}

/// SQLite's integers are signed; none that this file writes is negative.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
