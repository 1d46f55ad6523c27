//! How much may be tried again: a retry budget, as Finagle's.
//!
//! A service that is down is not helped by being asked four times as often. So of the transactions of one id only one in five may be
//! tried again for what a service or a database did, beside ten a second, as much as came together in the last ten seconds.
//! What does not count are conflicts: there, others have come to their end.

/// Retries that each transaction is good for.
const SHARE: f64 = 0.2;
/// That there are whatever comes.
const PER_SECOND: f64 = 10.0;
/// What is not used is kept up to this.
const MOST: f64 = 100.0;

#[derive(Debug, Clone)]
pub struct RetryBudget {
    left: f64,
    since_ms: u64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { left: MOST, since_ms: 0 }
    }
}

impl RetryBudget {
    /// A transaction has begun.
    pub fn deposit(&mut self) {
        self.left = (self.left + SHARE).min(MOST);
    }

    /// Whether one may be tried again; counts it, if so.
    pub fn draw(&mut self, now_ms: u64) -> bool {
        let passed = now_ms.saturating_sub(self.since_ms);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
        let passed = passed as f64 / 1e3;
        self.left = (self.left + passed * PER_SECOND).min(MOST);
        self.since_ms = self.since_ms.max(now_ms);
        let may = self.left >= 1.0;
        self.left -= f64::from(u8::from(may));
        may
    }
}
