//! Who is about to write which keys: transactions that would get into each other's way go one after another.
//!
//! A [`Place`] is one in the queue of each of its keys, all taken at once, so that no two wait for each other. It gives no
//! right to anything: whoever does not wait, or waits no longer, goes on, and the database decides as ever.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Keys that are waited for.
const KEYS_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Queues {
    state: Mutex<State>,
    /// Somebody has left.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    by_key: BTreeMap<String, VecDeque<u64>>,
    tickets: u64,
}

/// Held until its transaction is over.
#[derive(Debug)]
pub(crate) struct Place<'q> {
    queues: &'q Queues,
    ticket: u64,
    keys: Vec<String>,
}

impl Queues {
    /// At the end of the queue of each of `keys`.
    pub(crate) fn enter(&self, keys: Vec<String>) -> Place<'_> {
        let mut state = self.state.lock();
        state.tickets += 1;
        let ticket = state.tickets;
        let mut entered = Vec::new();
        for key in keys {
            if state.by_key.len() < KEYS_MAX || state.by_key.contains_key(&key) {
                state.by_key.entry(key.clone()).or_default().push_back(ticket);
                entered.push(key);
            }
        }
        Place { queues: self, ticket, keys: entered }
    }
}

impl Place<'_> {
    /// How many are before it, in the longest of its queues, and which that is.
    pub(crate) fn ahead(&self) -> Option<(&str, usize)> {
        let state = self.queues.state.lock();
        let ahead = self.keys.iter().map(|key| {
            let queue = state.by_key.get(key);
            let at = queue.and_then(|queue| queue.iter().position(|it| *it == self.ticket));
            (key.as_str(), at.unwrap_or_default())
        });
        ahead.max_by_key(|(_, count)| *count).filter(|(_, count)| *count > 0)
    }

    /// Until nobody is before it; not longer than `limit`.
    pub(crate) async fn turn(&self, limit: Duration) {
        let turn = async {
            loop {
                let left = self.queues.left.notified();
                tokio::pin!(left);
                // Before it is looked, so that nobody leaves unnoticed.
                left.as_mut().enable();
                if self.ahead().is_none() {
                    return;
                }
                left.await;
            }
        };
        // Whoever has waited long enough goes on.
        let _ = tokio::time::timeout(limit, turn).await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.queues.state.lock();
        for key in &self.keys {
            let Some(queue) = state.by_key.get_mut(key) else { continue };
            queue.retain(|ticket| *ticket != self.ticket);
            if queue.is_empty() {
                state.by_key.remove(key);
            }
        }
        drop(state);
        self.queues.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test]
    async fn whoever_shares_a_key_waits_for_those_before() {
        let queues = Queues::default();
        let first = queues.enter(keys(&["a", "b"]));
        let other = queues.enter(keys(&["c"]));
        let second = queues.enter(keys(&["b", "c"]));
        assert_eq!((first.ahead(), other.ahead()), (None, None));
        assert_eq!(second.ahead().map(|(_, count)| count), Some(1));
        drop(other);
        assert_eq!(second.ahead(), Some(("b", 1)));
        let long = Duration::from_secs(3_600);
        let mut turn = Box::pin(second.turn(long));
        assert!(futures_util::poll!(&mut turn).is_pending());
        drop(first);
        turn.await;
        assert_eq!(second.ahead(), None);
        drop(second);
        assert!(queues.state.lock().by_key.is_empty());
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_they_said() {
        let queues = Queues::default();
        let _first = queues.enter(keys(&["a"]));
        queues.enter(keys(&["a"])).turn(Duration::from_millis(5)).await;
    }
}
