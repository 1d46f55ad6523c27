//! What is to be done about a forecast: what costs least, as far as one can tell.
//!
//! Costs are milliseconds: the time that is lost, and what a failure is worth in time. There is no threshold of the
//! probability: a likely failure that costs nothing is let happen, and an unlikely one that costs much is not.

use serde::{Deserialize, Serialize};

use super::{
    Forecast,
    sign::{Class, Rule},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// As if there were no forecast.
    GoOn,
    /// Until what it needs is free.
    Wait,
    /// With more time for its calls, or more attempts with longer pauses.
    Adjust,
    /// With more memory.
    Allocate,
    /// The next alternative, from the snapshot.
    Divert,
}

/// What may be done, and what each costs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Options {
    /// What an attempt takes until it fails, with the pause after it. Milliseconds, as all of these.
    pub wasted_ms: f64,
    /// What it is worth not to fail in the end.
    pub failure_ms: f64,
    /// Attempts after this one.
    pub retries: u32,
    /// What waiting takes, where something is known to be free by then.
    pub wait_ms: Option<f64>,
    pub adjust: Option<Adjust>,
    /// What more memory costs, where it is known to be too little.
    pub allocate_ms: Option<f64>,
    /// What the alternative takes more, or is worth less; and the probability that it fails.
    pub divert: Option<(f64, f64)>,
}

/// What longer pauses take, so that nothing is done for next to nothing.
const LONGER_MS: f64 = 1.0;

/// What an attempt may be given more of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adjust {
    /// What its calls take then, and the probability that it is not enough time; nothing where there is no more.
    pub time: Option<(f64, f64)>,
    /// How many attempts may follow then.
    pub retries: u32,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub action: Action,
    /// What it is expected to cost.
    pub cost_ms: f64,
}

impl Options {
    /// All that may be done, the cheapest first. What is not trusted leaves nothing but to go on.
    pub fn weighed(&self, forecast: &Forecast) -> Vec<Choice> {
        let Fails { lasting, chance } = Fails::of(forecast);
        let go_on = self.cost(lasting, chance, self.retries);
        let mut all = vec![Choice { action: Action::GoOn, cost_ms: go_on }];
        if forecast.trusted {
            let fails = forecast.probability;
            let contended = fails * share_of(forecast, Class::Contention);
            let wait = self.wait_ms.map(|ms| {
                let left = self.cost(lasting, chance - contended, self.retries);
                (Action::Wait, ms + left)
            });
            let allocate = self.allocate_ms.map(|ms| {
                let cured = fails * share_of(forecast, Class::Deviation);
                (Action::Allocate, ms + self.cost(lasting, chance - cured, self.retries))
            });
            // Another way meets the same others.
            let met = go_on * share_of(forecast, Class::Contention);
            let divert =
                self.divert.map(|(ms, still)| (Action::Divert, ms + still * self.failure_ms + met));
            let more = [wait, self.adjusted(forecast), allocate, divert].into_iter().flatten();
            all.extend(more.map(|(action, cost_ms)| Choice { action, cost_ms }));
        }
        // Of equal ones the one that changes least.
        all.sort_by(|one, other| {
            one.cost_ms.total_cmp(&other.cost_ms).then(one.action.cmp(&other.action))
        });
        all
    }

    /// With what it would be given more of: time cures what is late, not what fails, and attempts cure what may pass.
    fn adjusted(&self, forecast: &Forecast) -> Option<(Action, f64)> {
        let Adjust { time, retries } = self.adjust?;
        let Fails { lasting, chance } = Fails::of(forecast);
        let (takes_ms, still) = time.unwrap_or((LONGER_MS, 1.0));
        let late = forecast.probability * share(forecast, |rule| rule == Rule::Late);
        let cost_ms = self.cost(lasting - late * (1.0 - still), chance, retries);
        Some((Action::Adjust, takes_ms + cost_ms))
    }

    /// What failures cost: those that last are met by each attempt, those by chance by each anew.
    fn cost(&self, lasting: f64, chance: f64, retries: u32) -> f64 {
        let (lasting, chance) = (lasting.max(0.0), chance.max(0.0));
        // 1 + p + p² + …, of all but the last of which another attempt follows.
        let by_chance = |attempts: f64| match chance < 1.0 {
            true => chance * (1.0 - chance.powf(attempts)) / (1.0 - chance),
            false => attempts,
        };
        let attempts = f64::from(self.retries) + 1.0;
        let then = f64::from(retries) + 1.0;
        let wasted = lasting * attempts + by_chance(then);
        let in_the_end = lasting + chance.powf(then);
        wasted * self.wasted_ms + in_the_end * self.failure_ms
    }
}

/// The probability of failure, by what another attempt does to it.
struct Fails {
    lasting: f64,
    chance: f64,
}

impl Fails {
    fn of(forecast: &Forecast) -> Self {
        let lasting = forecast.probability * lasting(forecast);
        Self { lasting, chance: forecast.probability - lasting }
    }
}

/// The share of the odds that another attempt does not change.
fn lasting(forecast: &Forecast) -> f64 {
    share(forecast, |rule| rule.class().lasts())
}

/// The share of the odds that comes from a class.
fn share_of(forecast: &Forecast, class: Class) -> f64 {
    share(forecast, |rule| rule.class() == class)
}

/// The share of the odds that comes from some rules.
fn share(forecast: &Forecast, of: impl Fn(Rule) -> bool) -> f64 {
    let own = forecast.reasons.iter().filter(|(sign, _)| of(sign.rule));
    own.map(|(_, share)| share).sum()
}
