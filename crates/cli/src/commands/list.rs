//! `belay list`: the functions that are live, with their limits and where to call them.

use serde_json::Value;

use crate::{
    args::List, client::Client, commands::show, config::units, exit::CliResult, output::Output,
};

pub(crate) async fn run(args: &List, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let answer = client.list(&["functions"], "functions").await?;
    output.json(&answer);
    let rows: Vec<_> = show::items(&answer, "functions").iter().map(row).collect();
    if rows.is_empty() {
        output.line("nothing is deployed; `belay deploy PATH` does it");
        return Ok(());
    }
    output.table(&["FUNCTION", "VERSION", "MEMORY", "TIMEOUT", "ENVIRONMENT", "URL"], &rows);
    show::items(&answer, "functions").iter().filter_map(off).for_each(|line| output.line(line));
    Ok(())
}

/// A function that is off for a time, and why.
fn off(function: &Value) -> Option<String> {
    let until_ms = function["disabled"]["until_ms"].as_u64()?;
    let left = until_ms.saturating_sub(show::now_ms()).div_ceil(1_000).saturating_mul(1_000);
    let name = format!("{}.{}", show::text(function, "app"), show::text(function, "function"));
    let why = match function["disabled"]["change"].as_str() {
        Some(change) => format!(", as it depends on what was taken back of {change}"),
        None => String::new(),
    };
    let time = units::show_duration(left);
    Some(format!("{name} is off for {time}{why}; `belay enable {name}` has it on again"))
}

fn row(function: &Value) -> Vec<String> {
    let limits = &function["limits"];
    let limit =
        |key: &str, show: fn(u64) -> String| limits[key].as_u64().map(show).unwrap_or_default();
    vec![
        format!("{}.{}", show::text(function, "app"), show::text(function, "function")),
        show::cell(function, "version"),
        limit("memory_bytes", units::show_size),
        limit("timeout_ms", units::show_duration),
        show::cell(function, "environment"),
        show::cell(&function["urls"], "http"),
    ]
}
