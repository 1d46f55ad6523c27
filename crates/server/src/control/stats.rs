//! Figures: of one function, of the whole node, and as Prometheus wants them.

use axum::{Json, extract::State, response::IntoResponse};
use belay_engine::Engine;
use belay_model::{AppName, EnvironmentName, FunctionName, FunctionRef, Qualifier, VersionNumber};
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::{ApiError, Control, ErrorBody, input::InPath};
use crate::{
    queue::QueueReading,
    telemetry::{
        FunctionStats, StatsReport,
        prometheus::{self, Gauge},
        stats::Totals,
    },
    trial,
};

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FunctionReport {
    app: AppName,
    function: FunctionName,
    /// Over all versions, since the server started.
    total: StatsReport,
    versions: Vec<VersionReport>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct VersionReport {
    app: AppName,
    function: FunctionName,
    version: VersionNumber,
    environment: EnvironmentName,
    #[serde(flatten)]
    stats: StatsReport,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct NodeReport {
    node: String,
    /// Invocations that run now.
    running: u32,
    queue: QueueReading,
    /// Images in memory.
    images_loaded: usize,
    /// Of every function version that was called since the server started.
    functions: Vec<VersionReport>,
}

impl VersionReport {
    fn of(stats: &FunctionStats) -> Self {
        let labels = &stats.labels;
        Self {
            app: labels.app.clone(),
            function: labels.function.clone(),
            version: labels.version,
            environment: labels.environment.clone(),
            stats: stats.report(),
        }
    }
}

/// The figures of a function.
#[utoipa::path(get, path = "/functions/{function}/stats", tag = "functions", params(("function" = String, Path)),
    responses((status = 200, body = FunctionReport), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(super) async fn function(
    State(control): State<Control>,
    InPath(name): InPath<String>,
) -> Result<Json<FunctionReport>, ApiError> {
    let function: FunctionRef = name.parse()?;
    let target = control.catalog.routes().load().find(&function, &Qualifier::Live)?;
    let (app, function) = (target.app.clone(), target.function.clone());
    let total = control.telemetry.totals(&app, &function).unwrap_or_else(Totals::default);
    let all = control.telemetry.all();
    let own = all.iter().filter(|s| s.labels.app == app && s.labels.function == function);
    let versions = own.map(|stats| VersionReport::of(stats)).collect();
    Ok(Json(FunctionReport { app, function, total: total.report(), versions }))
}

/// The figures of the whole node.
#[utoipa::path(get, path = "/stats", tag = "node", responses((status = 200, body = NodeReport)))]
pub(super) async fn node(State(control): State<Control>) -> Json<NodeReport> {
    let functions = control.telemetry.all();
    Json(NodeReport {
        node: control.telemetry.node().to_owned(),
        running: control.invoker.running(),
        queue: control.queue.reading(),
        images_loaded: control.catalog.images().loaded(),
        functions: functions.iter().map(|stats| VersionReport::of(stats)).collect(),
    })
}

/// All figures in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "node",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(control): State<Control>) -> impl IntoResponse {
    let mut text = prometheus::render(&control.telemetry, &gauges(&control));
    text.push_str(&super::transactions::metrics(&control.catalog.routes().load()));
    text.push_str(&trial::metrics(&control.catalog.routes().load(), &control.reports));
    text.push_str(&control.telemetry.decisions.render());
    ([(CONTENT_TYPE, prometheus::CONTENT_TYPE)], text)
}

fn gauges(control: &Control) -> Vec<Gauge> {
    let (queue, engine) = (control.queue.reading(), control.executor.reading());
    let images = control.catalog.images().loaded() as u64;
    let running = u64::from(control.invoker.running());
    let routes = control.catalog.routes().load();
    let readings = routes.apps().map(|app| app.shared.tapes.reading());
    let (tapes, tape_bytes) =
        readings.fold((0, 0), |(tapes, bytes), (more, longer)| (tapes + more, bytes + longer));
    let engines = control.catalog.engines().opened();
    let sum = |of: &dyn Fn(&Engine) -> usize| engines.iter().map(of).sum::<usize>() as u64;
    vec![
        Gauge::now("belay_running", "Invocations that run now.", running),
        Gauge::now("belay_queue_events", "Events that wait or run.", queue.events),
        Gauge::now("belay_dead_letters", "Events whose retries are used up.", queue.dead_letters),
        Gauge::counter(
            "belay_events_dropped_total",
            "Events dropped because their app was gone.",
            queue.dropped_total,
        ),
        Gauge::now("belay_steps_waiting", "Steps that wait for a thread.", engine.waiting as u64),
        Gauge::counter("belay_steps_long_total", "Steps that ran long.", engine.long_total),
        Gauge::now("belay_images_loaded", "Function images in memory.", images),
        Gauge::now("belay_images_ready", "… of them ready to run.", sum(&|e| e.resident().0)),
        Gauge::now("belay_images_ready_bytes", "What those hold.", sum(&|e| e.resident().1)),
        Gauge::now("belay_slots", "Memories for instances.", sum(&|e| e.pool_stats().slots)),
        Gauge::now("belay_slots_in_use", "… of them in use.", sum(&|e| e.pool_stats().in_use)),
        Gauge::counter(
            "belay_judge_unheard_total",
            "Requests that the judge could not hear of.",
            control.invoker.unheard(),
        ),
        Gauge::now("belay_tapes", "Recorded requests.", tapes as u64),
        Gauge::now("belay_tapes_bytes", "What those hold.", tape_bytes as u64),
        Gauge::counter(
            "belay_log_lines_dropped_total",
            "Log lines that did not reach the files.",
            control.logs.dropped(),
        ),
    ]
}
