//! The key-value store of an app: its own SQLite file, served by a few threads that all apps share.
//!
//! - [`request`] decodes calls and encodes answers; [`command`] is what the two sides exchange;
//! - [`file`] is one open SQLite file; its format is in `docs/formats/kv.md`;
//! - [`transaction`] holds back what a transaction writes until it commits;
//! - [`pool`] runs commands: a queue per file, group commit, and a bounded number of open files.
//!
//! Invariants: a write is acknowledged only after its transaction committed, so it survives the death of the
//! process. (A power cut may lose the last moments, but not the file: `synchronous=NORMAL`.) Commands of one file
//! run one after another in the order of their calls. Nothing here is the state of record of Belay itself.

mod command;
mod file;
mod pool;
mod request;
mod transaction;

use std::{path::Path, sync::Arc};

use belay_model::Outcome;
use tokio::sync::Semaphore;

pub use self::transaction::KvTransaction;
pub(crate) use self::{
    command::{Command, Commit, KvError, Range, Reply, Revision, Value, Write},
    pool::Pool,
};

/// Bytes of waiting commands per app; who comes later waits.
const WAITING_BYTES_MAX: u32 = 16 << 20;
/// What a command counts for beyond its keys and values.
const COMMAND_BYTES: usize = 1 << 10;

/// The kv of one app.
#[derive(Clone)]
pub(crate) struct Kv {
    pool: Arc<Pool>,
    path: Arc<Path>,
    quota_bytes: u64,
    room: Arc<Semaphore>,
}

impl Kv {
    pub(crate) fn new(pool: Arc<Pool>, path: &Path, quota_bytes: u64) -> Self {
        let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize));
        Self { pool, path: path.into(), quota_bytes, room }
    }

    /// When this future is dropped before it is ready, a write may or may not be made.
    pub(crate) async fn perform(&self, command: Command) -> Outcome {
        match self.run(command).await {
            Ok(reply) => reply.outcome(),
            Err(error) => Outcome::Err(error.into()),
        }
    }

    async fn run(&self, command: Command) -> Result<Reply, KvError> {
        let weight = u32::try_from(command.bytes() + COMMAND_BYTES).unwrap_or(WAITING_BYTES_MAX);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(weight.min(WAITING_BYTES_MAX))
            .await
            .map_err(|_| KvError::Closed)?;
        self.pool.run(&self.path, self.quota_bytes, command, Some(room)).await
    }
}
