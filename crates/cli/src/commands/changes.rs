//! `belay changes`, `show`, `take-back`, `restore` and `settle`: what deploys changed, and which of it runs.

use std::fmt::Write as _;

use belay_model::VersionNumber;
use serde_json::{Value, json};
use similar::TextDiff;

use crate::{
    args::{Changes, Flip, Settle, Show},
    change_named::ChangeParts,
    client::{Client, read},
    commands::{explain, show, watch::watch},
    exit::{CliError, CliResult, Exit},
    output::{BAD, BOLD, DIM, GOOD, Output, WARN, styled},
};

/// Unchanged lines around a difference.
const CONTEXT: usize = 2;

pub(crate) async fn run(args: &Changes, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let report = client.list(&["apps", args.app.as_str(), "changes"], "changes").await?;
    output.json(&report);
    let now = show::now_ms();
    let rows: Vec<_> = show::items(&report, "changes").iter().map(|item| row(item, now)).collect();
    output.table(&["CHANGE", "FROM", "RUNS", "STATE", "CREATED", "PARTS"], &rows);
    if args.watch { watch(&client, &args.app, &report, output).await } else { Ok(()) }
}

fn row(change: &Value, now: u64) -> Vec<String> {
    vec![
        show::cell(change, "id"),
        show::cell(change, "from"),
        if runs(change) { show::cell(change, "program") } else { String::new() },
        state(change),
        change["created_ms"].as_u64().map(|then| show::ago(then, now)).unwrap_or_default(),
        parts_cell(change),
    ]
}

/// Its arms, and how much of it has none.
fn parts_cell(change: &Value) -> String {
    let arms = Some(arms(change)).filter(|arms| !arms.is_empty());
    arms.into_iter().chain(staying(change, "staying")).collect::<Vec<_>>().join(", ")
}

fn runs(change: &Value) -> bool {
    change["running"] != false
}

fn state(change: &Value) -> String {
    let state = show::text(change, "state").replace('_', " ");
    match change["percent"].as_f64() {
        Some(percent) => format!("{state} {percent} %"),
        None => state,
    }
}

/// `a b -c`: with a minus what was taken back.
fn arms(change: &Value) -> String {
    let part = |part: &Value| {
        let sign = if part["arm"] == "before" { "-" } else { "" };
        format!("{sign}{}", show::text(part, "part"))
    };
    show::items(change, "parts").iter().map(part).collect::<Vec<_>>().join(" ")
}

/// `2 edits stay`: how many of a change are in no part.
fn staying(change: &Value, key: &str) -> Option<String> {
    match change[key].as_u64().unwrap_or(0) {
        0 => None,
        1 => Some("1 edit stays".to_owned()),
        count => Some(format!("{count} edits stay")),
    }
}

/// The command that goes back behind what stays of a change.
fn way_back(change: &Value) -> String {
    let (from, app) = (show::text(change, "from"), show::text(change, "id"));
    let version = from.split('+').next().unwrap_or(from);
    let app = app.split('/').next().unwrap_or(app);
    format!("`belay alias {app} live {version}` makes version {version} run again, as a whole")
}

pub(crate) async fn show_change(args: &Show, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let ChangeParts { change, parts } = &args.change;
    let version = change.version.to_string();
    let path = ["apps", change.app.as_str(), "changes", &version];
    let mut detail = client.get(&path, &[]).await?;
    if let Some(unknown) = parts.iter().find(|part| !has_part(&detail, &part.to_string())) {
        let message = format!("change {change} has no part {unknown}");
        return Err(CliError::new(Exit::NotFound, "unknown-part", message)
            .help(format!("`belay show {change}` lists its parts")));
    }
    let programs = client.list(&[&path[..], &["programs"]].concat(), "programs").await?;
    detail["programs"] = programs["programs"].clone();
    output.json(&detail);
    if output.is_json() {
        return Ok(());
    }
    output.line(headline(&detail));
    if let Some(whole) = detail["whole"].as_str() {
        output.line(format!("only as a whole: {}", whole.lines().next().unwrap_or_default()));
    }
    history(&detail, output);
    let wanted: Vec<String> = parts.iter().map(ToString::to_string).collect();
    for part in show::items(&detail, "contents") {
        let id = show::text(part, "id");
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == id) {
            output.line("");
            part_of(&detail, part, output)?;
        }
    }
    if wanted.is_empty() {
        stays(&detail, output);
    }
    Ok(())
}

