//! `belay stats`: calls, failures and latencies, of everything or of one function.

use serde_json::Value;

use crate::{
    args::Stats, client::Client, commands::show, config::units, exit::CliResult, output::Output,
};

const HEADINGS: [&str; 9] =
    ["FUNCTION", "VERSION", "CALLS", "OK", "FAILED", "P50", "P99", "CPU", "PEAK MEMORY"];

pub(crate) async fn run(args: &Stats, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let answer = match &args.function {
        Some(function) => client.get(&["functions", &function.to_string(), "stats"], &[]).await?,
        None => client.get(&["stats"], &[]).await?,
    };
    output.json(&answer);
    let called = |item: &&Value| show::cell(item, "invocations") != "0";
    let rows: Vec<_> = show::items(&answer, "functions")
        .iter()
        .chain(show::items(&answer, "versions"))
        .filter(called)
        .map(row)
        .collect();
    if rows.is_empty() {
        output.line("nothing was called yet");
        return Ok(());
    }
    output.table(&HEADINGS, &rows);
    Ok(())
}

fn row(report: &Value) -> Vec<String> {
    let ms = |key: &str| report[key].as_f64().map(|ms| format!("{ms:.2} ms")).unwrap_or_default();
    let peak = report["peak_memory_bytes"].as_u64();
    vec![
        format!("{}.{}", show::text(report, "app"), show::text(report, "function")),
        show::cell(report, "version"),
        show::cell(report, "invocations"),
        show::cell(report, "ok"),
        failures(report),
        ms("p50_ms"),
        ms("p99_ms"),
        ms("cpu_ms"),
        peak.map(units::about_size).unwrap_or_default(),
    ]
}

/// `2 exception, 1 timeout`.
fn failures(report: &Value) -> String {
    let counts = report["failures"].as_object().into_iter().flatten();
    let told: Vec<_> = counts.map(|(category, count)| format!("{count} {category}")).collect();
    if told.is_empty() { "0".to_owned() } else { told.join(", ") }
}
