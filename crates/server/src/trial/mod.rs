//! A change on trial: which requests run what of it, and what becomes of them.
//!
//! ```text
//! request ─▶ Trial::draw ─▶ arms ─▶ run ─▶ Observation ─▶ judging ─▶ evidence ─▶ Life::apply ─▶ catalog ─▶ new Trial
//! ```
//! - [`draw`]: which requests are admitted, and the coins that they toss; [`key`]: what keeps a client at one arm;
//! - [`observe`]: what a request came to, on its way to the judge;
//! - [`judging`]: the thread that compares, and asks the catalog to act; [`seen`]: what it has seen, for people;
//!   [`thresholds`]: what is harm for which request;
//!   [`watched`]: what happens more often than it did, where there is nobody to compare with; [`app`]: all of this of one app;
//! - [`experiment`]: whether what happens to everybody goes away with a change; [`kept`]: what was seen, after a restart.
//!
//! Invariants: a request takes no lock that another could hold for long, and never waits for the judge: what the judge
//! cannot take is left out, of both arms alike. A trial never changes; where the life of a change moves on there is a new one.

mod app;
mod draw;
mod experiment;
mod judging;
mod kept;
mod key;
mod metrics;
mod observe;
mod seen;
mod thresholds;
mod watched;

pub use draw::{Coins, Drawn, Side, Trial};
pub use judging::Judging;
pub use kept::KeptEvidences;
pub use metrics::metrics;
pub use observe::{Observation, Observer, Parts};
pub use seen::{Reports, TrialReport};
