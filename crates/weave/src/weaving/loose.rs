//! Sources that are no app: two versions of a package or of a repository, woven for another engine to run.
//!
//! The text is the one that the engine runs, but for the way in which guards come to their cells: here `$belay` is a
//! global, a list of the arms of parts, 1 for *after*; `$belay_arm` is a function that answers 0 for the others, and
//! `$belay_enter`, `$belay_leave` and `$belay_settable` are functions that need not do anything. Whoever runs the text provides them before any of it is loaded.
//!
//! Of imports, relative ones are resolved, as those between the modules of an app are: where an export has two values,
//! they choose. Whoever else imports it gets the new value by the export's own name and the old one with `$belay_` before
//! it.

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{
    AppManifest, Arm, EgressPolicy, EnvironmentName, Hash, HunkInfo, HunkKind, ImportEdge,
    ImportTarget, ModuleEntry, ModuleKind,
};

use super::{Tying, Weave, app::weave};
use crate::syntax::{Goal, detect, read_module};

/// What may follow a relative specifier.
const ENDINGS: [&str; 9] =
    ["", ".js", ".ts", ".mjs", ".cjs", ".jsx", ".tsx", "/index.js", "/index.ts"];

/// Source texts by path.
pub type Sources = BTreeMap<String, Arc<str>>;

/// Weaves two versions of the same modules. A source that is neither JavaScript nor TypeScript, or that does not parse,
/// differs as a whole.
pub fn weave_sources(before: &Sources, after: &Sources, tying: Tying) -> Weave {
    let texts: BTreeMap<Hash, Arc<str>> = before
        .values()
        .chain(after.values())
        .map(|text| (Hash::of(text.as_bytes()), text.clone()))
        .collect();
    let source = |hash: &Hash| texts.get(hash).cloned();
    let woven = |edges| {
        let (old, new) = (manifest(before, after, edges), manifest(after, before, edges));
        weave(&old, &new, &source, tying).unwrap_or_else(|_| unreachable!("each source is at hand"))
    };
    let alone = woven(false);
    let one = before.len().max(after.len()) < 2;
    if one || !alone.is_seen_outside() { alone } else { woven(true) }
}

/// What both versions have is read only where its imports count.
fn manifest(sources: &Sources, others: &Sources, edges: bool) -> AppManifest {
    let kept = |path: &String, text: &Arc<str>| others.get(path) == Some(text);
    let entries = sources.iter().map(|(path, text)| ModuleEntry {
        path: path.clone(),
        source: Hash::of(text.as_bytes()),
        kind: if edges || !kept(path, text) { kind(path, text) } else { ModuleKind::Esm },
        imports: if edges { imports(sources, path, text) } else { Vec::new() },
    });
    AppManifest {
        app: "loose".parse().unwrap_or_else(|_| unreachable!("it is a name")),
        functions: BTreeMap::new(),
        environment: EnvironmentName::default(),
        env: BTreeMap::new(),
        egress: EgressPolicy::default(),
        tags: belay_model::AppTags::default(),
        modules: entries.collect(),
    }
}

/// What a source imports of the others.
fn imports(sources: &Sources, path: &str, text: &str) -> Vec<ImportEdge> {
    let Ok(module) = read_module(path, text, Goal::Detect) else { return Vec::new() };
    let edges = module.imports.into_iter().filter_map(|import| {
        let target = target(sources, path, &import.specifier)?;
        let (specifier, kind) = (import.specifier, import.kind);
        Some(ImportEdge { specifier, kind, target: ImportTarget::Module(target) })
    });
    edges.collect()
}

fn target(sources: &Sources, importer: &str, specifier: &str) -> Option<String> {
    if !specifier.starts_with('.') {
        return None;
    }
    let mut parts: Vec<&str> = importer.split('/').collect();
    parts.pop();
    for part in specifier.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    let path = parts.join("/");
    let written = ENDINGS.iter().map(|ending| format!("{path}{ending}"));
    // TypeScript names what it will be compiled to.
    let compiled = path.strip_suffix(".js").map(|bare| format!("{bare}.ts"));
    written.chain(compiled).find(|path| sources.contains_key(path))
}

/// Told by the extension, or by what the text says.
fn kind(path: &str, text: &str) -> ModuleKind {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => ModuleKind::Json,
        Some("mjs" | "mts") => ModuleKind::Esm,
        Some("cjs" | "cts") => ModuleKind::CommonJs,
        _ => detect(path, text),
    }
}

impl Weave {
    /// The woven texts of one image, by path.
    pub fn sources(&self, image: Arm) -> Sources {
        self.texts(image).into_iter().map(|text| (text.path, text.text.into())).collect()
    }

    /// Whether an export has two values, or one or an import is there in one version only.
    fn is_seen_outside(&self) -> bool {
        let links = |info: HunkInfo| {
            let texts = [info.before_text, info.after_text];
            texts.iter().any(|it| ["import", "require", "export"].iter().any(|w| it.contains(w)))
        };
        let mut weaves = self.modules.iter().filter_map(|module| module.weave.as_ref());
        let added = self.hunks.iter().filter(|it| it.hunk.kind == HunkKind::Additive);
        weaves.any(|weave| !weave.output.exposed.is_empty())
            || added.map(|it| self.info(it)).any(links)
    }

    /// Modules whose weave was not what both versions say, and what it said: they differ as a whole instead, or more of
    /// them does.
    pub fn mismatches(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.iter().filter_map(|module| Some((&*module.path, module.mismatch.as_deref()?)))
    }
}
