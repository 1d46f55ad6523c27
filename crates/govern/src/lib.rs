//! The life of a change: how many requests it gets, and when which part of it is taken back.
//!
//! ```text
//! evidence, commands ──▶ Life::apply(event, now) ──▶ effects: flip parts, settle, tell
//!                            │
//!                            └──▶ exposure: how many requests are admitted, and which of them toss coins
//! ```
//! A life is a value: whoever keeps it stores it together with what its effects did, in one transaction. So it goes on
//! after a crash as if there had been none. Evidence says of which generation of the life it is; what is of another one is
//! not heard.
//!
//! Invariants: pure, no clock and no I/O. Nothing is taken back but by a verdict or a command; what the judge took back
//! is restored by people only.

mod apply;
mod evidence;
mod groups;
mod life;
mod story;

pub use apply::{Around, Command, Effect, Event};
pub use evidence::{Evidence, Measured};
pub use life::{Cause, Exposure, Life, Mixing, Naming, Phase};
pub use story::{By, Entry, Level, Told, Validated, Why};
