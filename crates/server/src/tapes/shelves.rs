//! The tapes of one app: a shelf for each function, filled by sampling.
//!
//! Until a shelf has some tapes every request is recorded; from then on a share of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use belay_host::tape::{KeepOptions, RecorderOptions, Redaction, Sampler, Shelf, Tape};
use belay_model::{FunctionName, TapePolicy};
use parking_lot::Mutex;

/// So many tapes of a function are recorded one after another.
const FIRST: usize = 200;

/// What is kept of the requests of an app.
#[derive(Default)]
pub struct Shelves {
    policy: Mutex<TapePolicy>,
    functions: Mutex<BTreeMap<FunctionName, Arc<FunctionTapes>>>,
}

/// What is kept of the requests of one function, whatever its version.
pub struct FunctionTapes {
    /// The share that is recorded, as the bits of a number.
    rate: AtomicU64,
    len: AtomicUsize,
    shelf: Mutex<(RecorderOptions, Shelf)>,
}

impl Shelves {
    /// From now on. What is kept stays, unless it may hold what must not be kept by the new policy.
    pub fn set_policy(&self, new: &TapePolicy) {
        let mut known = self.policy.lock();
        let same = *known == *new;
        *known = new.clone();
        drop(known);
        if !same {
            self.functions.lock().values().for_each(|function| function.set_policy(new));
        }
    }

    pub fn function(&self, name: &FunctionName) -> Arc<FunctionTapes> {
        let mut functions = self.functions.lock();
        let new = || Arc::new(FunctionTapes::new(&self.policy.lock()));
        functions.entry(name.clone()).or_insert_with(new).clone()
    }

    /// Copies, the newest first, of each function at most so many.
    pub fn newest(&self, of_each: usize) -> BTreeMap<FunctionName, Vec<Tape>> {
        let functions = self.functions.lock();
        let all = functions.iter().map(|(name, function)| (name.clone(), function.newest(of_each)));
        all.collect()
    }

    /// Tapes, and their bytes.
    pub fn reading(&self) -> (usize, usize) {
        let functions = self.functions.lock();
        let readings = functions.values().map(|function| {
            let (_, shelf) = &*function.shelf.lock();
            (shelf.len(), shelf.bytes())
        });
        readings.fold((0, 0), |(tapes, bytes), (more, longer)| (tapes + more, bytes + longer))
    }
}

impl FunctionTapes {
    fn new(policy: &TapePolicy) -> Self {
        Self {
            rate: AtomicU64::new(rate(policy)),
            len: AtomicUsize::new(0),
            shelf: Mutex::new((options(policy), empty(policy))),
        }
    }

    fn set_policy(&self, policy: &TapePolicy) {
        let (known, shelf) = &mut *self.shelf.lock();
        let new = options(policy);
        let stays = known.redaction == new.redaction && rate(policy) != 0.0_f64.to_bits();
        let mut empty = empty(policy);
        if stays {
            shelf.tapes().for_each(|tape| drop(empty.put(tape.clone())));
        }
        self.len.store(empty.len(), Relaxed);
        self.rate.store(rate(policy), Relaxed);
        (*known, *shelf) = (new, empty);
    }

    /// Whether a request is to be recorded, and how. `draw` is any number, drawn evenly.
    pub fn takes(&self, draw: u64) -> Option<RecorderOptions> {
        let rate = f64::from_bits(self.rate.load(Relaxed));
        let taken = Sampler { rate }.takes(draw) || self.len.load(Relaxed) < FIRST;
        (rate > 0.0 && taken).then(|| self.shelf.lock().0.clone())
    }

    pub fn put(&self, tape: Tape) {
        let (options, shelf) = &mut *self.shelf.lock();
        // It began before the policy changed.
        if tape.redaction == options.redaction {
            shelf.put(tape);
            self.len.store(shelf.len(), Relaxed);
        }
    }

    fn newest(&self, at_most: usize) -> Vec<Tape> {
        self.shelf.lock().1.tapes().rev().take(at_most).cloned().collect()
    }
}

fn rate(policy: &TapePolicy) -> u64 {
    (policy.rate.get() / 100.0).to_bits()
}

fn options(policy: &TapePolicy) -> RecorderOptions {
    let mut redaction = Redaction::default();
    redaction.fields.extend(policy.redact.iter().cloned());
    RecorderOptions { redaction, ..RecorderOptions::default() }
}

fn empty(policy: &TapePolicy) -> Shelf {
    let bytes_max = usize::try_from(policy.bytes_max).unwrap_or(usize::MAX);
    Shelf::new(KeepOptions { bytes_max, ..KeepOptions::default() })
}
