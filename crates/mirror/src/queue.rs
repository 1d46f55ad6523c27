//! Who is about to use which keys: transactions that would get into each other's way go one after another.
//!
//! A [`Place`] runs, or waits. Whoever runs may take more keys one by one ([`Place::join`]); whoever is to wait has let go of all of
//! them first, and gets all at once ([`Place::turn`]): so no two wait for each other. Those who wait go in the order in which
//! they came, but for those whose keys are free while others still wait for theirs; nobody is passed more than a few times. It
//! gives no right to anything: whoever does not wait, or waits no longer, goes on, and the database decides as ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Keys that are waited for.
const KEYS_MAX: usize = 100_000;
/// So often others go first that came later. With 16 transactions that use one or two of four keys, six let a tenth more
/// through than three, and few wait longer.
const PASSED_MAX: u32 = 6;

#[derive(Debug, Default)]
pub(crate) struct Queues {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many use or wait for each key.
    keys: BTreeMap<String, Uses>,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    tickets: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Uses {
    running: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Waiting {
    keys: Vec<String>,
    passed: u32,
    /// Its turn has come.
    turn: Arc<Notify>,
}

/// Held until its transaction is over.
#[derive(Debug)]
pub(crate) struct Place<'q> {
    queues: &'q Queues,
    keys: Vec<String>,
    /// Others were there as well.
    met: bool,
    aside: bool,
}

impl Queues {
    pub(crate) fn enter(&self) -> Place<'_> {
        Place { queues: self, keys: Vec::new(), met: false, aside: false }
    }
}

impl State {
    fn uses(&mut self, key: &str) -> &mut Uses {
        self.keys.entry(key.to_owned()).or_default()
    }

    fn release(&mut self, keys: &[String]) {
        for key in keys {
            let uses = self.uses(key);
            uses.running = uses.running.saturating_sub(1);
            if uses.running + uses.waiting == 0 {
                self.keys.remove(key);
            }
        }
    }

    /// Whether all of these are free.
    fn is_free(&self, keys: &[String]) -> bool {
        keys.iter().all(|key| self.keys.get(key).is_none_or(|uses| uses.running == 0))
    }

    /// From waiting to running.
    fn run(&mut self, ticket: u64) {
        let Some(Waiting { keys, turn, .. }) = self.waiting.remove(&ticket) else { return };
        for key in &keys {
            let uses = self.uses(key);
            (uses.running, uses.waiting) = (uses.running + 1, uses.waiting.saturating_sub(1));
        }
        turn.notify_one();
    }

    /// Lets all run that can.
    fn grant(&mut self) {
        let mut granted: Vec<(u64, Vec<String>)> = Vec::new();
        // Keys of those who must not be passed any more.
        let mut kept: BTreeSet<String> = BTreeSet::new();
        let tickets: Vec<u64> = self.waiting.keys().copied().collect();
        for ticket in tickets {
            let Some(own) = self.waiting.get(&ticket) else { continue };
            let is_kept = own.keys.iter().any(|key| kept.contains(key));
            if !is_kept && self.is_free(&own.keys) {
                granted.push((ticket, own.keys.clone()));
                self.run(ticket);
            } else if own.passed >= PASSED_MAX {
                kept.extend(own.keys.iter().cloned());
            }
        }
        for (ticket, keys) in &granted {
            for (_, before) in self.waiting.range_mut(..ticket) {
                let shares = before.keys.iter().any(|key| keys.contains(key));
                before.passed += u32::from(shares);
            }
        }
    }
}

impl Place<'_> {
    /// Uses one more key. How many others use it, or wait for it.
    pub(crate) fn join(&mut self, key: &str) -> usize {
        let mut state = self.queues.state.lock();
        let is_new = self.keys.iter().all(|known| known != key);
        let has_room = state.keys.len() < KEYS_MAX || state.keys.contains_key(key);
        if !is_new || !has_room {
            return 0;
        }
        let uses = state.uses(key);
        let others = uses.running + uses.waiting;
        uses.running += 1;
        self.met |= others > 0;
        self.keys.push(key.to_owned());
        others
    }

    /// Lets go of its keys until its turn comes ([`Self::turn`]).
    pub(crate) fn step_aside(&mut self) {
        if !self.aside {
            self.aside = true;
            self.leave();
        }
    }

    fn leave(&self) {
        let mut state = self.queues.state.lock();
        state.release(&self.keys);
        state.grant();
    }

    /// Until nobody else runs that uses one of its keys; not longer than `limit`. Whoever has waited long enough goes on.
    pub(crate) async fn turn(&mut self, limit: Duration) {
        self.step_aside();
        let turn = Arc::new(Notify::new());
        let ticket = {
            let mut state = self.queues.state.lock();
            state.tickets += 1;
            let ticket = state.tickets;
            for key in &self.keys {
                state.uses(key).waiting += 1;
            }
            let waiting = Waiting { keys: self.keys.clone(), passed: 0, turn: turn.clone() };
            state.waiting.insert(ticket, waiting);
            // Nobody is passed by it that could run: these do.
            state.grant();
            ticket
        };
        let mut waits = Waits { queues: self.queues, ticket, keys: &self.keys, done: false };
        let _ = tokio::time::timeout(limit, turn.notified()).await;
        waits.done = true;
        drop(waits);
        self.queues.state.lock().run(ticket);
        self.aside = false;
        self.met = true;
    }

    /// Whether others were, or are, where it is.
    pub(crate) fn has_met(&self) -> bool {
        let state = self.queues.state.lock();
        let shared = |uses: &Uses| uses.running + uses.waiting > 1;
        self.met || self.keys.iter().any(|key| state.keys.get(key).is_some_and(shared))
    }

    /// How many wait for one of its keys.
    pub(crate) fn followers(&self) -> usize {
        let state = self.queues.state.lock();
        let waiting = self.keys.iter().filter_map(|key| Some(state.keys.get(key)?.waiting));
        waiting.max().unwrap_or_default()
    }

    /// Whether others use one of its keys now.
    pub(crate) fn is_shared(&self) -> bool {
        let state = self.queues.state.lock();
        let shared = |uses: &Uses| uses.running > 1;
        self.keys.iter().any(|key| state.keys.get(key).is_some_and(shared))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.aside {
            self.leave();
        }
    }
}

