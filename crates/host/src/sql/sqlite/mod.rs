//! SQLite files of apps: `<sql_dir>/<app>/<database>.sqlite`.
//!
//! - [`connection`] is an open file and what may be asked of it, on whatever thread one is; [`guard`] is what a
//!   statement of a function may not do; [`values`] are parameters and cells;
//! - [`transaction`] is an open transaction, and what became of one whose commit failed.
//!
//! Statements run on threads that may block. One that is given up is stopped from within.

mod connection;
mod failure;
mod guard;
mod transaction;
mod values;

use std::{path::PathBuf, sync::Arc};

use belay_model::{EffectError, Outcome};
use parking_lot::Mutex;

use self::connection::SqliteConnection;
pub(super) use self::transaction::SqliteTransaction;
use super::{
    SqlBegin, error,
    pool::{Place, Pool, WAIT},
    request::Query,
};

/// Connections to one file.
pub(super) const CONNECTIONS: u32 = 8;

/// One file, with its connections.
#[derive(Clone)]
pub(super) struct Sqlite {
    pub(super) path: Arc<PathBuf>,
    /// Held while a connection is opened: setting up a new file is for one at a time.
    pub(super) opening: Arc<Mutex<()>>,
    pub(super) pool: Arc<Pool<SqliteConnection>>,
}

impl Sqlite {
    pub(super) async fn perform(&self, query: Query) -> Result<Outcome, EffectError> {
        let (place, connection) = self.enter(true).await?;
        let (connection, done) =
            on_thread(connection, move |connection| connection.autocommit(&query)).await?;
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
        let (connection, begun) =
            on_thread(connection, move |connection| connection.begin(read_only)).await?;
        begun?;
        Ok(SqliteTransaction::new(self.clone(), place, connection))
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
