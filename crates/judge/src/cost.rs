//! What requests cost: how it is spread, and what is beyond the usual.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{band::Band, rate::number};

/// Something of which a request uses more or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cost {
    /// Microseconds from the start to the answer.
    Latency,
    /// Microseconds of computing.
    Cpu,
    /// Bytes, at the most.
    Memory,
}

impl Cost {
    pub const ALL: [Self; 3] = [Self::Latency, Self::Cpu, Self::Memory];
}

/// A share of requests that cost less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Quantile {
    P50,
    P90,
    P99,
}

impl Quantile {
    pub const ALL: [Self; 3] = [Self::P50, Self::P90, Self::P99];

    /// As a number.
    pub fn get(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P99 => 0.99,
        }
    }
}

/// How many samples cost how much, to two digits.
#[derive(Debug, Clone)]
pub struct Spread(Histogram<u32>);

impl Default for Spread {
    fn default() -> Self {
        let histogram = Histogram::new(2);
        Self(histogram.unwrap_or_else(|_| unreachable!("two digits can be had")))
    }
}

impl Spread {
    pub fn note(&mut self, value: u64) {
        // It grows as it has to; what cannot be told apart any more counts as the largest.
        if self.0.record(value).is_err() {
            self.0.saturating_record(value);
        }
    }

    /// Samples so far.
    pub fn samples(&self) -> u64 {
        self.0.len()
    }

    /// What so many of the samples cost at most; nothing of no sample.
    pub fn value(&self, quantile: Quantile) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile.get()))
    }

    /// What the quantile of all requests is between; an end that the samples do not tell is missing.
    pub fn between(&self, quantile: Quantile, band: &Band) -> (Option<u64>, Option<u64>) {
        let width = band.half_width(number(self.samples()));
        let at = |share: f64| {
            let known = share > 0.0 && share < 1.0 && !self.0.is_empty();
            known.then(|| self.0.value_at_quantile(share))
        };
        (at(quantile.get() - width), at(quantile.get() + width))
    }
}

/// What counts as beyond the usual. It is fixed before the requests that it is held against: else a slow request would
/// move it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    quantiles: [[Option<u64>; 3]; 3],
    deadline_us: Option<u64>,
}

impl Limits {
    /// Longer than this no request may take, in microseconds.
    #[must_use]
    pub fn deadline(self, microseconds: Option<u64>) -> Self {
        Self { deadline_us: microseconds, ..self }
    }

    /// The quantiles that a cost is beyond.
    pub(crate) fn exceeded(&self, cost: Cost, value: u64) -> impl Iterator<Item = Quantile> {
        let limits = self.quantiles.get(cost as usize).copied().unwrap_or_default();
        let all = Quantile::ALL.into_iter().zip(limits);
        all.filter_map(move |(quantile, limit)| (value > limit?).then_some(quantile))
    }

    /// Whether a request is slower than 99 % of the others; nothing where that is not known.
    pub fn is_slow(&self, latency_us: u64) -> Option<bool> {
        let [_, _, p99] = self.quantiles[Cost::Latency as usize];
        p99.map(|limit| latency_us > limit)
    }

    pub(crate) fn is_late(&self, latency_us: u64) -> bool {
        self.deadline_us.is_some_and(|deadline| latency_us > deadline)
    }
}

/// So many samples tell a p99.
const SAMPLES_MIN: u64 = 200;

/// What requests of one function usually cost: learned from those that run nothing of a change.
#[derive(Debug, Clone, Default)]
pub struct Usual {
    seen: [Spread; 3],
    limits: Limits,
}

impl Usual {
    /// By [`Cost::ALL`]; nothing where it is not known.
    pub fn note(&mut self, costs: [Option<u64>; 3]) {
        for ((spread, value), limits) in
            self.seen.iter_mut().zip(costs).zip(&mut self.limits.quantiles)
        {
            let Some(value) = value else { continue };
            spread.note(value);
            // What nothing was known of is known as soon as enough was seen.
            if limits[0].is_none() && spread.samples() >= SAMPLES_MIN {
                *limits = Quantile::ALL.map(|quantile| spread.value(quantile));
            }
        }
    }

    /// Limits are made anew of what was seen since the last time, where that was enough. Called before each step of a
    /// ramp.
    pub fn begin_step(&mut self) {
        for (spread, limits) in self.seen.iter_mut().zip(&mut self.limits.quantiles) {
            if spread.samples() >= SAMPLES_MIN {
                *limits = Quantile::ALL.map(|quantile| spread.value(quantile));
                *spread = Spread::default();
            }
        }
    }

    /// Those that hold until the next step.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}
