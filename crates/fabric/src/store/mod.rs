//! The state of record: records under compare-and-set, ordered logs, and a watch on the newest commit.
//!
//! One SQLite file in write-ahead-log mode, one thread that writes it ([`writer`]), a few connections that read it
//! ([`readers`]). What is promised:
//! - a commit is atomic, and durable when it is acknowledged; commits have one total order, that of their revisions;
//! - a read sees all commits that were acknowledged before it began;
//! - queued commits are bounded in number and bytes: beyond that, `commit` waits.
//!
//! There are no interactive transactions and no locks that outlive a call.

mod readers;
mod record;
mod row;
mod schema;
mod transaction;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task,
};

pub use self::{
    readers::READ_BYTES_MAX,
    record::{
        Collection, KEY_BYTES_MAX, KeyRange, LIST_MAX, LogEntry, LogName, NAME_BYTES_MAX, Record,
        Revision, Sequence, VALUE_BYTES_MAX,
    },
    transaction::{
        Committed, Expect, OPERATIONS_MAX, TRANSACTION_BYTES_MAX, TRIM_MAX, Transaction,
    },
};
use self::{
    readers::Readers,
    writer::{Commit, Job, Writer},
};
use crate::{CommitError, StoreError, directory, directory::DirectoryLock};

/// Transactions that wait for the writer.
const QUEUE_MAX: usize = 1_024;
/// Bytes of keys and values that wait for the writer: two of the largest transactions.
const QUEUE_BYTES_MAX: usize = 2 * TRANSACTION_BYTES_MAX;

/// A handle to the state of record; cheap to clone.
///
/// When the last clone is dropped the store closes in the background; [`Store::close`] waits for that.
#[derive(Debug, Clone)]
pub struct Store {
    path: Arc<Path>,
    readers: Readers,
    jobs: mpsc::Sender<Job>,
    queue_bytes: Arc<Semaphore>,
    newest: watch::Receiver<Revision>,
}

impl Store {
    /// Opens the store in `directory`, which is created when only its last part is missing.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        let path = directory.clone();
        let opened = task::spawn_blocking(move || Self::open_blocking(&directory)).await;
        opened.map_err(StoreError::failed("open the store", &path))?
    }

    /// The record with this key, or `None`.
    pub async fn get(
        &self,
        collection: &Collection,
        key: &str,
    ) -> Result<Option<Record>, StoreError> {
        self.readers.get(collection, key).await
    }

    /// The records of a range, all as of one moment. An answer shorter than the limit is the end of the range.
    ///
    /// More than [`READ_BYTES_MAX`] is refused with [`StoreError::TooLarge`]: ask for fewer records.
    pub async fn list(
        &self,
        collection: &Collection,
        range: KeyRange,
    ) -> Result<Vec<Record>, StoreError> {
        self.readers.list(collection, range).await
    }

    /// The entries of a log behind `after`, oldest first. Only an empty answer means that there are no more: a shorter
    /// one may have been cut so as to stay below [`READ_BYTES_MAX`].
    ///
    /// Who has seen an entry has missed none before it, except trimmed ones.
    pub async fn read_log(
        &self,
        log: &LogName,
        after: Sequence,
        limit: u32,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.readers.read_log(log, after, limit).await
    }

    /// Checks and writes, together or not at all. The answer comes when the commit is durable.
    ///
    /// A caller that stops waiting does not know whether the transaction was committed.
    pub async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        transaction.validate()?;
        let weight = self.reserve(transaction.bytes()).await?;
        let (answer, answered) = oneshot::channel();
        let job = Job::Commit(Commit { transaction, answer, weight });
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Removes all entries with a sequence below `before`, in short transactions; says how many there were.
    pub async fn trim(&self, log: &LogName, before: Sequence) -> Result<u64, CommitError> {
        let mut total = 0;
        loop {
            let trimmed = self.commit(Transaction::new().trim(log, before)).await?.trimmed;
            total += trimmed;
            if trimmed < u64::from(TRIM_MAX) {
                return Ok(total);
            }
        }
    }

    /// The newest revision that is durable. A receiver is woken when it grows, may miss steps in between, and gets an
    /// error when the store is closed. Mark it as seen *before* reading, then no commit is missed.
    pub fn watch(&self) -> watch::Receiver<Revision> {
        self.newest.clone()
    }

    /// Completes what is queued, moves the write-ahead log into the file, closes it and releases the directory. Calls
    /// on other clones are answered with [`StoreError::Closed`] from now on.
    pub async fn close(&self) {
        self.readers.close().await;
        drop(self.jobs.send(Job::Close).await);
        let mut newest = self.newest.clone();
        // The writer lets go of its end at the very last.
        while newest.changed().await.is_ok() {}
    }

    /// The SQLite file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_blocking(directory: &Path) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(directory)?;
        let path: PathBuf = directory.join("store.sqlite");
        let connection = schema::open_writer(&path)?;
        directory::sync(directory).map_err(StoreError::unwritable(directory))?;
        let readers = Readers::open(&path)?;
        let writer = Writer::new(connection, path.clone(), lock)?;
        let newest = writer.newest();
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let thread = thread::Builder::new().name("belay-store".to_owned());
        thread
            .spawn(move || writer.run(queue))
            .map_err(StoreError::failed("start the writer of the store", &path))?;
        let queue_bytes = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        Ok(Self { path: path.into(), readers, jobs, queue_bytes, newest })
    }

    async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, StoreError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let queue_bytes = Arc::clone(&self.queue_bytes);
        queue_bytes.acquire_many_owned(bytes).await.map_err(|_| StoreError::Closed)
    }
}
