//! Who is about to use which keys: transactions that would get into each other's way go one after another.
//!
//! A [`Place`] is one in the queue of each of its keys. Whoever goes on may take more of them one by one ([`Place::join`]); whoever
//! is to wait has left all and taken all at once, at their ends ([`Place::renew`]): so no two wait for each other. It gives no right
//! to anything: whoever does not wait, or waits no longer, goes on, and the database decides as ever.

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
    /// Others were before it.
    met: bool,
}

impl Queues {
    /// At the end of the queue of each of `keys`.
    pub(crate) fn enter(&self, keys: Vec<String>) -> Place<'_> {
        let mut state = self.state.lock();
        state.tickets += 1;
        let mut place = Place { queues: self, ticket: state.tickets, keys: Vec::new(), met: false };
        keys.into_iter().for_each(|key| place.push(&mut state, key));
        place
    }
}

impl State {
    fn leave(&mut self, ticket: u64, keys: &[String]) {
        for key in keys {
            let Some(queue) = self.by_key.get_mut(key) else { continue };
            queue.retain(|it| *it != ticket);
            if queue.is_empty() {
                self.by_key.remove(key);
            }
        }
    }
}

impl Place<'_> {
    fn push(&mut self, state: &mut State, key: String) {
        if state.by_key.len() < KEYS_MAX || state.by_key.contains_key(&key) {
            let queue = state.by_key.entry(key.clone()).or_default();
            self.met |= !queue.is_empty();
            queue.push_back(self.ticket);
            self.keys.push(key);
        }
    }

    /// At the end of the queue of one more key. How many are before it there.
    pub(crate) fn join(&mut self, key: &str) -> usize {
        if self.keys.iter().any(|known| known == key) {
            return 0;
        }
        let queues = self.queues;
        let mut state = queues.state.lock();
        self.push(&mut state, key.to_owned());
        state.by_key.get(key).map_or(0, |queue| queue.len() - 1)
    }

    /// Leaves all its queues, and enters them anew, all at once.
    pub(crate) fn renew(&mut self) {
        let (queues, keys) = (self.queues, std::mem::take(&mut self.keys));
        let mut state = queues.state.lock();
        state.leave(self.ticket, &keys);
        state.tickets += 1;
        self.ticket = state.tickets;
        keys.into_iter().for_each(|key| self.push(&mut state, key));
        drop(state);
        queues.left.notify_waiters();
    }

    /// Whether others were, or are, in one of its queues.
    pub(crate) fn has_met(&self) -> bool {
        let state = self.queues.state.lock();
        let shared = |key: &String| state.by_key.get(key).is_some_and(|queue| queue.len() > 1);
        self.met || self.keys.iter().any(shared)
    }

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
        self.queues.state.lock().leave(self.ticket, &self.keys);
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
    async fn whoever_comes_upon_others_lets_them_go_first_everywhere() {
        let queues = Queues::default();
        let (mut one, mut other) = (queues.enter(Vec::new()), queues.enter(Vec::new()));
        assert_eq!((one.join("a"), other.join("b")), (0, 0));
        assert!(!one.has_met());
        // Each has what the other one wants.
        assert_eq!(one.join("b"), 1);
        one.renew();
        assert_eq!(one.ahead(), Some(("b", 1)));
        assert_eq!(other.join("a"), 1, "who waits is there");
        other.renew();
        assert_eq!(other.ahead().map(|(_, count)| count), Some(1));
        assert_eq!(one.ahead(), None, "and does not wait for whoever came after");
        assert!(one.has_met() && other.has_met());
        drop(one);
        assert_eq!(other.ahead(), None);
        assert_eq!(other.join("b"), 0, "its own is no other");
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_they_said() {
        let queues = Queues::default();
        let _first = queues.enter(keys(&["a"]));
        queues.enter(keys(&["a"])).turn(Duration::from_millis(5)).await;
    }
}
