//! Aliases: names of versions. `live` says which version runs.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use belay_model::{AppName, Qualifier, VersionNumber};
use serde::{Deserialize, Serialize};

use super::{
    ApiError, Control, ErrorBody,
    input::{Body, Done, InPath},
};

/// Where an alias leads.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AliasTarget {
    version: VersionNumber,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AliasList {
    /// With `live`.
    aliases: BTreeMap<String, VersionNumber>,
}

/// The aliases of an app.
#[utoipa::path(get, path = "/apps/{app}/aliases", tag = "aliases", params(("app" = String, Path)),
    responses((status = 200, body = AliasList), (status = 404, body = ErrorBody)))]
pub(super) async fn list(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
) -> Result<Json<AliasList>, ApiError> {
    let app = control.catalog.app(&app)?;
    let mut aliases = BTreeMap::clone(&app.aliases);
    aliases.insert("live".to_owned(), app.live);
    Ok(Json(AliasList { aliases }))
}

/// Where one alias leads.
#[utoipa::path(get, path = "/apps/{app}/aliases/{alias}", tag = "aliases",
    params(("app" = String, Path), ("alias" = String, Path)),
    responses((status = 200, body = AliasTarget), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(control): State<Control>,
    InPath((app, alias)): InPath<(AppName, String)>,
) -> Result<Json<AliasTarget>, ApiError> {
    let app = control.catalog.app(&app)?;
    let qualifier = match alias.as_str() {
        "live" => Qualifier::Live,
        _ => Qualifier::Alias(alias),
    };
    Ok(Json(AliasTarget { version: app.version_of(&qualifier)? }))
}

/// Points an alias at a version; makes it if need be. `live` may be set too: that version runs from then on.
#[utoipa::path(put, path = "/apps/{app}/aliases/{alias}", tag = "aliases",
    params(("app" = String, Path), ("alias" = String, Path)), request_body = AliasTarget,
    responses((status = 200, body = AliasTarget), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(super) async fn put(
    State(control): State<Control>,
    InPath((app, alias)): InPath<(AppName, String)>,
    Body(target): Body<AliasTarget>,
) -> Result<Json<AliasTarget>, ApiError> {
    let (catalog, version) = (control.catalog, target.version);
    let set = async move { catalog.set_alias(&app, &alias, version).await };
    control.changes.make(set).await.map(|()| Json(target))
}

/// Deletes an alias; `live` cannot be deleted.
#[utoipa::path(delete, path = "/apps/{app}/aliases/{alias}", tag = "aliases",
    params(("app" = String, Path), ("alias" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn delete(
    State(control): State<Control>,
    InPath((app, alias)): InPath<(AppName, String)>,
) -> Result<Done, ApiError> {
    let catalog = control.catalog;
    let delete = async move { catalog.delete_alias(&app, &alias).await };
    control.changes.make(delete).await.map(|()| Done::OK)
}
