//! `belay versions`: the versions of an app, as the server lists them.

use serde_json::Value;

use crate::{args::Versions, client::Client, commands::show, exit::CliResult, output::Output};

pub(crate) async fn run(args: &Versions, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let answer = client.list(&["apps", args.app.as_str(), "versions"], "versions").await?;
    output.json(&answer);
    let now = show::now_ms();
    let rows: Vec<_> = show::items(&answer, "versions").iter().map(|item| row(item, now)).collect();
    output.table(&["VERSION", "LIVE", "ALIASES", "CREATED", "FUNCTIONS"], &rows);
    Ok(())
}

fn row(version: &Value, now: u64) -> Vec<String> {
    vec![
        show::cell(version, "version"),
        if version["live"] == true { "live".to_owned() } else { String::new() },
        show::words(version, "aliases"),
        version["created_ms"].as_u64().map(|then| show::ago(then, now)).unwrap_or_default(),
        show::words(version, "functions"),
    ]
}
