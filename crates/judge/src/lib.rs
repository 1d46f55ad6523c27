//! Statistics that may look after every request.
//!
//! A test collects *evidence* against "no harm" as an e-value: a number that, if there is no harm, is expected to be at
//! most 1 whenever one looks, so that it ever reaches 1/α with a probability of at most α (Ville). Evidence may therefore
//! be looked at after each event, stopped at any time and gone on with.
//!
//! ```text
//! requests of both arms ──▶ comparison ──▶ ratio: does a kind of event come more often from one arm? ──▶ verdict
//!                              │  └──────▶ rate: how often, as an interval      policy, budget ──────────┘
//!                              └─────────▶ cost: what is beyond the usual; band: how its quantiles lie
//! requests without arms ──▶ watch: does it happen more often than it did?
//! requests after an alarm ──▶ subsiding: is it rare again?
//! requests in a time     ──▶ pace: as many as usual?
//! ```
//! Pure: no clock, no randomness, no I/O. What is counted, and by whom, is told by the caller.

mod band;
mod budget;
mod comparison;
mod cost;
mod evidence;
mod kept;
mod pace;
mod policy;
mod rate;
mod ratio;
mod subsiding;
mod units;
mod watch;

pub use band::Band;
pub use budget::Budget;
pub use comparison::{Comparison, Decision, Event, Finding, Sample, Verdict};
pub use cost::{Cost, Limits, Quantile, Spread, Usual};
pub use evidence::{Alpha, Evidence};
pub use kept::Kept;
pub use pace::{Odd, Pace};
pub use policy::Policy;
pub use rate::{Interval, Rate, difference};
pub use ratio::{RatioTest, Share};
pub use subsiding::Subsiding;
pub use units::Units;
pub use watch::Watch;

/// What no test can be made with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Invalid {
    #[error("{0} is no level: it has to be above 0 and below 1")]
    Alpha(f64),
    #[error("a share of {0} leaves nothing to compare: it has to be above 0 and below 1")]
    Share(f64),
    #[error("{0} times as often cannot be tolerated: it has to be 1 or more")]
    Tolerated(f64),
    #[error("{0} is no increase of a share: it has to be above 0 and below 1")]
    Increase(f64),
}
