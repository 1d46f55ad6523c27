//! How long to wait before an event is tried again. Pure: the jitter follows from the event's id and the attempt.

use std::time::Duration;

use belay_model::Hash;

/// The pauses between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// The first before the second attempt, and so on; when they are used up, the event is dead.
    pub pauses: Vec<Duration>,
}

impl Default for Backoff {
    /// Two retries, as on AWS Lambda, though after shorter pauses.
    fn default() -> Self {
        Self { pauses: vec![Duration::from_secs(1), Duration::from_secs(2)] }
    }
}

impl Backoff {
    /// The pause after `failed` failed attempts, give or take a fifth; none if there are no retries left. The spread
    /// keeps events that failed together from coming back together.
    pub fn pause(&self, id: &str, failed: u32) -> Option<Duration> {
        let index = usize::try_from(failed).ok()?.checked_sub(1)?;
        let pause = self.pauses.get(index)?;
        Some(pause.mul_f64(0.8 + 0.4 * fraction(id, failed)))
    }
}

/// Evenly spread over 0 to 1.
fn fraction(id: &str, failed: u32) -> f64 {
    let hash = Hash::of(format!("{id}/{failed}").as_bytes());
    let [first, second, ..] = *hash.as_bytes();
    f64::from(u16::from_be_bytes([first, second])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_and_end() {
        let backoff = Backoff::default();
        let pauses = |failed| (0..100).map(move |id| (id.to_string(), failed));
        let first: Vec<_> = pauses(1).filter_map(|(id, n)| backoff.pause(&id, n)).collect();
        let (min, max) = (first.iter().min().unwrap(), first.iter().max().unwrap());
        assert_eq!(first.len(), 100);
        assert!(*min >= Duration::from_millis(800) && *max <= Duration::from_millis(1200));
        assert!(*max - *min > Duration::from_millis(200));
        assert!(backoff.pause("id", 2) >= Some(Duration::from_millis(1600)));
        assert_eq!(backoff.pause("id", 3), None);
        assert_eq!(backoff.pause("id", 1), backoff.pause("id", 1));
    }
}
