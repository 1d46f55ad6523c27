//! Secrets of an app: they are set and deleted, and their names are listed. No answer and no log has a value.

use axum::{Json, extract::State};
use belay_model::AppName;
use serde::{Deserialize, Serialize};

use super::{
    ApiError, Control, ErrorBody,
    input::{Body, Done, InPath},
};

/// It has no `Debug`, so that the value cannot end in a log.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretValue {
    value: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SecretNames {
    secrets: Vec<String>,
}

/// The names of an app's secrets.
#[utoipa::path(get, path = "/apps/{app}/secrets", tag = "secrets", params(("app" = String, Path)),
    responses((status = 200, body = SecretNames), (status = 404, body = ErrorBody)))]
pub(super) async fn list(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
) -> Result<Json<SecretNames>, ApiError> {
    Ok(Json(SecretNames { secrets: control.catalog.app(&app)?.shared.secret_names() }))
}

/// Sets a secret. It takes effect at once, without a deploy.
#[utoipa::path(put, path = "/apps/{app}/secrets/{name}", tag = "secrets",
    params(("app" = String, Path), ("name" = String, Path)), request_body = SecretValue,
    responses((status = 200, body = Done), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(super) async fn put(
    State(control): State<Control>,
    InPath((app, name)): InPath<(AppName, String)>,
    Body(secret): Body<SecretValue>,
) -> Result<Done, ApiError> {
    let catalog = control.catalog;
    let set = async move { catalog.set_secret(&app, &name, secret.value).await };
    control.changes.make(set).await.map(|()| Done::OK)
}

/// Deletes a secret.
#[utoipa::path(delete, path = "/apps/{app}/secrets/{name}", tag = "secrets",
    params(("app" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn delete(
    State(control): State<Control>,
    InPath((app, name)): InPath<(AppName, String)>,
) -> Result<Done, ApiError> {
    let catalog = control.catalog;
    let delete = async move { catalog.delete_secret(&app, &name).await };
    control.changes.make(delete).await.map(|()| Done::OK)
}
