//! Tests of the drivers and of the drive loop, through the public surface.

#![expect(clippy::unwrap_used, reason = "a test panics where it goes wrong, in its helpers too")]

mod calls;
mod crash;
mod drive;
mod fetch;
mod functions;
mod kv;
mod servers;
mod sql;
mod tape;
mod world;
