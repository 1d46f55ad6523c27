//! How the control plane refuses: a status, a stable code, words for people, and what they may do next.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use belay_fabric::{CommitError, StoreError};
use belay_model::{Diagnostic, NameError};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use serde::Serialize;

use crate::{
    catalog::CatalogError,
    data::{ArmsError, Refused, name::TargetError},
    queue::EnqueueError,
    routes::RouteError,
};

/// The body of every refusal.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// Stable, kebab-case.
    pub code: String,
    pub message: String,
    /// Why a deploy was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    /// What an ambiguous name may mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// Hashes of sources that have to be uploaded first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Parts of changes that a deploy asks about, such as `shop/12:b`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// A refusal.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    /// Boxed, since most answers are no refusals.
    detail: Box<ErrorDetail>,
    retry_after_s: Option<u64>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let detail = Box::new(ErrorDetail {
            code: code.to_owned(),
            message: message.into(),
            diagnostics: Vec::new(),
            candidates: Vec::new(),
            missing: Vec::new(),
            parts: Vec::new(),
            help: None,
        });
        Self { status, detail, retry_after_s: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }

    pub(super) fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(super) fn too_many(code: &str, message: impl Into<String>, retry_after_s: u64) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, code, message);
        Self { retry_after_s: Some(retry_after_s), ..error }
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> &str {
        &self.detail.code
    }

    /// Belay's own fault. The cause is logged here, once.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "the control plane failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
    }

    fn diagnostics(mut self, diagnostics: Vec<Diagnostic>) -> Self {
        self.detail.diagnostics = diagnostics;
        self
    }

    fn parts(mut self, parts: Vec<String>) -> Self {
        self.detail.parts = parts;
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.detail.help = Some(help.into());
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { error: *self.detail })).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What there is not.
fn unknown(error: &CatalogError) -> &'static str {
    match error {
        CatalogError::UnknownVersion { .. } => "unknown-version",
        CatalogError::UnknownFunction { .. } => "unknown-function",
        CatalogError::UnknownAlias { .. } => "unknown-alias",
        CatalogError::UnknownSecret { .. } => "unknown-secret",
        _ => "unknown-app",
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let message = error.to_string();
        match error {
            CatalogError::Refused(diagnostics) => {
                let code = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(code, "deploy-refused", message).diagnostics(diagnostics)
            }
            CatalogError::MissingBlobs(hashes) => {
                let mut missing = Self::new(StatusCode::CONFLICT, "missing-blobs", message)
                    .help("upload them with PUT /api/v1/blobs/{hash} and deploy again");
                missing.detail.missing = hashes.iter().map(ToString::to_string).collect();
                missing
            }
            CatalogError::UnknownApp { .. }
            | CatalogError::UnknownVersion { .. }
            | CatalogError::UnknownFunction { .. }
            | CatalogError::UnknownAlias { .. }
            | CatalogError::UnknownSecret { .. } => Self::not_found(unknown(&error), message),
            CatalogError::UnknownChange { app, .. } | CatalogError::NoChange { app, .. } => {
                Self::not_found("unknown-change", message)
                    .help(format!("`belay changes {app}` lists those that there are"))
            }
            CatalogError::UnknownPart { app, change, .. } => {
                Self::not_found("unknown-part", message)
                    .help(format!("`belay show {app}/{change}` lists its parts"))
            }
            CatalogError::UnknownProgram { app, .. } => Self::not_found("unknown-program", message)
                .help(format!("`belay changes {app}` lists the changes, and `belay show` the effective versions of one")),
            CatalogError::Rewoven { .. } => Self::new(StatusCode::CONFLICT, "rewoven", message)
                .help("`belay restore` what was taken back of it if it runs, or deploy again, or ask for a version by its number"),
            CatalogError::NotOneSource(diagnostic) => {
                let refused = Self::new(StatusCode::CONFLICT, "not-one-source", message);
                refused.diagnostics(vec![*diagnostic])
            }
            CatalogError::AllStays { app, from, .. } => {
                Self::new(StatusCode::CONFLICT, "all-stays", message).help(format!(
                    "`belay alias {app} live {from}` makes version {from} run again, as a whole"
                ))
            }
            CatalogError::NotLive { .. } => Self::new(StatusCode::CONFLICT, "not-live", message)
                .help("deploy the version that you want to go back to"),
            CatalogError::NotRunning { app, version, .. } => {
                Self::new(StatusCode::CONFLICT, "not-running", message)
                    .help(format!("`belay alias {app} live {version}` makes it run again"))
            }
            CatalogError::PartsGone { app, now, left, .. } => {
                let left: Vec<String> = left.iter().map(|(_, is)| is.to_string()).collect();
                Self::new(StatusCode::CONFLICT, "parts-gone", message)
                    .help(format!("name those that are left: {app}/{now}:{}", left.join(",")))
            }
            CatalogError::WayBackLost { app, change, parts } => {
                let lost = parts.iter().map(|part| format!("{app}/{change}:{part}")).collect();
                Self::new(StatusCode::CONFLICT, "way-back-lost", message)
                    .parts(lost)
                    .help("deploy with `--yes` if what runs of it is to stay")
            }
            CatalogError::ComesBack { parts } => {
                Self::new(StatusCode::CONFLICT, "comes-back", message)
                    .parts(parts)
                    .help("remove the tag, or deploy with `--yes` if it is to run again")
            }
            CatalogError::Invalid(_) => Self::bad_request(message),
            CatalogError::Contended => Self::new(StatusCode::CONFLICT, "contended", message),
            CatalogError::Store(error) => error.into(),
            CatalogError::Damaged { .. }
            | CatalogError::NewerFormat { .. }
            | CatalogError::BuildPanicked
            | CatalogError::Engine(_) => Self::internal(&error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", error.to_string())
            }
            StoreError::Closed => stopping(),
            _ => Self::internal(&error),
        }
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => {
                Self::new(StatusCode::CONFLICT, "contended", error.to_string())
            }
            CommitError::Store(error) => error.into(),
        }
    }
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        let message = error.to_string();
        match error {
            RouteError::Ambiguous { candidates, .. } => {
                let mut ambiguous = Self::new(StatusCode::CONFLICT, "ambiguous-function", message);
                ambiguous.detail.candidates = candidates;
                ambiguous
            }
            RouteError::UnknownFunction { .. } | RouteError::NotInVersion { .. } => {
                Self::not_found("unknown-function", message)
            }
            RouteError::UnknownVersion { .. } => Self::not_found("unknown-version", message),
            RouteError::UnknownAlias { .. } => Self::not_found("unknown-alias", message),
            RouteError::UnknownPart { .. } => Self::not_found("unknown-part", message),
            RouteError::Broken { .. } => Self::internal(&error),
        }
    }
}

impl From<ArmsError> for ApiError {
    fn from(error: ArmsError) -> Self {
        match error {
            ArmsError::Route(error) => error.into(),
            ArmsError::NotAllowed | ArmsError::Form | ArmsError::Queued => {
                Self::bad_request(error.to_string())
            }
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::FunctionBusy => "function-busy",
            Refused::NodeBusy => "server-busy",
            Refused::Disabled { seconds } => {
                let message = refused.to_string();
                let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "disabled", message);
                return Self { retry_after_s: Some(seconds), ..error };
            }
        };
        Self::too_many(code, refused.to_string(), 1)
    }
}

impl From<EnqueueError> for ApiError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Full => Self::too_many("queue-full", error.to_string(), 5),
            EnqueueError::Closed => stopping(),
            EnqueueError::Store(error) => error.into(),
        }
    }
}

impl From<TargetError> for ApiError {
    fn from(error: TargetError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::bad_request(error.to_string())
    }
}

fn stopping() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the server is stopping")
}
