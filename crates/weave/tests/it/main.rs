//! Tests of `belay-weave` through its public surface.

#![expect(clippy::unwrap_used, reason = "a test panics where it goes wrong, in its helpers too")]

mod blocks;
mod cuts;
mod dependencies;
mod fixtures;
mod frames;
mod graphs;
mod hostile;
mod importers;
mod nesting;
mod never;
mod npm;
mod reach;
mod success;
mod support;
mod tags;
mod transactions;
mod tying;
mod weaves;
