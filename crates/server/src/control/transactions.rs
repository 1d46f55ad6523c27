//! Transactions: how each id fares, what became of the last ones, and why.

use std::fmt::Write as _;

use axum::{Json, extract::State};
use belay_mirror::{Book, BreakerState, Known, Story};
use belay_model::{AppName, TransactionName};
use serde::Serialize;
use serde_json::Value;

use super::{ApiError, Control, ErrorBody, input::InPath};
use crate::routes::Routes;

/// Stories of one answer.
const STORIES: usize = 50;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TransactionList {
    transactions: Vec<TransactionReport>,
    services: Vec<ServiceReport>,
}

/// One transaction id, since the server started.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TransactionReport {
    app: AppName,
    id: TransactionName,
    begun: u64,
    committed: u64,
    failed: u64,
    /// Attempts beyond the first of each.
    retried: u64,
    /// Sent another way before they could fail.
    diverted: u64,
    adjusted: u64,
    /// Forecasts of a failure.
    called: u64,
    /// Mirrors that ran, and those that came upon something that is not modelled.
    mirrored: u64,
    unmodelled: u64,
    /// Mirrors that have done something else than what they ran ahead of.
    diverged: u64,
    /// Held back until others that write the same were done.
    waited: u64,
    /// The share of first attempts that meet a conflict. 0 to 1.
    conflicts: f64,
    /// The share that is mirrored. 0 to 1.
    sampled: f64,
    /// What an attempt takes, on average. Milliseconds.
    usual_ms: f64,
    /// What mirrors cost in CPU time and what forecasts save, on average of those that are mirrored. Milliseconds.
    cost_ms: f64,
    saved_ms: f64,
    quality: QualityReport,
}

/// How good forecasts are; older ones count less.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct QualityReport {
    /// Not so where it would be better to know only how often the transaction fails: then nothing is done about them.
    trusted: bool,
    outcomes: f64,
    /// Of those called failures, the share that were; of the failures, the share that was called.
    precision: Option<f64>,
    recall: Option<f64>,
    /// Brier's score, and that of knowing only how often it fails. Less is better.
    brier: Option<[f64; 2]>,
    lead_ms: Option<f64>,
    /// What was said, and how often it came.
    calibration: Vec<(f64, f64)>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ServiceReport {
    app: AppName,
    service: String,
    /// What half of the calls take at most. Milliseconds.
    usual_ms: Option<f64>,
    /// The share of calls that fail.
    failing: f64,
    /// `closed`, `open` (it is left alone) or `half_open` (it is tried).
    breaker: &'static str,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TransactionStory {
    #[serde(flatten)]
    report: TransactionReport,
    /// The last ones, newest first.
    #[schema(value_type = Vec<Object>)]
    stories: Vec<Value>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RequestStories {
    /// Those of one request, newest first.
    #[schema(value_type = Vec<Object>)]
    stories: Vec<Value>,
}

/// Transactions of all apps.
#[utoipa::path(get, path = "/transactions", tag = "transactions",
    responses((status = 200, body = TransactionList)))]
pub(super) async fn list(State(control): State<Control>) -> Json<TransactionList> {
    let (mut transactions, mut services) = (Vec::new(), Vec::new());
    for app in control.catalog.routes().load().apps() {
        let name = &app.shared.app;
        let book: &Book = &app.shared.transactions;
        transactions.extend(book.ids().into_iter().map(|(id, known)| report(name, id, &known)));
        services.extend(book.services().into_iter().map(|(service, usual_ms, failing, state)| {
            let breaker = match state {
                BreakerState::Closed => "closed",
                BreakerState::Open => "open",
                BreakerState::HalfOpen => "half_open",
            };
            ServiceReport { app: name.clone(), service, usual_ms, failing, breaker }
        }));
    }
    Json(TransactionList { transactions, services })
}

/// One transaction id of an app, with the last ones.
#[utoipa::path(get, path = "/transactions/{app}/{id}", tag = "transactions",
    params(("app" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = TransactionStory), (status = 404, body = ErrorBody)))]
pub(super) async fn show(
    State(control): State<Control>,
    InPath((app, id)): InPath<(String, String)>,
) -> Result<Json<TransactionStory>, ApiError> {
    let (app, id): (AppName, TransactionName) = (app.parse()?, id.parse()?);
    let routes = control.catalog.routes().load();
    let found = routes
        .app(&app)
        .ok_or_else(|| ApiError::not_found("unknown-app", format!("there is no app {app}")))?;
    let book: &Book = &found.shared.transactions;
    let known = book.ids().into_iter().find(|(known, _)| *known == id);
    let (id, known) = known.ok_or_else(|| {
        let message = format!("no transaction {id} of {app} has begun since the server started");
        ApiError::not_found("unknown-transaction", message)
    })?;
    let stories = book.stories(|story| story.id == id, STORIES);
    let report = report(&app, id, &known);
    Ok(Json(TransactionStory {
        report,
        stories: stories.iter().map(|it| told(&app, it)).collect(),
    }))
}

