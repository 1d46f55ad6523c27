//! Immutable content, addressed by its hash: one file per blob, or one per piece of it.
//!
//! A blob is written to a temporary file, synced, renamed into its place, and then the directories on the way to it
//! are synced: so a name either leads to the whole content or does not exist. Every read hashes what it read; what
//! does not match its name is never returned.
//!
//! A blob can be cut into pieces, of which those that other blobs have too are stored once. Who reads it does not
//! notice.
//!
//! What this does not do: compress, decide where to cut, count references to blobs, or decide which may be removed
//! (of pieces it does know). Removing a blob while another
//! caller relies on having just put it is the callers' business.

mod files;
mod format;
mod list;
mod pieces;

use std::{path::Path, sync::Arc};

use belay_model::Hash;
use tokio::{sync::Semaphore, task};

use self::files::Files;
use crate::StoreError;

/// Largest blob.
pub const BLOB_BYTES_MAX: usize = 256 << 20;
/// Operations at the same time; bounds the memory that they take.
const PARALLEL: u32 = 8;

/// How a blob is stored. Bytes are those of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    Whole {
        bytes: u64,
    },
    /// A piece that occurs twice in the blob is named twice, and stored once.
    Pieces {
        list_bytes: u64,
        pieces: Vec<(Hash, u64)>,
    },
}

/// A handle to a directory of blobs; cheap to clone. The directory is released by [`Blobs::close`], or when the last
/// clone is dropped.
#[derive(Debug, Clone)]
pub struct Blobs {
    files: Arc<Files>,
    permits: Arc<Semaphore>,
}

impl Blobs {
    /// Opens `directory`, which is created when only its last part is missing, and removes what crashed writers left.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        let path = directory.clone();
        let opened = task::spawn_blocking(move || Files::open(&directory)).await;
        let files = opened.map_err(StoreError::failed("open the blobs", &path))??;
        Ok(Self { files: Arc::new(files), permits: Arc::new(Semaphore::new(PARALLEL as usize)) })
    }

    /// Stores `content`, at most [`BLOB_BYTES_MAX`], durably. What is there already is verified and not written again;
    /// if it is damaged, it is replaced.
    pub async fn put(&self, content: &[u8]) -> Result<Hash, StoreError> {
        StoreError::check_limit("bytes of a blob", content.len(), BLOB_BYTES_MAX)?;
        let content = content.to_vec();
        self.run("put a blob", move |files| files.put(&content)).await
    }

    /// The content with this hash, or `None`. Damaged content is [`StoreError::CorruptBlob`].
    pub async fn get(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let hash = *hash;
        self.run("get a blob", move |files| files.get(&hash)).await
    }

    /// Whether there is a blob of this name. Its content is not looked at.
    pub async fn has(&self, hash: &Hash) -> Result<bool, StoreError> {
        Ok(self.missing(&[*hash]).await?.is_empty())
    }

    /// Those of `hashes` that are not there, each once, in their order.
    pub async fn missing(&self, hashes: &[Hash]) -> Result<Vec<Hash>, StoreError> {
        let hashes = hashes.to_vec();
        self.run("look for blobs", move |files| files.missing(hashes)).await
    }

    /// Stores a blob as pieces from now on, the first one from its start, one more from each of the offsets `cuts`, which
    /// ascend. Durable before the whole is given up. Says whether this was done: not if the blob is not there, or in
    /// pieces already, or if one of the pieces would be empty.
    pub async fn cut(&self, hash: &Hash, cuts: &[usize]) -> Result<bool, StoreError> {
        let (hash, cuts) = (*hash, cuts.to_vec());
        self.run("cut a blob", move |files| files.cut(&hash, &cuts)).await
    }

    /// How each of these blobs is stored; nothing of one that is not there. The content of pieces is not looked at.
    pub async fn stored(&self, hashes: &[Hash]) -> Result<Vec<Option<Stored>>, StoreError> {
        let hashes = hashes.to_vec();
        let stored = move |files: &Files| hashes.iter().map(|hash| files.stored(hash)).collect();
        self.run("look at blobs", stored).await
    }

    /// Removes the pieces that no blob has any more; says how many.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        self.run("sweep the pieces", Files::sweep).await
    }

    /// Removes a blob; says whether it was there. Pieces of it stay until [`Blobs::sweep`].
    pub async fn remove(&self, hash: &Hash) -> Result<bool, StoreError> {
        let hash = *hash;
        self.run("remove a blob", move |files| files.remove(&hash)).await
    }

    /// The hashes behind `after`, in their order, at most `limit`. A shorter answer is the end.
    pub async fn list(&self, after: Option<&Hash>, limit: usize) -> Result<Vec<Hash>, StoreError> {
        let after = after.copied();
        self.run("list blobs", move |files| files.list(after, limit)).await
    }

    /// Completes what has begun and releases the directory. Calls on other clones are answered with
    /// [`StoreError::Closed`] from now on.
    pub async fn close(&self) {
        // All of them: then nothing runs. An error means that it is closed already.
        let all = self.permits.acquire_many(PARALLEL).await;
        self.permits.close();
        drop(all);
        self.files.release();
    }

    async fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Files) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let files = Arc::clone(&self.files);
        let done = task::spawn_blocking(move || {
            let answer = work(&files);
            // Released before the answer, so that a caller who drops its handle next frees the directory.
            drop(files);
            drop(permit);
            answer
        });
        done.await.map_err(StoreError::failed(action, self.files.root()))?
    }
}
