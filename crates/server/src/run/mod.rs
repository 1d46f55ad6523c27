//! Where guest code runs: on engine threads of its own, never on the threads that serve sockets, because a step may
//! burn CPU until its limit.
//!
//! Invariants: a step that runs long never keeps others from an engine thread (up to the bound of
//! [`Policy::long_max`]), and runs at a lower priority; every job that was accepted runs or was abandoned by its
//! caller; a panic of a job is answered, not passed on. Not here: performing effects, and deciding what to run.

mod executor;
mod gate;
mod monitor;
mod policy;
mod seat;

pub use executor::{Executor, ExecutorReading};
pub use gate::{Gate, Permit};
pub use policy::Policy;