/// The transactions of one request, as far as they are remembered.
#[utoipa::path(get, path = "/requests/{request}/transactions", tag = "transactions",
    params(("request" = String, Path)), responses((status = 200, body = RequestStories)))]
pub(super) async fn of_request(
    State(control): State<Control>,
    InPath(request): InPath<String>,
) -> Json<RequestStories> {
    let routes = control.catalog.routes().load();
    let stories = routes.apps().flat_map(|app| {
        let of_request = |story: &Story| story.request == request;
        let found = app.shared.transactions.stories(of_request, STORIES);
        found.into_iter().map(|story| told(&app.shared.app, &story)).collect::<Vec<_>>()
    });
    Json(RequestStories { stories: stories.collect() })
}

fn told(app: &AppName, story: &Story) -> Value {
    let mut told = serde_json::json!(story);
    told["app"] = app.as_str().into();
    told
}

fn report(app: &AppName, id: TransactionName, known: &Known) -> TransactionReport {
    let (counts, quality) = (known.counts, known.forecaster.quality());
    TransactionReport {
        app: app.clone(),
        id,
        begun: counts.begun,
        committed: counts.committed,
        failed: counts.failed,
        retried: counts.retried,
        diverted: counts.diverted,
        adjusted: counts.adjusted,
        called: counts.called,
        mirrored: counts.mirrored,
        unmodelled: counts.unmodelled,
        diverged: counts.diverged,
        waited: counts.waited,
        conflicts: known.conflicts,
        sampled: known.sampled,
        usual_ms: known.usual_ms,
        cost_ms: known.cost_ms,
        saved_ms: known.saved_ms,
        quality: QualityReport {
            trusted: quality.is_trusted(),
            outcomes: quality.outcomes(),
            precision: quality.precision(),
            recall: quality.recall(),
            brier: quality.brier(),
            lead_ms: quality.lead_ms(),
            calibration: quality.calibration().collect(),
        },
    }
}

/// What one reading of a transaction is.
type Reading = fn(&TransactionReport) -> Option<f64>;

/// Name, kind, help and reading of each series.
const SERIES: [(&str, &str, &str, Reading); 11] = [
    ("belay_transactions_committed_total", "counter", "Transactions that were committed.", |it| {
        count(it.committed)
    }),
    ("belay_transactions_failed_total", "counter", "Transactions that failed.", |it| {
        count(it.failed)
    }),
    ("belay_transactions_retried_total", "counter", "Attempts beyond the first of each.", |it| {
        count(it.retried)
    }),
    (
        "belay_transactions_diverted_total",
        "counter",
        "Sent another way before they could fail.",
        |it| count(it.diverted),
    ),
    ("belay_transactions_mirrored_total", "counter", "Transactions with a mirror.", |it| {
        count(it.mirrored)
    }),
    (
        "belay_transactions_unmodelled_total",
        "counter",
        "Mirrors that came upon something that is not modelled.",
        |it| count(it.unmodelled),
    ),
    ("belay_transaction_sampled_ratio", "gauge", "The share that is mirrored.", |it| {
        Some(it.sampled)
    }),
    (
        "belay_transaction_forecast_precision",
        "gauge",
        "Of those called failures, the share that were.",
        |it| it.quality.precision,
    ),
    (
        "belay_transaction_forecast_recall",
        "gauge",
        "Of the failures, the share that was called.",
        |it| it.quality.recall,
    ),
    ("belay_transaction_forecast_brier", "gauge", "Brier's score of the forecasts.", |it| {
        it.quality.brier.map(|[own, _]| own)
    }),
    ("belay_transaction_forecast_lead_seconds", "gauge", "From a forecast to the failure.", |it| {
        it.quality.lead_ms.map(|ms| ms / 1e3)
    }),
];

/// Transactions as Prometheus metrics: what became of them, and how good their forecasts were.
pub(super) fn metrics(routes: &Routes) -> String {
    let reports = routes.apps().flat_map(|app| {
        let known = app.shared.transactions.ids().into_iter();
        known.map(|(id, known)| report(&app.shared.app, id, &known)).collect::<Vec<_>>()
    });
    let mut all: Vec<_> = reports.collect();
    all.sort_by(|one, other| (&one.app, &one.id).cmp(&(&other.app, &other.id)));
    let mut text = String::new();
    for (name, kind, help, reading) in SERIES {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for report in &all {
            let Some(value) = reading(report) else { continue };
            let (app, id) = (&report.app, &report.id);
            let _ = writeln!(text, "{name}{{app=\"{app}\",transaction=\"{id}\"}} {value}");
        }
    }
    text
}

fn count(count: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = count as f64;
    Some(count)
}
