//! The decisions of a change as sentences.

use serde_json::Value;

use crate::{
    commands::show,
    output::{BAD, BOLD, GOOD, WARN, styled},
};

/// `1m30s` since the first decision.
pub(super) fn clock(ms: u64) -> String {
    match ms {
        0..10_000 => format!("+{}.{:03}s", ms / 1_000, ms % 1_000),
        10_000..60_000 => format!("+{}s", ms / 1_000),
        60_000..3_600_000 => format!("+{}m{:02}s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("+{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// One decision as a sentence, and why.
pub(super) fn told(story: &Value, entry: &Value) -> String {
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
        "would_take_back" => format!(
            "{} {}, if this were not a dry run{}",
            styled(WARN, "would take back"),
            parts(entry),
            reasons(entry)
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
        other => experiment(entry).unwrap_or_else(|| other.replace('_', " ")),
    }
}

/// Harm that comes to everybody: the change is taken away for a time, to see whether that helps.
fn experiment(entry: &Value) -> Option<String> {
    let percent = format!("{} %", entry["percent"].as_f64().unwrap_or(0.0));
    Some(match show::text(entry, "told") {
        "shared" => format!(
            "{}: {}, also for those who run nothing of it; the ramp waits at {percent}",
            styled(WARN, "not as usual since the last step"),
            show::text(entry, "what")
        ),
        "withdrawn" => format!(
            "no request runs it for now, after {percent}: does that help those who did not run it?"
        ),
        "returned" => format!("{percent} of the requests run it again: {}", why(entry)),
        _ => return None,
    })
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
        "policy" => "the policy says so now",
        _ => "by hand",
    }
}

fn taken_back(story: &Value, entry: &Value) -> String {
    let (done, parts) = (styled(BAD, "took back"), parts(entry));
    if show::text(entry, "by") == "human" {
        return format!("{done} {parts}, by hand");
    }
    let early = match show::text(entry, "by") {
        "tests" => Some("the app's own tests fail with it"),
        "tapes" => Some("it does worse on recorded ones"),
        _ => None,
    };
    if let Some(why) = early {
        let more = [reasons(entry), affected(entry)].concat();
        return format!("{done} {parts}, before it got a request: {why}{more}");
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

/// What it did before it got a request, a line each.
fn reasons(entry: &Value) -> String {
    let reasons = show::items(entry, "reasons").iter().filter_map(Value::as_str);
    reasons.map(|reason| format!("\n  {}", reason.lines().next().unwrap_or_default())).collect()
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

/// `200 recorded requests: 180 as before, 15 otherwise, 5 worse`.
pub(super) fn tried(entry: &Value) -> String {
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
    match number("differences_more") {
        0 => {}
        1 => text.push_str("\n  … and 1 more field"),
        more => text.push_str(&format!("\n  … and {more} more fields")),
    }
    text
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
