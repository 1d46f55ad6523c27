//! The control plane: REST under `/api/v1`, its OpenAPI document, and `/metrics`.
//!
//! - [`router`] puts it together: routes, then what guards them; [`changes`] sees that what a request changes is wholly
//!   changed, whoever goes away;
//! - [`guard`]: who may ask (token, host, origin), [`rate`]: how often; [`error`]: how everything is refused;
//! - [`apps`], [`versions`], [`flips`], [`aliases`], [`secrets`], [`functions`], [`logs`], [`letters`], [`blobs`], [`node`]: the
//!   resources;
//! - [`input`]: bodies, paths and queries, with refusals in the same form as all others.
//!
//! Invariants: every answer that is not a stream, a blob or the metrics is JSON; every refusal has the form
//! `{"error": {"code", "message", …}}`; no input leads to a panic (and if it did, the answer would be a 500 of that
//! form); the document lists every route, because both are made by the same macro.

mod alerts;
mod aliases;
mod apps;
mod blobs;
mod changes;
mod error;
mod flips;
mod functions;
mod guard;
mod input;
mod letters;
mod logs;
mod node;
mod policies;
mod rate;
mod router;
mod secrets;
mod serve;
mod stats;
mod stories;
mod transactions;
mod versions;

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    catalog::Catalog,
    data::Invoker,
    queue::Queue,
    run::Executor,
    telemetry::{Logs, Telemetry},
    trial::Reports,
};

pub use self::{
    changes::Changes,
    error::{ApiError, ErrorBody, ErrorDetail},
    guard::Access,
    rate::Rate,
    router::{document, router},
    serve::serve,
};

/// What the handlers work on. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    pub catalog: Catalog,
    pub changes: Changes,
    pub invoker: Invoker,
    pub executor: Executor,
    pub queue: Queue,
    pub logs: Logs,
    pub telemetry: Arc<Telemetry>,
    /// What is known of changes on trial.
    pub reports: Reports,
    /// Where functions are called, such as `http://127.0.0.1:8800`.
    pub data_plane: Arc<str>,
    /// `true` from when the server stops: streams end then.
    pub stopping: watch::Receiver<bool>,
}
