//! Transactions that see their failure coming.
//!
//! [`drive`] runs an invocation with its transactions: from a snapshot, again where that may cure, until they commit. What is
//! pure of that: [`Attempts`] says what becomes of a transaction when an attempt ends, [`RetryBudget`] how much may be tried again, and [`External`]
//! what was done outside, once.
//!
//! The forecast: what a mirror and the [`Book`] of the app know of a transaction becomes [`Sign`]s, a [`Forecaster`] of its
//! id makes a probability of them and learns from what became of it, and [`Options`] says what is the cheapest thing to
//! do. [`Dependency`] and [`Breaker`] are what is known of the services that transactions call.

mod ahead;
mod attempts;
mod book;
mod breaker;
mod budget;
mod dependency;
mod drive;
mod external;
mod forecast;
mod open;
mod queue;
mod resources;
mod rules;
mod sql;
mod story;
mod told;
mod usual;
mod watch;

pub use attempts::{Attempt, Attempts, Ended, GaveUp, Next, PAUSE_MS, RETRIES, Terms};
pub use book::{Book, Counts, Gate, Known};
pub use breaker::{Breaker, BreakerState};
pub use budget::RetryBudget;
pub use dependency::{Dependency, Heard};
pub use drive::{Invocation, drive};
pub use external::{External, Verdict};
pub use forecast::{
    Action, Adjust, Choice, Class, Forecast, Forecaster, Hindsight, Options, Quality, Rule, Sign,
};
pub use story::{Became, Effect, Foreseen, Mirrored, Story};
