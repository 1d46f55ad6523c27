//! `belay blocks`: what an app is made of, and what its versions share.

use belay_model::Tags;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    args::Blocks,
    client::Client,
    commands::show,
    config::{self, units},
    exit::CliResult,
    output::{BOLD, DIM, GOOD, Output, TAG, styled},
};

/// How a module of a package is told.
const PACKAGES: &str = "node_modules/";

pub(crate) async fn run(args: &Blocks, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let report = client.get(&["apps", args.app.as_str(), "blocks"], &[]).await?;
    output.json(&report);
    let versions = show::items(&report, "versions");
    let rows: Vec<_> = versions.iter().map(row).collect();
    output.table(&["VERSION", "BLOCKS", "SIZE", "SHARED", "OWN", "STORED"], &rows);
    stored(&report["sources"], versions.len() as u64, output);
    across(&report["shared"], output);
    from_toml(&report, output);
    let newest = versions.last().map_or(0, |version| number(version, "version"));
    let modules = show::items(&report, "modules").iter();
    let (packages, own): (Vec<_>, Vec<_>) =
        modules.partition(|module| show::text(module, "path").contains(PACKAGES));
    let shown = if args.all { own.iter().chain(&packages) } else { own.iter().chain(&[]) };
    shown.for_each(|module| tree(show::text(module, "path"), &module["block"], newest, output));
    if !args.all && !packages.is_empty() {
        output.line(styled(DIM, format!("and {} modules of packages (--all)", packages.len())));
    }
    Ok(())
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

fn row(version: &Value) -> Vec<String> {
    let (bytes, shared) = (number(version, "bytes"), number(version, "shared_bytes"));
    vec![
        show::cell(version, "version"),
        show::cell(version, "blocks"),
        units::about_size(bytes),
        units::about_size(shared),
        units::about_size(bytes.saturating_sub(shared)),
        units::about_size(number(version, "stored_bytes")),
    ]
}

/// What the sources take, as the server measured it.
fn stored(sources: &Value, shown: u64, output: Output) {
    let versions = number(sources, "versions");
    if versions > shown {
        output.line(styled(DIM, format!("and older ones; the sums are of {versions} versions")));
    }
    let size = |key| units::about_size(number(sources, key));
    let (whole, saved) = (number(sources, "whole_bytes"), number(sources, "saved_bytes"));
    output.line(format!(
        "sources: {} stored; as whole files {}, with a copy for each version {}",
        size("stored_bytes"),
        size("whole_bytes"),
        size("copies_bytes"),
    ));
    output.line(format!(
        "saved by sharing blocks: {} ({} %)",
        size("saved_bytes"),
        (saved * 100).checked_div(whole).unwrap_or_default(),
    ));
    output.line(format!("beside them, images and maps: {}", size("images_bytes")));
}

/// What other apps have, too.
fn across(shared: &Value, output: Output) {
    let (apps, left_out) = (show::items(shared, "apps"), number(shared, "left_out"));
    if !apps.is_empty() {
        let app = |app: &Value| {
            format!("{} {}", show::text(app, "app"), units::about_size(number(app, "bytes")))
        };
        output.line(format!(
            "saved by sharing with other apps: {} ({})",
            units::about_size(number(shared, "saved_bytes")),
            apps.iter().map(app).collect::<Vec<_>>().join(", "),
        ));
    }
    if left_out > 0 {
        output.line(styled(DIM, format!("{left_out} apps were too many to compare")));
    }
    output.line("");
}

fn tree(path: &str, module: &Value, newest: u64, output: Output) {
    output.line(styled(BOLD, path));
    show::items(module, "blocks").iter().for_each(|block| branch(block, 1, newest, output));
}

fn branch(block: &Value, depth: usize, newest: u64, output: Output) {
    let title = [show::text(block, "kind"), show::text(block, "name")].join(" ");
    let lines = match (block["lines"][0].as_u64(), block["lines"][1].as_u64()) {
        (Some(first), Some(last)) if first != last => format!("{first}–{last}"),
        (first, _) => first.unwrap_or_default().to_string(),
    };
    let since = number(block, "since");
    let age = if newest > 1 && since == newest {
        styled(GOOD, "new")
    } else {
        styled(DIM, format!("since {since}"))
    };
    let width = 44_usize.saturating_sub(2 * depth);
    output.line(format!("{:indent$}{title:width$} {lines:>9}  {age}", "", indent = 2 * depth));
    for tagged in show::items(block, "tags") {
        let whole = tagged["kind"] != "statement" || tagged["lines"] == block["lines"];
        let place = if whole { String::new() } else { format!("line {}: ", tagged["lines"][0]) };
        said(&tagged["tags"], &place, 2 * depth + 2, output);
    }
    show::items(block, "blocks").iter().for_each(|inner| branch(inner, depth + 1, newest, output));
}

/// Tags that `belay.toml` has.
fn from_toml(report: &Value, output: Output) {
    let functions = report["functions"].as_object().into_iter().flatten();
    let mut all = vec![("all functions", &report["tags"])];
    all.extend(functions.map(|(name, tags)| (name.as_str(), tags)));
    all.retain(|(_, tags)| tags.as_object().is_some_and(|tags| !tags.is_empty()));
    if !all.is_empty() {
        output.line(styled(BOLD, config::FILE));
        all.iter().for_each(|(name, tags)| said(tags, &format!("{name}: "), 2, output));
    }
}

fn said(tags: &Value, place: &str, indent: usize, output: Output) {
    // A newer server may have tags that this client does not know.
    let known = Tags::deserialize(tags).map(|tags| tags.lines());
    let lines = known.unwrap_or_else(|_| vec![tags.to_string()]);
    for line in lines {
        output.line(styled(TAG, format!("{:indent$}{place}{line}", "")));
    }
}
