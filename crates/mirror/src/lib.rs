//! Transactions that see their failure coming.
//!
//! So far what is pure of them. [`Attempts`] says what becomes of a transaction when an attempt ends, and [`External`] what was
//! done outside, once. The forecast: what was seen of a transaction becomes [`Sign`]s, a [`Forecaster`] of its id makes a
//! probability of them and learns from what became of it, and [`Options`] says what is the cheapest thing to do.
//! [`Dependency`] and [`Breaker`] are what is known of the services that transactions call. Nothing runs transactions yet.
//!
//! Times and random numbers are arguments.

mod attempts;
mod breaker;
mod dependency;
mod external;
mod forecast;

pub use attempts::{Attempt, Attempts, Ended, GaveUp, Next, RETRIES, Terms};
pub use breaker::{Breaker, BreakerState};
pub use dependency::Dependency;
pub use external::{External, Verdict};
pub use forecast::{Action, Choice, Class, Forecast, Forecaster, Options, Quality, Rule, Sign};
