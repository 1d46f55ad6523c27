//! `belay tx`: transactions, what was foreseen of them, and what was done about it.

use serde_json::Value;

use super::show::{cell, items, text};
use crate::{args::TxAction, client::Client, exit::CliResult, output::Output};

pub(crate) async fn run(action: &TxAction, output: Output) -> CliResult {
    match action {
        TxAction::List { server } => {
            let report = Client::new(server)?.get(&["transactions"], &[]).await?;
            output.json(&report);
            list(&report, output);
        }
        TxAction::Show { id: (app, id), server } => {
            let path = ["transactions", app.as_str(), id.as_str()];
            let report = Client::new(server)?.get(&path, &[]).await?;
            output.json(&report);
            show(&report, output);
        }
        TxAction::Explain { request, server } => {
            let path = ["requests", request, "transactions"];
            let report = Client::new(server)?.get(&path, &[]).await?;
            output.json(&report);
            let stories = items(&report, "stories");
            stories.iter().rev().for_each(|story| explain(story, output));
            if stories.is_empty() {
                output.line("no transaction of this request is remembered");
            }
        }
    }
    Ok(())
}

/// Of forecasts about which nothing is done.
const UNTRUSTED: &str = "not trusted: worse than knowing how often it fails";

fn list(report: &Value, output: Output) {
    let transactions = items(report, "transactions");
    let row = |it: &Value| {
        vec![
            format!("{}/{}", text(it, "app"), text(it, "id")),
            cell(it, "begun"),
            cell(it, "committed"),
            cell(it, "failed"),
            cell(it, "retried"),
            cell(it, "diverted"),
            percent(&it["sampled"]),
            ms(&it["usual_ms"]),
            format!("{} / {}", ms(&it["cost_ms"]), ms(&it["saved_ms"])),
            percent(&it["quality"]["precision"]),
            percent(&it["quality"]["recall"]),
            trust(&it["quality"]).to_owned(),
        ]
    };
    let rows: Vec<_> = transactions.iter().map(row).collect();
    let head = [
        "TRANSACTION",
        "BEGUN",
        "COMMITTED",
        "FAILED",
        "RETRIED",
        "DIVERTED",
        "MIRRORED",
        "USUALLY",
        "COSTS / SAVES",
        "PRECISION",
        "RECALL",
        "FORECASTS",
    ];
    output.table(&head, &rows);
    if transactions.iter().any(|it| it["quality"]["trusted"] == false) {
        output.line("");
        output.line(format!("{UNTRUSTED}, so nothing is done about them"));
    }
    services(items(report, "services"), output);
}

fn services(services: &[Value], output: Output) {
    if services.is_empty() {
        return;
    }
    output.line("");
    let row = |it: &Value| {
        vec![
            format!("{} ({})", text(it, "service"), text(it, "app")),
            ms(&it["usual_ms"]),
            percent(&it["failing"]),
            match text(it, "breaker") {
                "open" => "left alone".to_owned(),
                "half_open" => "being tried".to_owned(),
                _ => String::new(),
            },
        ]
    };
    let rows: Vec<_> = services.iter().map(row).collect();
    output.table(&["SERVICE", "USUALLY", "FAILS", ""], &rows);
}

fn show(report: &Value, output: Output) {
    let quality = &report["quality"];
    output.line(format!("transaction {}/{}", text(report, "app"), text(report, "id")));
    for (name, value) in [
        ("begun", cell(report, "begun")),
        ("committed", cell(report, "committed")),
        ("failed", cell(report, "failed")),
        ("retried", cell(report, "retried")),
        ("diverted", cell(report, "diverted")),
        ("waited", cell(report, "waited")),
        ("adjusted", cell(report, "adjusted")),
        ("conflicts", percent(&report["conflicts"])),
        ("mirrored", mirrored(report)),
        ("not modelled", cell(report, "unmodelled")),
        ("diverged", cell(report, "diverged")),
        ("overhead", overhead(&report["overhead"])),
        ("called a failure", cell(report, "called")),
        ("failures avoided", avoided(&report["avoided"])),
        ("saved", saved(&report["avoided"])),
        (
            "precision, recall",
            format!("{}, {}", known(&quality["precision"]), known(&quality["recall"])),
        ),
        ("Brier's score", brier(&quality["brier"])),
        ("lead time", ms(&quality["lead_ms"])),
    ] {
        output.line(format!("  {name:<18}{value}").trim_end());
    }
    for (at, tenth) in items(quality, "calibration").iter().enumerate() {
        let name = if at == 0 { "calibration" } else { "" };
        let (said, came) = (percent(&tenth[0]), percent(&tenth[1]));
        output.line(format!("  {name:<18}said {said:>5}, came {came:>5}"));
    }
    if quality["trusted"] == false {
        output.line(format!("  its forecasts are {UNTRUSTED}, so nothing is done about them"));
    }
    last(items(report, "stories"), output);
}

