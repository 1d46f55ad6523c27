//! Statistics that may look after every request.
//!
//! A test collects *evidence* against "no harm" as an e-value: a number that, if there is no harm, is expected to be at
//! most 1 whenever one looks, so that it ever reaches 1/α with a probability of at most α (Ville). Evidence may therefore
//! be looked at after each event, stopped at any time and gone on with.
//!
//! ```text
//! failures, and requests beyond a threshold ──▶ ratio: do they come more often from one arm?
//! counts of requests and failures           ──▶ rate: between which rates?
//! calls by kind                             ──▶ mix: are the shares what they were?
//! ```
//! Pure: no clock, no randomness, no I/O. What is counted, and by whom, is told by the caller.

mod budget;
mod evidence;
mod mix;
mod rate;
mod ratio;
mod units;

pub use budget::Budget;
pub use evidence::{Alpha, Evidence, InvalidAlpha};
pub use mix::{InvalidShares, MixTest};
pub use rate::{Interval, Rate, difference};
pub use ratio::{InvalidShare, RatioTest, Share};
pub use units::Units;
