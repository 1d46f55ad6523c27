//! Does a manifest hold together? It comes over the network, and may have been made by anyone.

use std::collections::BTreeSet;

use belay_model::{AppManifest, Diagnostic, ImportTarget, ModuleEntry, ModuleKind};

use crate::{limits::SourceLimits, linking::Unit, syntax::Dialect};

/// The code of diagnostics that a manifest from Belay's own CLI never causes.
const BAD_MANIFEST: &str = "bad-manifest";

/// Bounds, paths and edges, before any source is read.
pub(super) fn check(manifest: &AppManifest, limits: &SourceLimits) -> Result<(), Vec<Diagnostic>> {
    if manifest.modules.len() > limits.modules {
        let found = manifest.modules.len();
        return Err(vec![too_many_modules(found, limits.modules)]);
    }
    let paths: BTreeSet<&str> =
        manifest.modules.iter().map(|module| module.path.as_str()).collect();
    let mut problems: Vec<String> = Vec::new();
    if paths.len() != manifest.modules.len() {
        problems.push("two modules have the same path".to_owned());
    }
    problems
        .extend(manifest.modules.iter().filter_map(|module| entry_problem(module, &paths, limits)));
    for (name, function) in &manifest.functions {
        if !paths.contains(function.module.as_str()) {
            problems.push(format!(
                "function `{name}` names a module that is not there: {:?}",
                function.module
            ));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.into_iter().map(bad).collect()) }
}

pub(crate) fn too_many_modules(found: usize, max: usize) -> Diagnostic {
    Diagnostic::error(
        "too-large",
        format!("the app has {found} modules; at most {max} are accepted"),
    )
    .help("import the parts of a package that you use rather than its index, or bundle it first")
}

fn bad(problem: String) -> Diagnostic {
    Diagnostic::error(BAD_MANIFEST, problem)
        .help("deploy with `belay deploy`, which writes the manifest")
}

fn entry_problem(
    entry: &ModuleEntry,
    paths: &BTreeSet<&str>,
    limits: &SourceLimits,
) -> Option<String> {
    if let Some(problem) = path_problem(&entry.path, limits) {
        return Some(problem);
    }
    let extension_fits = match entry.kind {
        ModuleKind::Json => true,
        ModuleKind::Esm | ModuleKind::CommonJs => Dialect::of(&entry.path).is_some(),
    };
    if !extension_fits {
        return Some(format!("{:?} is neither JavaScript nor TypeScript", entry.path));
    }
    if entry.imports.len() > limits.imports {
        return Some(format!("{:?} has more than {} imports", entry.path, limits.imports));
    }
    let edge = entry.imports.iter().find(|edge| match &edge.target {
        ImportTarget::Module(path) => !paths.contains(path.as_str()),
        ImportTarget::Builtin(name) => name != "belay",
        ImportTarget::Empty | ImportTarget::Missing(_) => false,
    });
    edge.map(|edge| {
        format!(
            "{:?} imports {:?}, which leads to {:?}: it is not there",
            entry.path,
            shorten(&edge.specifier),
            edge.target
        )
    })
}

fn path_problem(path: &str, limits: &SourceLimits) -> Option<String> {
    // The engine names modules of its own `belay` and `belay:…`; frames end in `:line:column`.
    let odd = |c: char| matches!(c, '\\' | ':') || c.is_control();
    let good = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(odd);
    if path.len() > limits.path_bytes {
        return Some(format!("a module path is longer than {} bytes", limits.path_bytes));
    }
    (!path.split('/').all(good) || path == "belay")
        .then(|| format!("{path:?} is not a module path"))
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

pub(super) fn no_source(entry: &ModuleEntry) -> Diagnostic {
    bad(format!("the source of {} was not uploaded ({})", entry.path, entry.source))
}

pub(super) fn size(
    entry: &ModuleEntry,
    text: &str,
    total: usize,
    limits: &SourceLimits,
) -> Result<(), Vec<Diagnostic>> {
    let problem = if text.len() > limits.file_bytes {
        format!(
            "{} is {} bytes long; at most {} are accepted",
            entry.path,
            text.len(),
            limits.file_bytes
        )
    } else if total > limits.total_bytes {
        format!("the app's sources are longer than {} bytes together", limits.total_bytes)
    } else {
        return Ok(());
    };
    Err(vec![Diagnostic::error("too-large", problem)])
}

/// Every specifier that the source has must have an edge; else it would fail as it runs.
pub(super) fn edges(unit: &Unit) -> Result<(), Vec<Diagnostic>> {
    let without = unit.imports().iter().filter(|import| {
        !unit.edges.iter().any(|e| e.kind == import.kind && e.specifier == import.specifier)
    });
    let problems: Vec<_> = without
        .map(|import| {
            let message =
                format!("the manifest does not say where {:?} leads", shorten(&import.specifier));
            bad(message).at(unit.label(import.span, ""))
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
