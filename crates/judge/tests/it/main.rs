//! What the statistics promise: how often they are wrong, how soon they are right, and the figures of others.

#![expect(clippy::unwrap_used, reason = "a test panics where it goes wrong, in its helpers too")]

mod changes;
mod delays;
mod false_alarms;
mod paces;
mod published;
mod reference;
mod support;
mod watches;