fn has_part(detail: &Value, part: &str) -> bool {
    show::items(detail, "parts").iter().any(|other| show::text(other, "part") == part)
}

/// What no part has.
fn stays(detail: &Value, output: Output) {
    let hunks = show::items(detail, "stays");
    if hunks.is_empty() {
        return;
    }
    output.line("");
    let title = styled(BOLD, "stays");
    let what = styled(WARN, "cannot be taken back: `@rollback never`");
    output.line(format!("{title}  {what}  {}", size(hunks)));
    for hunk in hunks {
        output.line(hunk_text(hunk));
        if let Some(reason) = hunk["reason"]["message"].as_str() {
            output.line(styled(DIM, format!("    because {reason}")));
        }
    }
    output.line(styled(DIM, format!("  {}", way_back(detail))));
}

pub(super) fn headline(detail: &Value) -> String {
    let id = styled(BOLD, show::text(detail, "id"));
    let (from, program) = (show::text(detail, "from"), show::text(detail, "program"));
    let verb = if runs(detail) { "runs" } else { "was last at" };
    format!("{id}  from {from}, {verb} {program}  {}", state(detail))
}

/// The effective versions, if there is more than the one that was deployed.
fn history(detail: &Value, output: Output) {
    let programs = show::items(detail, "programs");
    if programs.len() < 2 {
        return;
    }
    let now = show::now_ms();
    let row = |program: &Value| {
        let at_ms = program["at_ms"].as_u64();
        let flipped = &program["flipped"];
        let done = match flipped["arm"].as_str() {
            None => "deployed".to_owned(),
            Some("before") => format!("took back {}", show::words(flipped, "parts")),
            Some(_) => format!("restored {}", show::words(flipped, "parts")),
        };
        vec![
            show::cell(program, "program"),
            at_ms.map(|then| show::ago(then, now)).unwrap_or_default(),
            arms(program),
            done,
        ]
    };
    output.line("");
    output.table(&["VERSION", "SINCE", "PARTS", ""], &programs.iter().map(row).collect::<Vec<_>>());
}

fn part_of(detail: &Value, part: &Value, output: Output) -> CliResult {
    let id = show::text(part, "id");
    let parts = show::items(detail, "parts");
    let arm = parts.iter().find(|other| show::text(other, "part") == id);
    let taken = arm.is_some_and(|arm| arm["arm"] == "before");
    let state = if taken { styled(BAD, "taken back") } else { styled(GOOD, "on") };
    let image = if part["image"] == true { "  by two images" } else { "" };
    let title = styled(BOLD, format!("part {id}"));
    let hunks = show::items(part, "hunks");
    output.line(format!("{title}  {state}{image}  {}", size(hunks)));
    for arm in ["before", "after"] {
        if let Some(line) = counters(&part["counters"][arm], arm) {
            output.line(styled(DIM, line));
        }
    }
    let ties = show::items(part, "ties").iter();
    let ties = ties.map(|tie| read::<belay_model::Tie>(tie.clone()).map(|tie| tie.to_string()));
    let ties: Vec<String> = ties.collect::<CliResult<_>>()?;
    if !ties.is_empty() {
        output.line(styled(DIM, format!("  together because {}", ties.join("; "))));
    }
    hunks.iter().for_each(|hunk| output.line(hunk_text(hunk)));
    for hunk in hunks.iter().filter(|hunk| hunk["kind"] == "image" && !hunk["reason"].is_null()) {
        let reason: belay_model::Diagnostic = read(hunk["reason"].clone())?;
        output.diagnostics([&reason]);
    }
    Ok(())
}

pub(super) fn size(hunks: &[Value]) -> String {
    let lines = |key: &str| -> u64 {
        let range = |hunk: &Value| {
            let (first, last) = (hunk[key][0].as_u64()?, hunk[key][1].as_u64()?);
            Some(last.saturating_sub(first) + 1)
        };
        hunks.iter().filter_map(range).sum()
    };
    format!("+{} −{} lines", lines("after_lines"), lines("before_lines"))
}

