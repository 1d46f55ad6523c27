//! The SQLite file of a store: its marks, its tables, and how a connection to it is set up.
//!
//! `docs/formats/store.md` describes every table and column. Nothing outside `store/` knows that there is SQLite.

use std::{io, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use crate::StoreError;

/// `PRAGMA user_version`: the version that this program writes, and the newest one that it reads.
pub(super) const FORMAT: u32 = 1;
/// `PRAGMA application_id`: the bytes `Bely`.
const APPLICATION: i64 = 0x4265_6c79;
/// Tables of version 1.
const TABLES: &str = "
CREATE TABLE counters (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL,
    sequence INTEGER NOT NULL
) STRICT;
INSERT INTO counters VALUES (1, 0, 0);
CREATE TABLE records (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (collection, key)
) STRICT;
CREATE TABLE log_entries (
    sequence INTEGER PRIMARY KEY,
    log TEXT NOT NULL,
    revision INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT;
CREATE INDEX log_entries_by_log ON log_entries (log, sequence);
";
const BUSY_TIMEOUT_MS: u64 = 10_000;

/// Opens the file for writing; creates it when it is missing, and refuses one that is not ours or too new.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags)?;
    let version = version(&connection, path)?;
    configure(&connection, path)?;
    if version.is_none() {
        create(&connection).map_err(StoreError::failed("create the store", path))?;
    }
    Ok(connection)
}

/// Opens one more connection, which cannot write, to a file that a writer has open.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let failed = || StoreError::failed::<rusqlite::Error>("open the store", path);
    let connection = Connection::open_with_flags(path, flags).map_err(failed())?;
    let patience = Duration::from_millis(BUSY_TIMEOUT_MS);
    connection.busy_timeout(patience).map_err(failed())?;
    connection.execute_batch("PRAGMA trusted_schema = OFF").map_err(failed())?;
    Ok(connection)
}

/// The version of the file, `None` if it is new. Looks only: a file that is refused stays as it is.
fn version(connection: &Connection, path: &Path) -> Result<Option<u32>, StoreError> {
    let marks = marks(connection).map_err(|error| not_sqlite(path, error))?;
    match marks {
        (0, 0, 0) => Ok(None),
        (APPLICATION, found, _) if found > FORMAT => {
            Err(StoreError::NewerFormat { path: path.to_owned(), found, known: FORMAT })
        }
        (APPLICATION, found, _) if found > 0 => Ok(Some(found)),
        _ => Err(foreign(path)),
    }
}

/// Application, format version, and number of tables and indices.
fn marks(connection: &Connection) -> rusqlite::Result<(i64, u32, u32)> {
    let application = connection.query_one("PRAGMA application_id", [], |row| row.get(0))?;
    let version = connection.query_one("PRAGMA user_version", [], |row| row.get(0))?;
    let objects =
        connection.query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((application, version, objects))
}

fn not_sqlite(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => foreign(path),
        _ => StoreError::failed("read the store", path)(error),
    }
}

fn foreign(path: &Path) -> StoreError {
    StoreError::Foreign { path: path.to_owned(), expected: "store of Belay" }
}

/// `synchronous = FULL` syncs the write-ahead log at every commit: an acknowledged commit survives a loss of power.
fn configure(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = || StoreError::failed::<rusqlite::Error>("configure the store", path);
    let mode: String =
        connection.query_one("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed())?;
    if mode != "wal" {
        let no_wal = io::Error::other(format!("the file system allows only journal mode {mode}"));
        return Err(StoreError::failed("use a write-ahead log", path)(no_wal));
    }
    let settings = "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON;";
    connection.execute_batch(settings).map_err(failed())
}

/// One transaction, so that a crash leaves either nothing or a complete store.
fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION};
         PRAGMA user_version = {FORMAT}; COMMIT;"
    ))
}
