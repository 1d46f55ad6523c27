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
    /// With more time for its calls, or another isolation.
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
    /// What more time for its calls takes, and the probability that it is not enough.
    pub adjust: Option<(f64, f64)>,
    /// What more memory costs, where it is known to be too little.
    pub allocate_ms: Option<f64>,
    /// What the alternative takes more, or is worth less; and the probability that it fails.
    pub divert: Option<(f64, f64)>,
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
        let fails = forecast.probability;
        let go_on =
            self.wasted(forecast) * self.wasted_ms + self.in_the_end(forecast) * self.failure_ms;
        let mut all = vec![Choice { action: Action::GoOn, cost_ms: go_on }];
        if forecast.trusted {
            let without = |class: Class| fails * (1.0 - share_of(forecast, class));
            let then = |fails: f64| fails * (self.wasted_ms + self.failure_ms);
            let wait = self.wait_ms.map(|ms| (Action::Wait, ms + then(without(Class::Contention))));
            let adjust = self.adjust.map(|(ms, still)| {
                // More time cures what is late, not what fails.
                let late = fails * share(forecast, |rule| rule == Rule::Late);
                (Action::Adjust, ms + then(fails - late + late * still))
            });
            let allocate =
                self.allocate_ms.map(|ms| (Action::Allocate, ms + then(without(Class::Deviation))));
            // Another way meets the same others.
            let contended = go_on * share_of(forecast, Class::Contention);
            let divert = self
                .divert
                .map(|(ms, still)| (Action::Divert, ms + still * self.failure_ms + contended));
            let more = [wait, adjust, allocate, divert].into_iter().flatten();
            all.extend(more.map(|(action, cost_ms)| Choice { action, cost_ms }));
        }
        // Of equal ones the one that changes least.
        all.sort_by(|one, other| {
            one.cost_ms.total_cmp(&other.cost_ms).then(one.action.cmp(&other.action))
        });
        all
    }

    /// How many attempts fail if it is let go on: what lasts is met by all of them, and chance by each anew.
    fn wasted(&self, forecast: &Forecast) -> f64 {
        let (fails, lasting) = (forecast.probability, lasting(forecast));
        let attempts = f64::from(self.retries) + 1.0;
        // 1 + p + p² + …, of all but the last of which another attempt follows.
        let by_chance = if fails < 1.0 {
            fails * (1.0 - fails.powf(attempts)) / (1.0 - fails)
        } else {
            attempts
        };
        lasting * fails * attempts + (1.0 - lasting) * by_chance
    }

    /// That it fails with all its retries: what lasts is met by each of them, and chance is not.
    fn in_the_end(&self, forecast: &Forecast) -> f64 {
        let (fails, lasting) = (forecast.probability, lasting(forecast));
        let attempts = i32::try_from(self.retries).unwrap_or(i32::MAX - 1).saturating_add(1);
        lasting * fails + (1.0 - lasting) * fails.powi(attempts)
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
