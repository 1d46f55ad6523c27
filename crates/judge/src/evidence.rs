//! Evidence, and how much of it is enough.

use crate::Invalid;

/// An e-value, as its logarithm: 0 says nothing, more speaks against "no harm".
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Evidence(f64);

impl Evidence {
    /// That of nothing seen.
    pub const NONE: Self = Self(0.0);

    pub(crate) fn of_log(log: f64) -> Self {
        Self(log)
    }

    /// The natural logarithm of the e-value.
    pub fn log(self) -> f64 {
        self.0
    }

    /// The e-value itself; infinite where that is too large for a number.
    pub fn e_value(self) -> f64 {
        self.0.exp()
    }

    /// Whether it is enough at a level: 1/α or more.
    pub fn is_enough(self, alpha: Alpha) -> bool {
        self.0 >= -alpha.0.ln()
    }

    /// The average of several e-values, which is one again however they depend on each other. [`Self::NONE`] of none.
    pub fn average(all: &[Self]) -> Self {
        let Ok(len) = u32::try_from(all.len()) else { return Self::NONE };
        if len == 0 {
            return Self::NONE;
        }
        Self(log_sum(all.iter().map(|evidence| evidence.0)) - f64::from(len).ln())
    }
}

/// A probability of being wrong that is put up with: above 0, below 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Alpha(f64);

impl Alpha {
    /// # Errors
    /// What is not between 0 and 1.
    pub fn new(alpha: f64) -> Result<Self, Invalid> {
        if alpha > 0.0 && alpha < 1.0 { Ok(Self(alpha)) } else { Err(Invalid::Alpha(alpha)) }
    }

    /// As a number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// A part of it: `share` is above 0 and at most 1.
    pub(crate) fn part(self, share: f64) -> Self {
        Self(self.0 * share)
    }
}

/// The logarithm of the sum of numbers that are given by their logarithms.
pub(crate) fn log_sum(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return largest;
    }
    largest + logs.map(|log| (log - largest).exp()).sum::<f64>().ln()
}
