//! What counts as harm, and how sure one has to be.

use crate::{Invalid, comparison::Event, evidence::Alpha, ratio::RatioTest};

/// Thresholds for one component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    pub(crate) take_back: Alpha,
    pub(crate) slow: Alpha,
    failures_tolerated: f64,
    costs_tolerated: f64,
    pub(crate) increase_min: Option<f64>,
    pub(crate) least_increase: f64,
}

/// A change is taken back without reason once in a thousand.
const TAKE_BACK: f64 = 0.001;
/// Its ramp waits without reason once in twenty.
const SLOW: f64 = 0.05;
/// That so many more requests fail is worth looking for.
const LEAST_INCREASE: f64 = 0.01;

impl Default for Policy {
    fn default() -> Self {
        let alpha = |level| Alpha::new(level).unwrap_or_else(|_| unreachable!("it is a level"));
        Self {
            take_back: alpha(TAKE_BACK),
            slow: alpha(SLOW),
            failures_tolerated: 1.0,
            costs_tolerated: 1.0,
            increase_min: None,
            least_increase: LEAST_INCREASE,
        }
    }
}

impl Policy {
    /// The probabilities of taking a change back, and of slowing its ramp, without reason.
    #[must_use]
    pub fn sure(self, take_back: Alpha, slow: Alpha) -> Self {
        Self { take_back, slow, ..self }
    }

    /// How many times as often *after* may fail, and may be beyond a limit of a cost, without harm.
    ///
    /// # Errors
    /// What is less than 1, or no number.
    pub fn tolerating(self, failures: f64, costs: f64) -> Result<Self, Invalid> {
        RatioTest::new(failures)?;
        RatioTest::new(costs)?;
        Ok(Self { failures_tolerated: failures, costs_tolerated: costs, ..self })
    }

    /// By how much the share of requests must rise, at least, for a change to be taken back: 0.01 is one request of a
    /// hundred.
    ///
    /// # Errors
    /// What is no share.
    pub fn from_increase(self, least: f64) -> Result<Self, Invalid> {
        share(least).map(|least| Self { increase_min: Some(least), ..self })
    }

    /// What a rise of failures is compared with to call a change harmless.
    ///
    /// # Errors
    /// What is no share.
    pub fn looking_for(self, increase: f64) -> Result<Self, Invalid> {
        share(increase).map(|least_increase| Self { least_increase, ..self })
    }

    pub(crate) fn test_of(&self, event: Event) -> RatioTest {
        let tolerated = match event {
            Event::Failure(_) | Event::Deadline => self.failures_tolerated,
            Event::Beyond(..) => self.costs_tolerated,
        };
        RatioTest::new(tolerated).unwrap_or_else(|_| unreachable!("it was checked"))
    }
}

fn share(share: f64) -> Result<f64, Invalid> {
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err(Invalid::Increase(share)) }
}
