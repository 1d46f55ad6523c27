//! `belay explain`: the story of a change, decision by decision, and what is known of it now.

use serde_json::Value;

use crate::{
    args::{Explain, Promote},
    client::Client,
    exit::CliResult,
    output::{BAD, BOLD, DIM, GOOD, Output, WARN, styled},
};

use super::{
    changes, show,
    told::{clock, told, tried},
};

pub(crate) async fn run(args: &Explain, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let version = args.change.version.to_string();
    let path = ["apps", args.change.app.as_str(), "changes", &version];
    let mut story = client.get(&[&path[..], &["story"]].concat(), &[]).await?;
    let detail = client.get(&path, &[]).await?;
    story["contents"] = detail["contents"].clone();
    output.json(&story);
    if output.is_json() {
        return Ok(());
    }
    changed(&story, output);
    decisions(&story, output);
    trial(&story["trial"], output);
    next(&story, output);
    Ok(())
}

/// One decision, as far as it does not need the whole story.
pub(super) fn entry(story: &Value, entry: &Value, output: Output) {
    told(story, entry).lines().for_each(|line| output.line(format!("  {line}")));
}

/// What changed, a line for each part.
fn changed(story: &Value, output: Output) {
    output.line(changes::headline(story));
    let parts = show::items(story, "parts");
    for part in show::items(story, "contents") {
        let id = show::text(part, "id");
        let arm = parts.iter().find(|other| show::text(other, "part") == id);
        let taken = arm.is_some_and(|arm| arm["arm"] == "before");
        let state = if taken { styled(BAD, "taken back") } else { styled(GOOD, "on") };
        let hunks = show::items(part, "hunks");
        let mut places: Vec<String> = hunks.iter().map(changes::place).collect();
        places.dedup();
        let size = changes::size(hunks);
        output.line(format!("  part {id}  {state}  {size}  {}", places.join(", ")));
    }
}

fn decisions(story: &Value, output: Output) {
    let entries = show::items(story, "decisions");
    let Some(first) = entries.first().and_then(|entry| entry["at_ms"].as_u64()) else { return };
    output.line("");
    for entry in entries {
        let at = entry["at_ms"].as_u64().unwrap_or(first).saturating_sub(first);
        let text = told(story, entry);
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        output.line(format!("{}  {head}", styled(DIM, format!("{:>8}", clock(at)))));
        lines.for_each(|line| output.line(format!("          {line}")));
        measured(entry, output);
    }
}

/// What a decision rests on, or what is known, a line for each kind of event.
pub(super) fn measured(entry: &Value, output: Output) {
    for item in show::items(entry, "measured") {
        let number = |key: &str| item[key].as_u64().unwrap_or(0);
        let real = |key: &str| item[key].as_f64();
        let rate = |events: &str, of: &str| format!("{}/{}", number(events), number(of));
        let times = match (real("times_min"), real("times_max")) {
            (Some(least), Some(most)) => format!("{least} to {most} times as often"),
            (Some(least), None) => format!("at least {least} times as often"),
            _ => String::new(),
        };
        let (evidence, needed) = (real("log10_e").unwrap_or(0.0), real("log10_needed"));
        let e = format!("e = 10^{evidence:.1} of 10^{:.1}", needed.unwrap_or(0.0));
        let more = item["expected"].as_u64().filter(|more| *more > 0);
        let more = more.map(|more| format!(", {more} more requests to decide")).unwrap_or_default();
        // Where functions have other thresholds, each has its own line.
        let whose = match show::words(item, "functions") {
            names if names.is_empty() => names,
            names => format!(" in {names}"),
        };
        output.line(styled(
            DIM,
            format!(
                "            {}{whose}: before {}, after {}; {times}; {e}{more}",
                show::text(item, "what"),
                rate("before", "of_before"),
                rate("after", "of_after"),
            ),
        ));
        if let Some(text) = quantile(item) {
            output.line(styled(DIM, format!("              {text}")));
        }
    }
}

/// `p99 is 10 to 12 ms before, 31 ms or more after`.
fn quantile(measured: &Value) -> Option<String> {
    let what = show::text(measured, "what");
    let (cost, quantile) = what.split_once(" > ")?;
    let unit = if cost == "memory" { "kB" } else { "ms" };
    let [before, after] = measured["quantile"].as_array()?.get(..2)? else { return None };
    let shown = |ends: &Value| match (ends["least"].as_f64(), ends["most"].as_f64()) {
        (Some(least), Some(most)) => Some(format!("{least} to {most} {unit}")),
        (Some(least), None) => Some(format!("{least} {unit} or more")),
        (None, Some(most)) => Some(format!("at most {most} {unit}")),
        (None, None) => None,
    };
    Some(format!("{quantile} is {} before, {} after", shown(before)?, shown(after)?))
}

/// What is compared now.
fn trial(trial: &Value, output: Output) {
    if trial.is_null() {
        return;
    }
    output.line("");
    output.line(styled(BOLD, "now"));
    for comparison in show::items(trial, "comparisons") {
        let what = match comparison["what"].as_str() {
            Some("whole") => "all of it against nothing of it".to_owned(),
            Some(_) => "some parts against nothing of it".to_owned(),
            None => format!("with or without {}", show::words(&comparison["what"], "parts")),
        };
        let [before, after] = [0, 1].map(|arm| comparison["requests"][arm].as_u64().unwrap_or(0));
        let decision = match show::text(comparison, "decision") {
            "take_back" => styled(BAD, "harm"),
            "slow" => styled(WARN, "looks like harm"),
            _ => styled(DIM, "nothing shown"),
        };
        output.line(format!("  {what}: {before} before, {after} after, {decision}"));
        measured(comparison, output);
    }
}

/// How to go on from here.
fn next(story: &Value, output: Output) {
    let id = show::text(story, "id");
    let taken = show::items(story, "parts").iter().filter(|part| part["arm"] == "before");
    let taken: Vec<&str> = taken.map(|part| show::text(part, "part")).collect();
    let app = id.split('/').next().unwrap_or_default();
    output.line("");
    if !taken.is_empty() {
        let parts = taken.join(",");
        output.line(format!("to run it all the same: belay restore {id}:{parts}"));
        output.line(format!("to have it in git:      belay diff {app} --effective | git apply"));
    }
    match show::text(story, "state") {
        "canary" => {
            output.line(format!("to let all in now:      belay promote {id}"));
            output.line(format!("to take it back:        belay take-back {id}"));
        }
        "live" if taken.len() < show::items(story, "parts").len() => {
            output.line(format!("to take it back:        belay take-back {id}"));
        }
        _ => {}
    }
}

pub(crate) async fn promote(args: &Promote, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let version = args.change.version.to_string();
    let path = ["apps", args.change.app.as_str(), "changes", &version, "promote"];
    let answer = client.post(&path, &[], &serde_json::json!({})).await?;
    changes::tell_done("promoted", &args.change.to_string(), &answer, output);
    Ok(())
}

/// What a deploy says of recorded requests.
pub(super) fn validated(validated: &Value, output: Output) {
    if !validated.is_null() {
        tried(validated).lines().for_each(|line| output.line(format!("  {line}")));
    }
}

/// What a deploy says of how many requests run it.
pub(super) fn share(change: &Value, output: Output) {
    let percent = change["percent"].as_f64().unwrap_or(100.0);
    let id = show::text(change, "id");
    if percent < 100.0 {
        let more = if change["canary"] == true {
            ", and more step by step"
        } else {
            "; the others stay as before, to compare with"
        };
        output.line(format!(
            "  {percent} % of the requests run it now{more}; `belay explain {id}` tells how it goes"
        ));
    }
}
