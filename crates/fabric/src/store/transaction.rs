//! A closed transaction: all that is to be checked and written, handed over at once.
//!
//! It never waits for its author, so that it can be short; whoever needs to read first does so, and states what was
//! read as a check.

use super::record::{Collection, LogName, Revision, Sequence, VALUE_BYTES_MAX, check_key};
use crate::StoreError;

/// Most checks and operations of one transaction together.
pub const OPERATIONS_MAX: usize = 10_000;
/// Most bytes of keys and values of one transaction together.
pub const TRANSACTION_BYTES_MAX: usize = 64 << 20;
/// Most entries that one `trim` operation removes.
pub const TRIM_MAX: u32 = 10_000;

/// Checks and writes that happen together or not at all.
///
/// All checks are made against the state before the transaction; then the writes are applied in the order in which
/// they were added, so that the last one to a key wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    pub(super) checks: Vec<Check>,
    pub(super) writes: Vec<Write>,
}

/// What a check expects of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Absent,
    /// It was last written by exactly this transaction.
    Revision(Revision),
}

/// What a commit made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The revision of the transaction; the newest one if it wrote nothing.
    pub revision: Revision,
    /// One for each `append`, in their order.
    pub sequences: Vec<Sequence>,
    /// How many log entries were removed.
    pub trimmed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) collection: Collection,
    pub(super) key: String,
    pub(super) expect: Expect,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    Put { collection: Collection, key: String, value: Vec<u8> },
    Delete { collection: Collection, key: String },
    Append { log: LogName, value: Vec<u8> },
    Trim { log: LogName, before: Sequence },
}

impl Transaction {
    pub fn new() -> Self {
        Self::default()
    }

    /// The commit is refused with a conflict unless the record is as expected.
    #[must_use]
    pub fn check(
        mut self,
        collection: &Collection,
        key: impl Into<String>,
        expect: Expect,
    ) -> Self {
        self.checks.push(Check { collection: collection.clone(), key: key.into(), expect });
        self
    }

    #[must_use]
    pub fn put(
        self,
        collection: &Collection,
        key: impl Into<String>,
        value: impl Into<Vec<u8>>,
    ) -> Self {
        self.write(Write::Put {
            collection: collection.clone(),
            key: key.into(),
            value: value.into(),
        })
    }

    /// Deleting what is not there is no error.
    #[must_use]
    pub fn delete(self, collection: &Collection, key: impl Into<String>) -> Self {
        self.write(Write::Delete { collection: collection.clone(), key: key.into() })
    }

    #[must_use]
    pub fn append(self, log: &LogName, value: impl Into<Vec<u8>>) -> Self {
        self.write(Write::Append { log: log.clone(), value: value.into() })
    }

    /// Removes the oldest entries with a sequence below `before`, at most [`TRIM_MAX`] of them.
    #[must_use]
    pub fn trim(self, log: &LogName, before: Sequence) -> Self {
        self.write(Write::Trim { log: log.clone(), before })
    }

    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.writes.is_empty()
    }

    fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Bytes of all keys and values.
    pub(super) fn bytes(&self) -> usize {
        let checks = self.checks.iter().map(|check| check.key.len());
        checks.chain(self.writes.iter().map(Write::bytes)).sum()
    }

    /// Refuses what exceeds a limit, before it costs anyone else anything.
    pub(super) fn validate(&self) -> Result<(), StoreError> {
        let operations = self.checks.len() + self.writes.len();
        StoreError::check_limit("operations of a transaction", operations, OPERATIONS_MAX)?;
        self.checks.iter().try_for_each(|check| check_key(&check.key))?;
        self.writes.iter().try_for_each(Write::validate)?;
        StoreError::check_limit("bytes of a transaction", self.bytes(), TRANSACTION_BYTES_MAX)
    }
}

impl Write {
    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete { key, .. } => key.len(),
            Self::Append { value, .. } => value.len(),
            Self::Trim { .. } => 0,
        }
    }

    fn validate(&self) -> Result<(), StoreError> {
        let check_value = |value: &[u8]| {
            StoreError::check_limit("bytes of a value", value.len(), VALUE_BYTES_MAX)
        };
        match self {
            Self::Put { key, value, .. } => check_key(key).and_then(|()| check_value(value)),
            Self::Delete { key, .. } => check_key(key),
            Self::Append { value, .. } => check_value(value),
            Self::Trim { .. } => Ok(()),
        }
    }
}
