//! What catalogs have told lately, for all mirrors of an app: a mirror that asked anew for every statement would be behind.
//!
//! Invariant: nothing is older than [`FRESH`], so what changes in a database is known soon after.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{Unmodelled, shape::Shape, statement::Name};

const FRESH: Duration = Duration::from_secs(5);
/// Locks of whole tables are rare, and to look for them takes longer than to read a row.
const FRESH_LOCKS: Duration = Duration::from_millis(50);
const ENTRIES_MAX: usize = 2_000;
/// What is taken for the age of a transaction that is seen for the first time.
const NEW_MS: f64 = 10.0;
/// Of one that was not seen for so long nothing is kept.
const GONE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// By database and text: whether it is a question and nothing more.
    harmless: Mutex<Kept<(String, String), ()>>,
    shapes: Mutex<Kept<(String, Name), Arc<Shape>>>,
    /// By database: tables that somebody has locked against all who write them, by their numbers.
    locked: Mutex<HashMap<String, (Instant, Numbers)>>,
    /// Transactions of others that hold something: when each was seen for the first and for the last time.
    holders: Mutex<HashMap<String, (Instant, Instant)>>,
}

type Numbers = Arc<BTreeSet<String>>;

#[derive(Debug)]
struct Kept<K, V>(HashMap<K, (Instant, Result<V, Unmodelled>)>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: std::hash::Hash + Eq, V: Clone> Kept<K, V> {
    fn get(&self, key: &K) -> Option<Result<V, Unmodelled>> {
        let (since, known) = self.0.get(key)?;
        (since.elapsed() < FRESH).then(|| known.clone())
    }

    fn put(&mut self, key: K, value: &Result<V, Unmodelled>) {
        if self.0.len() >= ENTRIES_MAX {
            self.0.retain(|_, (since, _)| since.elapsed() < FRESH);
        }
        // Where so many are fresh, they are asked for each time.
        if self.0.len() < ENTRIES_MAX {
            self.0.insert(key, (Instant::now(), value.clone()));
        }
    }
}

impl Catalog {
    pub(super) fn harmless(&self, key: &(String, String)) -> Option<Result<(), Unmodelled>> {
        self.harmless.lock().get(key)
    }

    pub(super) fn note_harmless(&self, key: (String, String), told: &Result<(), Unmodelled>) {
        self.harmless.lock().put(key, told);
    }

    pub(super) fn locked(&self, database: &str) -> Option<Numbers> {
        let locked = self.locked.lock();
        let (since, known) = locked.get(database)?;
        (since.elapsed() < FRESH_LOCKS).then(|| Arc::clone(known))
    }

    /// An app has few databases.
    pub(super) fn note_locked(&self, database: &str, numbers: &Numbers) {
        self.locked.lock().insert(database.to_owned(), (Instant::now(), Arc::clone(numbers)));
    }

    /// How long ago a transaction was seen for the first time. Milliseconds.
    pub(super) fn seen_for_ms(&self, holder: &str) -> f64 {
        let (mut holders, now) = (self.holders.lock(), Instant::now());
        if holders.len() >= ENTRIES_MAX {
            holders.retain(|_, (_, last)| last.elapsed() < GONE);
        }
        if holders.len() >= ENTRIES_MAX && !holders.contains_key(holder) {
            return NEW_MS;
        }
        let (first, last) = holders.entry(holder.to_owned()).or_insert((now, now));
        if now.duration_since(*last) > GONE {
            *first = now;
        }
        *last = now;
        NEW_MS + now.duration_since(*first).as_secs_f64() * 1e3
    }

    pub(super) fn shape(&self, key: &(String, Name)) -> Option<Result<Arc<Shape>, Unmodelled>> {
        self.shapes.lock().get(key)
    }

    pub(super) fn note_shape(&self, key: (String, Name), told: &Result<Arc<Shape>, Unmodelled>) {
        self.shapes.lock().put(key, told);
    }
}
