//! How often something happens, as an interval that may be looked at at any time.

use statrs::function::beta::ln_beta;

use crate::evidence::Alpha;

/// What lies between two numbers, these included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Of so many requests, so many failed. The unit is that of randomisation: with sticky keys, the key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    pub events: u64,
    pub of: u64,
}

/// The prior of the mixture: Jeffreys'.
const PRIOR: f64 = 0.5;

/// Halvings until an end of an interval is found.
const HALVINGS: usize = 60;

impl Rate {
    /// The share that was seen; nothing of nothing.
    pub fn seen(self) -> Option<f64> {
        (self.of > 0).then(|| number(self.events.min(self.of)) / number(self.of))
    }

    /// An interval that holds the true rate at all times with a probability of at least 1 − α (the beta-binomial mixture,
    /// inverted; Howard et al. 2021).
    pub fn interval(self, alpha: Alpha) -> Interval {
        let Some(seen) = self.seen() else { return Interval { low: 0.0, high: 1.0 } };
        let (hits, misses) =
            (number(self.events.min(self.of)), number(self.of.saturating_sub(self.events)));
        let mixture = ln_beta(PRIOR + hits, PRIOR + misses) - ln_beta(PRIOR, PRIOR);
        let log = |count: f64, rate: f64| if count > 0.0 { count * rate.ln() } else { 0.0 };
        let excluded =
            |rate: f64| mixture - log(hits, rate) - log(misses, 1.0 - rate) >= -alpha.get().ln();
        let end = |mut out: f64| {
            if !excluded(out) {
                return out;
            }
            let mut within = seen;
            for _ in 0..HALVINGS {
                let middle = f64::midpoint(out, within);
                *(if excluded(middle) { &mut out } else { &mut within }) = middle;
            }
            out
        };
        Interval { low: end(0.0), high: end(1.0) }
    }
}

/// How much higher the second rate is than the first: an interval that holds the true difference at all times with a
/// probability of at least 1 − α.
pub fn difference(before: Rate, after: Rate, alpha: Alpha) -> Interval {
    let [before, after] = [before, after].map(|rate| rate.interval(alpha.part(0.5)));
    Interval { low: after.low - before.high, high: after.high - before.low }
}

pub(crate) fn number(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^53")]
    let number = count as f64;
    number
}
