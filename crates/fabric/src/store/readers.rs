//! A few read-only connections, lent to closures that run on blocking threads.
//!
//! A read sees everything that was acknowledged before it began. Readers never wait for the writer, nor it for them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rusqlite::{Connection, params, types::Value};
use tokio::{sync::Semaphore, task};

use super::{
    record::{
        Collection, KeyRange, LIST_MAX, LogEntry, LogName, Record, Sequence, VALUE_BYTES_MAX,
        check_key,
    },
    row::{from_sql, to_sql},
    schema,
};
use crate::StoreError;

/// Reads that run at the same time.
const CONNECTIONS: u32 = 4;
/// Most bytes of values that one read returns.
pub const READ_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Clone)]
pub(super) struct Readers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// A connection that finds its way back, also when the read panics.
struct Lease<'a> {
    readers: &'a Inner,
    connection: Option<Connection>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let idle = (0..CONNECTIONS).map(|_| schema::open_reader(path)).collect::<Result<_, _>>()?;
        let permits = Arc::new(Semaphore::new(CONNECTIONS as usize));
        Ok(Self(Arc::new(Inner { path: path.to_owned(), idle: Mutex::new(idle), permits })))
    }

    pub(super) async fn get(
        &self,
        collection: &Collection,
        key: &str,
    ) -> Result<Option<Record>, StoreError> {
        check_key(key)?;
        let (collection, key) = (collection.clone(), key.to_owned());
        self.run("read a record", move |connection| get(connection, &collection, key)).await
    }

    pub(super) async fn list(
        &self,
        collection: &Collection,
        range: KeyRange,
    ) -> Result<Vec<Record>, StoreError> {
        check_count(range.limit)?;
        let collection = collection.clone();
        let records =
            self.run("list records", move |connection| list(connection, &collection, &range));
        let (records, bytes) = records.await?;
        StoreError::check_limit("bytes of the records listed", bytes, READ_BYTES_MAX)?;
        Ok(records)
    }

    pub(super) async fn read_log(
        &self,
        log: &LogName,
        after: Sequence,
        limit: u32,
    ) -> Result<Vec<LogEntry>, StoreError> {
        check_count(limit)?;
        let log = log.clone();
        self.run("read a log", move |connection| read_log(connection, &log, after, limit)).await
    }

    /// Waits for the reads under way, refuses later ones, and closes the connections.
    pub(super) async fn close(&self) {
        let all_idle = self.0.permits.acquire_many(CONNECTIONS).await;
        self.0.permits.close();
        self.0.idle.lock().clear();
        drop(all_idle);
    }

    async fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permits = Arc::clone(&self.0.permits);
        let permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let inner = Arc::clone(&self.0);
        let done = task::spawn_blocking(move || {
            let answer = inner.lease().and_then(|lease| lease.read(action, read));
            drop(permit);
            answer
        });
        done.await.map_err(StoreError::failed(action, &self.0.path))?
    }
}

impl Inner {
    fn lease(&self) -> Result<Lease<'_>, StoreError> {
        let connection = self.idle.lock().pop().ok_or(StoreError::Closed)?;
        Ok(Lease { readers: self, connection: Some(connection) })
    }
}

impl Lease<'_> {
    fn read<T>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let connection = self.connection.as_ref().ok_or(StoreError::Closed)?;
        read(connection).map_err(StoreError::failed(action, &self.readers.path))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.readers.idle.lock().extend(self.connection.take());
    }
}

fn check_count(limit: u32) -> Result<(), StoreError> {
    StoreError::check_limit("entries asked for", limit as usize, LIST_MAX as usize)
}

fn get(
    connection: &Connection,
    collection: &Collection,
    key: String,
) -> rusqlite::Result<Option<Record>> {
    let mut statement = connection
        .prepare_cached("SELECT revision, value FROM records WHERE collection = ?1 AND key = ?2")?;
    let mut rows = statement.query(params![collection.as_str(), key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Record { revision: from_sql(row.get(0)?), value: row.get(1)?, key }))
}

/// The records, and the bytes of their values; gives up as soon as there are too many.
fn list(
    connection: &Connection,
    collection: &Collection,
    range: &KeyRange,
) -> rusqlite::Result<(Vec<Record>, usize)> {
    let mut statement = connection.prepare_cached(
        "SELECT key, revision, value FROM records
         WHERE collection = ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4",
    )?;
    let bounds = (first_key(range), end_of_prefix(&range.prefix));
    let mut rows =
        statement.query(params![collection.as_str(), bounds.0, bounds.1, range.limit])?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()?.filter(|_| bytes <= READ_BYTES_MAX) {
        let value: Vec<u8> = row.get(2)?;
        bytes += value.len();
        records.push(Record { key: row.get(0)?, revision: from_sql(row.get(1)?), value });
    }
    Ok((records, bytes))
}

/// The smallest key that the range may contain. No string lies between a key and the same with U+0000 added.
fn first_key(range: &KeyRange) -> String {
    let after = range.after.as_ref().map(|after| format!("{after}\0")).unwrap_or_default();
    after.max(range.prefix.clone())
}

/// The smallest value behind all texts that start with `prefix`. UTF-8 keeps the order of the characters, so the last
/// character that has a successor is replaced by it. If none has, it is a blob: in SQLite these follow all texts.
fn end_of_prefix(prefix: &str) -> Value {
    let mut rest = prefix.chars();
    while let Some(last) = rest.next_back() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            return Value::Text(format!("{}{next}", rest.as_str()));
        }
    }
    Value::Blob(Vec::new())
}

fn read_log(
    connection: &Connection,
    log: &LogName,
    after: Sequence,
    limit: u32,
) -> rusqlite::Result<Vec<LogEntry>> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, revision, value FROM log_entries
         WHERE log = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
    )?;
    let mut rows = statement.query(params![log.as_str(), to_sql(after), limit])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()?.filter(|_| bytes < READ_BYTES_MAX - VALUE_BYTES_MAX) {
        let value: Vec<u8> = row.get(2)?;
        bytes += value.len();
        let (sequence, revision) = (from_sql(row.get(0)?), from_sql(row.get(1)?));
        entries.push(LogEntry { sequence, revision, value });
    }
    Ok(entries)
}
