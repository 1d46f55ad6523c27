//! What a function logged: a list, or a stream of lines that goes on.

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use belay_model::{FunctionRef, Qualifier};
use futures_util::{Stream, StreamExt, stream};
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};

use super::{
    ApiError, Control, ErrorBody,
    input::{InPath, InQuery},
};
use crate::telemetry::{LogQuery, LogRecord};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LogParameters {
    /// Lines of this invocation only.
    request_id: Option<String>,
    /// Lines with a greater `seq` only.
    after: Option<u64>,
    /// The newest so many of those that are kept.
    limit: Option<usize>,
    /// Go on: JSON, one line each, as they come.
    #[serde(default)]
    follow: bool,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct LogLines {
    /// Oldest first.
    #[schema(value_type = Vec<LogRecord>)]
    logs: Vec<Arc<LogRecord>>,
}

/// Said in place of lines that a follower was too slow for.
#[derive(Serialize)]
struct Skipped {
    skipped: u64,
}

/// The log of a function.
#[utoipa::path(get, path = "/functions/{function}/logs", tag = "functions",
    params(("function" = String, Path), LogParameters),
    responses(
        (status = 200, content((LogLines = "application/json"), (LogRecord = "application/x-ndjson"))),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn get(
    State(control): State<Control>,
    InPath(name): InPath<String>,
    InQuery(parameters): InQuery<LogParameters>,
) -> Result<Response, ApiError> {
    let function: FunctionRef = name.parse()?;
    let target = control.catalog.routes().load().find(&function, &Qualifier::Live)?;
    let LogParameters { request_id, after, limit, follow } = parameters;
    let query = LogQuery { request_id, after, limit };
    if !follow {
        let logs = control.logs.query(&target.app, &target.function, &query);
        return Ok(Json(LogLines { logs }).into_response());
    }
    let (kept, coming) = control.logs.follow(&target.app, &target.function, &query);
    let kept = stream::iter(kept.into_iter().map(|record| line(&*record)));
    let lines = kept.chain(coming_lines(coming, query, control.stopping.clone()));
    let body = Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Ends when the server stops.
fn coming_lines(
    coming: broadcast::Receiver<Arc<LogRecord>>,
    query: LogQuery,
    stopping: watch::Receiver<bool>,
) -> impl Stream<Item = Bytes> {
    stream::unfold((coming, query, stopping), |(mut coming, query, mut stopping)| async move {
        let line = loop {
            let received = tokio::select! {
                received = coming.recv() => received,
                _ = stopping.wait_for(|stopping| *stopping) => return None,
            };
            match received {
                Ok(record) if query.wants(&record) => break line(&*record),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(skipped)) => {
                    break line(&Skipped { skipped });
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        };
        Some((line, (coming, query, stopping)))
    })
}

fn line(value: &impl Serialize) -> Bytes {
    // Strings and numbers: this does not fail.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
