//! Changes: list, look at, take back, restore, settle; and what runs in effect.

use axum::{Json, extract::State};
use belay_model::{AppName, Arm, PartId, PartInfo, VersionNumber};
use serde::{Deserialize, Serialize};

use super::{
    ApiError, Control, ErrorBody,
    input::{Body, InPath},
};
use crate::{
    catalog::{CatalogError, ChangeRecord, ChangeState, EffectiveProgram, FlipRecord},
    routes::AppRoutes,
    telemetry::ArmReading,
};

/// A change at a glance.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ChangeInfo {
    /// Such as `shop/12`.
    id: String,
    app: AppName,
    version: VersionNumber,
    /// What ran before, such as `11` or `11+2`.
    from: String,
    /// What runs of it, such as `12+1`.
    program: String,
    state: ChangeState,
    created_ms: u64,
    parts: Vec<PartArm>,
    /// Why nothing finer than the whole can be switched, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PartArm {
    #[schema(value_type = String)]
    part: PartId,
    arm: Arm,
    /// Where it goes on, if the change was superseded; such as `shop/13:a`.
    #[serde(skip_serializing_if = "Option::is_none")]
    carried_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carried_from: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ChangeList {
    /// Newest first.
    changes: Vec<ChangeInfo>,
}

/// A change with what its parts hold, and what requests did in them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ChangeDetail {
    #[serde(flatten)]
    info: ChangeInfo,
    contents: Vec<PartContent>,
    flips: Vec<FlipRecord>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PartContent {
    #[serde(flatten)]
    info: PartInfo,
    /// Counted since the server started or the change was deployed, while it is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    counters: Option<PartCounters>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PartCounters {
    before: ArmReading,
    after: ArmReading,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parts {
    /// All parts of the change if empty.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    parts: Vec<PartId>,
}

impl ChangeInfo {
    fn of(app: &AppName, change: &ChangeRecord) -> Self {
        let part_name =
            |(version, part): (VersionNumber, PartId)| format!("{app}/{version}:{part}");
        let parts = (0..).map(PartId).zip(&change.parts).map(|(part, record)| PartArm {
            part,
            arm: record.arm,
            carried_to: record.carried_to.map(part_name),
            carried_from: record.carried_from.map(part_name),
        });
        let program = crate::catalog::ProgramName { version: change.version, flips: change.flips };
        Self {
            id: format!("{app}/{}", change.version),
            app: app.clone(),
            version: change.version,
            from: change.from.to_string(),
            program: program.to_string(),
            state: change.state,
            created_ms: change.created_ms,
            parts: parts.collect(),
            whole: change.whole.clone(),
        }
    }
}

/// The changes of an app, newest first.
#[utoipa::path(get, path = "/apps/{app}/changes", tag = "changes", params(("app" = String, Path)),
    responses((status = 200, body = ChangeList), (status = 404, body = ErrorBody)))]
pub(super) async fn list(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
) -> Result<Json<ChangeList>, ApiError> {
    let routes = control.catalog.app(&app)?;
    let changes = routes.changes.values().rev().map(|change| ChangeInfo::of(&app, change));
    Ok(Json(ChangeList { changes: changes.collect() }))
}

/// One change, part by part.
#[utoipa::path(get, path = "/apps/{app}/changes/{change}", tag = "changes",
    params(("app" = String, Path), ("change" = u32, Path)),
    responses((status = 200, body = ChangeDetail), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(control): State<Control>,
    InPath((app, change)): InPath<(AppName, VersionNumber)>,
) -> Result<Json<ChangeDetail>, ApiError> {
    let routes = control.catalog.app(&app)?;
    let unknown = || CatalogError::UnknownChange { app: app.clone(), change };
    let record = routes.changes.get(&change).ok_or_else(unknown)?;
    let contents = control.catalog.parts(record).await?;
    let contents = contents
        .into_iter()
        .map(|info| PartContent { counters: counters(&routes, change, info.id), info });
    Ok(Json(ChangeDetail {
        info: ChangeInfo::of(&app, record),
        contents: contents.collect(),
        flips: record.history.clone(),
    }))
}

fn counters(routes: &AppRoutes, change: VersionNumber, part: PartId) -> Option<PartCounters> {
    let effective = routes.effective.as_ref().filter(|effective| effective.version == change)?;
    let [before, after] = effective.counters.read(part);
    Some(PartCounters { before, after })
}

/// Takes parts of a change back: from the next request on, what was before runs in their place.
#[utoipa::path(post, path = "/apps/{app}/changes/{change}/take-back", tag = "changes",
    params(("app" = String, Path), ("change" = u32, Path)), request_body = Parts,
    responses((status = 200, body = ChangeInfo), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The change is settled or was superseded")))]
pub(super) async fn take_back(
    state: State<Control>,
    path: InPath<(AppName, VersionNumber)>,
    parts: Body<Parts>,
) -> Result<Json<ChangeInfo>, ApiError> {
    flip(state, path, parts, Arm::Before).await
}

/// Restores parts of a change that were taken back.
#[utoipa::path(post, path = "/apps/{app}/changes/{change}/restore", tag = "changes",
    params(("app" = String, Path), ("change" = u32, Path)), request_body = Parts,
    responses((status = 200, body = ChangeInfo), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The change is settled or was superseded")))]
pub(super) async fn restore(
    state: State<Control>,
    path: InPath<(AppName, VersionNumber)>,
    parts: Body<Parts>,
) -> Result<Json<ChangeInfo>, ApiError> {
    flip(state, path, parts, Arm::After).await
}

async fn flip(
    State(control): State<Control>,
    InPath((app, change)): InPath<(AppName, VersionNumber)>,
    Body(Parts { parts }): Body<Parts>,
    arm: Arm,
) -> Result<Json<ChangeInfo>, ApiError> {
    let (catalog, name) = (control.catalog, app.clone());
    let flip = async move { catalog.flip(&name, change, &parts, arm).await };
    let record = control.changes.make(flip).await?;
    Ok(Json(ChangeInfo::of(&app, &record)))
}

/// Keeps what runs of a change, and drops the rest: its parts cannot be switched any more.
#[utoipa::path(post, path = "/apps/{app}/changes/{change}/settle", tag = "changes",
    params(("app" = String, Path), ("change" = u32, Path)),
    responses((status = 200, body = ChangeInfo), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The change is settled or was superseded")))]
pub(super) async fn settle(
    State(control): State<Control>,
    InPath((app, change)): InPath<(AppName, VersionNumber)>,
) -> Result<Json<ChangeInfo>, ApiError> {
    let (catalog, name) = (control.catalog, app.clone());
    let settle = async move { catalog.settle(&name, change).await };
    let record = control.changes.make(settle).await?;
    Ok(Json(ChangeInfo::of(&app, &record)))
}

/// The sources of what runs: the version deployed last, with what was taken back resolved.
#[utoipa::path(get, path = "/apps/{app}/effective", tag = "changes", params(("app" = String, Path)),
    responses((status = 200, body = EffectiveProgram), (status = 404, body = ErrorBody)))]
pub(super) async fn effective(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
) -> Result<Json<EffectiveProgram>, ApiError> {
    Ok(Json(control.catalog.effective(&app).await?))
}