fn counters(counters: &Value, arm: &str) -> Option<String> {
    let reached = counters["reached"].as_u64().filter(|reached| *reached > 0)?;
    let mut line = format!("  {arm:6}  {reached} requests");
    for (category, count) in counters["failed"].as_object().into_iter().flatten() {
        // Writing to a string does not fail.
        let _ = write!(line, ", {count} failed: {category}");
    }
    if let Some(time) = counters["time_ms"].as_f64().filter(|time| *time > 0.0) {
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let _ = write!(line, ", {:.3} ms inside on average", time / reached as f64);
    }
    Some(line)
}

/// `src/cart.js:12 in total`.
pub(super) fn place(hunk: &Value) -> String {
    let edit = &hunk["edit"];
    let line = |key: &str| hunk[key][0].as_u64();
    let mut text = show::text(edit, "module").to_owned();
    if let Some(line) = line("after_lines").or_else(|| line("before_lines")) {
        // Writing to a string does not fail.
        let _ = write!(text, ":{line}");
    }
    let function = show::text(edit, "function");
    if !function.is_empty() {
        let _ = write!(text, " in {function}");
    }
    text
}

fn hunk_text(hunk: &Value) -> String {
    let mut lines = vec![format!("  {}", place(hunk))];
    let (old, new) = (show::text(hunk, "before_text"), show::text(hunk, "after_text"));
    let diff = TextDiff::from_lines(old, new);
    for group in diff.grouped_ops(CONTEXT) {
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let value = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                similar::ChangeTag::Delete => styled(BAD, format!("  - {value}")),
                similar::ChangeTag::Insert => styled(GOOD, format!("  + {value}")),
                similar::ChangeTag::Equal => format!("    {value}"),
            });
        }
    }
    lines.join("\n")
}

/// What is done to parts of a change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    TakeBack,
    Restore,
}

pub(crate) async fn flip(args: &Flip, verb: Verb, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let ChangeParts { change, parts } = &args.change;
    let (path, done) = match verb {
        Verb::TakeBack => ("take-back", "took back"),
        Verb::Restore => ("restore", "restored"),
    };
    let version = change.version.to_string();
    let path = ["apps", change.app.as_str(), "changes", &version, path];
    let answer = client.post(&path, &[], &json!({ "parts": parts })).await?;
    let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
    let named = if parts.is_empty() { String::new() } else { format!(":{}", parts.join(",")) };
    tell_done(done, &format!("{change}{named}"), &answer, output);
    // Of the change that was named, which need not be the one that runs.
    let stays = &answer["stays"];
    if let (Verb::TakeBack, Some(staying)) = (verb, staying(stays, "edits")) {
        let (note, way_back) = (styled(WARN, "note"), way_back(stays));
        output.line(format!("  {note}: {staying} (`@rollback never`); {way_back}"));
    }
    let settled = show::words(&answer, "settled");
    if !settled.is_empty() {
        let note = styled(WARN, "note");
        output.line(format!("  {note}: settled by a later deploy, and as before: {settled}"));
    }
    Ok(())
}

pub(crate) async fn settle(args: &Settle, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let version = args.change.version.to_string();
    let path = ["apps", args.change.app.as_str(), "changes", &version, "settle"];
    let answer = client.post(&path, &[], &json!({})).await?;
    tell_done("settled", &args.change.to_string(), &answer, output);
    Ok(())
}

pub(super) fn tell_done(done: &str, what: &str, answer: &Value, output: Output) {
    output.json(answer);
    output.line(format!("{} {}", styled(GOOD, done), styled(BOLD, what)));
    let id = show::text(answer, "id");
    output.line(format!("  {id} runs {}: {}", show::text(answer, "program"), arms(answer)));
}

