//! A bound on how many invocations run at the same time, of one function or of the node.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Lets at most `limit` in. Refuses the next at once, as waiting would only move the queue.
#[derive(Debug)]
pub struct Gate {
    limit: u32,
    inside: AtomicU32,
}

/// One who is inside; leaves when dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
}

impl Gate {
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { limit, inside: AtomicU32::new(0) })
    }

    /// A way in, unless it is full.
    pub fn enter(self: &Arc<Self>) -> Option<Permit> {
        let next = |inside| (inside < self.limit).then_some(inside + 1);
        let entered = self.inside.fetch_update(Ordering::Acquire, Ordering::Relaxed, next);
        entered.ok().map(|_| Permit { gate: self.clone() })
    }

    pub fn inside(&self) -> u32 {
        self.inside.load(Ordering::Relaxed)
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.inside.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_refuses_beyond_its_limit_until_someone_leaves() {
        let gate = Gate::new(2);
        let first = gate.enter().unwrap();
        let _second = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        drop(first);
        assert!(gate.enter().is_some());
        assert_eq!(gate.inside(), 1);
    }
}
