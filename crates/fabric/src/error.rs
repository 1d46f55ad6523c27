//! What can go wrong in a store or a blob directory, in words for the person who has to act on it.
//!
//! Every error is cheap to clone, because one failed group commit answers many callers.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

use belay_model::Hash;

use crate::{Collection, Revision};

type Source = Arc<dyn Error + Send + Sync>;

/// A failure of a [`Store`](crate::Store) or of [`Blobs`](crate::Blobs).
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("cannot create {path}: its parent directory does not exist")]
    Missing { path: PathBuf },
    #[error("{path} is not a directory")]
    NotADirectory { path: PathBuf },
    #[error("cannot write in {path}")]
    Unwritable {
        path: PathBuf,
        #[source]
        source: Source,
    },
    #[error("{path} is in use by {}; stop it, or use another directory", holder(*.pid))]
    Locked { path: PathBuf, pid: Option<u32> },
    #[error(
        "{path} has format version {found}, and this program knows versions up to {known}: use a newer program"
    )]
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    #[error("{path} is not a {expected}, and is left untouched")]
    Foreign { path: PathBuf, expected: &'static str },
    #[error("{what} {name:?} is not 1 to {max} of the characters A-Z a-z 0-9 - _ . / :")]
    Name { what: &'static str, name: String, max: usize },
    #[error("a key is 1 to {max} bytes without U+0000, and this one has {found} bytes: {key:?}")]
    Key { key: String, found: usize, max: usize },
    #[error("{what}: {found} is more than the limit of {max}")]
    TooLarge { what: &'static str, found: u64, max: u64 },
    #[error("{path} does not hold the content that its name promises: it hashes to {found}")]
    CorruptBlob { path: PathBuf, expected: Hash, found: Hash },
    #[error("{path} is not a list of pieces, or it is damaged")]
    CorruptList { path: PathBuf },
    #[error("{path} is missing, which is a piece of the blob {blob}")]
    MissingPiece { path: PathBuf, blob: Hash },
    /// After an error of the disk no commit is accepted any more, because its outcome could not be trusted.
    #[error("the store takes no more commits after a failure of its disk; restart the server")]
    Halted {
        #[source]
        source: Source,
    },
    #[error("the store is closed")]
    Closed,
    #[error("cannot {action} ({path})")]
    Failed {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: Source,
    },
}

/// Why a transaction was not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A check did not hold. Nothing was changed.
    #[error("{collection}/{key} is {}, which is not what was expected", state(*.found))]
    Conflict { collection: Collection, key: String, found: Option<Revision> },
    /// A limit was exceeded and nothing was changed, or the disk failed and the outcome is known after a restart.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoreError {
    /// Names what was being done when `source` happened, and to which file.
    pub(crate) fn failed<E>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self
    where
        E: Error + Send + Sync + 'static,
    {
        let path = path.to_owned();
        move |source| Self::Failed { action, path, source: Arc::new(source) }
    }

    pub(crate) fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Unwritable { path, source: Arc::new(source) }
    }

    /// Refuses a number above its limit.
    pub(crate) fn check_limit(what: &'static str, found: usize, max: usize) -> Result<(), Self> {
        let as_u64 = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let refused = Self::TooLarge { what, found: as_u64(found), max: as_u64(max) };
        if found > max { Err(refused) } else { Ok(()) }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("the process with pid {pid}"))
}

fn state(found: Option<Revision>) -> String {
    found.map_or_else(|| "absent".to_owned(), |revision| format!("at revision {revision}"))
}
