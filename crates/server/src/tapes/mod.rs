//! Recorded requests, and what a deploy does on them before it gets any.
//!
//! - [`shelves`]: what is kept of the requests of an app, in memory;
//! - [`trier`]: replays them on one program at some arms; [`ties`]: which parts have to do with each other;
//! - [`validate`]: all of it, within a budget; [`otherwise`]: what it does otherwise, for people.
//!
//! Invariants: a replay performs nothing; what a tape cannot tell is held against nobody; what was recorded stays on this
//! node.

mod otherwise;
mod shelves;
mod ties;
mod trier;
mod validate;

pub use shelves::{FunctionTapes, Shelves};
pub use validate::{Did, Face, Program, TAPES_MAX, Validation, validate};
