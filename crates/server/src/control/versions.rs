//! Versions: deploy, list, look at, and see what is in them.

use std::collections::BTreeSet;

use axum::{Json, extract::State};
use belay_model::{AppManifest, AppName, EnvironmentName, FunctionName, Hash, VersionNumber};
use belay_weave::{Detail, Packages};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{
    ApiError, Control, ErrorBody,
    input::{Body, InPath, InQuery, Page},
};
use crate::{
    catalog::{
        BlocksReport, CatalogError, Compared, Consent, DeployResult, GraphReport, OwnTests,
        ReplayResult,
    },
    routes::{AppRoutes, VersionRoutes},
};

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct VersionInfo {
    app: AppName,
    version: VersionNumber,
    /// It runs unless a request asks for another.
    live: bool,
    /// All that lead to it but `live`.
    aliases: Vec<String>,
    created_ms: u64,
    environment: EnvironmentName,
    functions: Vec<FunctionName>,
    image: Hash,
}

/// A version with what it was made from.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct VersionDetail {
    #[serde(flatten)]
    info: VersionInfo,
    manifest: AppManifest,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct VersionList {
    /// Newest first.
    versions: Vec<VersionInfo>,
    /// The `after` of the next request; absent at the end.
    next: Option<String>,
}

impl VersionInfo {
    fn of(app: &AppRoutes, version: &VersionRoutes) -> Self {
        let record = &version.record;
        let here = app.aliases.iter().filter(|(_, to)| **to == record.version);
        Self {
            app: app.name().clone(),
            version: record.version,
            live: record.version == app.live,
            aliases: here.map(|(alias, _)| alias.clone()).collect(),
            created_ms: record.created_ms,
            environment: record.environment.clone(),
            functions: record.functions.keys().cloned().collect(),
            image: version.image.record().image,
        }
    }
}

/// Of a command that is told.
const TEST_CHARS_MAX: usize = 200;

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DeployQuery {
    /// Deploy whatever would be asked.
    #[serde(default)]
    yes: bool,
    /// Deploy even if these parts could not be taken back any more, such as `shop/12:a,shop/12:b`.
    #[serde(default)]
    lose: String,
    /// Deploy even if these parts, which were taken back, run again and stay.
    #[serde(default)]
    bring_back: String,
    /// All requests run it from the beginning, rather than step by step.
    #[serde(default)]
    now: bool,
    /// What is decided of it is told and not done.
    #[serde(default)]
    dry_run: bool,
    /// The command by which the app's own tests were run on it, if they were.
    #[serde(default)]
    test: String,
    /// Fingerprints of edits, with commas between them: the tests fail with their parts, which begin taken back.
    #[serde(default)]
    failed: String,
    /// Sets of edits whose parts move together, with `;` between them.
    #[serde(default)]
    tied: String,
}

impl TryFrom<DeployQuery> for Consent {
    type Error = ApiError;

    fn try_from(query: DeployQuery) -> Result<Self, ApiError> {
        let parts = |list: &str| list.split(',').map(str::to_owned).collect();
        let (lose, bring_back) = (parts(&query.lose), parts(&query.bring_back));
        let sets = query.tied.split(';').filter(|set| !set.is_empty());
        let tests = OwnTests {
            command: query.test.chars().take(TEST_CHARS_MAX).collect(),
            failed: edits(&query.failed)?,
            tied: sets.map(edits).collect::<Result<_, _>>()?,
        };
        let DeployQuery { yes: all, now, dry_run, .. } = query;
        Ok(Self { all, lose, bring_back, now, dry_run, tests })
    }
}

fn edits(list: &str) -> Result<BTreeSet<Hash>, ApiError> {
    let edit = |text: &str| {
        let wrong = |_| ApiError::bad_request(format!("{text:?} is no fingerprint of an edit"));
        text.parse().map_err(wrong)
    };
    list.split(',').filter(|text| !text.is_empty()).map(edit).collect()
}

/// Deploys a new version of an app, which is live from then on. Its sources must have been uploaded as blobs.
#[utoipa::path(post, path = "/apps/{app}/versions", tag = "versions", params(("app" = String, Path), DeployQuery),
    request_body = AppManifest,
    responses(
        (status = 201, body = DeployResult, description = "Deployed, and live"),
        (status = 200, body = DeployResult, description = "This is the live version already"),
        (status = 400, body = ErrorBody, description = "No manifest, or that of another app"),
        (status = 409, body = ErrorBody, description = "Sources are missing, or a way back would be lost; `parts` says of what"),
        (status = 413, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "Refused, with diagnostics; nothing has changed")))]
pub(super) async fn deploy(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
    InQuery(query): InQuery<DeployQuery>,
    Body(manifest): Body<AppManifest>,
) -> Result<(StatusCode, Json<DeployResult>), ApiError> {
    if manifest.app != app {
        let message = format!("the manifest is of app {}, not of {app}", manifest.app);
        return Err(ApiError::bad_request(message));
    }
    let catalog = control.catalog;
    let consent = Consent::try_from(query)?;
    let deploy = async move { catalog.deploy(manifest, &consent).await };
    let deployed = control.changes.make(deploy).await?;
    let status = if deployed.unchanged { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(deployed)))
}

