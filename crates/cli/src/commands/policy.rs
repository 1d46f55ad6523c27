//! `belay policy`: how changes of an app are let in and judged.

use belay_model::Diagnostic;
use serde_json::{Map, Value};

use crate::{
    args::PolicyArgs,
    client::{Client, read},
    config::policy,
    exit::{CliError, CliResult, Exit},
    output::Output,
};

pub(crate) async fn run(args: &PolicyArgs, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let path = ["apps", args.app.as_str(), "policy"];
    let patch = patch(&args.settings)?;
    let report = if patch.is_empty() {
        client.get(&path, &[]).await?
    } else {
        client.put(&path, &Value::Object(patch)).await?
    };
    output.json(&report);
    let row = |(name, value): (String, String)| {
        let from = if policy::is_set(&report["set"], &name) { "set here" } else { "" };
        vec![name, value, from.to_owned()]
    };
    let rows: Vec<_> = policy::list(&report["policy"]).into_iter().map(row).collect();
    output.table(&["SETTING", "VALUE", ""], &rows);
    if !output.is_json() {
        let diagnostics: Vec<Diagnostic> = read(report["diagnostics"].clone()).unwrap_or_default();
        output.diagnostics(&diagnostics);
    }
    Ok(())
}

fn patch(settings: &[String]) -> CliResult<Map<String, Value>> {
    let mut all = Map::new();
    for text in settings {
        let wrong = |message| CliError::new(Exit::Usage, "bad-setting", message);
        merge(&mut all, policy::patch(text).map_err(wrong)?);
    }
    Ok(all)
}

fn merge(all: &mut Map<String, Value>, new: Map<String, Value>) {
    for (name, value) in new {
        match (all.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(fields)) => merge(known, fields),
            (_, value) => drop(all.insert(name, value)),
        }
    }
}
