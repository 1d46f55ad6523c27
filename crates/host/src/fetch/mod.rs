//! `http.fetch`: one HTTP request of a function, its redirects, and the whole response.
//!
//! - [`request`] checks the arguments and shows the answer; [`redirect`] says where a redirect leads;
//! - [`egress`], [`pattern`] and [`address`] say what an app may reach;
//! - [`client`] connects, and refuses internal addresses while it does.
//!
//! Invariants: every hop is asked of the egress policy; a body is held only within its limit, whatever
//! `content-length` says; nothing outlives the call. Proxies of the environment are not used, and bodies are not
//! decompressed.

mod address;
mod client;
mod egress;
mod pattern;
mod redirect;
mod request;

use std::{sync::Arc, time::Duration};

use belay_model::{EffectError, Outcome};
use reqwest::Response;
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) use self::{
    client::Clients,
    request::{FetchArgs, FetchRequest},
};
pub use self::{egress::Egress, pattern::PatternError};
use self::{
    redirect::REDIRECTS_MAX,
    request::{Head, Hop, Redirect},
};
use crate::{Trace, code};

const RESPONSE_BODY_MAX: usize = 8 << 20;
const RESPONSE_HEADER_BYTES_MAX: usize = 128 << 10;
/// Bytes of response bodies that are being received, over all apps.
const RECEIVING_BYTES_MAX: usize = 256 << 20;

/// What the fetches of all apps share.
pub(crate) struct FetchShared {
    clients: Clients,
    receiving: Semaphore,
}

impl FetchShared {
    pub(crate) fn new(clients: Clients) -> Self {
        Self { clients, receiving: Semaphore::new(RECEIVING_BYTES_MAX) }
    }
}

/// The fetches of one app.
pub(crate) struct Fetch {
    shared: Arc<FetchShared>,
    egress: Egress,
}

impl Fetch {
    pub(crate) fn new(shared: Arc<FetchShared>, egress: Egress) -> Self {
        Self { shared, egress }
    }

    pub(crate) async fn perform(
        &self,
        mut request: FetchRequest,
        trace: Option<Trace<'_>>,
    ) -> Outcome {
        request.hop.traced(trace);
        let limit = request.timeout;
        match tokio::time::timeout(limit, self.follow(request)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Err(error),
            Err(_) => Outcome::Err(timed_out(limit)),
        }
    }

    async fn follow(&self, request: FetchRequest) -> Result<Outcome, EffectError> {
        let mut hop = request.hop;
        for redirects in 0..=REDIRECTS_MAX {
            let response = self.exchange(&hop).await?;
            let location = redirect::location(response.status(), response.headers());
            match (location, request.redirect) {
                (Some(location), Redirect::Follow) => {
                    let status = response.status();
                    let next = hop.redirected(status, &location);
                    hop = next.map_err(|astray| error(code::HTTP_REDIRECT, astray))?;
                }
                (Some(location), Redirect::Error) => {
                    let message = format!("the response redirects to {location:?}");
                    return Err(error(code::HTTP_REDIRECT, message));
                }
                (None, _) | (Some(_), Redirect::Manual) => {
                    return self.receive(hop, response, redirects > 0).await;
                }
            }
        }
        Err(error(code::HTTP_REDIRECT, format!("more than {REDIRECTS_MAX} redirects")))
    }

    async fn exchange(&self, hop: &Hop) -> Result<Response, EffectError> {
        let reach = self.egress.admit(&hop.url);
        let reach = reach.map_err(|denied| error(code::EGRESS_DENIED, denied))?;
        let client = self.shared.clients.get(&reach);
        let client = client.map_err(|failed| error(code::HTTP_FAILED, chain(&failed)))?;
        let mut request = client.request(hop.method.clone(), hop.url.clone());
        request = request.headers(hop.headers.clone());
        if let Some(body) = &hop.body {
            request = request.body(body.clone());
        }
        request.send().await.map_err(failed)
    }

    async fn receive(
        &self,
        hop: Hop,
        response: Response,
        redirected: bool,
    ) -> Result<Outcome, EffectError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > RESPONSE_HEADER_BYTES_MAX {
            let message =
                format!("the response has more than {RESPONSE_HEADER_BYTES_MAX} bytes of headers");
            return Err(error(code::HTTP_FAILED, message));
        }
        let body = self.body(response).await?;
        Ok(Head { status, headers, url: hop.url, redirected }.answer(body))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, EffectError> {
        if response.content_length().is_some_and(|length| length > RESPONSE_BODY_MAX as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        let mut held = self.hold(0)?;
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > RESPONSE_BODY_MAX {
                return Err(too_large());
            }
            held.merge(self.hold(chunk.len())?);
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Claims room for received bytes. To wait for it could last for ever, as those who have it may wait too.
    fn hold(&self, bytes: usize) -> Result<SemaphorePermit<'_>, EffectError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.shared.receiving.try_acquire_many(bytes).map_err(|_| {
            error(code::HTTP_FAILED, "the server is receiving too many bytes at the moment")
        })
    }
}

fn error(code: &str, message: impl ToString) -> EffectError {
    EffectError { code: code.to_owned(), message: message.to_string() }
}

fn too_large() -> EffectError {
    let message = format!("the response's body is larger than {RESPONSE_BODY_MAX} bytes");
    error(code::HTTP_BODY_TOO_LARGE, message)
}

fn timed_out(limit: Duration) -> EffectError {
    error(code::HTTP_TIMEOUT, format!("no complete response within {} ms", limit.as_millis()))
}

fn failed(cause: reqwest::Error) -> EffectError {
    if let Some(denied) = client::denied(&cause) {
        return error(code::EGRESS_DENIED, denied);
    }
    let code = if cause.is_timeout() { code::HTTP_TIMEOUT } else { code::HTTP_FAILED };
    error(code, chain(&cause.without_url()))
}

/// An error with its causes, the outermost first.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
