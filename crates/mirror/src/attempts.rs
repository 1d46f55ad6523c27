//! The attempts of one transaction: what becomes of it when one of them ends.
//!
//! ```text
//! begin ──▶ attempt ──▶ commit
//!             ▲  │ it may be made again, and there is time ──▶ wait, restore the snapshot
//!             └──┤ there is another way, and nothing was done that cannot be undone ──▶ restore, the next way
//!                └ neither ──▶ it has failed, with the story of all attempts
//! ```
//! Conflicts, dependencies that fail, time-outs and unmet criteria are tried again; other failures only if the author names
//! them. Pure: time and random numbers are arguments.

use belay_model::{Category, Failure};
use serde::{Deserialize, Serialize};

/// What its author says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Attempts after the first one, of each way.
    pub retries: u32,
    /// Names of errors after which it is tried again, too.
    pub retry_on: Vec<String>,
    /// Other ways to its end, after the first.
    pub alternatives: usize,
    /// Before the first retry at most, then twice as long each time. Milliseconds.
    pub pause_ms: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self { retries: RETRIES, retry_on: Vec::new(), alternatives: 0, pause_ms: PAUSE_MS }
    }
}

pub const RETRIES: u32 = 3;
/// Where it is not known what an attempt takes.
pub const PAUSE_MS: u64 = 10;
const PAUSE_MS_MAX: u64 = 1_000;

/// How an attempt ended that did not commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
pub enum Ended {
    /// Others wrote what it read.
    Conflict { what: String },
    /// Its code failed.
    Failed(Failure),
    /// Its code failed because the host refused something, and would do so again.
    Refused(Failure),
    /// What it promises of its result (`@success`) does not hold.
    Unmet { criterion: String },
    /// It was stopped before it could fail, as the forecast said.
    Diverted { reasons: Vec<String> },
    /// It asked for something else than what an earlier attempt had done already, outside.
    Diverged { was: String, now: String },
}

/// One attempt, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// 0 is the transaction itself, then its alternatives.
    pub way: usize,
    pub took_ms: u64,
    #[serde(flatten)]
    pub ended: Ended,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// From the snapshot, after a pause.
    Again { way: usize, pause_ms: u64 },
    /// It has failed.
    GiveUp(GaveUp),
}

/// Why there is no other attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GaveUp {
    /// It is no failure that another attempt could cure.
    Final,
    /// As many were made as may.
    Attempts,
    /// The time of the invocation is over.
    Time,
    /// Too much is being tried again already.
    Budget,
    /// Something was done outside, and what it asks for now is something else.
    DivergedAfterExternal,
}

/// All attempts so far.
#[derive(Debug, Clone)]
pub struct Attempts {
    terms: Terms,
    way: usize,
    /// Of this way.
    retries: u32,
    history: Vec<Attempt>,
}

impl Attempts {
    pub fn new(terms: Terms) -> Self {
        Self { terms, way: 0, retries: 0, history: Vec::new() }
    }

    /// Tries at least so often, and waits longer in between.
    pub fn persist(&mut self, retries: u32, pause_ms: u64) {
        self.terms.retries = self.terms.retries.max(retries);
        self.terms.pause_ms = self.terms.pause_ms.max(pause_ms);
    }

    /// The way that is being tried.
    pub fn way(&self) -> usize {
        self.way
    }

    /// Of the attempt that goes on. From 1.
    pub fn number(&self) -> u32 {
        u32::try_from(self.history.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    pub fn history(&self) -> &[Attempt] {
        &self.history
    }

    /// An attempt that took `took_ms` has ended without a commit. `performed`: something was done outside that cannot be undone.
    /// `left_ms`: the time that is left. `random`: 0 to 1, for the pause. `budget`: whether it may be tried again for what services
    /// and databases did; asked only where it would be.
    pub fn ended(
        &mut self,
        ended: Ended,
        took_ms: u64,
        (performed, left_ms): (bool, u64),
        random: f64,
        budget: impl FnOnce() -> bool,
    ) -> Next {
        let (number, way) = (self.number(), self.way);
        let next = match self.after(&ended, performed, left_ms, random) {
            Next::Again { way: then, .. } if then == way && !is_free(&ended) && !budget() => {
                self.next_way(performed, GaveUp::Budget)
            }
            next => next,
        };
        self.history.push(Attempt { number, way, took_ms, ended });
        next
    }

    fn after(&mut self, ended: &Ended, performed: bool, left_ms: u64, random: f64) -> Next {
        match ended {
            Ended::Diverged { .. } => return Next::GiveUp(GaveUp::DivergedAfterExternal),
            Ended::Diverted { .. } => return self.next_way(performed, GaveUp::Attempts),
            Ended::Failed(failure) if !self.may_cure(failure) => {
                return Next::GiveUp(GaveUp::Final);
            }
            Ended::Refused(failure) if !self.terms.retry_on.contains(&failure.error_type) => {
                return Next::GiveUp(GaveUp::Final);
            }
            Ended::Conflict { .. } | Ended::Unmet { .. } | Ended::Failed(_) | Ended::Refused(_) => {
            }
        }
        if self.retries >= self.terms.retries {
            return self.next_way(performed, GaveUp::Attempts);
        }
        let pause_ms = pause_ms(self.terms.pause_ms, self.retries, random);
        if pause_ms >= left_ms {
            return Next::GiveUp(GaveUp::Time);
        }
        self.retries += 1;
        Next::Again { way: self.way, pause_ms }
    }

    fn may_cure(&self, failure: &Failure) -> bool {
        match failure.category {
            Category::Dependency | Category::Timeout => true,
            Category::Exception => self.terms.retry_on.contains(&failure.error_type),
            Category::OutOfMemory
            | Category::StackOverflow
            | Category::InvalidInput
            | Category::Deadlock
            | Category::Engine => false,
        }
    }

    fn next_way(&mut self, performed: bool, otherwise: GaveUp) -> Next {
        if performed || self.way >= self.terms.alternatives {
            return Next::GiveUp(otherwise);
        }
        (self.way, self.retries) = (self.way + 1, 0);
        Next::Again { way: self.way, pause_ms: 0 }
    }
}

/// Those whom it met have come to their end: tried again, it is in nobody's way.
fn is_free(ended: &Ended) -> bool {
    matches!(ended, Ended::Conflict { .. })
}

/// Full jitter: any time up to an end that doubles (Brooker, "Exponential backoff and jitter").
fn pause_ms(first: u64, retries: u32, random: f64) -> u64 {
    let end = first.saturating_mul(1 << retries.min(16)).min(PAUSE_MS_MAX);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "at most a second"
    )]
    let pause = (end as f64 * random.clamp(0.0, 1.0)) as u64;
    pause
}
