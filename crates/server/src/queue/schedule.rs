//! Which event is to run next. Pure: the time is an argument.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::{backlog::Place, record::EventRecord};
use crate::telemetry::Timestamp;

/// An event that waits or runs.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) record: EventRecord,
    /// Given back when the event leaves the queue.
    pub(super) place: Place,
}

/// The waiting events by the time when they are due; of those due at the same time, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    entries: BinaryHeap<Reverse<Entry>>,
}

impl Schedule {
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(Reverse(entry));
    }

    /// The next event that is due at `now`.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Entry> {
        if self.next_due()? > now {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| entry)
    }

    /// When the next event is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.entries.peek().map(|Reverse(entry)| entry.record.due)
    }
}

impl Entry {
    fn order(&self) -> (Timestamp, Timestamp, &str) {
        (self.record.due, self.record.enqueued, &self.id)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{backlog::Backlog, record::tests::record};

    #[test]
    fn events_run_when_they_are_due_and_in_order() {
        let backlog = Backlog::new(10, 0);
        let mut schedule = Schedule::default();
        for (id, due) in [("c", 30), ("a", 10), ("b", 10)] {
            let place = backlog.restore(0);
            schedule.push(Entry { id: id.to_owned(), record: record(due), place });
        }
        let mut pop = |now| schedule.pop_due(Timestamp(now)).map(|entry| entry.id);
        assert_eq!(pop(9), None);
        assert_eq!(pop(10).as_deref(), Some("a"));
        assert_eq!(pop(10).as_deref(), Some("b"));
        assert_eq!(pop(29), None);
        assert_eq!(schedule.next_due(), Some(Timestamp(30)));
    }
}
