//! The life of a change, as a table: what happens, and what comes of it.

#![allow(
    clippy::unwrap_used,
    reason = "what a test does not expect is to stop it, in its support code too"
)]

mod impact;
mod lives;
mod shared;
mod support;
mod table;
