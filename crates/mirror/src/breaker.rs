//! A circuit breaker (Nygard, "Release It!"): a service that fails is left alone for a time, then tried by a few.
//!
//! Open, it lets nobody through until its time is over; then half open, it lets one through, one more for each that goes well, and
//! closes after some. Each time that it opens again without having closed, it stays open twice as long, up to ten seconds. But where
//! many are turned away, one in fifty is let through before, also while another one has not been answered: that costs little, and
//! a service that is well again is to be used soon.

use serde::{Deserialize, Serialize};

/// The weight of ten calls, from which it can be told; and the share of them that fails from which it opens.
const ENOUGH: f64 = 8.5;
const FAILING: f64 = 0.5;
/// After so many calls one counts half.
const HALF_LIFE: f64 = 20.0;
const OPEN_MS: [u64; 2] = [250, 10_000];
/// After so many that were turned away one is let through, but for this time.
const TURNED: u32 = 50;
const SHUT_MS: u64 = 100;
/// Calls that have to go well.
const PROBES: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    state: State,
    calls: f64,
    failures: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum State {
    Closed,
    Open { since_ms: u64, for_ms: u64, since_probe: Probe },
    HalfOpen(Trial),
}

/// What came of those that were let through since it was open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Trial {
    /// When the first one was.
    since_ms: u64,
    went_well: u32,
    /// When the last one was made that went well.
    well_ms: u64,
    /// On their way.
    flying: u32,
    /// It was open for so long.
    for_ms: u64,
    since_probe: Probe,
}

/// The last one that was let through, and what came after it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Probe {
    made_ms: u64,
    /// So many were turned away.
    turned: u32,
}

impl Probe {
    fn at(made_ms: u64) -> Self {
        Self { made_ms, turned: 0 }
    }

    fn turned_away(self) -> Self {
        Self { turned: self.turned.saturating_add(1), ..self }
    }

    /// Whether so many were turned away that another one is worth it.
    fn is_enough(self, now_ms: u64) -> bool {
        self.turned >= TURNED && now_ms.saturating_sub(self.made_ms) >= SHUT_MS
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, calls: 0.0, failures: 0.0 }
    }
}

impl Breaker {
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen(_) => BreakerState::HalfOpen,
        }
    }

    /// Whether a call may be made now. Who is let through tells what came of it.
    pub fn admit(&mut self, now_ms: u64) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { since_ms, for_ms, since_probe } => {
                let is_over = now_ms.saturating_sub(since_ms) >= for_ms;
                if !is_over && !since_probe.is_enough(now_ms) {
                    let since_probe = since_probe.turned_away();
                    self.state = State::Open { since_ms, for_ms, since_probe };
                    return false;
                }
                let (went_well, well_ms, flying) = (0, 0, 1);
                let since_probe = Probe::at(now_ms);
                self.state = State::HalfOpen(Trial {
                    since_ms: now_ms,
                    went_well,
                    well_ms,
                    flying,
                    for_ms,
                    since_probe,
                });
                true
            }
            State::HalfOpen(trial) => {
                let Trial { went_well, flying, for_ms, since_probe, .. } = trial;
                // Those of which nothing was heard for as long as it was open are not waited for.
                let is_lost = now_ms.saturating_sub(since_probe.made_ms) >= for_ms;
                let admits = flying <= went_well || is_lost || since_probe.is_enough(now_ms);
                let (flying, since_probe) = match admits {
                    true => (flying.saturating_add(1), Probe::at(now_ms)),
                    false => (flying, since_probe.turned_away()),
                };
                self.state = State::HalfOpen(Trial { flying, since_probe, ..trial });
                admits
            }
        }
    }

    /// It is to be left alone though too little is known for that: as if enough of its calls had failed.
    pub fn trip(&mut self, now_ms: u64) {
        if self.state() == BreakerState::Closed {
            self.open(now_ms, OPEN_MS[0], Probe::at(now_ms));
        }
    }

    /// Notes what came of a call that was made at `made_ms`.
    pub fn note(&mut self, failed: bool, made_ms: u64, now_ms: u64) {
        match (self.state, failed) {
            (State::Closed, _) => self.note_closed(failed, now_ms),
            // It was made before.
            (State::Open { .. }, _) => {}
            (State::HalfOpen(trial), _) if made_ms < trial.since_ms => {}
            (State::HalfOpen(trial), _) => self.note_trial(trial, failed, made_ms, now_ms),
        }
    }

    fn note_trial(&mut self, trial: Trial, failed: bool, made_ms: u64, now_ms: u64) {
        let flying = trial.flying.saturating_sub(1);
        match failed {
            // Since then another one went well.
            true if made_ms < trial.well_ms => {
                self.state = State::HalfOpen(Trial { flying, ..trial });
            }
            true => self.open(now_ms, trial.for_ms.saturating_mul(2), trial.since_probe),
            false if trial.went_well + 1 >= PROBES => *self = Self::default(),
            false => {
                let (went_well, well_ms) = (trial.went_well + 1, trial.well_ms.max(made_ms));
                self.state = State::HalfOpen(Trial { went_well, well_ms, flying, ..trial });
            }
        }
    }

    fn note_closed(&mut self, failed: bool, now_ms: u64) {
        let kept = (-HALF_LIFE.recip()).exp2();
        (self.calls, self.failures) = (self.calls * kept + 1.0, self.failures * kept);
        self.failures += f64::from(u8::from(failed));
        if self.calls >= ENOUGH && self.failures >= FAILING * self.calls {
            self.open(now_ms, OPEN_MS[0], Probe::at(now_ms));
        }
    }

    fn open(&mut self, now_ms: u64, for_ms: u64, since_probe: Probe) {
        let for_ms = for_ms.min(OPEN_MS[1]);
        self.state = State::Open { since_ms: now_ms, for_ms, since_probe };
    }
}
