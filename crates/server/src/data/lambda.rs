//! The Invoke API of AWS Lambda (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>).
//!
//! Signatures are not looked at. Not here: the other operations of the Lambda API; deploying is the control plane's.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::value::RawValue;

use belay_model::Failure;

use super::{
    arms::{Routed, check_queued},
    body,
    invoke::{Completed, Ids, Invocation},
    lambda_error::LambdaError,
    name::FunctionTarget,
    plane::DataPlane,
    reply::{self, Reply},
    tail,
};
use crate::{queue::NewEvent, routes::Target};

const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");
const LOG_TYPE: HeaderName = HeaderName::from_static("x-amz-log-type");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("x-amz-client-context");
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");

/// AWS allows 3,583 bytes of base64.
const CLIENT_CONTEXT_BYTES: usize = 3_583;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InvocationType {
    RequestResponse,
    Event,
    DryRun,
}

/// What the headers and the query ask for.
struct Parameters {
    qualifier: Option<String>,
    invocation_type: InvocationType,
    tail: bool,
    client_context: Option<Box<RawValue>>,
}

/// Answers a call of the function `name`.
pub(super) async fn answer(
    plane: &DataPlane,
    name: &str,
    request: Request<Incoming>,
    peer: IpAddr,
) -> Reply {
    if request.method() != Method::POST {
        return reply::method_not_allowed("POST");
    }
    let ids = Ids::new(header(request.headers(), &reply::TRACEPARENT));
    let answer = call(plane, name, request, peer, ids).await;
    reply::with_ids(answer.unwrap_or_else(|error| error.reply()), &ids)
}

async fn call(
    plane: &DataPlane,
    name: &str,
    request: Request<Incoming>,
    peer: IpAddr,
    ids: Ids,
) -> Result<Reply, LambdaError> {
    let (head, body) = request.into_parts();
    let parameters = Parameters::read(&head.headers, head.uri.query())?;
    let named = FunctionTarget::parse(name, parameters.qualifier.as_deref())?;
    let from = (&head.headers, peer);
    let routes = plane.routes.load_full();
    let routed = plane.arms.find(&routes, &named.function, &named.qualifier, from)?;
    if parameters.invocation_type == InvocationType::Event {
        check_queued(&head.headers)?;
    }
    let target = routed.target.clone();
    let limit = match parameters.invocation_type {
        InvocationType::Event => target.limits.event_bytes.min(plane.queue.event_bytes_max()),
        InvocationType::RequestResponse | InvocationType::DryRun => target.limits.event_bytes,
    };
    let body = body::read(&head.headers, body, limit).await?;
    let event = event(&body)?;
    match parameters.invocation_type {
        InvocationType::RequestResponse => {
            let routed = routed.draw(&routes, Some(&head.headers), event);
            run(plane, &routed, &parameters, event, ids).await
        }
        InvocationType::Event => {
            let client_context = parameters.client_context;
            let event = NewEvent { named: &named, target: &target, event, ids, client_context };
            plane.queue.enqueue(event).await?;
            Ok(with_version(empty(StatusCode::ACCEPTED), &target))
        }
        InvocationType::DryRun => Ok(with_version(empty(StatusCode::NO_CONTENT), &target)),
    }
}

async fn run(
    plane: &DataPlane,
    Routed { target, arms, drawn }: &Routed,
    parameters: &Parameters,
    event: &str,
    ids: Ids,
) -> Result<Reply, LambdaError> {
    let invocation = Invocation {
        target,
        event,
        ids,
        qualifier: parameters.qualifier.as_deref(),
        client_context: parameters.client_context.as_deref(),
        arms: arms.as_deref(),
        drawn: drawn.as_ref(),
    };
    let completed = plane.invoker.invoke(invocation).await?;
    let log = parameters.tail.then(|| tail::log_result(target, ids.request, &completed));
    let mut reply = with_version(result(completed), target);
    if let Some(log) = log.and_then(|log| HeaderValue::try_from(log).ok()) {
        reply.headers_mut().insert(LOG_RESULT, log);
    }
    Ok(reply)
}

fn result(completed: Completed) -> Reply {
    match completed.result {
        Ok(result) => reply::json(StatusCode::OK, result),
        Err(failure) => {
            let mut reply = reply::json(StatusCode::OK, error_json(&failure));
            let unhandled = HeaderValue::from_static("Unhandled");
            reply.headers_mut().insert(FUNCTION_ERROR, unhandled);
            reply
        }
    }
}

