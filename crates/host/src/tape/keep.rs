//! A bounded choice of the tapes of one function: the newest, the rarest, and failures.
//!
//! When there are too many bytes, the oldest tape of the shape that has the most goes first. So a shape that
//! occurs once in a million calls keeps its tape, and a common one keeps its newest.
//!
//! Invariants: never more bytes than the bound; what is kept depends on what came in, in its order, and on nothing
//! else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use belay_model::{Arm, Category};
use serde::{Deserialize, Serialize};

use super::{Tape, encode, verdict::category};

/// Which invocations are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sampler {
    /// The share that is taken, 0 to 1.
    pub rate: f64,
}

impl Sampler {
    /// Whether to record; `draw` is any number, drawn evenly.
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    pub fn takes(self, draw: u64) -> bool {
        let share = draw as f64 / u64::MAX as f64;
        share < self.rate || self.rate >= 1.0
    }
}

/// What two tapes have in common when one can stand for the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// `None` for a success.
    pub category: Option<Category>,
    pub ops: BTreeSet<String>,
    pub reached: Vec<(u8, Arm)>,
}

impl Shape {
    pub fn of(tape: &Tape) -> Self {
        let ops = tape.effects.iter().map(|effect| effect.op.clone());
        let mut reached = tape.reached.clone();
        reached.sort_unstable();
        Self { category: category(&tape.end), ops: ops.collect(), reached }
    }

    /// The caller's fault is no failure of the function.
    fn is_failure(&self) -> bool {
        self.category.is_some_and(|category| category != Category::InvalidInput)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepOptions {
    /// Of encoded tapes.
    pub bytes_max: usize,
    /// The newest tapes are kept, whatever their shape.
    pub newest: usize,
    /// So many failures are kept, the newest ones, whatever their shape.
    pub failures: usize,
}

impl Default for KeepOptions {
    fn default() -> Self {
        Self { bytes_max: 8 << 20, newest: 50, failures: 100 }
    }
}

/// The tapes that are kept of one function, the oldest first.
#[derive(Debug)]
pub struct Shelf {
    options: KeepOptions,
    kept: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    tape: Tape,
    shape: Shape,
    bytes: usize,
}

impl Shelf {
    pub fn new(options: KeepOptions) -> Self {
        Self { options, kept: VecDeque::new(), bytes: 0 }
    }

    /// Takes a tape in, the newest; gives those back that had to go for it: itself, if it is too large alone.
    pub fn put(&mut self, tape: Tape) -> Vec<Tape> {
        let (shape, bytes) = (Shape::of(&tape), encode(&tape).len());
        if bytes > self.options.bytes_max {
            return vec![tape];
        }
        self.bytes += bytes;
        self.kept.push_back(Kept { tape, shape, bytes });
        let mut gone = Vec::new();
        while self.bytes > self.options.bytes_max {
            gone.extend(self.evict());
        }
        gone
    }

    fn evict(&mut self) -> Option<Tape> {
        let index = self.least_wanted();
        let kept = self.kept.remove(index)?;
        self.bytes -= kept.bytes;
        Some(kept.tape)
    }

    /// Of those that no rule keeps; if there are none, of all but the failures; else of all. The newest is never it.
    fn least_wanted(&self) -> usize {
        let failures: BTreeSet<usize> = self.failures().take(self.options.failures).collect();
        let newest = self.kept.len().saturating_sub(self.options.newest);
        let free = |index: usize| !failures.contains(&index);
        self.commonest(|index| free(index) && index < newest)
            .or_else(|| self.commonest(free))
            .or_else(|| self.commonest(|_| true))
            .unwrap_or(0)
    }

    /// From the newest on.
    fn failures(&self) -> impl Iterator<Item = usize> {
        let all = self.kept.iter().enumerate().rev();
        all.filter(|(_, kept)| kept.shape.is_failure()).map(|(index, _)| index)
    }

    /// The oldest of the shape that has the most tapes among all; of equal ones the one with the oldest.
    fn commonest(&self, may_go: impl Fn(usize) -> bool) -> Option<usize> {
        let counts = self.counts();
        let last = self.kept.len().checked_sub(1)?;
        let oldest_first = self.kept.iter().enumerate().take(last);
        let candidates = oldest_first.filter(|(index, _)| may_go(*index));
        let count = |kept: &Kept| counts.get(&kept.shape).copied().unwrap_or(0);
        candidates
            .max_by_key(|(index, kept)| (count(kept), std::cmp::Reverse(*index)))
            .map(|(index, _)| index)
    }

    fn counts(&self) -> BTreeMap<&Shape, usize> {
        let mut counts = BTreeMap::new();
        for kept in &self.kept {
            *counts.entry(&kept.shape).or_insert(0) += 1;
        }
        counts
    }

    /// The oldest first.
    pub fn tapes(&self) -> impl DoubleEndedIterator<Item = &Tape> {
        self.kept.iter().map(|kept| &kept.tape)
    }

    /// Of encoded tapes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}
