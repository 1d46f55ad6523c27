//! Sources, uploaded by hash before a deploy that names them.

use axum::{Json, extract::State};
use belay_model::Hash;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{
    ApiError, Control, ErrorBody,
    input::{Body, Done, InPath, Raw},
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hashes {
    hashes: Vec<Hash>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Missing {
    missing: Vec<Hash>,
}

/// Which of these sources have to be uploaded.
#[utoipa::path(post, path = "/blobs/missing", tag = "blobs", request_body = Hashes,
    responses((status = 200, body = Missing)))]
pub(super) async fn missing(
    State(control): State<Control>,
    Body(Hashes { hashes }): Body<Hashes>,
) -> Result<Json<Missing>, ApiError> {
    Ok(Json(Missing { missing: control.catalog.blobs().missing(&hashes).await? }))
}

/// Uploads a source. Its BLAKE3 hash must be the one in the path.
#[utoipa::path(put, path = "/blobs/{hash}", tag = "blobs", params(("hash" = String, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Done), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody)))]
pub(super) async fn put(
    State(control): State<Control>,
    InPath(hash): InPath<Hash>,
    Raw(content): Raw,
) -> Result<Done, ApiError> {
    let found = Hash::of(&content);
    if found != hash {
        let message = format!("the content hashes to {found}, not to {hash}");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "hash-mismatch", message));
    }
    control.catalog.blobs().put(&content).await?;
    Ok(Done::OK)
}
