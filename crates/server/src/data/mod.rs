//! The data plane: calls of functions over HTTP, by the AWS Lambda Invoke API and by HTTP triggers.
//!
//! - [`server`] accepts connections and ends them gracefully;
//! - [`plane`] sends a request to the right handler;
//! - [`lambda`] speaks the Invoke API, [`trigger`] turns HTTP requests into events and results into responses;
//! - [`invoke`] runs one invocation, whoever asked for it; the queue and the control plane use it too;
//! - [`name`], [`path`], [`http_event`], [`http_answer`], [`ending`], [`context`] are pure codecs.
//!
//! Invariants: whatever bytes arrive, the answer is a response and never a panic; an event runs only if it is JSON and
//! within its limits; a caller that goes away aborts its invocation, which then counts nowhere. Not here: credentials.
//! SigV4 signatures are accepted and ignored, as the data plane is meant to be reached by trusted callers only.

mod arms;
mod body;
pub mod context;
pub mod ending;
pub mod http_answer;
pub mod http_event;
pub mod invoke;
mod lambda;
mod lambda_error;
pub mod name;
mod path;
mod plane;
mod reply;
mod server;
mod tail;
mod trigger;

pub use arms::{ArmsAccess, ArmsError};
pub(crate) use arms::{Routed, check_queued, find_with_arms};
pub use invoke::{Completed, Ids, Invocation, Invoker, Refused};
pub use plane::{DataPlane, DataPlaneConfig};
pub use server::serve;
