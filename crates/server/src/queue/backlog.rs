//! The bounds of a queue: how many events, and how many bytes of them, wait or run.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts what is in the queue.
#[derive(Debug)]
pub(super) struct Backlog {
    events_max: usize,
    bytes_max: u64,
    inside: watch::Sender<Inside>,
}

/// Held by an event while it is in the queue.
#[derive(Debug)]
pub(super) struct Place {
    backlog: Arc<Backlog>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Inside {
    events: usize,
    bytes: u64,
}

impl Backlog {
    pub(super) fn new(events_max: usize, bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { events_max, bytes_max, inside: watch::Sender::default() })
    }

    /// A place for an event of so many bytes, if it fits.
    pub(super) fn enter(self: &Arc<Self>, bytes: u64) -> Option<Place> {
        let entered = self.inside.send_if_modified(|inside| {
            let fits = inside.events < self.events_max && inside.bytes + bytes <= self.bytes_max;
            if fits {
                inside.add(bytes);
            }
            fits
        });
        entered.then(|| Place { backlog: self.clone(), bytes })
    }

    /// A place for an event that was taken before the start: it fitted once, and has its place whatever the bounds are now.
    pub(super) fn restore(self: &Arc<Self>, bytes: u64) -> Place {
        self.inside.send_modify(|inside| inside.add(bytes));
        Place { backlog: self.clone(), bytes }
    }

    pub(super) fn events(&self) -> usize {
        self.inside.borrow().events
    }

    /// Returns when nothing is in the queue.
    pub(super) async fn empty(&self) {
        // The sender lives as long as `self`, so waiting does not fail.
        let _ = self.inside.subscribe().wait_for(|inside| inside.events == 0).await;
    }
}

impl Inside {
    fn add(&mut self, bytes: u64) {
        self.events += 1;
        self.bytes += bytes;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.backlog.inside.send_modify(|inside| {
            inside.events -= 1;
            inside.bytes -= self.bytes;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_bounded_in_number_and_bytes() {
        let backlog = Backlog::new(2, 100);
        let first = backlog.enter(60).unwrap();
        assert!(backlog.enter(41).is_none());
        let second = backlog.enter(40).unwrap();
        assert!(backlog.enter(0).is_none());
        drop(first);
        let third = backlog.restore(90);
        assert_eq!(backlog.events(), 2);
        drop(second);
        assert!(backlog.enter(11).is_none(), "what was taken before the start counts");
        assert!(backlog.enter(10).is_some());
        drop(third);
        backlog.empty().await;
    }
}
