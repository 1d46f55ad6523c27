//! Durations that were measured, and their percentiles.

use std::time::{Duration, Instant};

/// Durations in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Runs `work` `count` times and keeps how long each run took.
    pub(crate) fn take<T, E>(
        count: u32,
        mut work: impl FnMut() -> Result<T, E>,
    ) -> Result<Self, E> {
        let mut samples = Self::default();
        for _ in 0..count {
            samples.time(&mut work)?;
        }
        Ok(samples)
    }

    /// Runs `work` once and keeps how long it took, until its value is dropped.
    pub(crate) fn time<T, E>(&mut self, work: impl FnOnce() -> Result<T, E>) -> Result<(), E> {
        let start = Instant::now();
        work()?;
        self.add(start.elapsed());
        Ok(())
    }

    pub(crate) fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// With what would have been measured of those who came while one was kept waiting, one each `interval`: who is kept waiting
    /// asks for nothing else meanwhile, and others would have (Gil Tene's *coordinated omission*; as HdrHistogram corrects it).
    pub(crate) fn with_omitted(&self, interval: Duration) -> Self {
        let mut all = Self::default();
        for sample in &self.0 {
            let mut left = *sample;
            loop {
                all.add(left);
                left = left.saturating_sub(interval);
                if interval.is_zero() || left < interval {
                    break;
                }
            }
        }
        all
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The value below which `share` of the samples lie, in microseconds; 0 without samples.
    pub(crate) fn percentile_us(&self, share: f64) -> f64 {
        let values: Vec<f64> = self.0.iter().map(|sample| sample.as_secs_f64() * 1e6).collect();
        percentile(values, share)
    }

    pub(crate) fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// The middle of some values; 0 without values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(values.into_iter().collect(), 0.5)
}

fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index within `values`"
    )]
    let index = ((values.len() as f64) * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: &[u64]) -> Samples {
        Samples(millis.iter().map(|ms| Duration::from_millis(*ms)).collect())
    }

    #[test]
    fn who_would_have_come_meanwhile_has_waited_too() {
        let all = of(&[10, 45, 9]).with_omitted(Duration::from_millis(10));
        assert_eq!(all.0, of(&[10, 45, 35, 25, 15, 9]).0);
        assert_eq!(of(&[10, 45]).with_omitted(Duration::ZERO).0, of(&[10, 45]).0);
    }
}
