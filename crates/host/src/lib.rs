//! Performs the effects of functions: kv, sql, http, timers, secrets; and drives an instance through its calls.
//!
//! A function's host calls are values ([`belay_model::Call`]); an [`AppHost`] turns each into an
//! [`belay_model::Outcome`]. Because both are values, another driver may record them, answer them from a record, or
//! hold them back; [`classify`] says what a call does to the world.
//!
//! Invariants: only this crate touches the world on behalf of a function. No handle outlives a call: bodies and
//! lists arrive whole, within limits. Bad input is answered with an error, never with a panic. Clock, randomness,
//! log and environment are not here: they are synchronous imports of the engine.

mod app;
pub mod code;
mod drive;
mod error;
mod fetch;
mod flight;
mod kv;
mod request;
mod secret;
mod sql;
pub mod tape;
mod timer;
pub mod transaction;

pub use app::{AppHost, HostConfig, HostOptions, HostShared, KV_QUOTA_BYTES, Trace};
pub use drive::{
    Asked, Begun, Driving, Finished, Runner, Stepped, Turn, begin, drive, drive_recorded, timeout,
};
pub use error::HostError;
pub use fetch::{Egress, PatternError};
pub use flight::{Flight, Landed};
pub use kv::KvTransaction;
pub use request::{About, Service, about, classify};
pub use secret::SecretSource;
pub use sql::{CommitError, SqlBegin, SqlEngine, SqlTransaction, statement};
pub use tape::{Recorder, Tape};
