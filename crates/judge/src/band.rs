//! A band around what was seen of a distribution, in which all of the true one lies at all times.
//!
//! Howard & Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm identification"
//! (Bernoulli 2022), theorem 2: the empirical distribution of `n` samples is nowhere further from the true one than
//! `A·√((ln(1 + ln(n/m)) + C)/n)`, for all `n` from `m` on together. It is shown with a verdict; it makes none: the arms of
//! a ramped change see different times of the day, so that their distributions differ also where nothing is wrong.

use crate::evidence::Alpha;

/// The factor `A`, as the reference implementation has it.
const FACTOR: f64 = 0.85;
/// Halvings of an interval until its ends are one number.
const HALVINGS: usize = 80;
/// Steps of the search for the best `η` of a `C`.
const SECTIONS: usize = 120;

/// The width of bands at one level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    from: f64,
    constant: f64,
}

impl Band {
    /// `from`: samples from which on it holds, at least one.
    pub fn new(alpha: Alpha, from: u32) -> Self {
        let enough = |constant: &f64| error(*constant) <= alpha.get();
        // Errors become fewer as the constant grows.
        let (mut low, mut high) = (1e-3, 1.0);
        while !enough(&high) {
            (low, high) = (high, high * 2.0);
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            *(if enough(&middle) { &mut high } else { &mut low }) = middle;
        }
        Self { from: f64::from(from.max(1)), constant: high }
    }

    /// How far the share of samples up to any value may be from the true one; infinite for too few samples.
    pub fn half_width(&self, samples: f64) -> f64 {
        if samples < self.from {
            return f64::INFINITY;
        }
        let times = (samples / self.from).ln().ln_1p();
        FACTOR * ((times + self.constant) / samples).sqrt()
    }
}

/// The probability of leaving the band with a constant, at the best `η`.
fn error(constant: f64) -> f64 {
    let at = |eta: f64| {
        let gamma = 2.0 / eta * (FACTOR - (2.0 * (eta - 1.0) / constant).sqrt()).powi(2);
        let rest = 1.0 + 1.0 / ((gamma - 1.0) * eta.ln());
        if gamma <= 1.0 { f64::INFINITY } else { 4.0 * (-gamma * constant).exp() * rest }
    };
    // Beyond the largest one the formula does not hold.
    let holds = |eta: f64| (eta / 2.0).sqrt() + (2.0 * (eta - 1.0) / constant).sqrt() < FACTOR;
    let (mut within, mut out) = (1.0, 2.0 * FACTOR * FACTOR);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(within, out);
        *(if holds(middle) { &mut within } else { &mut out }) = middle;
    }
    // By golden sections: the error falls and then rises.
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (1.0, within);
    for _ in 0..SECTIONS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if at(left) < at(right) {
            high = right;
        } else {
            low = left;
        }
    }
    at(f64::midpoint(low, high))
}
