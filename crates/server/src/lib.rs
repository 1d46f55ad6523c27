//! The server: runs functions over HTTP (data plane) and manages them over REST (control plane).
//!
//! Data plane and control plane have a listener each and meet in [`routes`]: the control plane publishes immutable
//! snapshots, the data plane reads the newest one and never waits for the control plane.
//!
//! - [`platform`] opens everything, serves, and drains;
//! - [`routes`] is the snapshot: which function a name means, and what it takes to run it;
//! - [`catalog`] is the state of record: apps, versions, aliases, secrets, and how a deploy gets there;
//! - [`control`] is the REST API over it;
//! - [`run`], [`data`] and [`queue`] run invocations: on engine threads, for HTTP callers, and later from a durable queue;
//! - [`tapes`] tries a change on recorded requests before it gets any; [`trial`] lets changes in, compares what becomes of requests, and has the bad part taken back;
//! - [`telemetry`] counts and logs.

pub mod catalog;
pub mod control;
pub mod data;
pub mod platform;
pub mod queue;
pub mod routes;
pub mod run;
pub mod tapes;
pub mod telemetry;
pub mod trial;

/// For `belay doctor`.
pub use belay_engine::kernel_tells_written_pages;
pub use platform::{Drained, Platform, PlatformConfig, PlatformError};
