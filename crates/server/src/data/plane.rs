//! What the data plane consists of, and which handler a request goes to.

use std::{net::IpAddr, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use http::{Request, StatusCode};
use hyper::body::Incoming;

use super::{
    arms::ArmsAccess,
    invoke::Invoker,
    lambda,
    path::Resource,
    reply::{self, Reply},
    trigger::{self, Trigger},
};
use crate::{queue::Queue, routes::SharedRoutes};

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub struct DataPlaneConfig {
    /// Connections at the same time; more wait in the kernel's backlog.
    pub connections: usize,
    /// Bytes of a request's line and headers together; more is answered 431.
    pub head_bytes: usize,
}

impl Default for DataPlaneConfig {
    fn default() -> Self {
        Self { connections: 8_192, head_bytes: 64 << 10 }
    }
}

/// All that requests need. Shared by all connections.
pub struct DataPlane {
    pub routes: SharedRoutes,
    pub invoker: Invoker,
    pub queue: Queue,
    pub config: DataPlaneConfig,
    pub arms: ArmsAccess,
}

/// Longest path and query that is looked at. Bytes.
const URI_BYTES: usize = 16 << 10;

impl DataPlane {
    /// Answers one request, whatever it is.
    pub(super) fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> impl Future<Output = Reply> + Send {
        // The panic itself has been reported by the hook.
        let broken = |_| reply::message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        let answer = AssertUnwindSafe(self.route(request, peer)).catch_unwind();
        answer.map(move |answer| answer.unwrap_or_else(broken))
    }

    async fn route(&self, request: Request<Incoming>, peer: IpAddr) -> Reply {
        let uri = request.uri();
        if uri.path().len() + uri.query().map_or(0, str::len) > URI_BYTES {
            return reply::message(StatusCode::URI_TOO_LONG, "URI Too Long");
        }
        // The URI is a reference-counted buffer: this copies no bytes.
        let uri = uri.clone();
        match Resource::of(uri.path()) {
            Resource::Invocations { name } => lambda::answer(self, &name, request, peer).await,
            Resource::Trigger { name, path } => {
                let (head, body) = request.into_parts();
                let trigger = Trigger { name: &name, path, source_ip: peer };
                trigger::answer(self, trigger, &head, body).await
            }
            Resource::Unknown => reply::message(
                StatusCode::NOT_FOUND,
                "Not Found: this is the data plane; functions are at /fn/{function} and \
                 /2015-03-31/functions/{function}/invocations",
            ),
        }
    }
}
