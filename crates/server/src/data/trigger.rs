//! HTTP triggers: `/fn/{function}/…`, any method.

use std::{net::IpAddr, sync::Arc};

use belay_model::{Category, Failure};
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::body::Incoming;

use super::{
    arms::{ArmsError, Routed},
    body::{self, BodyError},
    ending::ending_of_status,
    http_answer::HttpAnswer,
    http_event::{HttpRequest, event},
    invoke::{Ids, Invocation, Reading, Refused},
    name::{FunctionTarget, TargetError},
    plane::DataPlane,
    reply::{self, RETRY_AFTER, Reply},
};
use crate::{
    routes::{RouteError, Target},
    telemetry::Timestamp,
};

const FAILURE: HeaderName = HeaderName::from_static("x-belay-failure");

/// What a request to a trigger is about.
pub(super) struct Trigger<'a> {
    /// The path's second part, decoded: a function with or without a qualifier.
    pub(super) name: &'a str,
    /// What follows it; at least `/`.
    pub(super) path: &'a str,
    pub(super) source_ip: IpAddr,
}

enum TriggerError {
    Name(TargetError),
    Arms(ArmsError),
    Body(BodyError),
    EventTooLarge { limit: u64 },
    Refused(Refused),
    Failed(Failure),
}

pub(super) async fn answer(
    plane: &DataPlane,
    trigger: Trigger<'_>,
    head: &Parts,
    body: Incoming,
) -> Reply {
    let parent = head.headers.get(reply::TRACEPARENT).and_then(|value| value.to_str().ok());
    let ids = Ids::new(parent);
    let answer = call(plane, trigger, head, body, ids).await;
    reply::with_ids(answer.unwrap_or_else(|error| error.reply(&ids)), &ids)
}

async fn call(
    plane: &DataPlane,
    trigger: Trigger<'_>,
    head: &Parts,
    body: Incoming,
    ids: Ids,
) -> Result<Reply, TriggerError> {
    let named = FunctionTarget::parse(trigger.name, None).map_err(TriggerError::Name)?;
    let (routes, from) = (plane.routes.load_full(), (&head.headers, trigger.source_ip));
    let found = plane.arms.find(&routes, &named.function, &named.qualifier, from);
    let routed = found.map_err(TriggerError::Arms)?;
    let limit = routed.target.limits.event_bytes;
    let body = body::read(&head.headers, body, limit).await.map_err(TriggerError::Body)?;
    let event = event(&HttpRequest {
        method: &head.method,
        path: trigger.path,
        query: head.uri.query().unwrap_or_default(),
        version: head.version,
        headers: &head.headers,
        body: &body,
        source_ip: trigger.source_ip,
        request_id: ids.request,
        time: Timestamp::now(),
        api_id: &api_id(&routed.target),
    });
    if event.len() as u64 > limit {
        return Err(TriggerError::EventTooLarge { limit });
    }
    let Routed { target, arms, drawn } = routed.draw(&routes, Some(&head.headers), &event);
    let qualifier = trigger.name.split_once(':').map(|(_, qualifier)| qualifier);
    let invocation = Invocation {
        target: &target,
        event: &event,
        ids,
        qualifier,
        client_context: None,
        arms: arms.as_deref(),
        drawn: drawn.as_ref(),
    };
    let completed = plane.invoker.invoke_and_read(invocation, read).await;
    let answer = completed.map_err(TriggerError::Refused)?.result.map_err(TriggerError::Failed)?;
    Ok(response(answer))
}

fn api_id(target: &Arc<Target>) -> String {
    format!("{}.{}", target.app, target.function)
}

fn read(result: String) -> Reading<HttpAnswer> {
    let answer = HttpAnswer::of(result).map_err(Failure::from)?;
    let ending = ending_of_status(answer.status.as_u16());
    Ok((answer, ending))
}

fn response(answer: HttpAnswer) -> Reply {
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    let body = if bodiless.contains(&answer.status) { Full::default() } else { answer.body.into() };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

impl TriggerError {
    fn reply(self, ids: &Ids) -> Reply {
        match self {
            Self::Name(error) => reply::message(StatusCode::NOT_FOUND, &error.to_string()),
            Self::Arms(ArmsError::Route(error)) => route_error(&error),
            Self::Arms(error) => {
                let status = match error {
                    ArmsError::NotAllowed => StatusCode::FORBIDDEN,
                    ArmsError::Form | ArmsError::Queued | ArmsError::Route(_) => {
                        StatusCode::BAD_REQUEST
                    }
                };
                reply::message(status, &error.to_string())
            }
            Self::Body(BodyError::Incomplete) => {
                reply::message(StatusCode::BAD_REQUEST, "the body did not arrive whole")
            }
            Self::Body(BodyError::TooLarge { limit }) | Self::EventTooLarge { limit } => {
                let text =
                    format!("the request is larger than the function's limit of {limit} bytes");
                reply::message(StatusCode::PAYLOAD_TOO_LARGE, &text)
            }
            Self::Refused(Refused::Disabled { seconds }) => {
                let text = format!("Service Unavailable: the function is off for {seconds} s");
                let mut reply = reply::message(StatusCode::SERVICE_UNAVAILABLE, &text);
                reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                reply
            }
            Self::Refused(refused) => {
                let text = format!("Too Many Requests: {refused}");
                let mut reply = reply::message(StatusCode::TOO_MANY_REQUESTS, &text);
                reply.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
                reply
            }
            Self::Failed(failure) => bad_gateway(failure.category, ids),
        }
    }
}

fn route_error(error: &RouteError) -> Reply {
    let status = match error {
        RouteError::Ambiguous { .. } => StatusCode::CONFLICT,
        RouteError::Broken { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        RouteError::UnknownFunction { .. }
        | RouteError::UnknownVersion { .. }
        | RouteError::UnknownAlias { .. }
        | RouteError::NotInVersion { .. }
        | RouteError::UnknownPart { .. } => StatusCode::NOT_FOUND,
    };
    reply::message(status, &error.to_string())
}

/// Callers of a trigger are told that it failed, and not how: that is in the log under the request's id.
fn bad_gateway(category: Category, ids: &Ids) -> Reply {
    let body = serde_json::json!({ "message": "Internal Server Error", "requestId": ids.request });
    let mut reply = reply::json(StatusCode::BAD_GATEWAY, body.to_string());
    reply.headers_mut().insert(FAILURE, HeaderValue::from_static(category.as_str()));
    reply
}