/// Tries a manifest on what was recorded of the requests of its app, as a deploy would, and changes nothing.
#[utoipa::path(post, path = "/apps/{app}/replay", tag = "versions", params(("app" = String, Path)),
    request_body = AppManifest,
    responses(
        (status = 200, body = ReplayResult),
        (status = 400, body = ErrorBody, description = "No manifest, or that of another app"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Sources are missing"),
        (status = 413, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "It could not be deployed, by its diagnostics")))]
pub(super) async fn replay(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
    Body(manifest): Body<AppManifest>,
) -> Result<Json<ReplayResult>, ApiError> {
    if manifest.app != app {
        let message = format!("the manifest is of app {}, not of {app}", manifest.app);
        return Err(ApiError::bad_request(message));
    }
    Ok(Json(control.catalog.replay(manifest).await?))
}

/// What a deploy of a manifest would be compared with, for whoever weaves the two to test them. Its sources must have been uploaded.
#[utoipa::path(post, path = "/apps/{app}/compared", tag = "versions", params(("app" = String, Path)),
    request_body = AppManifest,
    responses(
        (status = 200, body = Compared),
        (status = 400, body = ErrorBody, description = "No manifest, or that of another app"),
        (status = 409, body = ErrorBody, description = "Sources are missing"),
        (status = 413, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "It could not be deployed, by its diagnostics")))]
pub(super) async fn compared(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
    Body(manifest): Body<AppManifest>,
) -> Result<Json<Compared>, ApiError> {
    if manifest.app != app {
        let message = format!("the manifest is of app {}, not of {app}", manifest.app);
        return Err(ApiError::bad_request(message));
    }
    Ok(Json(control.catalog.compared_with(manifest).await?))
}

/// The versions of an app, newest first.
#[utoipa::path(get, path = "/apps/{app}/versions", tag = "versions", params(("app" = String, Path), Page),
    responses((status = 200, body = VersionList), (status = 404, body = ErrorBody)))]
pub(super) async fn list(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
    InQuery(page): InQuery<Page>,
) -> Result<Json<VersionList>, ApiError> {
    let app = control.catalog.app(&app)?;
    let after = page.after.as_deref().map(str::parse::<VersionNumber>).transpose()?;
    let (versions, next) = page.cut(
        app.versions.values().rev(),
        |version| version.record.version.to_string(),
        |version, _| after.is_none_or(|after| version.record.version < after),
    );
    let versions = versions.into_iter().map(|version| VersionInfo::of(&app, version)).collect();
    Ok(Json(VersionList { versions, next }))
}

/// One version, with the manifest that it was deployed with.
#[utoipa::path(get, path = "/apps/{app}/versions/{version}", tag = "versions",
    params(("app" = String, Path), ("version" = u32, Path)),
    responses((status = 200, body = VersionDetail), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(control): State<Control>,
    InPath((app, version)): InPath<(AppName, VersionNumber)>,
) -> Result<Json<VersionDetail>, ApiError> {
    let routes = control.catalog.app(&app)?;
    let found = routes.versions.get(&version);
    let found = found.ok_or(CatalogError::UnknownVersion { app, version })?;
    let manifest = control.catalog.manifest(&found.record).await?;
    Ok(Json(VersionDetail { info: VersionInfo::of(&routes, found), manifest }))
}

/// The newest versions of an app as trees of blocks: what is in the live one, and what the versions share.
#[utoipa::path(get, path = "/apps/{app}/blocks", tag = "versions", params(("app" = String, Path)),
    responses((status = 200, body = BlocksReport), (status = 404, body = ErrorBody)))]
pub(super) async fn blocks(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
) -> Result<Json<BlocksReport>, ApiError> {
    Ok(Json(control.catalog.blocks_of(&app).await?))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphQuery {
    /// Packages module by module, rather than each as one.
    #[serde(default)]
    all: bool,
    /// Blocks of functions, too.
    #[serde(default)]
    blocks: bool,
}

/// What the functions, modules and blocks of the live version need of each other.
#[utoipa::path(get, path = "/apps/{app}/graph", tag = "versions", params(("app" = String, Path), GraphQuery),
    responses((status = 200, body = GraphReport), (status = 404, body = ErrorBody)))]
pub(super) async fn graph(
    State(control): State<Control>,
    InPath(app): InPath<AppName>,
    InQuery(query): InQuery<GraphQuery>,
) -> Result<Json<GraphReport>, ApiError> {
    let packages = if query.all { Packages::Whole } else { Packages::Named };
    let detail = Detail { packages, blocks: query.blocks };
    Ok(Json(control.catalog.graph_of(&app, detail).await?))
}
