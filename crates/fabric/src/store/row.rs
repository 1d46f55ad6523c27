//! Revisions and sequences as SQLite keeps them: signed, so that the top half of their range is never reached.

use super::record::{Revision, Sequence};

/// A number that the tables hold.
pub(super) trait Counter: Copy {
    fn get(self) -> u64;
    fn new(number: u64) -> Self;
}

impl Counter for Revision {
    fn get(self) -> u64 {
        self.0
    }
    fn new(number: u64) -> Self {
        Self(number)
    }
}

impl Counter for Sequence {
    fn get(self) -> u64 {
        self.0
    }
    fn new(number: u64) -> Self {
        Self(number)
    }
}

/// Saturates, because a caller may ask for what lies behind or before any number.
pub(super) fn to_sql(counter: impl Counter) -> i64 {
    i64::try_from(counter.get()).unwrap_or(i64::MAX)
}

/// The tables never hold a negative one.
pub(super) fn from_sql<C: Counter>(number: i64) -> C {
    C::new(u64::try_from(number).unwrap_or(0))
}
