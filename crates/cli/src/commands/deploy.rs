//! `belay deploy`: from a project on this disk to a version that answers.
//!
//! Resolve the module graph here, upload what the server does not have, run the app's own tests if it has any, let the
//! server build. It changes nothing unless all of it worked.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use belay_model::{AppManifest, Diagnostic, Hash, Label, Severity, TransactionName};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::{
    args::{Deploy, Replay},
    client::{Client, not_understood, read},
    commands::{changes, show},
    config::{self, FILE, units},
    disk::Disk,
    exit::{CliError, CliResult, Exit},
    output::{BOLD, DIM, GOOD, LINK, Output, WARN, styled},
    own_tests::{self, Tested, Versions},
    project::{self, Project},
};

/// Uploads in flight at the same time.
const PARALLEL: usize = 8;

/// What went up, for the summary.
struct Upload {
    files: usize,
    files_sent: usize,
    bytes: u64,
    bytes_sent: u64,
}

/// What the user agreed to: whatever is asked, or what was shown.
#[derive(Default)]
struct Consent {
    all: bool,
    lose: BTreeSet<String>,
    bring_back: BTreeSet<String>,
    now: bool,
    dry_run: bool,
    tests: Option<(String, Tested)>,
}

impl Consent {
    /// Whether a refusal is a question, about something that was not agreed to yet.
    fn may_cover(&self, refusal: &CliError) -> bool {
        let agreed = match &*refusal.code {
            "way-back-lost" => &self.lose,
            "comes-back" => &self.bring_back,
            _ => return false,
        };
        refusal.parts.iter().any(|part| !agreed.contains(part))
    }

    fn cover(&mut self, refusal: &CliError) {
        let agreed = match &*refusal.code {
            "way-back-lost" => &mut self.lose,
            _ => &mut self.bring_back,
        };
        agreed.extend(refusal.parts.iter().cloned());
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let list = |parts: &BTreeSet<String>| parts.iter().cloned().collect::<Vec<_>>().join(",");
        let mut query = Vec::new();
        query.extend(self.all.then(|| ("yes", "true".to_owned())));
        query.extend(self.now.then(|| ("now", "true".to_owned())));
        query.extend(self.dry_run.then(|| ("dry_run", "true".to_owned())));
        query.extend((!self.lose.is_empty()).then(|| ("lose", list(&self.lose))));
        query.extend((!self.bring_back.is_empty()).then(|| ("bring_back", list(&self.bring_back))));
        if let Some((command, tested)) = &self.tests {
            let edits =
                |edits: &[Hash]| edits.iter().map(Hash::to_hex).collect::<Vec<_>>().join(",");
            let tied: Vec<String> = tested.tied.iter().map(|set| edits(set)).collect();
            query.push(("test", command.clone()));
            query.push(("failed", edits(&tested.failed)));
            query.push(("tied", tied.join(";")));
        }
        query
    }
}

pub(crate) async fn run(args: &Deploy, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let start = Instant::now();
    let progress = output.progress();
    progress.step("resolving modules");
    let project = project::open(&args.path, args.name.clone())?;
    let (root, command) = (project.root.clone(), test_command(args, &project)?);
    let Resolved { manifest, sources, warnings, places } = resolve(project)?;
    let resolved = start.elapsed();
    progress.step("uploading");
    let sent = upload(&client, &sources).await?;
    let uploaded = start.elapsed();
    let tests = match command {
        Some(command) => {
            progress.step(format!("testing with {command}"));
            let tested = tested(&client, &root, &command, (&manifest, &sources)).await?;
            tested.map(|tested| (command, tested))
        }
        None => None,
    };
    let (all, now, dry_run) = (args.yes, args.now, args.dry_run);
    let mut consent = Consent { all, now, dry_run, tests, ..Consent::default() };
    let answer = loop {
        progress.step("building");
        match build(&client, &manifest, &sources, &consent).await {
            // Asked again if by now there is more to it than was shown.
            Err(error) if output.can_ask() && consent.may_cover(&error) => {
                progress.clear();
                if !output.ask(&format!("{}\nDeploy all the same? [y/N] ", error.message)) {
                    let message = format!("{} was not deployed; nothing has changed", manifest.app);
                    return Err(CliError::new(Exit::Refused, "declined", message));
                }
                consent.cover(&error);
            }
            answer => break answer,
        }
    };
    let answer = answer.map_err(|error| nothing_changed(placed(error, &places), &manifest))?;
    let health = client.get(&["health"], &[]).await?;
    drop(progress);
    output.json(&answer);
    let warned: Vec<Diagnostic> =
        read(answer.get("diagnostics").cloned().unwrap_or_else(|| Value::Array(vec![])))?;
    if !output.is_json() {
        output.diagnostics(warnings.iter().chain(&warned));
        consent.tests.iter().for_each(|tests| tests_said(tests, output));
        summary(&manifest, &answer, &health, output);
        output.line(figures(&sent, resolved, uploaded - resolved, start.elapsed(), &answer));
    }
    Ok(())
}

