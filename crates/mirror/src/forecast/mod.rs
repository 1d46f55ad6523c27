//! Will this transaction fail, and what is to be done about it?
//!
//! ```text
//! what was seen ──▶ signs ──▶ model ──▶ forecast ──▶ options ──▶ the cheapest action
//!                               ▲  └──▶ quality: is it better than knowing how often it fails?
//!                               └────── what became of it
//! ```
//! There is one [`Forecaster`] for each transaction id. It begins with what experience says of the four classes of signs,
//! and learns from each outcome that is known: of a transaction that was diverted nobody knows what it would have come to,
//! so some that look bad have to be let go on.

mod model;
mod options;
mod quality;
mod sign;

pub use options::{Action, Adjust, Choice, Options};
pub use quality::Quality;
pub use sign::{Class, Rule, Sign};

use model::Model;
use serde::{Deserialize, Serialize};

/// What is expected of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// That it fails. 0 to 1.
    pub probability: f64,
    /// What speaks for that, with the share that each sign has in it; what weighs most first.
    pub reasons: Vec<(Sign, f64)>,
    /// Whether one acts on it: not so where it is no better than knowing how often the transaction fails.
    pub trusted: bool,
}

impl Forecast {
    /// From here on it is called a failure.
    pub const CALLED: f64 = 0.5;

    pub fn is_called(&self) -> bool {
        self.probability >= Self::CALLED
    }
}

/// What is known of one transaction id.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Forecaster {
    model: Model,
    quality: Quality,
    /// Called failures about which something was done, since the last one about which nothing was.
    untold: f64,
}

/// What is known of one forecast afterwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hindsight {
    /// The probability that was given.
    pub said: f64,
    pub failed: bool,
    /// From the forecast to the failure, if it failed.
    pub lead_ms: f64,
}

/// For how many others one stands at most: twice as many as are let go on one by one.
const UNTOLD_MAX: f64 = 100.0;

impl Forecaster {
    pub fn forecast(&self, signs: &[Sign]) -> Forecast {
        let probability = self.model.probability(&strengths(signs));
        let weights: Vec<f64> = signs.iter().map(|sign| self.model.weight(sign)).collect();
        let total: f64 = weights.iter().sum();
        let share = |weight: f64| if total > 0.0 { weight / total } else { 0.0 };
        let mut reasons: Vec<(Sign, f64)> =
            signs.iter().cloned().zip(weights.into_iter().map(share)).collect();
        reasons.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        Forecast { probability, reasons, trusted: self.quality.is_trusted() }
    }

    /// What became of a transaction about which nothing was done. Of one about which something was, nobody knows what it would have
    /// come to: the next one of which as much was feared, and that was let go on, stands for it in the quality as well.
    pub fn learn(&mut self, signs: &[Sign], hindsight: Hindsight) {
        let called = hindsight.said >= Forecast::CALLED;
        let others = if called { std::mem::take(&mut self.untold) } else { 0.0 };
        self.quality.note(hindsight, 1.0 + others);
        self.model.learn(&strengths(signs), hindsight.failed);
    }

    /// Something was done about a transaction that was called a failure.
    pub fn prevented(&mut self) {
        self.untold = (self.untold + 1.0).min(UNTOLD_MAX);
    }

    pub fn quality(&self) -> &Quality {
        &self.quality
    }
}

/// How strongly each rule speaks: of several signs of a rule the strongest.
fn strengths(signs: &[Sign]) -> [f64; Rule::COUNT] {
    let mut all = [0.0; Rule::COUNT];
    for sign in signs {
        let own = &mut all[sign.rule.index()];
        *own = sign.strength.max(*own);
    }
    all
}
