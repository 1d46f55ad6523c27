//! `belay alerts`: what is not as usual.

use serde_json::Value;

use crate::{args::Alerts, client::Client, commands::show, exit::CliResult, output::Output};

pub(crate) async fn run(args: &Alerts, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let report = client.get(&["alerts"], &[]).await?;
    output.json(&report);
    let now = show::now_ms();
    let row = |alert: &Value| {
        let usual = match (alert["usual_percent"].as_f64(), alert["usual_per_second"].as_f64()) {
            (Some(percent), _) => format!("at most {percent} %"),
            (None, Some(rate)) => format!("{rate} in a second"),
            (None, None) => String::new(),
        };
        vec![
            alert["at_ms"].as_u64().map(|then| show::ago(then, now)).unwrap_or_default(),
            format!("{}.{}", show::text(alert, "app"), show::text(alert, "function")),
            show::cell(alert, "what"),
            usual,
            show::cell(alert, "change"),
        ]
    };
    let rows: Vec<_> = show::items(&report, "alerts").iter().map(row).collect();
    output.table(&["SINCE", "FUNCTION", "NOT AS USUAL", "USUALLY", "CHANGE"], &rows);
    Ok(())
}
