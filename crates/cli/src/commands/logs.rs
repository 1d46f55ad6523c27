//! `belay logs`: what a function logged, and with `--follow` what it goes on to log.

use anstyle::Style;
use futures_util::StreamExt;
use serde_json::Value;

use crate::{
    args::Logs,
    client::Client,
    commands::{invoke::log_line, show},
    exit::{CliError, CliResult, Exit},
    output::{BAD, DIM, LINK, Output, WARN, styled},
};

pub(crate) async fn run(args: &Logs, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let function = args.function.to_string();
    let path = ["functions", &function, "logs"];
    let limit = args.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(args.request.iter().map(|id| ("request_id", id.as_str())));
    if args.follow {
        query.push(("follow", "true"));
        return follow(&client, &path, &query, output).await;
    }
    let answer = client.get(&path, &query).await?;
    output.json(&answer);
    show::items(&answer, "logs").iter().for_each(|line| output.line(line_of(line)));
    Ok(())
}

/// The answer is a line of JSON for each line of log, without an end.
async fn follow(
    client: &Client,
    path: &[&str],
    query: &[(&str, &str)],
    output: Output,
) -> CliResult {
    let mut chunks = client.stream(path, query).await?.bytes_stream();
    let mut pending = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let broke = |error: reqwest::Error| {
            CliError::new(Exit::Unreachable, "connection", "the server went away").because(&error)
        };
        pending.extend_from_slice(&chunk.map_err(broke)?);
        while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            if let Ok(line) = serde_json::from_slice::<Value>(&line) {
                output.json(&line);
                output.line(line_of(&line));
            }
        }
    }
    Ok(())
}

fn line_of(line: &Value) -> String {
    let request: String = show::text(line, "request_id").chars().take(8).collect();
    format!("{} {}", styled(DIM, request), log_line(line))
}

pub(super) fn colour(level: &str) -> Style {
    match level {
        "error" => BAD,
        "warn" => WARN,
        "info" => LINK,
        _ => DIM,
    }
}
