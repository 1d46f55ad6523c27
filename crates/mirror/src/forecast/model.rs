//! Logistic regression that learns from one outcome at a time.
//!
//! Weights are the logarithms of odds that a sign of full strength adds. They begin where the classes have their weights of
//! 0.2, 0.4, 0.3 and 0.1: nothing seen is a failure in two of a hundred, a violated constraint alone in nine of ten. Steps
//! are those of AdaGrad (Duchi, Hazan & Singer 2011), so a rule that is rarely seen still learns fast. A sign never speaks against
//! failure: weights stay at 0 or above.

use serde::{Deserialize, Serialize};

use super::sign::{Rule, Sign};

const BIAS: f64 = -3.9;
/// What a class of weight 1 would add.
const SCALE: f64 = 15.25;
const STEP: f64 = 0.5;
/// How much of the way back to the beginning a weight goes at each outcome: what is not seen any more is forgotten.
const FORGET: f64 = 1e-4;
const BIAS_RANGE: [f64; 2] = [-12.0, 6.0];
const WEIGHT_MAX: f64 = 15.0;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Model {
    bias: f64,
    weights: [f64; Rule::COUNT],
    /// Sums of squared gradients, of the bias last.
    squares: [f64; Rule::COUNT + 1],
}

impl Default for Model {
    fn default() -> Self {
        Self { bias: BIAS, weights: Rule::ALL.map(prior), squares: [1.0; Rule::COUNT + 1] }
    }
}

fn prior(rule: Rule) -> f64 {
    rule.class().weight() * SCALE
}

impl Model {
    pub(super) fn probability(&self, strengths: &[f64; Rule::COUNT]) -> f64 {
        let odds: f64 = self.weights.iter().zip(strengths).map(|(weight, it)| weight * it).sum();
        1.0 / (1.0 + (-(self.bias + odds)).exp())
    }

    /// What a sign adds to the logarithm of the odds.
    pub(super) fn weight(&self, sign: &Sign) -> f64 {
        self.weights[sign.rule.index()] * sign.strength
    }

    pub(super) fn learn(&mut self, strengths: &[f64; Rule::COUNT], failed: bool) {
        let wrong = self.probability(strengths) - f64::from(u8::from(failed));
        let begins = Rule::ALL.map(prior);
        for (at, strength) in strengths.iter().enumerate() {
            let step = step(&mut self.squares[at], wrong * strength);
            let weight = &mut self.weights[at];
            *weight = (*weight - step + (begins[at] - *weight) * FORGET).clamp(0.0, WEIGHT_MAX);
        }
        let step = step(&mut self.squares[Rule::COUNT], wrong);
        self.bias = (self.bias - step).clamp(BIAS_RANGE[0], BIAS_RANGE[1]);
    }
}

fn step(squares: &mut f64, gradient: f64) -> f64 {
    *squares += gradient * gradient;
    STEP * gradient / squares.sqrt()
}
