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
//! - [`Code`]: what is known of the parts from the code and its policy; `impact`: what depends on what is taken back;
//! - `apply`: which event leads where; `take_back`: what becomes of parts that do harm; `shared`: harm that comes to everybody.
//!
//! Invariants: pure, no clock and no I/O. Nothing is taken back but by a verdict or a command; what the judge took back
//! is restored by people only.

mod apply;
mod code;
mod evidence;
mod groups;
mod impact;
mod life;
mod shared;
mod story;
mod take_back;

pub use apply::{Among, Around, Command, Effect, Event};
pub use code::Code;
pub use evidence::{Between, Evidence, Measured};
pub use groups::tied;
pub use life::{Cause, Exposure, Life, Mixing, Naming, Phase, Stage, Withdrawal};
pub use story::{By, Entry, Level, Refusal, Returned, Told, Validated, Why};
