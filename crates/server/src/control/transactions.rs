//! Transactions: how each id fares, what became of the last ones, and why.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use axum::{Json, extract::State};
use belay_mirror::{Became, Book, BreakerState, Known, Story};
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
    overhead: OverheadReport,
    avoided: AvoidedReport,
    /// The last ones, newest first.
    #[schema(value_type = Vec<Object>)]
    stories: Vec<Value>,
}

/// What it takes to look ahead, on average of the transactions that are remembered. Milliseconds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct OverheadReport {
    /// What one mirror takes of the machine: its CPU time, databases and kv.
    mirror_ms: Option<f64>,
    /// What a transaction waits for its forecast.
    waited_ms: Option<f64>,
    /// What all mirrors have taken since the server started, if those that are forgotten were like the others.
    total_ms: Option<f64>,
}

/// What looking ahead has brought to the transactions that are remembered.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AvoidedReport {
    /// Transactions that are remembered, and those of them about which something was done.
    of: u64,
    acted: u64,
    /// Of the latter, those that were called a failure, and were committed then.
    committed: u64,
    /// How many of these would have failed, as the precision of the forecasts says; nothing where that is not known.
    failures: Option<f64>,
    /// What all that was done was expected to save. Milliseconds, and failures in what they are worth.
    saved_ms: f64,
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
    let stories = book.stories(|story| story.id == id, usize::MAX);
    let report = report(&app, id, &known);
    Ok(Json(TransactionStory {
        overhead: overhead(&stories, report.mirrored),
        avoided: avoided(&stories, report.quality.precision),
        report,
        stories: stories.iter().take(STORIES).map(|it| told(&app, it)).collect(),
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

fn overhead(stories: &[Arc<Story>], mirrored: u64) -> OverheadReport {
    let mirrors = stories.iter().filter_map(|story| story.mirror.as_ref());
    let mirror_ms = mean(mirrors.map(|mirror| mirror.cost_ms()));
    let forecasts = stories.iter().filter_map(|story| story.forecast.as_ref());
    OverheadReport {
        mirror_ms,
        waited_ms: mean(forecasts.map(|forecast| forecast.waited_ms)),
        total_ms: mirror_ms.map(|each_ms| each_ms * float(mirrored)),
    }
}

fn avoided(stories: &[Arc<Story>], precision: Option<f64>) -> AvoidedReport {
    let acted = || stories.iter().filter(|story| !story.choices.is_empty());
    let called = |story: &&Arc<Story>| {
        let called = story.forecast.as_ref().is_some_and(|it| it.forecast.is_called());
        called && story.became == Became::Committed
    };
    let committed = acted().filter(called).count() as u64;
    AvoidedReport {
        of: stories.len() as u64,
        acted: acted().count() as u64,
        committed,
        failures: precision.map(|precision| precision * float(committed)),
        // Of none it is 0, which `sum` would have as -0.
        saved_ms: acted().fold(0.0, |sum, story| sum + story.saved_ms),
    }
}

/// Nothing of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// What one reading of a transaction is.
type Reading = fn(&TransactionReport) -> Option<f64>;

/// Name, kind, help and reading of each series.
const SERIES: [(&str, &str, &str, Reading); 18] = [
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
    (
        "belay_transactions_waited_total",
        "counter",
        "Held back until others that write the same were done.",
        |it| count(it.waited),
    ),
    (
        "belay_transactions_adjusted_total",
        "counter",
        "Given more time, more attempts or more memory.",
        |it| count(it.adjusted),
    ),
    ("belay_transactions_called_total", "counter", "Forecasts of a failure.", |it| {
        count(it.called)
    }),
    ("belay_transactions_mirrored_total", "counter", "Transactions with a mirror.", |it| {
        count(it.mirrored)
    }),
    (
        "belay_transactions_unmodelled_total",
        "counter",
        "Mirrors that came upon something that is not modelled.",
        |it| count(it.unmodelled),
    ),
    (
        "belay_transactions_diverged_total",
        "counter",
        "Mirrors that have done something else than what they ran ahead of.",
        |it| count(it.diverged),
    ),
    ("belay_transaction_sampled_ratio", "gauge", "The share that is mirrored.", |it| {
        Some(it.sampled)
    }),
    ("belay_transaction_mirror_seconds", "gauge", "What a mirror takes of the machine.", |it| {
        Some(it.cost_ms / 1e3)
    }),
    (
        "belay_transaction_forecast_trusted",
        "gauge",
        "1, or 0 where forecasts are worse than knowing how often it fails: nothing is done about them.",
        |it| Some(f64::from(u8::from(it.quality.trusted))),
    ),
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
    (
        "belay_transaction_forecast_brier_of_rate",
        "gauge",
        "Brier's score of knowing only how often it fails.",
        |it| it.quality.brier.map(|[_, of_rate]| of_rate),
    ),
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
    calibration(&all, &mut text);
    text
}

/// How often failures came, by tenths of what was said.
fn calibration(all: &[TransactionReport], text: &mut String) {
    let name = "belay_transaction_forecast_calibration_ratio";
    let help = "How often transactions failed of which this was said, by tenths.";
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for TransactionReport { app, id, quality, .. } in all {
        let seen = quality.calibration.iter().map(|(said, came)| (tenth(*said), came));
        // Each series once, whatever is lost to rounding.
        for (tenth, came) in seen.collect::<BTreeMap<_, _>>() {
            let labels = format!("app=\"{app}\",transaction=\"{id}\",said=\"{tenth}\"");
            let _ = writeln!(text, "{name}{{{labels}}} {came}");
        }
    }
}

/// Where one begins, such as `0.3`. What is a mean of its tenth may be a little below it.
fn tenth(said: f64) -> String {
    let tenth = (said * 10.0 + 1e-6).floor().clamp(0.0, 9.0) / 10.0;
    format!("{tenth:.1}")
}

fn count(count: u64) -> Option<f64> {
    Some(float(count))
}

fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = count as f64;
    count
}

#[cfg(test)]
mod tests {
    use belay_mirror::{Action, Choice, Forecast, Foreseen, Mirrored};

    use super::*;

    fn reported(calibration: Vec<(f64, f64)>) -> TransactionReport {
        let (app, id) = ("bank".parse().unwrap(), "transfer".parse().unwrap());
        let mut report = report(&app, id, &Known::default());
        report.quality.calibration = calibration;
        report
    }

    #[test]
    fn calibration_is_a_series_for_each_tenth() {
        let mut text = String::new();
        calibration(
            &[reported(vec![(0.04, 0.5), (0.299_999_999_9, 0.25), (1.0, 0.75)])],
            &mut text,
        );
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let series =
            "belay_transaction_forecast_calibration_ratio{app=\"bank\",transaction=\"transfer\"";
        let of = |said: &str, came: &str| format!("{series},said=\"{said}\"}} {came}");
        assert_eq!(samples, [of("0.0", "0.5"), of("0.3", "0.25"), of("0.9", "0.75")]);
    }

    #[test]
    fn whether_forecasts_are_trusted_is_a_series() {
        let found = SERIES.iter().find(|(name, ..)| *name == "belay_transaction_forecast_trusted");
        let (.., reading) = found.unwrap();
        let mut report = reported(Vec::new());
        assert_eq!(reading(&report), Some(1.0));
        report.quality.trusted = false;
        assert_eq!(reading(&report), Some(0.0));
    }

    /// Something was done about it.
    fn diverted(probability: f64, became: Became) -> Story {
        let forecast = Forecast { probability, reasons: Vec::new(), trusted: true };
        Story {
            id: "transfer".parse().unwrap(),
            request: "r".to_owned(),
            way: "later".to_owned(),
            became,
            took_ms: 4.0,
            waited_ms: 0.0,
            attempts: Vec::new(),
            effects: Vec::new(),
            mirror: Some(Mirrored { cpu_ms: 2.0, ..Mirrored::default() }),
            forecast: Some(Foreseen { at_ms: 1.0, waited_ms: 0.5, forecast }),
            choices: vec![Choice { action: Action::Divert, cost_ms: 10.0 }],
            saved_ms: 100.0,
            earned_ms: 0.0,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn failures_avoided_were_called_and_committed_after_something_was_done() {
        let let_go = Story {
            mirror: None,
            choices: Vec::new(),
            saved_ms: 0.0,
            ..diverted(0.9, Became::Committed)
        };
        let stories = [
            diverted(0.9, Became::Committed),
            diverted(0.9, Became::Failed),
            diverted(0.1, Became::Committed),
            let_go,
        ];
        let stories = stories.map(Arc::new);
        let told = avoided(&stories, Some(0.5));
        assert_eq!((told.of, told.acted, told.committed), (4, 3, 1));
        assert_eq!((told.failures, told.saved_ms), (Some(0.5), 300.0));
        let told = overhead(&stories, 10);
        let figures = (told.mirror_ms, told.waited_ms, told.total_ms);
        assert_eq!(figures, (Some(2.0), Some(0.5), Some(20.0)));
    }

    #[test]
    fn without_any_that_is_remembered_nothing_is_made_up() {
        let overhead = overhead(&[], 7);
        assert_eq!((overhead.mirror_ms, overhead.waited_ms, overhead.total_ms), (None, None, None));
        let avoided = avoided(&[], None);
        assert_eq!((avoided.of, avoided.acted, avoided.failures), (0, 0, None));
        assert!(avoided.saved_ms.is_sign_positive());
    }
}
