//! `belay explain`: the story of a change, decision by decision, and what is known of it now.

use belay_model::AppName;
use serde_json::Value;

use crate::{
    args::{Explain, Promote},
    client::Client,
    exit::CliResult,
    output::{BAD, BOLD, DIM, GOOD, Output, WARN, styled},
};

use super::{changes, show};

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

/// Between two looks.
const LOOK: std::time::Duration = std::time::Duration::from_millis(300);

/// Tells what is decided of the newest change of an app, until the command is ended.
pub(super) async fn watch(client: &Client, app: &AppName, output: Output) -> CliResult {
    let (mut watched, mut told_of) = (String::new(), 0);
    loop {
        let newest = client.get(&["apps", app.as_str(), "changes"], &[("limit", "1")]).await?;
        let newest =
            show::items(&newest, "changes").first().map(|change| change["version"].to_string());
        if let Some(version) = newest {
            let path = ["apps", app.as_str(), "changes", &version, "story"];
            let story = client.get(&path, &[]).await?;
            let entries = show::items(&story, "decisions");
            if watched != version {
                // What was decided before is for `belay explain`; of a new change all is new.
                told_of = if watched.is_empty() { entries.len() } else { 0 };
                watched = version;
            }
            for entry in entries.iter().skip(told_of) {
                output.json(entry);
                output.line(format!(
                    "{}  {}",
                    styled(BOLD, show::text(&story, "id")),
                    told(&story, entry)
                ));
                measured(entry, output);
            }
            told_of = entries.len().max(told_of);
        }
        tokio::time::sleep(LOOK).await;
    }
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

/// `1m30s` since the first decision.
fn clock(ms: u64) -> String {
    match ms {
        0..10_000 => format!("+{}.{:03}s", ms / 1_000, ms % 1_000),
        10_000..60_000 => format!("+{}s", ms / 1_000),
        60_000..3_600_000 => format!("+{}m{:02}s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("+{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// One decision as a sentence, and why.
fn told(story: &Value, entry: &Value) -> String {
    let percent = |key: &str| format!("{} %", entry[key].as_f64().unwrap_or(0.0));
    let why = why(entry);
    let window = || {
        let now = show::now_ms();
        let left = entry["until_ms"].as_u64().unwrap_or(0).saturating_sub(now);
        if left == 0 {
            String::new()
        } else {
            format!(", for {} more", clock(left).replace('+', ""))
        }
    };
    match show::text(entry, "told") {
        "validated" => tried(entry),
        "began" => format!("began with {} of the requests", percent("percent")),
        "began_live" => {
            format!("live at once: {} of the requests run it{}", percent("percent"), window())
        }
        "advanced" | "live" => went_on(entry),
        "slowed" => format!("{}: something looks like harm", styled(WARN, "the ramp waits")),
        "suspected" => {
            let whom = match show::text(entry, "cause") {
                "mixed" => "Requests that run some of its parts do worse than those that run none",
                _ => "Requests that run all of it do worse than those that run nothing of it",
            };
            let suspected = styled(WARN, "it does harm");
            format!(
                "{suspected}; each part now tosses a coin, to name the one that does\n{whom}, at {} of the requests",
                percent("percent")
            )
        }
        "alarmed" => format!(
            "{}: {}; {} of the requests go back to what was before, to see whether that is better",
            styled(WARN, "more often than usual"),
            show::text(entry, "what"),
            percent("percent")
        ),
        "cleared" => format!("it is not the change: what was before does no better{}", seen(entry)),
        "stepped_out" => format!("no part was named: {why}; now {} at a time", groups(entry)),
        "merged" => format!(
            "parts {} do harm one without the other, and none together: they move together now",
            show::words(entry, "parts")
        ),
        "taken_back" => taken_back(story, entry),
        "disabled" => format!(
            "{} {}{}: parts {} of them depend on what was taken back",
            styled(BAD, "off for a time:"),
            show::words(entry, "functions"),
            window(),
            show::words(entry, "dependents")
        ),
        "refused" => refused(story, entry),
        "shared" => format!(
            "{}: {}, also for those who run nothing of it; the ramp waits at {}",
            styled(WARN, "not as usual since the last step"),
            show::text(entry, "what"),
            percent("percent")
        ),
        "withdrawn" => format!(
            "no request runs it for now, after {}: does that help those who did not run it either?",
            percent("percent")
        ),
        "returned" => format!("{} of the requests run it again: {why}", percent("percent")),
        "would_take_back" => format!(
            "{} {}, if this were not a dry run",
            styled(WARN, "would take back"),
            parts(entry)
        ),
        "restored" => format!("restored {}, by hand", parts(entry)),
        "settled" if show::text(entry, "by") == "human" => {
            "settled by hand: the old arms are dropped".to_owned()
        }
        "settled" => {
            "settled: the rollback window is over, and the old arms are dropped".to_owned()
        }
        "superseded" => {
            let app = show::text(story, "id").split('/').next().unwrap_or_default();
            format!("a later deploy took its place: {app}/{}", entry["by_version"])
        }
        other => other.replace('_', " "),
    }
}

/// The next step of the ramp, or its end.
fn went_on(entry: &Value) -> String {
    let percent = |key: &str| format!("{} %", entry[key].as_f64().unwrap_or(0.0));
    let (why, seen) = (why(entry), seen(entry));
    if show::text(entry, "told") == "advanced" {
        let (from, to) = (percent("from_percent"), percent("to_percent"));
        return format!("{} of the requests, after {from}: {why}{seen}", styled(BOLD, to));
    }
    let held_out = match entry["hold_out_percent"].as_f64() {
        Some(percent) if percent > 0.0 => {
            format!(", but for {percent} % that stay as before to compare with")
        }
        _ => String::new(),
    };
    format!("{}: all requests run it{held_out}: {why}{seen}", styled(GOOD, "live"))
}

fn why(entry: &Value) -> &'static str {
    match show::text(entry, "why") {
        "harmless" => "harm that is worth looking for is excluded",
        "inconclusive" => "its time is over; inconclusive, too little was seen to tell",
        "harm" => "as many requests failed as may",
        "not_better" => "it was as bad without it, so it is something else",
        "unclear" => "too few requests came to tell whether it helped",
        "passed" => "it got better before anything was done",
        "time" => "it took too long",
        _ => "by hand",
    }
}

fn taken_back(story: &Value, entry: &Value) -> String {
    let (done, parts) = (styled(BAD, "took back"), parts(entry));
    if show::text(entry, "by") == "human" {
        return format!("{done} {parts}, by hand");
    }
    if show::text(entry, "by") == "tapes" {
        let lines: Vec<String> = show::items(entry, "reasons")
            .iter()
            .filter_map(Value::as_str)
            .map(|reason| format!("\n  {}", reason.lines().next().unwrap_or_default()))
            .collect();
        return format!(
            "{done} {parts}, before it got a request: it does worse on recorded ones{}",
            lines.concat()
        );
    }
    let alone = show::items(story, "parts").len() == 1;
    let granularity = match show::text(entry, "level") {
        "part" if alone => "it is all that changed",
        "part" => "its own test names it; the others go on",
        "function" => "they were tested together, and their test names them; the others go on",
        "rest" => "it is all that was left of it",
        "shared" => {
            "everybody was worse off while some ran it, and nobody since none does: it uses up what all share"
        }
        _ => "neither a part nor a function was named",
    };
    format!("{done} {parts}\nwhy so much and not more: {granularity}{}", affected(entry))
}

/// What else was taken back, and who is concerned.
fn affected(entry: &Value) -> String {
    let mut text = String::new();
    if !show::items(entry, "dependents").is_empty() {
        let parts = show::words(entry, "dependents");
        text.push_str(&format!("\nbefore it, what depends on it: {parts}"));
    }
    if !show::items(entry, "affects").is_empty() {
        text.push_str(&format!("\nwho runs that code: {}", show::words(entry, "affects")));
    }
    text
}

/// Harm that people have to decide on.
fn refused(story: &Value, entry: &Value) -> String {
    let (id, parts) = (show::text(story, "id"), parts(entry));
    let why = match show::text(entry, "why") {
        "too_many" => format!(
            "more depends on it than is taken back unasked: {}",
            show::words(entry, "dependents")
        ),
        _ => "the policy wants people to decide".to_owned(),
    };
    let all = ["dependents", "parts"].map(|key| show::words(entry, key)).join(" ");
    let all: Vec<&str> = all.split_whitespace().collect();
    format!(
        "{}: {parts} does harm, and nothing is taken back: {why}\nto take it back: belay take-back {id}:{}",
        styled(BAD, "your turn"),
        all.join(",")
    )
}

fn parts(entry: &Value) -> String {
    let parts = show::items(entry, "parts");
    let noun = if parts.len() == 1 { "part" } else { "parts" };
    format!("{noun} {}", styled(BOLD, show::words(entry, "parts")))
}

fn groups(entry: &Value) -> String {
    let group = |group: &Value| {
        let parts = group.as_array().into_iter().flatten().filter_map(Value::as_str);
        parts.collect::<Vec<_>>().join("+")
    };
    show::items(entry, "groups").iter().map(group).collect::<Vec<_>>().join(" ")
}

fn seen(entry: &Value) -> String {
    let [before, after] = [0, 1].map(|arm| entry["seen"][arm].as_u64().unwrap_or(0));
    if before + after == 0 {
        return String::new();
    }
    format!("\nseen: {before} before, {after} after")
}

/// What a decision rests on, or what is known, a line for each kind of event.
fn measured(entry: &Value, output: Output) {
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
        let more = more.map(|more| format!(", {more} more to decide")).unwrap_or_default();
        output.line(styled(
            DIM,
            format!(
                "            {}: before {}, after {}; {times}; {e}{more}",
                show::text(item, "what"),
                rate("before", "of_before"),
                rate("after", "of_after"),
            ),
        ));
    }
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

/// `200 recorded requests: 180 as before, 15 otherwise, 5 worse`.
fn tried(entry: &Value) -> String {
    let number = |key: &str| entry[key].as_u64().unwrap_or(0);
    let kinds = [
        ("as before", "same"),
        ("otherwise", "changed"),
        ("worse", "worse"),
        ("not to be told", "diverged"),
    ];
    let counts = kinds.iter().filter(|(_, key)| number(key) > 0);
    let counts: Vec<String> = counts.map(|(what, key)| format!("{} {what}", number(key))).collect();
    let counts =
        if counts.is_empty() { "none that tells anything".to_owned() } else { counts.join(", ") };
    let mut text = format!("tried on {} recorded requests: {counts}", number("tapes"));
    if number("mixtures") > 0 {
        text.push_str(&format!("; {} of mixtures of its parts", number("mixtures")));
    }
    text.push_str(&format!(
        " ({} ms{})",
        number("took_ms"),
        if entry["cut"] == true { ", all that it may take" } else { "" }
    ));
    for line in show::items(entry, "differences").iter().filter_map(Value::as_str) {
        text.push_str(&format!("\n  {line}"));
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_at_a_glance() {
        let texts = [0, 9_999, 59_000, 61_000, 3_660_000].map(clock);
        assert_eq!(texts, ["+0.000s", "+9.999s", "+59s", "+1m01s", "+1h01m"]);
    }
}
