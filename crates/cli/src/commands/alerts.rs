//! `belay alerts`: what happened more often than it did.

use serde_json::Value;

use crate::{args::Alerts, client::Client, commands::show, exit::CliResult, output::Output};

pub(crate) async fn run(args: &Alerts, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let report = client.get(&["alerts"], &[]).await?;
    output.json(&report);
    let now = show::now_ms();
    let row = |alert: &Value| {
        let usual = alert["usual_percent"].as_f64().unwrap_or_default();
        vec![
            alert["at_ms"].as_u64().map(|then| show::ago(then, now)).unwrap_or_default(),
            format!("{}.{}", show::text(alert, "app"), show::text(alert, "function")),
            show::cell(alert, "what"),
            format!("{usual} %"),
            show::cell(alert, "change"),
        ]
    };
    let rows: Vec<_> = show::items(&report, "alerts").iter().map(row).collect();
    output.table(&["SINCE", "FUNCTION", "MORE OFTEN", "USUALLY AT MOST", "CHANGE"], &rows);
    Ok(())
}