/// What became of the last ones.
fn last(stories: &[Value], output: Output) {
    let row = |story: &Value| {
        let choices: Vec<_> =
            items(story, "choices").iter().map(|it| words(text(it, "action"))).collect();
        vec![
            text(story, "request").to_owned(),
            text(story, "became").to_owned(),
            text(story, "way").to_owned(),
            ms(&story["took_ms"]),
            items(story, "attempts").len().to_string(),
            percent(&story["forecast"]["probability"]),
            choices.join(", "),
        ]
    };
    let rows: Vec<_> = stories.iter().take(20).map(row).collect();
    output.line("");
    output
        .table(&["REQUEST", "BECAME", "WAY", "TOOK", "UNDONE", "FORECAST", "DONE ABOUT IT"], &rows);
}

fn explain(story: &Value, output: Output) {
    output.line(format!(
        "{}/{} {} by {} in {}",
        text(story, "app"),
        text(story, "id"),
        text(story, "became"),
        text(story, "way"),
        ms(&story["took_ms"]),
    ));
    if positive(&story["waited_ms"]) {
        let waited = ms(&story["waited_ms"]);
        output.line(format!("  of that {waited} for others that write the same"));
    }
    for attempt in items(story, "attempts") {
        let what = ["what", "message", "criterion", "was"].map(|key| text(attempt, key)).concat();
        let reasons: Vec<_> = items(attempt, "reasons").iter().filter_map(Value::as_str).collect();
        output.line(format!(
            "  attempt {} {} after {}: {what}{}",
            cell(attempt, "number"),
            words(text(attempt, "ended")),
            ms(&attempt["took_ms"]),
            reasons.join("; "),
        ));
    }
    foreseen(&story["forecast"], output);
    for warning in items(story, "warnings").iter().filter_map(Value::as_str) {
        output.line(format!("  warning: {warning}"));
    }
    for choice in items(story, "choices") {
        let (action, cost) = (words(text(choice, "action")), ms(&choice["cost_ms"]));
        output.line(format!("  done about it: {action}, expected to cost {cost}"));
    }
    if positive(&story["saved_ms"]) {
        let saved = ms(&story["saved_ms"]);
        output.line(format!("  to go on was expected to cost {saved} more"));
    }
    output.line("");
    side_by_side(story, output);
    let mirror = &story["mirror"];
    for (key, told) in
        [("ended", "what ran ahead ended:"), ("unmodelled", "what ran ahead stopped at:")]
    {
        if let Some(what) = mirror[key].as_str() {
            output.line(format!("  {told} {what}"));
        }
    }
}

/// A forecast, and what spoke for it.
fn foreseen(forecast: &Value, output: Output) {
    if forecast.is_null() {
        return;
    }
    output.line(format!(
        "  forecast at {}: fails with {} (waited {})",
        ms(&forecast["at_ms"]),
        percent(&forecast["probability"]),
        ms(&forecast["waited_ms"]),
    ));
    for reason in items(forecast, "reasons") {
        output.line(format!("    {:>5}  {}", percent(&reason[1]), text(&reason[0], "text")));
    }
    if forecast["trusted"] == false {
        output.line(format!("    {UNTRUSTED}"));
    }
}