/// One that waits; given up, it waits no longer.
struct Waits<'q, 'k> {
    queues: &'q Queues,
    ticket: u64,
    keys: &'k [String],
    done: bool,
}

impl Drop for Waits<'_, '_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.queues.state.lock();
        // Whether its turn has come just now or not: it runs, and is over.
        state.run(self.ticket);
        state.release(self.keys);
        state.grant();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn at<'q>(queues: &'q Queues, keys: &[&str]) -> (Place<'q>, usize) {
        let mut place = queues.enter();
        let others = keys.iter().map(|key| place.join(key)).sum();
        (place, others)
    }

    fn is_empty(queues: &Queues) -> bool {
        let state = queues.state.lock();
        state.keys.is_empty() && state.waiting.is_empty()
    }

    macro_rules! waits {
        ($turn:expr) => {
            assert!(futures_util::poll!(&mut $turn).is_pending())
        };
    }

    #[tokio::test]
    async fn whoever_shares_a_key_waits_for_those_before() {
        let queues = Queues::default();
        let ((first, none), (other, nobody)) = (at(&queues, &["a", "b"]), at(&queues, &["c"]));
        assert_eq!((none, nobody, first.has_met()), (0, 0, false));
        let (mut second, others) = at(&queues, &["b", "c"]);
        assert_eq!((others, second.has_met(), first.has_met()), (2, true, true));
        {
            let mut turn = Box::pin(second.turn(LONG));
            waits!(turn);
            drop(other);
            waits!(turn);
            drop(first);
            turn.await;
        }
        assert!(!second.is_shared());
        assert_eq!(second.join("b"), 0, "its own is no other");
        drop(second);
        assert!(is_empty(&queues));
    }

    #[tokio::test]
    async fn whoever_has_what_another_one_wants_lets_go_of_it_while_it_waits() {
        let queues = Queues::default();
        let ((mut one, _), (mut other, _)) = (at(&queues, &["a"]), at(&queues, &["b"]));
        assert_eq!(one.join("b"), 1);
        let mut turn = Box::pin(one.turn(LONG));
        waits!(turn);
        assert_eq!(other.join("a"), 1, "who waits is there");
        let mut last = Box::pin(other.turn(LONG));
        waits!(last);
        turn.await;
        waits!(last);
        drop(one);
        last.await;
        drop(other);
        assert!(is_empty(&queues));
    }

    #[tokio::test]
    async fn whoever_can_run_is_not_kept_by_others_that_cannot_but_for_a_few_times() {
        let queues = Queues::default();
        let ((a, _), (b, _)) = (at(&queues, &["a"]), at(&queues, &["b"]));
        let (mut both, _) = at(&queues, &["a", "b"]);
        let mut turn = Box::pin(both.turn(LONG));
        waits!(turn);
        drop(a);
        for _ in 0..PASSED_MAX {
            waits!(turn);
            let (mut passing, _) = at(&queues, &["a"]);
            passing.turn(LONG).await;
        }
        let (mut late, _) = at(&queues, &["a"]);
        let mut last = Box::pin(late.turn(LONG));
        waits!(last);
        waits!(turn);
        drop(b);
        turn.await;
        waits!(last);
        drop(both);
        last.await;
    }

    #[tokio::test]
    async fn whoever_gives_up_is_in_nobodys_way() {
        let queues = Queues::default();
        let (first, _) = at(&queues, &["a"]);
        let (mut gone, _) = at(&queues, &["a"]);
        let mut turn = Box::pin(gone.turn(LONG));
        waits!(turn);
        let (mut next, _) = at(&queues, &["a"]);
        let mut last = Box::pin(next.turn(LONG));
        waits!(last);
        // Its turn has come, and nobody has looked.
        drop(first);
        drop(turn);
        drop(gone);
        last.await;
        next.turn(Duration::from_millis(5)).await;
        let (mut other, _) = at(&queues, &["a"]);
        other.turn(Duration::from_millis(5)).await;
        assert!(next.is_shared(), "nobody waits longer than they said");
        drop((next, other));
        assert!(is_empty(&queues));
    }
}
