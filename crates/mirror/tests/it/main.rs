//! Forecasts, what they are worth, and what follows from them.

#![expect(clippy::unwrap_used, reason = "a test panics where it goes wrong, in its helpers too")]

mod attempts;
mod dependencies;
mod forecasts;
mod options;
