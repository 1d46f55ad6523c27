//! The node itself: is it there, what can it run, and what is this API.

use axum::{Json, extract::State};
use belay_engine::Engine;
use belay_model::EnvironmentName;
use serde::Serialize;
use utoipa::openapi::OpenApi;

use super::{Control, router::document};

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
    /// Of the server.
    version: &'static str,
    environments: Vec<EnvironmentName>,
    /// Where functions are called.
    data_plane: String,
}

/// Whether the server is there, and what it can run. Needs no token.
#[utoipa::path(get, path = "/health", tag = "node", responses((status = 200, body = Health)))]
pub(super) async fn health(State(control): State<Control>) -> Json<Health> {
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        environments: Engine::environments(),
        data_plane: control.data_plane.to_string(),
    })
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "node", responses((status = 200, body = Object)))]
pub(super) async fn openapi() -> Json<OpenApi> {
    Json(document())
}