/// The command that runs the app's own tests, if there is one.
fn test_command(args: &Deploy, project: &Project) -> CliResult<Option<String>> {
    let command = args.test.clone().or_else(|| project.test.clone());
    let command = command.filter(|command| !command.trim().is_empty());
    if command.is_some() && !project.root.join(FILE).is_file() {
        let message =
            format!("tests need a project: there is no {FILE} in {}", project.root.display());
        return Err(CliError::usage(message));
    }
    Ok(command)
}

/// What the app's own tests say. `None` where nothing ran before, or nothing differs.
async fn tested(
    client: &Client,
    root: &Path,
    command: &str,
    (after, sources): (&AppManifest, &BTreeMap<Hash, Vec<u8>>),
) -> CliResult<Option<Tested>> {
    #[derive(serde::Deserialize)]
    struct Compared {
        before: Option<AppManifest>,
        sources: BTreeMap<Hash, String>,
        live: BTreeSet<Hash>,
        taken_back: BTreeSet<Hash>,
    }
    let manifest = serde_json::to_value(after).map_err(|error| not_understood(&error))?;
    let answer = client.post(&["apps", after.app.as_str(), "compared"], &[], &manifest).await?;
    let Compared { before, sources: theirs, live, taken_back } = read(answer)?;
    let Some(before) = before else { return Ok(None) };
    let own = |hash: &Hash| std::str::from_utf8(sources.get(hash)?).ok().map(Arc::from);
    let source =
        |hash: &Hash| theirs.get(hash).map(|text| text.as_str().into()).or_else(|| own(hash));
    let (live, taken_back) = (&live, &taken_back);
    let versions = Versions { before: &before, after, source: &source, live, taken_back };
    own_tests::run(root, command, &versions)
}

fn tests_said((command, tested): &(String, Tested), output: Output) {
    for note in &tested.notes {
        output.note(format!("{}: {note}", styled(WARN, "tests")));
    }
    let runs = match tested.runs {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        runs => format!("{runs} times"),
    };
    let text = format!("  ran `{command}` {runs}, {} ms: tests", tested.took.as_millis());
    output.line(styled(DIM, text));
}

/// `belay replay`: what a deploy would say, without one.
pub(crate) async fn replay(args: &Replay, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let progress = output.progress();
    progress.step("resolving modules");
    let project = project::open(&args.candidate, Some(args.app.clone()))?;
    let Resolved { manifest, sources, warnings, places } = resolve(project)?;
    progress.step("uploading");
    upload(&client, &sources).await?;
    progress.step("replaying");
    let manifest = serde_json::to_value(&manifest).map_err(|error| not_understood(&error))?;
    let answer = client.post(&["apps", args.app.as_str(), "replay"], &[], &manifest).await;
    let answer = answer.map_err(|error| placed(error, &places))?;
    drop(progress);
    output.json(&answer);
    output.diagnostics(&warnings);
    let worse = changes::replayed(&answer, output);
    if worse.is_empty() {
        return Ok(());
    }
    let noun = if worse.len() == 1 { "part" } else { "parts" };
    let message = format!("{noun} {} does worse on recorded requests", worse.join(", "));
    Err(CliError::failed("worse", message))
}

async fn build(
    client: &Client,
    manifest: &AppManifest,
    sources: &BTreeMap<Hash, Vec<u8>>,
    consent: &Consent,
) -> CliResult<Value> {
    match client.deploy(manifest, &consent.query()).await {
        // What the server had was garbage, as of a removed app, and has been collected since it was asked.
        Err(error) if &*error.code == "missing-blobs" => {
            upload(client, sources).await?;
            client.deploy(manifest, &consent.query()).await
        }
        answer => answer,
    }
}

/// What is deployed, and what was found on the way.
struct Resolved {
    manifest: AppManifest,
    sources: BTreeMap<Hash, Vec<u8>>,
    warnings: Vec<Diagnostic>,
    /// Where belay.toml names transactions, which the server cannot know.
    places: BTreeMap<TransactionName, Label>,
}

