//! What a store holds: records in collections, entries in logs, and the numbers that order them.

use std::{borrow::Cow, fmt, str::FromStr};

use crate::StoreError;

/// Longest name of a collection or a log.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest key.
pub const KEY_BYTES_MAX: usize = 512;
/// Largest value of a record or a log entry.
pub const VALUE_BYTES_MAX: usize = 16 << 20;
/// Most records that one [`KeyRange`] asks for.
pub const LIST_MAX: u32 = 10_000;

/// The position of a transaction in the order of all commits: 1, 2, 3, … Never reused, also not after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// The position of an entry among the entries of all logs of a store: 1, 2, 3, … Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

/// A value and the transaction that wrote it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: String,
    pub revision: Revision,
    pub value: Vec<u8>,
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub sequence: Sequence,
    /// The transaction that appended it.
    pub revision: Revision,
    pub value: Vec<u8>,
}

/// Which records of a collection to list, in the order of the bytes of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    pub prefix: String,
    /// Only keys behind this one.
    pub after: Option<String>,
    /// At most [`LIST_MAX`].
    pub limit: u32,
}

impl KeyRange {
    /// Every key, up to the largest limit.
    pub fn all() -> Self {
        Self::prefix("")
    }

    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), after: None, limit: LIST_MAX }
    }

    /// Goes on behind the last key of the answer before.
    #[must_use]
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.after = Some(key.into());
        self
    }

    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Cow<'static, str>);

        impl $type {
            /// For names in the source; a bad one does not compile when this initialises a constant.
            pub const fn constant(name: &'static str) -> Self {
                assert!(is_name(name), "not a name");
                Self(Cow::Borrowed(name))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = StoreError;

            fn from_str(name: &str) -> Result<Self, StoreError> {
                let owned = || name.to_owned();
                let refused = || StoreError::Name { what: $what, name: owned(), max: NAME_BYTES_MAX };
                is_name(name).then(|| Self(Cow::Owned(owned()))).ok_or_else(refused)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A named set of records.
    Collection, "a collection name"
}
name! {
    /// A named sequence of entries.
    LogName, "a log name"
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_alphanumeric()
            || matches!(bytes[at], b'-' | b'_' | b'.' | b'/' | b':'))
        {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= NAME_BYTES_MAX
}

/// PostgreSQL's text has no U+0000, so a key has none either.
pub(crate) fn check_key(key: &str) -> Result<(), StoreError> {
    if (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.contains('\0') {
        return Ok(());
    }
    let shown = key.chars().take(64).collect();
    Err(StoreError::Key { key: shown, found: key.len(), max: KEY_BYTES_MAX })
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