/// What runs now that `live` is moved to a version, if that has a change.
pub(super) async fn tell_live(
    client: &Client,
    app: &str,
    version: VersionNumber,
    output: Output,
) -> CliResult {
    let number = version.to_string();
    let change = match client.get(&["apps", app, "changes", &number], &[]).await {
        Ok(change) => change,
        // Nothing ran before it, or nothing differed.
        Err(error) if error.exit == Exit::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if runs(&change) {
        let id = format!("{app}/{version}");
        output.line(format!("  {id} runs {}: {}", show::text(&change, "program"), arms(&change)));
    }
    Ok(())
}

/// What a deploy says of the change that it made.
pub(super) fn deployed(change: &Value, output: Output) {
    let parts: Vec<&str> = show::items(change, "parts").iter().filter_map(Value::as_str).collect();
    let id = show::text(change, "id");
    let noun = if parts.len() == 1 { "part" } else { "parts" };
    let list = if parts.is_empty() || parts.len() > 8 {
        String::new()
    } else {
        format!(": {}", parts.join(" "))
    };
    output.line(format!(
        "  change {} from {}, {} {noun}{list}",
        styled(BOLD, id),
        show::text(change, "from"),
        parts.len()
    ));
    if let Some(whole) = change["whole"].as_str() {
        let first = whole.lines().next().unwrap_or_default();
        output.line(format!(
            "  {}: it can be taken back only as a whole: {first}",
            styled(WARN, "note")
        ));
    }
    if let Some(staying) = staying(change, "staying") {
        let note = styled(WARN, "note");
        output.line(format!(
            "  {note}: {staying} whatever is taken back (`@rollback never`); `belay show {id}` lists what"
        ));
    }
    for note in show::items(change, "notes") {
        let (part, about) = (show::text(note, "part"), show::text(note, "about"));
        let text = match (show::text(note, "kind"), show::text(note, "arm")) {
            ("stays_taken_back", _) | ("carried", "before") => format!(
                "part {part} was taken back as {about} and stays so; `belay restore {id}:{part}` lifts that"
            ),
            ("fails_on_tapes", "after") => format!(
                "part {part} does worse on recorded requests, and is let in all the same, as this is a dry run; `belay explain {id}` tells what it did"
            ),
            ("fails_tests", "after") => format!(
                "the app's own tests fail with part {part}, which is let in all the same, as this is a dry run"
            ),
            ("goes_with", "before") => {
                format!("part {part} depends on one that no request gets, so it gets none either")
            }
            ("fails_on_tapes", _) => format!(
                "part {part} does worse on recorded requests and gets none; `belay explain {id}` tells what it did"
            ),
            ("fails_tests", _) => format!(
                "the app's own tests fail with part {part}, and no request gets it; `belay restore {id}:{part}` lifts that"
            ),
            ("was_taken_back_in_part", _) => format!(
                "part {part} has what was taken back as {about}; with what it is tied to now it runs"
            ),
            _ => continue,
        };
        output.line(format!("  {}: {text}", styled(WARN, "note")));
    }
    settled(change, output);
    explain::validated(&change["validated"], output);
    explain::share(change, output);
}

/// What a candidate would change, and what recorded requests say of it; the parts that do worse.
pub(super) fn replayed(answer: &Value, output: Output) -> Vec<String> {
    let change = &answer["change"];
    if change.is_null() {
        output.line("nothing differs from what runs");
        return Vec::new();
    }
    let parts = show::items(change, "parts").len();
    let noun = if parts == 1 { "part" } else { "parts" };
    output.line(format!("{parts} {noun} against {}", show::text(change, "from")));
    if change["validated"].is_null() {
        output.line("nothing was recorded that it could be tried on");
    }
    explain::validated(&change["validated"], output);
    let worse = show::items(change, "notes").iter().filter(|note| note["kind"] == "fails_on_tapes");
    let worse: Vec<String> = worse.map(|note| show::text(note, "part").to_owned()).collect();
    for entry in show::items(answer, "decisions") {
        if matches!(show::text(entry, "told"), "taken_back" | "would_take_back" | "merged") {
            explain::entry(answer, entry, output);
        }
    }
    worse
}

/// What of the change before a deploy touched.
fn settled(change: &Value, output: Output) {
    let part = |settled: &Value| {
        let arm = if settled["arm"] == "before" { " (taken back)" } else { "" };
        format!("{}{arm}", show::text(settled, "part"))
    };
    let parts: Vec<_> = show::items(change, "settled").iter().map(part).collect();
    if !parts.is_empty() {
        let (note, parts) = (styled(WARN, "note"), parts.join(", "));
        output.line(format!("  {note}: touched, and settled as it was: {parts}"));
    }
}
