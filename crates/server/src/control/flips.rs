//! Changes: list, look at, take back, restore, settle; and what runs in effect.

use axum::{Json, extract::State};
use belay_govern::{By, Life};
use belay_model::{
    AppName, Arm, HunkInfo, NameError, PartId, PartInfo, ProgramName, VersionNumber,
};
use serde::{Deserialize, Serialize};

use super::{
    ApiError, Control, ErrorBody,
    input::{Body, InPath, InQuery, Page},
};
use crate::{
    catalog::{
        ChangeRecord, ChangeState, Contents, EffectiveProgram, EffectiveVersion, Flipped, Named,
        find_change,
    },
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
    /// The effective version that it is at, such as `12+1`.
    program: String,
    state: ChangeStatus,
    /// Its program is what runs unless a request asks for a version.
    running: bool,
    created_ms: u64,
    /// Of the requests, that run what of it is on trial; absent where all do, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
    parts: Vec<PartArm>,
    /// How many decisions its story has.
    told: u32,
    /// How many edits are in no part, because they stay whatever is taken back (`@rollback never`).
    staying: usize,
    /// Why nothing finer than the whole can be switched, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<String>,
}

/// How it stands with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum ChangeStatus {
    /// Some requests run it: see `percent`.
    Canary,
    /// It runs, and each part can be taken back.
    Live,
    /// It could be live but another version is: its arms stay as they are until `live` is moved back.
    NotRunning,
    /// The old arms were dropped.
    Settled,
    /// A later change took its place; what that did not touch went on there.
    Superseded,
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

/// An effective version: what the deploy made, or a flip.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ProgramInfo {
    /// Such as `12+1`.
    program: String,
    /// Since when it is.
    at_ms: u64,
    /// It is what runs unless a request asks for a version.
    running: bool,
    /// What was flipped to make it; absent for the one that the deploy made.
    #[serde(skip_serializing_if = "Option::is_none")]
    flipped: Option<FlippedParts>,
    parts: Vec<ArmOfPart>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct FlippedParts {
    #[schema(value_type = Vec<String>)]
    parts: Vec<PartId>,
    /// Where they are since.
    arm: Arm,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ArmOfPart {
    #[schema(value_type = String)]
    part: PartId,
    arm: Arm,
}

impl ProgramInfo {
    fn of(version: EffectiveVersion, running: bool) -> Self {
        let arms = (0..).map(PartId).zip(version.arms);
        Self {
            program: version.name.to_string(),
            at_ms: version.at_ms,
            running,
            flipped: version.flipped.map(|(parts, arm)| FlippedParts { parts, arm }),
            parts: arms.map(|(part, arm)| ArmOfPart { part, arm }).collect(),
        }
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ChangeList {
    /// Newest first.
    changes: Vec<ChangeInfo>,
    /// The `after` of the next request; absent at the end.
    next: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ProgramList {
    /// Oldest first.
    programs: Vec<ProgramInfo>,
    /// The `after` of the next request; absent at the end.
    next: Option<String>,
}

/// A change with what its parts hold, and what requests did in them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ChangeDetail {
    #[serde(flatten)]
    info: ChangeInfo,
    contents: Vec<PartContent>,
    /// Edits that stay, whatever is taken back: they are tagged `@rollback never`, or such an edit needs them.
    stays: Vec<HunkInfo>,
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
    parts: Vec<String>,
}

/// What taking back or restoring came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FlipResult {
    /// The change that runs.
    #[serde(flatten)]
    info: ChangeInfo,
    /// The change that was named as a whole, if something of it stays whatever is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    stays: Option<Stays>,
    /// Parts of the change that was named as a whole, such as `shop/12:b`, which a later deploy settled: they stay as
    /// they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    settled: Vec<String>,
}

/// What of a change cannot be taken back, and how to go back behind it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Stays {
    /// Such as `shop/12`.
    id: String,
    /// How many edits are in no part (`@rollback never`).
    edits: usize,
    /// What ran before the change, such as `11` or `11+2`.
    from: String,
}

impl ChangeInfo {
    pub(super) fn of(routes: &AppRoutes, change: &ChangeRecord) -> Self {
        let (app, running) = (routes.name(), routes.runs(change));
        let life = change.life.as_ref().filter(|_| running && change.state == ChangeState::Live);
        let admitted = life.map(|life| life.exposure(&change.canary(&routes.policy)).admitted);
        let part_name =
            |(version, part): (VersionNumber, PartId)| format!("{app}/{version}:{part}");
        let parts = (0..).map(PartId).zip(&change.parts).map(|(part, record)| PartArm {
            part,
            arm: record.arm,
            carried_to: record.carried_to.map(part_name),
            carried_from: record.carried_from.map(part_name),
        });
        let program = ProgramName { version: change.version, flips: change.flips };
        Self {
            id: format!("{app}/{}", change.version),
            app: app.clone(),
            version: change.version,
            from: change.from.to_string(),
            program: program.to_string(),
            state: match change.state {
                ChangeState::Live if life.is_some_and(Life::is_canary) => ChangeStatus::Canary,
                ChangeState::Live if running => ChangeStatus::Live,
                ChangeState::Live => ChangeStatus::NotRunning,
                ChangeState::Settled => ChangeStatus::Settled,
                ChangeState::Superseded => ChangeStatus::Superseded,
            },
            running,
            created_ms: change.created_ms,
            percent: admitted.filter(|share| *share < 1.0).map(|share| (share * 1e6).round() / 1e4),
            parts: parts.collect(),
            told: change.told,
            staying: change.staying,
            whole: change.whole.clone(),
        }
    }
}

/// The changes of an app, newest first.
#[utoipa::path(get, path = "/apps/{app}/changes", tag = "changes", params(("app" = String, Path), Page),
    responses((status = 200, body = ChangeList), (status = 404, body = ErrorBody)))]
