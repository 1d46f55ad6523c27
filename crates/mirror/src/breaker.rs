//! A circuit breaker (Nygard, "Release It!"): a service that fails is left alone for a time, then tried by a few.
//!
//! Open, it lets nobody through until its time is over; then half open, it lets one at a time through, and closes after some
//! that go well. Each time that it opens again without having closed, it stays open twice as long, up to ten seconds. But where
//! many are turned away, one in fifty is let through before: that costs little, and a service that is well again is to be used soon.

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
    Open {
        since_ms: u64,
        for_ms: u64,
        turned: u32,
    },
    /// `probing`: one is on its way, since then.
    HalfOpen {
        went_well: u32,
        probing_ms: Option<u64>,
        for_ms: u64,
    },
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
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether a call may be made now. Who is let through tells what came of it.
    pub fn admit(&mut self, now_ms: u64) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { since_ms, for_ms, turned }
                if is_shut(now_ms, since_ms, for_ms, turned) =>
            {
                self.state = State::Open { since_ms, for_ms, turned: turned.saturating_add(1) };
                false
            }
            State::Open { for_ms, .. } => {
                self.state = State::HalfOpen { went_well: 0, probing_ms: Some(now_ms), for_ms };
                true
            }
            // One of which nothing was heard for as long as it was open is not waited for.
            State::HalfOpen { probing_ms: Some(since_ms), for_ms, .. }
                if now_ms.saturating_sub(since_ms) < for_ms =>
            {
                false
            }
            State::HalfOpen { went_well, for_ms, .. } => {
                self.state = State::HalfOpen { went_well, probing_ms: Some(now_ms), for_ms };
                true
            }
        }
    }

    /// It is to be left alone though too little is known for that: as if enough of its calls had failed.
    pub fn trip(&mut self, now_ms: u64) {
        if self.state() == BreakerState::Closed {
            self.open(now_ms, OPEN_MS[0]);
        }
    }

    /// Notes what came of a call.
    pub fn note(&mut self, failed: bool, now_ms: u64) {
        match (self.state, failed) {
            (State::Closed, _) => self.note_closed(failed, now_ms),
            // It was made before.
            (State::Open { .. }, _) => {}
            (State::HalfOpen { for_ms, .. }, true) => self.open(now_ms, for_ms.saturating_mul(2)),
            (State::HalfOpen { went_well, .. }, false) if went_well + 1 >= PROBES => {
                *self = Self::default();
            }
            (State::HalfOpen { went_well, for_ms, .. }, false) => {
                let went_well = went_well + 1;
                self.state = State::HalfOpen { went_well, probing_ms: None, for_ms };
            }
        }
    }

    fn note_closed(&mut self, failed: bool, now_ms: u64) {
        let kept = (-HALF_LIFE.recip()).exp2();
        (self.calls, self.failures) = (self.calls * kept + 1.0, self.failures * kept);
        self.failures += f64::from(u8::from(failed));
        if self.calls >= ENOUGH && self.failures >= FAILING * self.calls {
            self.open(now_ms, OPEN_MS[0]);
        }
    }

    fn open(&mut self, now_ms: u64, for_ms: u64) {
        let for_ms = for_ms.min(OPEN_MS[1]);
        self.state = State::Open { since_ms: now_ms, for_ms, turned: 0 };
    }
}

fn is_shut(now_ms: u64, since_ms: u64, for_ms: u64, turned: u32) -> bool {
    let for_ms = if turned < TURNED { for_ms } else { SHUT_MS };
    now_ms.saturating_sub(since_ms) < for_ms
}
