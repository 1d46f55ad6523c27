//! Policies: how changes of an app are let in and judged.

use axum::{Json, extract::State};
use belay_model::AppName;
use serde_json::{Map, Value};

use super::{
    ApiError, Control, ErrorBody,
    input::{Body, InPath},
};
use crate::catalog::PolicyReport;

/// What holds, and what of it was set on the server.
#[utoipa::path(get, path = "/apps/{app}/policy", tag = "changes", params(("app" = String, Path)),
    responses((status = 200, body = PolicyReport), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
) -> Result<Json<PolicyReport>, ApiError> {
    Ok(Json(control.catalog.policy(&app).await?))
}

/// Sets some of it, as a JSON merge patch: `null` takes what was set away. It holds at once, and goes before `belay.toml`.
#[utoipa::path(put, path = "/apps/{app}/policy", tag = "changes", params(("app" = String, Path)),
    request_body = Object,
    responses((status = 200, body = PolicyReport), (status = 404, body = ErrorBody),
        (status = 400, body = ErrorBody, description = "Refused; nothing has changed")))]
pub(super) async fn patch(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Json<PolicyReport>, ApiError> {
    let catalog = control.catalog;
    let set = async move { catalog.set_policy(&app, patch).await };
    Ok(Json(control.changes.make(set).await?))
}
