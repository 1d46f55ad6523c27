//! Small responses of the data plane.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::invoke::Ids;

pub(super) type Reply = Response<Full<Bytes>>;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Seconds after which one who was refused may try again.
pub(super) const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// A JSON text as a response.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, json);
    reply
}

/// `{"message": …}`, as API Gateway answers.
pub(super) fn message(status: StatusCode, message: &str) -> Reply {
    json(status, serde_json::json!({ "message": message }).to_string())
}

/// 405 with the methods that are allowed.
pub(super) fn method_not_allowed(allow: &'static str) -> Reply {
    let mut reply = message(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    reply
}

/// Adds the ids of the invocation.
pub(super) fn with_ids(mut reply: Reply, ids: &Ids) -> Reply {
    let headers = reply.headers_mut();
    let text = |id: &dyn std::fmt::Display| HeaderValue::try_from(id.to_string()).ok();
    // Both are hexadecimal digits and hyphens, so neither is ever left out.
    text(&ids.request).map(|id| headers.insert(REQUEST_ID, id));
    text(&ids.trace).map(|trace| headers.insert(TRACEPARENT, trace));
    reply
}
