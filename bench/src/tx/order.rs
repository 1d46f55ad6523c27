//! What is ordered: transfers between accounts, as hot and as invalid as a scenario says.
//!
//! Each client has accounts of its own, so that nobody is in anybody's way but on the hot ones.

use std::{
    env,
    ffi::OsStr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::Context;
use serde_json::json;

use super::provider::Mood;
use crate::sequence::Sequence;

pub(super) const CLIENTS_MAX: u32 = 16;
const HOT: u32 = 4;
/// Of one client.
const OWN: u32 = 99;
pub(super) const ACCOUNTS: u32 = HOT + OWN * CLIENTS_MAX;
pub(super) const INITIAL: u64 = 1_000_000;
const AMOUNT_MAX: f64 = 10.0;
/// More than there is on any account.
const TOO_MUCH: u64 = 1_000_000_000;

/// An attempt may take so long, and be made so often after the first.
pub(super) const TIMEOUT_MS: u64 = 150;
pub(super) const RETRIES: u32 = 3;

/// What is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// The share of orders that touch a hot account.
    pub(super) hot: f64,
    /// The share of orders for more than there is, which only the last check of the code, or of the table, finds.
    pub(super) invalid: f64,
    /// How the provider is in the middle of the run.
    pub(super) mood: Mood,
    /// Of a full run, and of a short one.
    pub(super) seconds: (f64, f64),
}

/// Of [`HOT_SPOT`], where [`hot_share`] is not told another one.
const HOT_SHARE: f64 = 0.9;

const PLAIN: Scenario =
    Scenario { name: "calm", hot: 0.0, invalid: 0.0, mood: Mood::Well, seconds: (1.2, 0.4) };

pub(super) const CALM: Scenario = PLAIN;
pub(super) const HOT_SPOT: Scenario = Scenario { name: "hot", hot: HOT_SHARE, ..PLAIN };
pub(super) const SLOW: Scenario =
    Scenario { name: "slow", mood: Mood::Slow(400), seconds: (4.6, 2.0), ..PLAIN };
pub(super) const FAILING: Scenario =
    Scenario { name: "failing", mood: Mood::Failing, seconds: (2.5, 1.0), ..PLAIN };
pub(super) const INVALID: Scenario = Scenario { name: "invalid", invalid: 0.15, ..PLAIN };

pub(super) const SCENARIOS: [Scenario; 5] = [CALM, HOT_SPOT, SLOW, FAILING, INVALID];

/// From which to which part of the run the provider is as the scenario says.
pub(super) const TROUBLE: (f64, f64) = (0.2, 0.6);

/// The share of orders that touch a hot account in [`HOT_SPOT`]: `BELAY_BENCH_HOT`, 0 to 1.
pub(super) fn hot_share() -> anyhow::Result<f64> {
    env::var_os("BELAY_BENCH_HOT").map_or(Ok(HOT_SHARE), |text| share(&text))
}

fn share(text: &OsStr) -> anyhow::Result<f64> {
    let number = text.to_str().and_then(|text| text.parse::<f64>().ok());
    number.filter(|share| (0.0..=1.0).contains(share)).with_context(|| {
        format!("BELAY_BENCH_HOT is {text:?}: expected the share of hot orders, 0 to 1, as in 0.5")
    })
}

impl Scenario {
    /// The hot spot, as hot as that; any other one as it is.
    pub(super) fn with_hot(self, hot: f64) -> Self {
        if self.name == HOT_SPOT.name { Self { hot, ..self } } else { self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) id: u64,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) amount: u64,
}

impl Order {
    pub(super) fn is_invalid(&self) -> bool {
        self.amount == TOO_MUCH
    }

    pub(super) fn event(&self) -> String {
        let Self { id, from, to, amount } = self;
        json!({ "id": id, "from": from, "to": to, "amount": amount }).to_string()
    }
}

/// The orders of one client.
pub(super) struct Orders<'i> {
    sequence: Sequence,
    client: u32,
    scenario: Scenario,
    /// No two orders of a benchmark have the same.
    ids: &'i AtomicU64,
}

impl<'i> Orders<'i> {
    pub(super) fn new(client: u32, scenario: Scenario, ids: &'i AtomicU64) -> Self {
        Self { sequence: Sequence(u64::from(client) + 1), client, scenario, ids }
    }

    pub(super) fn next(&mut self) -> Order {
        let id = self.ids.fetch_add(1, Relaxed);
        let (from, to) = if self.sequence.next() < self.scenario.hot {
            self.hot_pair()
        } else {
            self.pair(HOT + self.client * OWN, OWN)
        };
        let amount = match self.sequence.next() < self.scenario.invalid {
            true => TOO_MUCH,
            false => 1 + u64::from(whole(self.sequence.next() * AMOUNT_MAX)),
        };
        Order { id, from, to, amount }
    }

    /// The same transfer as a new order.
    pub(super) fn again(&self, order: Order) -> Order {
        Order { id: self.ids.fetch_add(1, Relaxed), ..order }
    }

    /// Two hot ones, or a hot one and one of its own, in either order.
    fn hot_pair(&mut self) -> (u32, u32) {
        let (one, other) = self.pair(0, HOT);
        let own = HOT + self.client * OWN + self.below(OWN);
        let other = if self.sequence.next() < 0.5 { other } else { own };
        if self.sequence.next() < 0.5 { (one, other) } else { (other, one) }
    }

    /// Two different ones of `count` from `first` on.
    fn pair(&mut self, first: u32, count: u32) -> (u32, u32) {
        let one = self.below(count);
        let other = (one + 1 + self.below(count - 1)) % count;
        (first + one, first + other)
    }

    fn below(&mut self, limit: u32) -> u32 {
        whole(self.sequence.next() * f64::from(limit)).min(limit - 1)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, not negative")]
fn whole(number: f64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_hot_it_is_is_a_share() {
        for (text, expected) in [("0", 0.0), ("0.25", 0.25), ("1", 1.0)] {
            assert!((share(text.as_ref()).unwrap() - expected).abs() < 1e-9, "{text}");
        }
        for text in ["", "hot", "90 %", "-0.1", "1.1", "NaN", "inf"] {
            let told = share(text.as_ref()).unwrap_err().to_string();
            assert!(told.contains("0 to 1"), "{text}: {told}");
        }
    }

    #[test]
    fn only_the_hot_spot_gets_hotter() {
        for scenario in SCENARIOS {
            let expected = if scenario.name == "hot" { 0.25 } else { scenario.hot };
            assert!((scenario.with_hot(0.25).hot - expected).abs() < 1e-9, "{}", scenario.name);
        }
    }
}