fn error_json(failure: &Failure) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct FunctionError<'a> {
        error_type: &'a str,
        error_message: &'a str,
        stack_trace: &'a [String],
    }
    let error = FunctionError {
        error_type: &failure.error_type,
        error_message: &failure.message,
        stack_trace: &failure.stack,
    };
    // Strings only: this does not fail.
    serde_json::to_string(&error).unwrap_or_default()
}

/// The event in a body. None at all counts as an empty object.
fn event(body: &Bytes) -> Result<&str, LambdaError> {
    if body.is_empty() {
        return Ok("{}");
    }
    check_json(body).map_err(LambdaError::NotJson)
}

/// The bytes as a text, if they are one JSON value.
pub(super) fn check_json(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| error.to_string())?;
    Ok(text)
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::new()));
    *reply.status_mut() = status;
    reply
}

fn with_version(mut reply: Reply, target: &Target) -> Reply {
    reply.headers_mut().insert(EXECUTED_VERSION, HeaderValue::from(target.version.get()));
    reply
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl Parameters {
    fn read(headers: &HeaderMap, query: Option<&str>) -> Result<Self, LambdaError> {
        Ok(Self {
            qualifier: query.and_then(qualifier),
            invocation_type: InvocationType::read(header(headers, &INVOCATION_TYPE))?,
            tail: log_type(header(headers, &LOG_TYPE))?,
            client_context: header(headers, &CLIENT_CONTEXT).map(client_context).transpose()?,
        })
    }
}

impl InvocationType {
    fn read(value: Option<&str>) -> Result<Self, LambdaError> {
        match value {
            None | Some("" | "RequestResponse") => Ok(Self::RequestResponse),
            Some("Event") => Ok(Self::Event),
            Some("DryRun") => Ok(Self::DryRun),
            Some(_) => Err(LambdaError::Parameter {
                parameter: "X-Amz-Invocation-Type",
                expected: "RequestResponse, Event or DryRun",
            }),
        }
    }
}

fn qualifier(query: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "Qualifier").map(|(_, value)| value.into_owned())
}

fn log_type(value: Option<&str>) -> Result<bool, LambdaError> {
    match value {
        None | Some("" | "None") => Ok(false),
        Some("Tail") => Ok(true),
        Some(_) => {
            Err(LambdaError::Parameter { parameter: "X-Amz-Log-Type", expected: "None or Tail" })
        }
    }
}

fn client_context(value: &str) -> Result<Box<RawValue>, LambdaError> {
    let short = value.len() <= CLIENT_CONTEXT_BYTES;
    let bytes = short.then(|| STANDARD.decode(value).ok()).flatten();
    let json = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    json.ok_or(LambdaError::Parameter {
        parameter: "X-Amz-Client-Context",
        expected: "JSON in base64, at most 3583 bytes",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events() {
        let check = |body: &'static str| event(&Bytes::from(body)).map(str::to_owned).ok();
        assert_eq!(check("").as_deref(), Some("{}"));
        assert_eq!(check("null").as_deref(), Some("null"));
        assert_eq!(check(" [1] ").as_deref(), Some(" [1] "));
        for bad in ["{", "{'a':1}", "1 2", "nul", "\u{0}", "undefined", " "] {
            assert_eq!(check(bad), None, "{bad:?}");
        }
        assert!(check_json(b"\"\xff\"").is_err());
        // Depth is the guest's business; it must not be the server's.
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(check_json(deep.as_bytes()).is_ok());
    }

    #[test]
    fn parameters() {
        assert_eq!(qualifier("a=b&Qualifier=%24LATEST").as_deref(), Some("$LATEST"));
        assert_eq!(qualifier("qualifier=1"), None);
        assert!(InvocationType::read(Some("event")).is_err());
        assert!(log_type(Some("tail")).is_err());
        assert_eq!(client_context("eyJhIjoxfQ==").unwrap().get(), r#"{"a":1}"#);
        assert!(client_context("eyJhIjox").is_err());
        assert!(client_context("*").is_err());
    }

    proptest! {
        #[test]
        fn what_is_taken_is_json(text in r#"[\[\]{}0-9:," -]{0,12}"#) {
            let taken = check_json(text.as_bytes()).is_ok();
            prop_assert_eq!(taken, serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }

        #[test]
        fn any_bytes_are_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let _ = check_json(&bytes);
        }
    }
}
