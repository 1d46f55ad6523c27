//! Functions: list, and call.

use std::sync::Arc;

use axum::{Json, extract::State, response::IntoResponse, response::Response};
use belay_model::{
    AppName, Category, EnvironmentName, Failure, FunctionName, Limits, VersionNumber,
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    ApiError, Control, ErrorBody,
    apps::sorted,
    input::{Body, InPath, InQuery, Page, Raw},
};
use crate::{
    catalog::{CatalogError, Disabled},
    data::{
        Completed, Ids, Invocation, Routed, check_queued, find_with_arms, name::FunctionTarget,
    },
    queue::NewEvent,
    routes::{AppRoutes, Target},
    telemetry::{Ending, LogRecord, Sample, Timestamp},
};

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FunctionInfo {
    app: AppName,
    function: FunctionName,
    /// The live version.
    version: VersionNumber,
    environment: EnvironmentName,
    limits: Limits,
    /// It is off for a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<Disabled>,
    urls: FunctionUrls,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FunctionUrls {
    /// HTTP requests become events of the API Gateway form, version 2.0.
    http: String,
    /// The AWS Lambda Invoke API.
    invoke: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FunctionList {
    functions: Vec<FunctionInfo>,
    /// The `after` of the next request; absent at the end.
    next: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct InvocationQuery {
    /// A version, an alias, or `live`.
    qualifier: Option<String>,
    /// Whether to wait for the result.
    #[serde(default, rename = "type")]
    #[param(inline)]
    kind: InvocationType,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum InvocationType {
    #[default]
    Sync,
    Event,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct InvocationResult {
    request_id: String,
    status: InvocationStatus,
    app: AppName,
    function: FunctionName,
    version: VersionNumber,
    /// How it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<Category>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    failure: Option<Failure>,
    #[schema(value_type = Vec<LogRecord>)]
    logs: Vec<Arc<LogRecord>>,
    /// Absent for an event, which has not run yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageInfo>,
}

#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum InvocationStatus {
    Ok,
    Failed,
    /// It is durable and will run.
    Queued,
}

#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
struct UsageInfo {
    duration_ms: f64,
    cpu_ms: f64,
    peak_memory_bytes: u64,
}

/// The functions of all live versions, sorted by `app.function`.
#[utoipa::path(get, path = "/functions", tag = "functions", params(Page),
    responses((status = 200, body = FunctionList)))]
pub(super) async fn list(
    State(control): State<Control>,
    InQuery(page): InQuery<Page>,
) -> Json<FunctionList> {
    let apps = sorted(&control);
    let all = apps.iter().flat_map(|app| functions(app, &control.data_plane));
    // By parts: `-` sorts before `.`, so whole names have another order than pairs.
    let behind = |info: &FunctionInfo, after: &str| {
        let after = after.split_once('.').unwrap_or((after, ""));
        (info.app.as_str(), info.function.as_str()) > after
    };
    let (functions, next) = page.cut(all, |f| format!("{}.{}", f.app, f.function), behind);
    Json(FunctionList { functions, next })
}

fn functions(app: &AppRoutes, data_plane: &str) -> Vec<FunctionInfo> {
    let Some(live) = app.live() else {
        return Vec::new();
    };
    let off = app.shared.off.off(Timestamp::now().0);
    let info = |(function, record): (&FunctionName, &crate::catalog::FunctionRecord)| {
        let name = format!("{}.{function}", app.name());
        FunctionInfo {
            app: app.name().clone(),
            function: function.clone(),
            version: live.record.version,
            environment: live.record.environment.clone(),
            limits: record.limits,
            disabled: off.get(function).cloned(),
            urls: FunctionUrls {
                http: format!("{data_plane}/fn/{name}"),
                invoke: format!("{data_plane}/2015-03-31/functions/{name}/invocations"),
            },
        }
    };
    live.record.functions.iter().map(info).collect()
}

/// Calls a function. The body is the event, JSON; none at all is `{}`. `x-belay-arms: shop/12:b=after` chooses arms for
/// this request, if it is one that is waited for.
#[utoipa::path(post, path = "/functions/{function}/invocations", tag = "functions",
    params(("function" = String, Path, description = "`app.function`, or the function's name while it is unique"),
        InvocationQuery),
    request_body = Object,
    responses(
        (status = 200, body = InvocationResult, description = "It ran; see `status`"),
        (status = 202, body = InvocationResult, description = "The event is queued"),
        (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(super) async fn invoke(
    State(control): State<Control>,
    InPath(name): InPath<String>,
    InQuery(query): InQuery<InvocationQuery>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response, ApiError> {
    let named = FunctionTarget::parse(&name, query.qualifier.as_deref())?;
    let routes = control.catalog.routes().load_full();
    let found = find_with_arms(&routes, &named.function, &named.qualifier, &headers);
    let routed = found?;
    let event = event(&body, routed.target.limits.event_bytes)?;
    let parent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let ids = Ids::new(parent);
    match query.kind {
        InvocationType::Sync => {
            let Routed { target, arms, drawn } = routed.draw(&routes, Some(&headers), event);
            let qualifier = query.qualifier.as_deref();
            let invocation = Invocation {
                target: &target,
                event,
                ids,
                qualifier,
                client_context: None,
                arms: arms.as_deref(),
                drawn: drawn.as_ref(),
            };
            let completed = control.invoker.invoke(invocation).await?;
            Ok(Json(InvocationResult::completed(&target, ids, completed)).into_response())
        }
        InvocationType::Event => {
            check_queued(&headers)?;
            let target = routed.target;
            event_size(body.len(), control.queue.event_bytes_max())?;
            let event =
                NewEvent { named: &named, target: &target, event, ids, client_context: None };
            control.queue.enqueue(event).await?;
            let queued = InvocationResult::new(&target, ids, InvocationStatus::Queued);
            Ok((StatusCode::ACCEPTED, Json(queued)).into_response())
        }
    }
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DisableRequest {
    /// Milliseconds, at most 30 days.
    for_ms: u64,
}

/// Has a function be off for a time: its callers get its fallback (`[for.NAME] fallback`), else 503 with
/// `Retry-After`. Events for the queue wait.
#[utoipa::path(put, path = "/apps/{app}/functions/{function}/disabled", tag = "functions",
    params(("app" = String, Path), ("function" = String, Path)), request_body = DisableRequest,
    responses((status = 200, body = FunctionInfo), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub(super) async fn disable(
    State(control): State<Control>,
    InPath((app, function)): InPath<(AppName, FunctionName)>,
    Body(request): Body<DisableRequest>,
) -> Result<Json<FunctionInfo>, ApiError> {
    switch(control, app, function, Some(request.for_ms)).await
}

/// Has a function be on again.
#[utoipa::path(delete, path = "/apps/{app}/functions/{function}/disabled", tag = "functions",
    params(("app" = String, Path), ("function" = String, Path)),
    responses((status = 200, body = FunctionInfo), (status = 404, body = ErrorBody)))]
pub(super) async fn enable(
    State(control): State<Control>,
    InPath((app, function)): InPath<(AppName, FunctionName)>,
) -> Result<Json<FunctionInfo>, ApiError> {
    switch(control, app, function, None).await
}

async fn switch(
    control: Control,
    app: AppName,
    function: FunctionName,
    for_ms: Option<u64>,
) -> Result<Json<FunctionInfo>, ApiError> {
    let catalog = control.catalog.clone();
    let (name, of) = (function.clone(), app.clone());
    let set = async move { catalog.disable(&of, &name, for_ms).await };
    control.changes.make(set).await?;
    let routes = control.catalog.app(&app)?;
    let info = functions(&routes, &control.data_plane).into_iter();
    let info = info.into_iter().find(|info| info.function == function);
    let gone = || CatalogError::UnknownFunction { app, function };
    Ok(Json(info.ok_or_else(gone)?))
}

fn event(body: &[u8], max: u64) -> Result<&str, ApiError> {
    if body.is_empty() {
        return Ok("{}");
    }
    event_size(body.len(), max)?;
    let not_json = |reason: &dyn std::fmt::Display| {
        let message = format!("the event is not JSON: {reason}");
        ApiError::new(StatusCode::BAD_REQUEST, "not-json", message)
    };
    let text = std::str::from_utf8(body).map_err(|error| not_json(&error))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| not_json(&error))?;
    Ok(text)
}

fn event_size(bytes: usize, max: u64) -> Result<(), ApiError> {
    if bytes as u64 <= max {
        return Ok(());
    }
    let message = format!("the event is {bytes} bytes long; at most {max} are accepted");
    Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message))
}

impl InvocationResult {
    fn new(target: &Target, ids: Ids, status: InvocationStatus) -> Self {
        Self {
            request_id: ids.request.to_string(),
            status,
            app: target.app.clone(),
            function: target.function.clone(),
            version: target.version,
            category: None,
            result: None,
            failure: None,
            logs: Vec::new(),
            usage: None,
        }
    }

    fn completed(target: &Target, ids: Ids, completed: Completed) -> Self {
        let (status, category) = match completed.sample.ending {
            Ending::Ok => (InvocationStatus::Ok, None),
            Ending::Failed(category) => (InvocationStatus::Failed, Some(category)),
        };
        let (result, failure) = match completed.result {
            // The engine printed it, so it is JSON.
            Ok(result) => (RawValue::from_string(result).ok(), None),
            Err(failure) => (None, Some(failure)),
        };
        let usage = Some(UsageInfo::from(&completed.sample));
        let logs = completed.logs;
        Self { category, result, failure, logs, usage, ..Self::new(target, ids, status) }
    }
}

impl From<&Sample> for UsageInfo {
    fn from(sample: &Sample) -> Self {
        Self {
            duration_ms: sample.duration.as_secs_f64() * 1e3,
            cpu_ms: sample.cpu.as_secs_f64() * 1e3,
            peak_memory_bytes: sample.peak_bytes,
        }
    }
}
