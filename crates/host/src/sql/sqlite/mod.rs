//! SQLite files of apps: `<sql_dir>/<app>/<database>.sqlite`.
//!
//! - [`connection`] is an open file and what may be asked of it, on whatever thread one is; [`guard`] is what a
//!   statement of a function may not do; [`values`] are parameters and cells;
//! - [`transaction`] is an open transaction, and what became of one whose commit failed; [`past`] is what one has read that is to
//!   write.
//!
//! Those that write one file wait for each other in the order in which they come.
//!
//! Statements run on threads that may block. One that is given up is stopped from within.

mod connection;
mod failure;
mod guard;
mod past;
mod transaction;
mod values;

use std::{path::PathBuf, sync::Arc, time::Duration};

use belay_model::{EffectError, Outcome};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

pub(super) use self::transaction::SqliteTransaction;
use self::{
    connection::{BUSY, SqliteConnection},
    past::Looked,
};
use super::{
    SqlBegin, error,
    pool::{Place, Pool, WAIT},
    request::Query,
};

/// Connections to one file.
pub(super) const CONNECTIONS: u32 = 16;

/// One file, with its connections.
#[derive(Clone)]
pub(super) struct Sqlite {
    pub(super) path: Arc<PathBuf>,
    /// Held while a connection is opened: setting up a new file is for one at a time.
    pub(super) opening: Arc<Mutex<()>>,
    /// Held by who writes: those of this process go in the order in which they come.
    pub(super) writing: Arc<tokio::sync::Mutex<()>>,
    pub(super) pool: Arc<Pool<SqliteConnection>>,
}

impl Sqlite {
    pub(super) async fn perform(&self, query: Query) -> Result<Outcome, EffectError> {
        let (place, connection) = self.enter(true).await?;
        let (mut connection, mut looked) =
            on_thread(connection, move |connection| connection.look(query)).await?;
        if let Ok(Looked::Writes(_)) = looked {
            match self.writer(BUSY).await {
                Ok(writer) => connection.hold(writer),
                Err(error) => looked = Err(error),
            }
        }
        let (connection, done) = match looked {
            Ok(Looked::Read(read)) => (connection, Ok(read.answer)),
            Ok(Looked::Writes(query)) => {
                on_thread(connection, move |connection| connection.autocommit(&query)).await?
            }
            Err(error) => (connection, Err(error)),
        };
        if connection.is_clean() {
            place.leave(connection);
        }
        done.map(super::answer::Answer::outcome)
    }

    pub(super) async fn begin(&self, begin: &SqlBegin) -> Result<SqliteTransaction, EffectError> {
        // Who must change nothing makes no file either.
        if begin.mirror && !self.path.exists() {
            return Err(error::unavailable("the database has no file yet"));
        }
        let (place, connection) = self.enter(!begin.mirror).await?;
        let read_only = begin.read_only || begin.mirror;
        let wait = begin.lock_timeout.unwrap_or(BUSY);
        let (connection, begun) =
            on_thread(connection, move |connection| connection.begin(read_only, wait)).await?;
        begun?;
        Ok(SqliteTransaction::new(self.clone(), place, (connection, wait), read_only))
    }

    /// The right to write, when all others of this process have done so that came before.
    async fn writer(&self, wait: Duration) -> Result<OwnedMutexGuard<()>, EffectError> {
        let writing = tokio::time::timeout(wait, Arc::clone(&self.writing).lock_owned()).await;
        writing.map_err(|_| {
            let message =
                format!("SQLITE_BUSY: another one writes the file for longer than {wait:?}");
            error::conflict(message)
        })
    }

    async fn enter(
        &self,
        waits: bool,
    ) -> Result<(Place<SqliteConnection>, SqliteConnection), EffectError> {
        let (place, idle) = self.pool.enter(waits.then_some(WAIT)).await?;
        let connection = match idle {
            Some(connection) => connection,
            None => self.open().await?,
        };
        Ok((place, connection))
    }

    async fn open(&self) -> Result<SqliteConnection, EffectError> {
        let (path, opening) = (Arc::clone(&self.path), Arc::clone(&self.opening));
        let opened = tokio::task::spawn_blocking(move || {
            let _one = opening.lock();
            SqliteConnection::open(&path)
        });
        let opened = opened.await;
        opened.map_err(|_| error::unavailable("a thread of the database has ended"))?
    }
}

/// Has a thread do something with a connection. When the future is dropped, the work is stopped, and the connection
/// closed; what was not committed by then is not made.
async fn on_thread<T: Send + 'static>(
    mut connection: SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> T + Send + 'static,
) -> Result<(SqliteConnection, T), EffectError> {
    let stop = connection.stop_when_dropped();
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&mut connection);
        (connection, done)
    });
    let done = done.await;
    stop.forget();
    done.map_err(|_| error::unavailable("a thread of the database has ended"))
}
