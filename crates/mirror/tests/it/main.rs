//! Transactions, run by the engine; forecasts, what they are worth, and what follows from them.

#![expect(clippy::unwrap_used, reason = "a test panics where it goes wrong, in its helpers too")]

mod ahead;
mod attempts;
mod databases;
mod dependencies;
mod forecasts;
mod foreseen;
mod hostile;
mod mirror_faults;
mod nested;
mod options;
mod outside;
mod signs;
mod transactions;
mod world;
