//! The module graph of an app: from its entry points, along every import, to files.
//!
//! [`walk`] reads and resolves, breadth first and without recursion. [`settle`] decides which of
//! the failures matter: an import that its importer can do without (inside `try`, or in a package's
//! function that may never be called) does not fail the deploy, nor does anything that only it
//! leads to. What remains becomes manifest entries and diagnostics.

mod messages;
mod names;
mod node;
mod resolver;
mod settle;
mod walk;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use belay_model::{
    Diagnostic, FunctionName, Hash, ImportEdge, ImportKind, Label, ModuleEntry, ModuleKind,
};

use crate::{
    fs::{SharedFs, SourceFs},
    linking::{Unit, Units, check_handlers, check_wants},
    syntax::{Goal, read_module},
};

/// A function as its author names it.
#[derive(Debug, Clone)]
pub struct EntryPoint {
    pub function: FunctionName,
    /// Relative to the root, or absolute.
    pub module: PathBuf,
    /// `default` for the default export.
    pub export: String,
}

/// Where the module of a function was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedEntry {
    pub function: FunctionName,
    /// As in [`ModuleEntry::path`].
    pub module: String,
    pub export: String,
}

/// All that a deploy needs of the sources.
#[derive(Debug, Clone)]
pub struct GraphResult {
    /// Sorted by path. Incomplete if a diagnostic is an error.
    pub modules: Vec<ModuleEntry>,
    /// The source of each module by its hash.
    pub sources: BTreeMap<Hash, Vec<u8>>,
    /// Those entries whose module was found.
    pub entries: Vec<ResolvedEntry>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Follows all imports from `entries`. `root` is the app's directory, absolute. Nothing is written.
pub fn resolve_graph<F: SourceFs + Clone + 'static>(
    fs: &F,
    root: &Path,
    entries: &[EntryPoint],
) -> GraphResult {
    let walked = walk::walk(&SharedFs(Arc::new(fs.clone())), root, entries);
    let settled = settle::settle(walked);
    let units =
        Units::new(&settled.units, settled.entries.iter().map(|entry| entry.module.as_str()));
    let mut diagnostics = settled.diagnostics;
    diagnostics.extend(check_wants(&units));
    let functions =
        settled.entries.iter().map(|e| (&e.function, e.module.as_str(), e.export.as_str()));
    diagnostics.extend(check_handlers(&units, functions));
    let (modules, sources) =
        settled.units.iter().map(entry).map(|(e, text)| (e.clone(), (e.source, text))).unzip();
    GraphResult { modules, sources, entries: settled.entries, diagnostics }
}

fn entry(unit: &Unit) -> (ModuleEntry, Vec<u8>) {
    let text = unit.source.as_bytes();
    let entry = ModuleEntry {
        path: unit.path.clone(),
        source: Hash::of(text),
        kind: unit.kind,
        imports: unit.edges.clone(),
    };
    (entry, text.to_vec())
}

/// Names of the functions that one file exports, as far as its text tells; for a file that is
/// deployed without configuration.
///
/// # Errors Its syntax errors.
pub fn exported_functions(path: &str, source: &str) -> Result<Vec<String>, Vec<Diagnostic>> {
    let module = read_module(path, source, Goal::Detect)?;
    let names = match module.kind {
        ModuleKind::CommonJs => {
            let shown = module.commonjs.names.into_iter();
            shown.filter(|name| name != "__esModule").collect()
        }
        ModuleKind::Esm | ModuleKind::Json => {
            let names = module.exports.names.into_iter();
            names.filter(|name| !module.exports.values.contains(name)).collect()
        }
    };
    Ok(names)
}

/// Whether a text is JSON.
pub(crate) fn check_json(path: &str, text: &str) -> Result<(), Box<Diagnostic>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) else {
        return Ok(());
    };
    let line = u32::try_from(error.line()).unwrap_or(1);
    let column = u32::try_from(error.column()).unwrap_or(1).max(1);
    let message = format!("{path} is not JSON: {error}");
    Err(Box::new(
        Diagnostic::error("syntax-error", message).at(Label::at_line(path, text, line, column, "")),
    ))
}

/// An edge to a target.
fn edge(specifier: &str, kind: ImportKind, target: belay_model::ImportTarget) -> ImportEdge {
    ImportEdge { specifier: specifier.to_owned(), kind, target }
}
