//! Alerts: what happens more often than it did.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{ApiError, Control};
use crate::catalog::AlertRecord;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AlertList {
    /// Newest first, at most 1000; of each app the newest 100 are kept.
    alerts: Vec<AlertRecord>,
}

/// What happened more often than it did, of all apps.
#[utoipa::path(get, path = "/alerts", tag = "node", responses((status = 200, body = AlertList)))]
pub(super) async fn list(State(control): State<Control>) -> Result<Json<AlertList>, ApiError> {
    Ok(Json(AlertList { alerts: control.catalog.alerts().await? }))
}