pub(super) async fn list(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
    InQuery(page): InQuery<Page>,
) -> Result<Json<ChangeList>, ApiError> {
    let routes = control.catalog.app(&app)?;
    let after = page.after.as_deref().map(str::parse::<VersionNumber>).transpose()?;
    let (changes, next) = page.cut(
        routes.changes.values().rev(),
        |change| change.version.to_string(),
        |change, _| after.is_none_or(|after| change.version < after),
    );
    let changes = changes.into_iter().map(|c| ChangeInfo::of(&routes, c)).collect();
    Ok(Json(ChangeList { changes, next }))
}

/// The effective versions that a change made, oldest first. Each can be had as sources.
#[utoipa::path(get, path = "/apps/{app}/changes/{change}/programs", tag = "changes",
    params(("app" = String, Path), ("change" = u32, Path), Page),
    responses((status = 200, body = ProgramList), (status = 404, body = ErrorBody)))]
pub(super) async fn programs(
    State(control): State<Control>,
    InPath((app, change)): InPath<(AppName, VersionNumber)>,
    InQuery(page): InQuery<Page>,
) -> Result<Json<ProgramList>, ApiError> {
    let routes = control.catalog.app(&app)?;
    let record = find_change(&routes, change)?;
    let after = page.after.as_deref().map(program_name).transpose()?;
    let wanted = page.size() + 1;
    let after = after.map(|after| after.flips);
    let mut found = control.catalog.programs(&app, record, after, wanted).await?;
    let more = found.len() == wanted;
    found.truncate(page.size());
    let next = found.last().filter(|_| more).map(|last| last.name.to_string());
    let now = ProgramName { version: change, flips: record.flips };
    let runs = |program: &EffectiveVersion| routes.runs(record) && program.name == now;
    let programs = found.into_iter().map(|program| (runs(&program), program));
    let programs = programs.map(|(runs, program)| ProgramInfo::of(program, runs)).collect();
    Ok(Json(ProgramList { programs, next }))
}

