//! What is known of a service that transactions call: how long it takes, and how often it fails.
//!
//! Times are counted in bins that grow by a fifth, and older calls count less and less; a service that turns slow is known as
//! slow after some ten calls. A call that was cut off would have taken longer: how much, nobody knows, so it counts as
//! late whatever is allowed.

use serde::{Deserialize, Serialize};

/// The upper end of the first bin. Milliseconds.
const FIRST_MS: f64 = 0.1;
const GROWTH: f64 = 1.2;
/// Up to more than an hour.
const BINS: usize = 96;
/// After so many calls one counts half.
const HALF_LIFE: f64 = 20.0;
/// Calls that are made up before any was seen: half of them take longer than anything.
const PRIOR: f64 = 1.0;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// Calls by how long they took; what was cut off is in none.
    bins: Vec<f64>,
    calls: f64,
    failures: f64,
    cut: f64,
    /// How long the last one took that was cut off.
    cut_ms: f64,
}

/// How a call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    Answered,
    Failed,
    /// Nothing was heard of it in the time that it had.
    Nothing,
}

impl Default for Dependency {
    fn default() -> Self {
        Self { bins: vec![0.0; BINS], calls: 0.0, failures: 0.0, cut: 0.0, cut_ms: 0.0 }
    }
}

impl Dependency {
    /// Notes a call that has ended.
    pub fn note(&mut self, took_ms: f64, heard: Heard) {
        let kept = (-HALF_LIFE.recip()).exp2();
        self.bins.iter_mut().for_each(|count| *count *= kept);
        (self.calls, self.failures) = (self.calls * kept + 1.0, self.failures * kept);
        self.cut *= kept;
        match heard {
            Heard::Answered => {}
            Heard::Failed => self.failures += 1.0,
            Heard::Nothing => {
                (self.cut, self.cut_ms) = (self.cut + 1.0, took_ms);
                return;
            }
        }
        if let Some(count) = self.bins.get_mut(bin(took_ms)) {
            *count += 1.0;
        }
    }

    /// The probability that a call takes longer. 0 where nothing was seen: nobody is to be diverted for that.
    pub fn is_late(&self, allowed_ms: f64) -> f64 {
        let later: f64 = self.bins.iter().skip(bin(allowed_ms) + 1).sum();
        (later + self.cut) / (self.calls + PRIOR)
    }

    /// As [`Self::is_late`], where there is nothing better than to wait: what was cut off is taken to go on for as long again
    /// as it had, with even odds, and so on.
    pub fn is_late_at_last(&self, allowed_ms: f64) -> f64 {
        let later: f64 = self.bins.iter().skip(bin(allowed_ms) + 1).sum();
        let cut = self.cut * (self.cut_ms / allowed_ms.max(FIRST_MS)).min(1.0);
        (later + cut) / (self.calls + PRIOR)
    }

    /// What half of the calls take at most, or at least, where these were cut off; nothing where none was seen.
    pub fn usual_ms(&self) -> Option<f64> {
        let half = (self.bins.iter().sum::<f64>() + self.cut) / 2.0;
        let mut sum = 0.0;
        let ends = (0..).map(|at| FIRST_MS * GROWTH.powi(at));
        let found = self.bins.iter().zip(ends).find(|(count, _)| {
            sum += **count;
            sum >= half
        });
        let usual = found.map_or(self.cut_ms, |(_, end)| end);
        Some(usual).filter(|_| half > 0.0)
    }

    /// The share of calls that fail.
    pub fn failing(&self) -> f64 {
        self.failures / (self.calls + PRIOR)
    }
}

/// The bin of a time: the first whose upper end is not below it.
fn bin(ms: f64) -> usize {
    let at = (ms.max(FIRST_MS) / FIRST_MS).log(GROWTH).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
    let at = at.clamp(0.0, (BINS - 1) as f64) as usize;
    at
}
