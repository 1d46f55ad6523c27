//! What the async side asks of a kv file, and what it answers.

use std::sync::Arc;

use belay_model::EffectError;
use serde::{Deserialize, Serialize};

use crate::code;

pub(crate) const KEY_BYTES_MAX: usize = 512;
pub(crate) const VALUE_BYTES_MAX: usize = 1 << 20;
pub(crate) const COMMIT_BYTES_MAX: usize = 6 << 20;
/// Checks and writes of one commit, each.
pub(crate) const COMMIT_ITEMS_MAX: usize = 1_000;

/// A key: 1 to 512 bytes of UTF-8. Keys are ordered by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn parse(text: String) -> Result<Self, KvError> {
        match text.len() {
            1..=KEY_BYTES_MAX => Ok(Self(text)),
            found => Err(KvError::Key { found }),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The number of the commit that wrote an entry: rising, never used twice in a file. 0 stands for *no entry*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Revision(pub(crate) u64);

impl Revision {
    pub(crate) const ABSENT: Self = Self(0);
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A JSON text.
    Json(String),
    Bytes(Vec<u8>),
}

impl Value {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Json(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

pub(crate) enum Command {
    Get(Key),
    List(Range),
    /// Answered with the commit's revision.
    Commit(Commit),
    /// A commit that is answered with whether it deleted something.
    Delete(Commit),
    /// Removes the whole file.
    Erase,
}

/// Keys with `prefix`, after `after`.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) prefix: String,
    pub(crate) after: Option<String>,
    pub(crate) limit: u32,
}

impl Range {
    pub(crate) fn contains(&self, key: &str) -> bool {
        key.starts_with(&self.prefix) && self.after.as_deref().is_none_or(|after| key > after)
    }
}

/// Writes that are made all or not at all, and only if every check holds. No key is written twice.
#[derive(Default)]
pub(crate) struct Commit {
    pub(crate) checks: Vec<(Key, Revision)>,
    pub(crate) writes: Vec<Write>,
    /// Ranges that are to be listed as they were.
    pub(crate) lists: Vec<(Range, Vec<(String, Revision)>)>,
}

#[derive(Clone)]
pub(crate) enum Write {
    Put(Key, Value),
    Delete(Key),
}

impl Write {
    pub(crate) fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }

    pub(crate) fn value(&self) -> Option<&Value> {
        match self {
            Self::Put(_, value) => Some(value),
            Self::Delete(_) => None,
        }
    }
}

impl Command {
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Commit(_) | Self::Delete(_) => true,
            Self::Get(_) | Self::List(_) | Self::Erase => false,
        }
    }

    /// Bytes of keys and values that the command carries.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Commit(commit) | Self::Delete(commit) => commit.bytes(),
            Self::Get(_) | Self::List(_) | Self::Erase => 0,
        }
    }
}

impl Commit {
    /// Whether the other one writes the same keys on the same conditions.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let keys =
            |commit: &Self| commit.writes.iter().map(|w| w.key().clone()).collect::<Vec<_>>();
        self.checks == other.checks && keys(self) == keys(other)
    }

    pub(crate) fn bytes(&self) -> usize {
        let checks = self.checks.iter().map(|(key, _)| key.as_bytes().len());
        let writes = self.writes.iter().map(|write| {
            write.key().as_bytes().len() + write.value().map_or(0, |value| value.as_bytes().len())
        });
        checks.chain(writes).sum()
    }
}

#[derive(Debug)]
pub(crate) enum Reply {
    Entry(Option<(Revision, Value)>),
    Listed { entries: Vec<(String, Revision)>, more: bool },
    Committed(Revision),
    Deleted(bool),
    Erased,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum KvError {
    #[error("a key has 1 to {KEY_BYTES_MAX} bytes of UTF-8, this one has {found}")]
    Key { found: usize },
    #[error("{what} has {found} bytes, the limit is {max}")]
    TooLarge { what: &'static str, found: usize, max: usize },
    #[error("{key:?} has revision {}, not {} (0: no entry)", found.0, expected.0)]
    Conflict { key: String, expected: Revision, found: Revision },
    #[error("the keys {prefix}* are not those that were listed")]
    ListConflict { prefix: String },
    #[error("the app's kv is full: its quota is {quota_bytes} bytes")]
    Full { quota_bytes: u64 },
    #[error("the app's kv file has format {found}; this Belay knows formats up to {known}")]
    Newer { found: i64, known: i64 },
    #[error("the app's kv file is not one of Belay's")]
    Foreign,
    #[error("the app's kv file cannot be used: {0}")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    #[error("the app's kv file cannot be used: {0}")]
    Io(#[source] Arc<std::io::Error>),
    #[error("the server is shutting down")]
    Closed,
    /// A write may have been made or not, and the file cannot tell.
    #[error("{0}; whether it was written is not known")]
    Unknown(#[source] Box<KvError>),
}

impl From<rusqlite::Error> for KvError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<std::io::Error> for KvError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl KvError {
    /// Whether the file itself failed, so that what else shares the transaction fails too.
    pub(crate) fn is_fatal(&self) -> bool {
        self.code() == code::KV_UNAVAILABLE
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Key { .. } => code::KV_KEY,
            Self::TooLarge { .. } => code::KV_VALUE_TOO_LARGE,
            Self::Conflict { .. } | Self::ListConflict { .. } => code::CONFLICT,
            Self::Full { .. } => code::KV_FULL,
            Self::Newer { .. }
            | Self::Foreign
            | Self::Sqlite(_)
            | Self::Io(_)
            | Self::Closed
            | Self::Unknown(_) => code::KV_UNAVAILABLE,
        }
    }
}

impl From<KvError> for EffectError {
    fn from(error: KvError) -> Self {
        Self { code: error.code().to_owned(), message: error.to_string() }
    }
}
