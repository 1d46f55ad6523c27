//! `belay diff` and `belay export`: what runs or ran, as sources.

use std::{fs, path::Path};

use belay_model::{AppManifest, AppName, ProgramName};
use serde_json::Value;
use similar::TextDiff;

use crate::{
    args::{Diff, Export},
    client::{Client, read},
    commands::show,
    config::{self, FILE},
    exit::{CliError, CliResult},
    output::{BOLD, DIM, GOOD, Output, WARN, styled},
};

/// How a module of a package is told.
const PACKAGES: &str = "node_modules/";

async fn effective(client: &Client, app: &AppName, at: Option<ProgramName>) -> CliResult<Value> {
    let at = at.map(|at| at.to_string());
    let query: Vec<(&str, &str)> = at.as_deref().map(|at| ("at", at)).into_iter().collect();
    client.get(&["apps", app.as_str(), "effective"], &query).await
}

/// A patch against what was deployed, for `git apply`.
pub(crate) async fn diff(args: &Diff, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let program = effective(&client, &args.app, args.at).await?;
    output.json(&program);
    if output.is_json() {
        return Ok(());
    }
    let patches: Vec<String> = show::items(&program, "files").iter().filter_map(patch).collect();
    if patches.is_empty() {
        let name = show::text(&program, "program");
        output.note(match args.at {
            Some(_) => format!("the sources of {name} are those that were deployed"),
            None => format!("the sources of what runs are those that were deployed: {name}"),
        });
    }
    patches.iter().for_each(|patch| output.line(patch.trim_end_matches('\n')));
    if program["settings_differ"] == true {
        output.note(format!(
            "{}: settings of {FILE} are as they were before, too; they are not in the patch, but `belay export` writes them",
            styled(WARN, "note")
        ));
    }
    Ok(())
}

fn patch(file: &Value) -> Option<String> {
    let (deployed, runs) = (file["deployed"].as_str(), file["text"].as_str());
    if deployed == runs {
        return None;
    }
    let path = show::text(file, "path");
    let name = |side: &str, there: bool| {
        if there { format!("{side}/{path}") } else { "/dev/null".to_owned() }
    };
    let (from, to) = (name("a", deployed.is_some()), name("b", runs.is_some()));
    let diff = TextDiff::from_lines(deployed.unwrap_or_default(), runs.unwrap_or_default());
    Some(diff.unified_diff().header(&from, &to).to_string())
}

/// All of the user's own modules, as they run, and the settings.
pub(crate) async fn export(args: &Export, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    check_empty(&args.dir)?;
    let program = effective(&client, &args.app, args.at).await?;
    let mut written = 0;
    for file in show::items(&program, "files") {
        let path = show::text(file, "path");
        let Some(text) = file["text"].as_str().filter(|_| !path.contains(PACKAGES)) else {
            continue;
        };
        write(&args.dir, path, text)?;
        written += 1;
    }
    let manifest: AppManifest = read(program["manifest"].clone())?;
    write(&args.dir, FILE, &config::write(&manifest))?;
    output.json(&program);
    let name = styled(BOLD, format!("{} {}", args.app, show::text(&program, "program")));
    output.line(format!("{} {name} to {}", styled(GOOD, "exported"), args.dir.display()));
    let files = if written == 1 { "1 file".to_owned() } else { format!("{written} files") };
    output.line(styled(DIM, format!("  {files} and {FILE}; packages are not among them")));
    Ok(())
}

/// Nothing that exists is overwritten.
fn check_empty(dir: &Path) -> CliResult {
    let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        let message = format!("{} is not empty", dir.display());
        return Err(CliError::usage(message).help("name a directory that does not exist yet"));
    }
    Ok(())
}

fn write(dir: &Path, path: &str, text: &str) -> CliResult {
    let failed = |error: &std::io::Error| {
        CliError::failed("write", format!("cannot write {path}")).because(error)
    };
    // The server checked paths when the app was deployed; a stranger may answer in its place.
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\\') {
        return Err(CliError::failed("answer", format!("the server named a file {path:?}")));
    }
    let target = dir.join(path);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(|error| failed(&error))?;
    }
    fs::write(&target, text).map_err(|error| failed(&error))
}
