//! What `belay deploy PATH` means: which app, which functions, from where.
//!
//! A directory with a `belay.toml`, or a single file. For a file there is nothing to configure: the app has the
//! file's name; if it exports `handler`, or else a default, that is the one function and has the file's name too; otherwise every
//! exported function is a function of the app.

mod single;
mod without;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use belay_model::{
    AppName, AppTags, DatabaseName, DatabaseSpec, Diagnostic, EgressPolicy, EnvironmentName,
    FunctionName, FunctionSpec, Hash, Limits, ModuleEntry, Policy, Tags, TransactionName,
};
use belay_weave::{EntryPoint, SourceFs, resolve_graph};

use crate::{
    config::{self, BelayToml},
    exit::{CliError, CliResult, Exit},
};

/// An app as its author describes it. Whether its modules exist is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Absolute; module paths are relative to it.
    pub root: PathBuf,
    pub app: AppName,
    pub environment: EnvironmentName,
    pub functions: BTreeMap<FunctionName, config::Function>,
    pub env: BTreeMap<String, String>,
    pub egress: EgressPolicy,
    pub databases: BTreeMap<DatabaseName, DatabaseSpec>,
    pub transactions: BTreeMap<TransactionName, config::Transaction>,
    pub tags: AppTags,
    /// How changes are let in and judged.
    pub policy: Policy,
    /// The command that runs the app's own tests, in its root.
    pub test: Option<String>,
}

/// Finds out what `path` is. `name` overrides the app's name.
pub fn open(path: &Path, name: Option<AppName>) -> CliResult<Project> {
    let full = fs::canonicalize(path).map_err(|error| {
        CliError::new(Exit::Usage, "no-such-path", format!("cannot read {}", path.display()))
            .because(&error)
    })?;
    if full.is_dir() {
        return directory(&full, name);
    }
    if full.file_name().is_some_and(|file| file == config::FILE) {
        return directory(full.parent().unwrap_or(&full), name);
    }
    single::open(&full, name)
}

fn directory(root: &Path, name: Option<AppName>) -> CliResult<Project> {
    let path = root.join(config::FILE);
    if !path.exists() {
        return Err(without::explain(root));
    }
    let source = fs::read_to_string(&path).map_err(|error| {
        CliError::usage(format!("cannot read {}", path.display())).because(&error)
    })?;
    let content = config::parse(config::FILE, &source).map_err(|diagnostics| {
        let noun = if diagnostics.len() == 1 { "mistake" } else { "mistakes" };
        let message = format!("{} has {} {noun}", path.display(), diagnostics.len());
        CliError::refused(message, diagnostics)
    })?;
    Ok(from_config(root, content, name))
}

fn from_config(root: &Path, content: BelayToml, name: Option<AppName>) -> Project {
    Project {
        root: root.to_owned(),
        app: name.unwrap_or(content.app),
        environment: content.environment,
        functions: content.functions,
        env: content.env,
        egress: content.egress,
        databases: content.databases,
        transactions: content.transactions,
        tags: content.tags,
        policy: content.policy,
        test: content.test,
    }
}

/// The module graph that the functions reach.
pub struct Resolved {
    pub functions: BTreeMap<FunctionName, FunctionSpec>,
    pub modules: Vec<ModuleEntry>,
    pub sources: BTreeMap<Hash, Vec<u8>>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Follows the imports of all functions over `fs`.
pub fn resolve(project: &Project, fs: impl SourceFs + Clone + 'static) -> Resolved {
    let entries: Vec<EntryPoint> = project.functions.iter().map(entry).collect();
    let graph = resolve_graph(&fs, &project.root, &entries);
    let found = graph.entries.iter().map(|entry| {
        let said = project.functions.get(&entry.function);
        let spec = FunctionSpec {
            module: entry.module.clone(),
            export: entry.export.clone(),
            limits: said.map_or_else(Limits::default, |function| function.limits),
            tags: said.map_or_else(Tags::default, |function| function.tags.clone()),
        };
        (entry.function.clone(), spec)
    });
    let functions = found.collect();
    let diagnostics = placed(project, &functions, graph.diagnostics);
    Resolved { functions, modules: graph.modules, sources: graph.sources, diagnostics }
}

fn entry((name, function): (&FunctionName, &config::Function)) -> EntryPoint {
    EntryPoint {
        function: name.clone(),
        module: PathBuf::from(&function.module),
        export: function.export.clone(),
    }
}

/// The resolver knows nothing of belay.toml: adds where it names a module that was not found.
fn placed(
    project: &Project,
    found: &BTreeMap<FunctionName, FunctionSpec>,
    diagnostics: Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    let absent = project.functions.iter().filter(|(name, _)| !found.contains_key(*name));
    let mut places = absent.map(|(_, function)| function.place.clone());
    let place = |diagnostic: Diagnostic| {
        let nameless = diagnostic.code == "missing-entry" && diagnostic.labels.is_empty();
        match nameless.then(|| places.next()).flatten().flatten() {
            Some(place) => diagnostic.at(place),
            None => diagnostic,
        }
    };
    diagnostics.into_iter().map(place).collect()
}