/// In a query a plus that nobody encoded is a space.
fn program_name(text: &str) -> Result<ProgramName, NameError> {
    text.replace(' ', "+").parse()
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
    let record = find_change(&routes, change)?;
    let Contents { parts, staying } = control.catalog.contents(record).await?;
    let contents = parts
        .into_iter()
        .map(|info| PartContent { counters: counters(&routes, change, info.id), info });
    Ok(Json(ChangeDetail {
        info: ChangeInfo::of(&routes, record),
        contents: contents.collect(),
        stays: staying,
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
    responses((status = 200, body = FlipResult), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Some of the parts cannot be switched any more; nothing was")))]
pub(super) async fn take_back(
    state: State<Control>,
    path: InPath<(AppName, VersionNumber)>,
    parts: Body<Parts>,
) -> Result<Json<FlipResult>, ApiError> {
    flip(state, path, parts, Arm::Before).await
}

/// Restores parts of a change that were taken back.
#[utoipa::path(post, path = "/apps/{app}/changes/{change}/restore", tag = "changes",
    params(("app" = String, Path), ("change" = u32, Path)), request_body = Parts,
    responses((status = 200, body = FlipResult), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Some of the parts cannot be switched any more; nothing was")))]
pub(super) async fn restore(
    state: State<Control>,
    path: InPath<(AppName, VersionNumber)>,
    parts: Body<Parts>,
) -> Result<Json<FlipResult>, ApiError> {
    flip(state, path, parts, Arm::After).await
}

async fn flip(
    State(control): State<Control>,
    InPath((app, change)): InPath<(AppName, VersionNumber)>,
    Body(Parts { parts }): Body<Parts>,
    arm: Arm,
) -> Result<Json<FlipResult>, ApiError> {
    let parts = parts.iter().map(|part| part_named(&app, change, part));
    let parts = parts.collect::<Result<Vec<PartId>, ApiError>>()?;
    let (catalog, name) = (control.catalog.clone(), app.clone());
    let flip = async move { control.catalog.flip(&name, change, &parts, arm).await };
    let Flipped { change: now, whole } = control.changes.make(flip).await?;
    let stays = whole.as_ref().filter(|whole| whole.staying > 0).map(|whole| Stays {
        id: format!("{app}/{change}"),
        edits: whole.staying,
        from: whole.from.to_string(),
    });
    let settled = whole.into_iter().flat_map(|Named { settled, .. }| settled);
    let settled = settled.map(|part| format!("{app}/{change}:{part}")).collect();
    let routes = catalog.app(&app)?;
    Ok(Json(FlipResult { info: ChangeInfo::of(&routes, &now), stays, settled }))
}

/// What stays has no letter, though `belay show` has a word for it.
fn part_named(app: &AppName, change: VersionNumber, part: &str) -> Result<PartId, ApiError> {
    if PartId::WORDS_FOR_NONE.contains(&part) {
        let message = format!(
            "`{part}` is no part of {app}/{change}: edits tagged `@rollback never` stay, whatever is taken back"
        );
        return Err(ApiError::bad_request(message).help(format!(
            "`belay show {app}/{change}` lists them, and what goes back behind them: `belay alias {app} live N`"
        )));
    }
    Ok(part.parse()?)
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
    let (catalog, name) = (control.catalog.clone(), app.clone());
    let settle = async move { control.catalog.settle(&name, change, By::Human).await };
    let record = control.changes.make(settle).await?;
    let routes = catalog.app(&app)?;
    Ok(Json(ChangeInfo::of(&routes, &record)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EffectiveQuery {
    /// An effective version, such as `12+1` or `12`, instead of what runs.
    at: Option<String>,
}

/// The sources of what runs: the live version, with what was taken back resolved; or of an earlier effective version.
#[utoipa::path(get, path = "/apps/{app}/effective", tag = "changes",
    params(("app" = String, Path), EffectiveQuery),
    responses((status = 200, body = EffectiveProgram), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "An earlier Belay made it, and this one cannot make it again")))]
pub(super) async fn effective(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
    InQuery(query): InQuery<EffectiveQuery>,
) -> Result<Json<EffectiveProgram>, ApiError> {
    let at = query.at.as_deref().map(program_name).transpose()?;
    Ok(Json(control.catalog.effective(&app, at).await?))
}
