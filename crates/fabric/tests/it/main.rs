//! The store and the blobs through their public surface, killed processes included.

#![expect(clippy::unwrap_used, reason = "a test panics where it goes wrong, in its helpers too")]

mod blobs;
mod crash;
mod formats;
mod model;
mod pieces;
mod refusals;
mod store;