fn resolve(project: Project) -> CliResult<Resolved> {
    let found = project::resolve(&project, Disk);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        found.diagnostics.into_iter().partition(|found| found.severity == Severity::Error);
    if !errors.is_empty() {
        return Err(refusal(project.app.as_str(), errors));
    }
    let transactions = project.transactions.into_iter();
    let (transactions, places): (BTreeMap<_, _>, Vec<_>) = transactions
        .map(|(id, said)| ((id.clone(), said.settings), said.place.map(|place| (id, place))))
        .unzip();
    let manifest = AppManifest {
        app: project.app,
        functions: found.functions,
        environment: project.environment,
        env: project.env,
        egress: project.egress,
        databases: project.databases,
        transactions,
        tags: project.tags,
        policy: project.policy,
        modules: found.modules,
    };
    let places = places.into_iter().flatten().collect();
    Ok(Resolved { manifest, sources: found.sources, warnings, places })
}

fn refusal(app: &str, diagnostics: Vec<Diagnostic>) -> CliError {
    let errors = diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
    let noun = if errors == 1 { "mistake" } else { "mistakes" };
    CliError::refused(
        format!("{app} was not deployed: {errors} {noun}; nothing has changed"),
        diagnostics,
    )
}

/// The server's words, where they speak of what only belay.toml shows.
fn placed(error: CliError, places: &BTreeMap<TransactionName, Label>) -> CliError {
    let diagnostics = config::placed(error.diagnostics.into_vec(), places);
    CliError { diagnostics: diagnostics.into(), ..error }
}

/// The server's words about a refused deploy, as one.
fn nothing_changed(error: CliError, manifest: &AppManifest) -> CliError {
    if error.diagnostics.is_empty() {
        return error;
    }
    refusal(manifest.app.as_str(), error.diagnostics.into_vec())
}

async fn upload(client: &Client, sources: &BTreeMap<Hash, Vec<u8>>) -> CliResult<Upload> {
    let size = |content: &Vec<u8>| content.len() as u64;
    let (files, bytes) = (sources.len(), sources.values().map(size).sum());
    let hashes: Vec<Hash> = sources.keys().copied().collect();
    let missing = client.missing(&hashes).await?;
    let wanted: Vec<_> = missing.iter().filter_map(|hash| sources.get_key_value(hash)).collect();
    let (files_sent, bytes_sent) =
        (wanted.len(), wanted.iter().map(|(_, content)| size(content)).sum());
    stream::iter(wanted)
        .map(|(hash, content)| async move { client.upload(hash, content.clone()).await })
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await?;
    Ok(Upload { files, files_sent, bytes, bytes_sent })
}

fn summary(manifest: &AppManifest, answer: &Value, health: &Value, output: Output) {
    let version = format!("{} version {}", manifest.app, show::cell(answer, "version"));
    if answer["unchanged"] == true {
        let how = match answer["rewritten"] == true {
            true => "only comments, types or formatting differ from what is live",
            false => "the same as what is live",
        };
        output.line(format!("{} {}: {how}", styled(DIM, "unchanged"), styled(BOLD, version)));
    } else {
        output.line(format!("{} {}", styled(GOOD, "deployed"), styled(BOLD, version)));
    }
    if answer["change"].is_object() {
        changes::deployed(&answer["change"], output);
    }
    let base = show::text(health, "data_plane").trim_end_matches('/');
    let width = manifest.functions.keys().map(|name| name.as_str().len()).max().unwrap_or(0);
    for name in manifest.functions.keys() {
        let url = styled(LINK, format!("{base}/fn/{}.{name}", manifest.app));
        output.line(format!("  {:width$}  {url}", name.as_str()));
    }
}

fn figures(
    upload: &Upload,
    resolve: Duration,
    send: Duration,
    all: Duration,
    answer: &Value,
) -> String {
    let server = answer["timings_ms"].as_object().into_iter().flatten();
    let server = server.filter_map(|(step, ms)| Some(format!("{step} {:.0} ms", ms.as_f64()?)));
    let own = [("resolve", resolve), ("upload", send)];
    let own = own.map(|(step, time)| format!("{step} {} ms", time.as_millis()));
    let steps: Vec<_> = own.into_iter().chain(server).collect();
    let text = format!(
        "  {} {}, {}; {} new, {} sent\n  {} ms: {}",
        upload.files,
        if upload.files == 1 { "module" } else { "modules" },
        units::about_size(upload.bytes),
        upload.files_sent,
        units::about_size(upload.bytes_sent),
        all.as_millis(),
        steps.join(", "),
    );
    styled(DIM, text)
}
