//! What counts as one: a key fails once.
//!
//! With sticky keys all requests of one client are in one arm. Were each failure counted, one client that fails all the
//! time would be taken for many: identical arms, 300 clients of which few send nearly everything, a share of 5 % and a level of 0.001
//! gave 9 % false alarms. So of each key only the first event of a kind counts.

use std::collections::HashSet;

/// So many keys are remembered.
const KEYS_MAX: usize = 1 << 16;

/// Keys that had an event.
#[derive(Debug, Clone, Default)]
pub struct Units {
    seen: HashSet<u64>,
}

impl Units {
    /// Whether an event of this key counts: it is its first one. `key` is a hash; requests without a key are each one of
    /// their own and need not ask. Beyond 65,536 keys none counts any more, which leaves evidence out and adds none.
    pub fn counts(&mut self, key: u64) -> bool {
        self.seen.len() < KEYS_MAX && self.seen.insert(key)
    }

    pub(crate) fn keep(&self) -> Vec<u64> {
        self.seen.iter().copied().collect()
    }

    pub(crate) fn resume(keys: Vec<u64>) -> Self {
        Self { seen: keys.into_iter().take(KEYS_MAX).collect() }
    }

    /// Whether this key counted.
    pub fn knows(&self, key: u64) -> bool {
        self.seen.contains(&key)
    }
}
