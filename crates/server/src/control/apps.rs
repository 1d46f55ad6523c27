//! Apps: list, look at, remove.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use belay_model::{AppName, EnvironmentName, FunctionName, VersionNumber};
use serde::Serialize;

use super::{
    ApiError, Control, ErrorBody,
    input::{Done, InPath, InQuery, Page},
};
use crate::routes::AppRoutes;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AppInfo {
    app: AppName,
    /// The version that runs unless a request asks for another.
    live: VersionNumber,
    /// The newest version.
    latest: VersionNumber,
    created_ms: u64,
    /// Of the live version.
    environment: Option<EnvironmentName>,
    /// Of the live version.
    functions: Vec<FunctionName>,
    /// `live` is not among them.
    aliases: BTreeMap<String, VersionNumber>,
    /// Names only.
    secrets: Vec<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AppList {
    apps: Vec<AppInfo>,
    /// The `after` of the next request; absent at the end.
    next: Option<String>,
}

impl AppInfo {
    fn of(app: &AppRoutes) -> Self {
        let live = app.live();
        Self {
            app: app.name().clone(),
            live: app.live,
            latest: app.latest(),
            created_ms: app.created_ms,
            environment: live.map(|version| version.record.environment.clone()),
            functions: live
                .map(|version| version.record.functions.keys().cloned().collect())
                .unwrap_or_default(),
            aliases: BTreeMap::clone(&app.aliases),
            secrets: app.shared.secret_names(),
        }
    }
}

/// All apps, sorted by name.
#[utoipa::path(get, path = "/apps", tag = "apps", params(Page), responses((status = 200, body = AppList)))]
pub(super) async fn list(
    State(control): State<Control>,
    InQuery(page): InQuery<Page>,
) -> Json<AppList> {
    let apps = sorted(&control);
    let name = |app: &Arc<AppRoutes>| app.name().as_str().to_owned();
    let (apps, next) = page.cut(apps.into_iter(), name, |app, after| app.name().as_str() > after);
    Json(AppList { apps: apps.iter().map(|app| AppInfo::of(app)).collect(), next })
}

/// One app.
#[utoipa::path(get, path = "/apps/{app}", tag = "apps", params(("app" = String, Path)),
    responses((status = 200, body = AppInfo), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
) -> Result<Json<AppInfo>, ApiError> {
    Ok(Json(AppInfo::of(&*control.catalog.app(&app)?)))
}

/// Removes an app with its versions, aliases, secrets and kv. Its functions answer 404 from then on.
#[utoipa::path(delete, path = "/apps/{app}", tag = "apps", params(("app" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn remove(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
) -> Result<Done, ApiError> {
    let Control { catalog, logs, queue, .. } = control;
    let remove = async move {
        catalog.remove(&app).await?;
        logs.forget(&app);
        queue.forget(&app).await.map_err(ApiError::from)
    };
    control.changes.make(remove).await.map(|()| Done::OK)
}

pub(super) fn sorted(control: &Control) -> Vec<Arc<AppRoutes>> {
    let routes = control.catalog.routes().load();
    let mut apps: Vec<_> = routes.apps().cloned().collect();
    apps.sort_by(|a, b| a.name().cmp(b.name()));
    apps
}
