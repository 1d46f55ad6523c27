//! The errors of the Invoke API in the shape that AWS clients turn into their exceptions: the class in
//! `x-amzn-ErrorType`, and `{"Type", "Message"}` as the body
//! (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors>).

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{
    arms::ArmsError,
    body::BodyError,
    invoke::Refused,
    name::TargetError,
    reply::{RETRY_AFTER, Reply, json},
};
use crate::{queue::EnqueueError, routes::RouteError};

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Why a call was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum LambdaError {
    #[error(transparent)]
    Name(#[from] TargetError),
    #[error("{parameter} must be {expected}")]
    Parameter { parameter: &'static str, expected: &'static str },
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Arms(ArmsError),
    #[error("Could not parse request body into json: {0}")]
    NotJson(String),
    #[error("The request payload is larger than the limit of {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("The request body did not arrive whole")]
    Incomplete,
    #[error("{}", refusal(.0))]
    Refused(#[from] Refused),
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    r#type: &'a str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn refusal(refused: &Refused) -> String {
    match refused {
        Refused::Disabled { .. } => format!("Service Unavailable: {refused}"),
        Refused::FunctionBusy | Refused::NodeBusy => format!("Rate Exceeded: {refused}"),
    }
}

impl From<ArmsError> for LambdaError {
    fn from(error: ArmsError) -> Self {
        match error {
            ArmsError::Route(error) => Self::Route(error),
            error => Self::Arms(error),
        }
    }
}

impl From<BodyError> for LambdaError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::TooLarge { limit },
            BodyError::Incomplete => Self::Incomplete,
        }
    }
}

impl LambdaError {
    pub(super) fn reply(&self) -> Reply {
        let (status, class) = self.class();
        let server = status.is_server_error();
        let body = Body {
            r#type: if server { "Service" } else { "User" },
            message: self.to_string(),
            reason: self.reason(),
        };
        let mut reply = json(status, serde_json::to_string(&body).unwrap_or_default());
        reply.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(class));
        if let Self::Refused(Refused::Disabled { seconds }) = self {
            reply.headers_mut().insert(header::RETRY_AFTER, (*seconds).into());
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            reply.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        reply
    }

    fn class(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Arms(ArmsError::NotAllowed) => (StatusCode::FORBIDDEN, "AccessDeniedException"),
            Self::Name(_) | Self::Parameter { .. } | Self::Arms(_) => {
                (StatusCode::BAD_REQUEST, "InvalidParameterValueException")
            }
            Self::Route(RouteError::Ambiguous { .. }) => {
                (StatusCode::CONFLICT, "ResourceConflictException")
            }
            Self::Route(RouteError::Broken { .. }) | Self::Enqueue(EnqueueError::Store(_)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "ServiceException")
            }
            Self::Route(_) => (StatusCode::NOT_FOUND, "ResourceNotFoundException"),
            Self::NotJson(_) | Self::Incomplete => {
                (StatusCode::BAD_REQUEST, "InvalidRequestContentException")
            }
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException"),
            Self::Refused(Refused::Disabled { .. }) | Self::Enqueue(EnqueueError::Closed) => {
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceException")
            }
            Self::Refused(_) | Self::Enqueue(EnqueueError::Full) => {
                (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException")
            }
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Refused(Refused::FunctionBusy) => {
                Some("ReservedFunctionConcurrentInvocationLimitExceeded")
            }
            Self::Refused(Refused::NodeBusy) | Self::Enqueue(EnqueueError::Full) => {
                Some("ConcurrentInvocationLimitExceeded")
            }
            _ => None,
        }
    }
}
