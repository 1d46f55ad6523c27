//! The binary as people and scripts meet it: what it prints, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test panics where it goes wrong, in its helpers too")]

mod arguments;
mod canaries;
mod changes;
mod config;
mod own_tests;
mod packages;
mod project;
mod server;
mod support;
mod transactions;
