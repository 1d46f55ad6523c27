//! Dead letters: events whose retries are used up.

use axum::{Json, extract::State};
use belay_model::AppName;
use serde::{Deserialize, Serialize};

use super::{
    ApiError, Control, ErrorBody,
    input::{Done, InPath, InQuery},
};
use crate::{
    queue::{DeadLetter, OpenLetter},
    telemetry::RequestId,
};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LetterQuery {
    #[param(value_type = Option<String>)]
    app: Option<AppName>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DeadLetterList {
    /// Oldest first.
    dead_letters: Vec<DeadLetter>,
}

/// The dead letters of an app, or of all.
#[utoipa::path(get, path = "/dead-letters", tag = "dead letters", params(LetterQuery),
    responses((status = 200, body = DeadLetterList)))]
pub(super) async fn list(
    State(control): State<Control>,
    InQuery(query): InQuery<LetterQuery>,
) -> Result<Json<DeadLetterList>, ApiError> {
    let dead_letters = control.queue.dead_letters(query.app.as_ref()).await?;
    Ok(Json(DeadLetterList { dead_letters }))
}

/// One dead letter: its event, and what the last attempt failed with.
#[utoipa::path(get, path = "/dead-letters/{id}", tag = "dead letters", params(("id" = String, Path)),
    responses((status = 200, body = OpenLetter), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(control): State<Control>,
    InPath(id): InPath<String>,
) -> Result<Json<OpenLetter>, ApiError> {
    let letter = control.queue.dead_letter(parse(&id)?).await?;
    letter.map(Json).ok_or_else(|| unknown(&id))
}

/// Puts the event back into the queue.
#[utoipa::path(post, path = "/dead-letters/{id}/retry", tag = "dead letters", params(("id" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = ErrorBody)))]
pub(super) async fn retry(
    State(control): State<Control>,
    InPath(id): InPath<String>,
) -> Result<Done, ApiError> {
    let (queue, letter) = (control.queue, parse(&id)?);
    let there = control.changes.make(async move { queue.retry(letter).await }).await?;
    if there { Ok(Done::OK) } else { Err(unknown(&id)) }
}

/// Forgets the event for good.
#[utoipa::path(delete, path = "/dead-letters/{id}", tag = "dead letters", params(("id" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = ErrorBody)))]
pub(super) async fn delete(
    State(control): State<Control>,
    InPath(id): InPath<String>,
) -> Result<Done, ApiError> {
    let (queue, letter) = (control.queue, parse(&id)?);
    let there = control.changes.make(async move { queue.delete(letter).await }).await?;
    if there { Ok(Done::OK) } else { Err(unknown(&id)) }
}

/// What is no request id names no letter either.
fn parse(id: &str) -> Result<RequestId, ApiError> {
    id.parse().map_err(|_| unknown(id))
}

fn unknown(id: &str) -> ApiError {
    let id: String = id.chars().take(64).collect();
    ApiError::not_found("unknown-dead-letter", format!("there is no dead letter {id:?}"))
}