/// What its attempts and its mirror did, by time.
fn side_by_side(story: &Value, output: Output) {
    let sides = [("itself", story), ("ahead", &story["mirror"])];
    let mut rows: Vec<(f64, Vec<String>)> = Vec::new();
    for (side, effects) in sides {
        for effect in items(effects, "effects") {
            let told = format!(
                "{}{} {} {}",
                attempt(effect),
                cell(effect, "op"),
                cell(effect, "subject"),
                text(effect, "refused")
            );
            let took = ms(&effect["took_ms"]);
            let at = effect["at_ms"].as_f64().unwrap_or_default();
            let (own, ahead) =
                if side == "itself" { (told, String::new()) } else { (String::new(), told) };
            rows.push((at, vec![ms(&effect["at_ms"]), own, ahead, took]));
        }
    }
    rows.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    output.table(&["AT", "ITSELF", "AHEAD OF IT", "TOOK"], &rows);
}

/// Which attempt an effect is of, but for the first one.
fn attempt(effect: &Value) -> String {
    let number = effect["attempt"].as_u64().filter(|number| *number > 1);
    number.map(|number| format!("{number}: ")).unwrap_or_default()
}

/// Whether forecasts are acted on; nothing where there was none whose outcome is known.
fn trust(quality: &Value) -> &'static str {
    match (quality["trusted"].as_bool(), positive(&quality["outcomes"])) {
        (Some(false), _) => "not trusted",
        (Some(true), true) => "trusted",
        (Some(true), false) | (None, _) => "",
    }
}

fn mirrored(report: &Value) -> String {
    let (mirrored, now) = (cell(report, "mirrored"), percent(&report["sampled"]));
    let count = |key: &str| report[key].as_f64().filter(|count| *count > 0.0);
    match (count("mirrored"), count("begun")) {
        (Some(some), Some(all)) => {
            format!("{mirrored}, {} ({now} now)", percent(&(some / all).into()))
        }
        _ => format!("{mirrored} ({now} now)"),
    }
}

/// What it takes to look ahead.
fn overhead(overhead: &Value) -> String {
    if overhead["mirror_ms"].is_null() {
        return String::new();
    }
    let [each, total, waited] =
        ["mirror_ms", "total_ms", "waited_ms"].map(|key| ms(&overhead[key]));
    let waited = match waited.as_str() {
        "" => waited,
        waited => format!("; {waited} of waiting for a forecast"),
    };
    format!("{each} a mirror, about {total} of all{waited}")
}

/// What it has brought: an estimate, as nobody knows what would have become of those about which something was done.
fn avoided(avoided: &Value) -> String {
    if avoided.is_null() {
        return String::new();
    }
    let [of, committed] = ["of", "committed"].map(|key| cell(avoided, key));
    if !positive(&avoided["committed"]) {
        return format!("none of the last {of}");
    }
    let about = match avoided["failures"].as_f64() {
        Some(failures) => format!("about {failures:.0}"),
        None => format!("at most {committed}"),
    };
    format!(
        "{about} of the last {of}: {committed} called failures were committed, as something was done"
    )
}

fn saved(avoided: &Value) -> String {
    if avoided.is_null() {
        return String::new();
    }
    let [of, acted] = ["of", "acted"].map(|key| cell(avoided, key));
    let saved = ms(&avoided["saved_ms"]);
    format!("{saved}, as expected where something was done: {acted} of the last {of}")
}

fn positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|value| value > 0.0)
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn ms(value: &Value) -> String {
    value.as_f64().map(|ms| format!("{ms:.1} ms")).unwrap_or_default()
}

fn percent(value: &Value) -> String {
    value.as_f64().map(|share| format!("{:.0} %", share * 100.0)).unwrap_or_default()
}

/// As [`percent`], beside others.
fn known(value: &Value) -> String {
    if value.is_null() { "unknown".to_owned() } else { percent(value) }
}

fn brier(value: &Value) -> String {
    let own = |at: usize| value[at].as_f64();
    match (own(0), own(1)) {
        (Some(own), Some(rate)) => {
            format!("{own:.3} ({rate:.3} by knowing only how often it fails)")
        }
        _ => String::new(),
    }
}
