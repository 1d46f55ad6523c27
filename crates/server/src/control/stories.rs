//! The story of a change: what was decided, by what evidence, and what is known now.

use axum::{Json, extract::State};
use belay_govern::{Command, Entry, Event};
use belay_model::{AppName, VersionNumber};
use serde::Serialize;

use super::{ApiError, Control, ErrorBody, flips::ChangeInfo, input::InPath};
use crate::{catalog::find_change, trial::TrialReport};

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Story {
    #[serde(flatten)]
    info: ChangeInfo,
    /// Oldest first.
    decisions: Vec<Entry>,
    /// What is compared now, while it is on trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<TrialReport>,
}

/// What was decided of a change, oldest first, and what is known of it now.
#[utoipa::path(get, path = "/apps/{app}/changes/{change}/story", tag = "changes",
    params(("app" = String, Path), ("change" = u32, Path)),
    responses((status = 200, body = Story), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(control): State<Control>,
    InPath((app, change)): InPath<(AppName, VersionNumber)>,
) -> Result<Json<Story>, ApiError> {
    let routes = control.catalog.app(&app)?;
    let record = find_change(&routes, change)?;
    let info = ChangeInfo::of(&routes, record);
    let decisions = control.catalog.decisions(&app, change).await?;
    let on_trial = routes.running_change().is_some_and(|running| {
        running.version == change && running.life.as_ref().is_some_and(|it| !it.groups.is_empty())
    });
    let trial = control.reports.of(&app, change.get()).filter(|_| on_trial);
    Ok(Json(Story { info, decisions, trial }))
}

/// Has all requests run a change that some run: what is left of its ramp is skipped.
#[utoipa::path(post, path = "/apps/{app}/changes/{change}/promote", tag = "changes",
    params(("app" = String, Path), ("change" = u32, Path)),
    responses((status = 200, body = ChangeInfo), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The change is not the one that runs")))]
pub(super) async fn promote(
    State(control): State<Control>,
    InPath((app, change)): InPath<(AppName, VersionNumber)>,
) -> Result<Json<ChangeInfo>, ApiError> {
    let (catalog, name) = (control.catalog.clone(), app.clone());
    let event = Event::Asked(Command::Promote);
    let promote = async move { control.catalog.ask(&name, change, event).await };
    let record = control.changes.make(promote).await?;
    let routes = catalog.app(&app)?;
    Ok(Json(ChangeInfo::of(&routes, &record)))
}
