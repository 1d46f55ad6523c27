//! What the catalog refuses, and what can go wrong in it.

use std::{fmt::Display, sync::Arc};

use belay_engine::EngineError;
use belay_fabric::{CommitError, StoreError};
use belay_model::{AppName, Diagnostic, FunctionName, Hash, PartId, ProgramName, VersionNumber};

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The user's to mend; nothing was changed.
    #[error("the deploy is refused: {}", summary(.0))]
    Refused(Vec<Diagnostic>),
    /// The manifest names sources that were not uploaded.
    #[error("{} source(s) of the manifest were not uploaded", .0.len())]
    MissingBlobs(Vec<Hash>),
    #[error("there is no app {app}")]
    UnknownApp { app: AppName },
    #[error("app {app} has no version {version}")]
    UnknownVersion { app: AppName, version: VersionNumber },
    #[error("app {app} has no alias {alias:?}")]
    UnknownAlias { app: AppName, alias: String },
    #[error("app {app} has no function {function}")]
    UnknownFunction { app: AppName, function: FunctionName },
    #[error("app {app} has no secret {name:?}")]
    UnknownSecret { app: AppName, name: String },
    #[error("app {app} has no change {app}/{change}")]
    UnknownChange { app: AppName, change: VersionNumber },
    #[error(
        "version {version} of app {app} brought no change: nothing ran before it, or nothing differed"
    )]
    NoChange { app: AppName, version: VersionNumber },
    #[error("change {app}/{change} has no part {part}")]
    UnknownPart { app: AppName, change: VersionNumber, part: PartId },
    #[error("app {app} has no effective version {program}")]
    UnknownProgram { app: AppName, program: ProgramName },
    /// A Belay whose weaving was another one made it.
    #[error(
        "change {app}/{change} is cut into other parts by this Belay than by the one that made it"
    )]
    Rewoven { app: AppName, change: VersionNumber },
    /// What runs cannot be written as sources.
    #[error("{}", .0.message)]
    NotOneSource(Box<Diagnostic>),
    /// `from` is what ran before it.
    #[error("change {app}/{change} has no parts: all that it brought is tagged `@rollback never`")]
    AllStays { app: AppName, change: VersionNumber, from: VersionNumber },
    #[error("change {app}/{change} {state}: its parts cannot be switched any more")]
    NotLive { app: AppName, change: VersionNumber, state: &'static str },
    /// Its version is not live. `version` is the one whose change has the parts now.
    #[error("change {app}/{change} does not run, as version {version} is not live")]
    NotRunning { app: AppName, change: VersionNumber, version: VersionNumber },
    /// A command names parts that a later deploy touched. `left` are the others, and what they are in the change `now`.
    #[error(
        "of change {app}/{change}, {}{}; nothing was switched",
        settled_by_deploy(gone),
        gone_on(app, *now, left)
    )]
    PartsGone {
        app: AppName,
        change: VersionNumber,
        gone: Vec<PartId>,
        now: VersionNumber,
        left: Vec<(PartId, PartId)>,
    },
    #[error(
        "the deploy touches what change {app}/{change} brought ({}): taking that back would no longer be possible",
        parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    WayBackLost { app: AppName, change: VersionNumber, parts: Vec<PartId> },
    /// What was taken back would run again, and stay.
    #[error(
        "the deploy brings back what was taken back ({}), as an edit that stays: it is tagged `@rollback never`, or needed by one that is",
        parts.join(", ")
    )]
    ComesBack { parts: Vec<String> },
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    #[error("the record {key:?} of the catalog cannot be used: {reason}")]
    Damaged { key: String, reason: String },
    #[error(
        "the record {key:?} has format {found}, and this Belay knows formats up to {known}: use a newer Belay"
    )]
    NewerFormat { key: String, found: u32, known: u32 },
    #[error("the app is changed by too many at once; try again")]
    Contended,
    #[error("the build of the app broke down")]
    BuildPanicked,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why a function's image cannot be had. Cloned to everyone who waits for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the image of version {version} of app {app} cannot be loaded: {reason}")]
pub struct ImageError {
    pub app: AppName,
    pub version: VersionNumber,
    pub reason: Arc<str>,
}

impl CatalogError {
    pub(super) fn damaged(key: &str, reason: impl Display) -> Self {
        Self::Damaged { key: key.to_owned(), reason: reason.to_string() }
    }

    /// A commit whose conflicts the caller does not expect.
    pub(super) fn commit(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::Contended,
            CommitError::Store(error) => Self::Store(error),
        }
    }
}

fn settled_by_deploy(gone: &[PartId]) -> String {
    let parts = gone.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let verb = if gone.len() == 1 { "was" } else { "were" };
    format!("{parts} {verb} settled by a later deploy")
}

fn gone_on(app: &AppName, now: VersionNumber, left: &[(PartId, PartId)]) -> String {
    left.iter().map(|(part, is)| format!(", {part} goes on as {app}/{now}:{is}")).collect()
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    let first = diagnostics.first().map_or("", |diagnostic| diagnostic.message.as_str());
    match diagnostics.len() {
        0 | 1 => first.to_owned(),
        more => format!("{first} (and {} more)", more - 1),
    }
}
