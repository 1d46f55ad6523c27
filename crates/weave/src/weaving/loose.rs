//! Sources that are no app: two versions of a package or of a repository, woven for another engine to run.
//!
//! The text is the one that the engine runs, but for the way in which guards come to their cells: here `$belay` is a
//! global, a list of the arms of parts, 1 for *after*; `$belay_arm` is a function that answers 0 for the others, and
//! `$belay_enter`, `$belay_leave` and `$belay_settable` are functions that need not do anything. Whoever runs the
//! text provides them before any of it is loaded.
//!
//! Of imports, relative ones are resolved, as those between the modules of an app are: where an export has two values,
//! they choose. Whoever else imports it gets the new value by the export's own name and the old one with `$belay_` before
//! it.

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{
    AppManifest, Arm, EgressPolicy, EnvironmentName, Hash, ImportEdge, ImportKind, ImportTarget,
    ModuleEntry, ModuleKind,
};

use super::{Tying, Weave, app::weave};
use crate::syntax::{detect, imports};

/// What may follow a relative specifier.
const ENDINGS: [&str; 9] =
    ["", ".js", ".ts", ".mjs", ".cjs", ".jsx", ".tsx", "/index.js", "/index.ts"];

/// Source texts by path.
pub type Sources = BTreeMap<String, Arc<str>>;

/// What a source is, and what it imports.
type Read = (ModuleKind, Vec<(String, ImportKind)>);

/// Two versions of the same modules, and what each of them imports.
#[derive(Debug)]
pub struct Loose {
    before: AppManifest,
    after: AppManifest,
    texts: BTreeMap<Hash, Arc<str>>,
}

impl Loose {
    /// Reads the sources for what they import. One that is neither JavaScript nor TypeScript, or that does not parse, imports
    /// nothing.
    pub fn read(before: &Sources, after: &Sources) -> Self {
        let mut texts = BTreeMap::new();
        let mut known: BTreeMap<(&String, Hash), Read> = BTreeMap::new();
        for (path, text) in before.iter().chain(after) {
            let hash = Hash::of(text.as_bytes());
            texts.insert(hash, text.clone());
            known.entry((path, hash)).or_insert_with(|| (kind(path, text), imports(path, text)));
        }
        let manifests = [before, after].map(|sources| {
            let entries = sources.iter().filter_map(|(path, text)| {
                let source = Hash::of(text.as_bytes());
                let (kind, imports) = known.get(&(path, source))?;
                let imports = imports.iter().filter_map(|(specifier, kind)| {
                    let target = ImportTarget::Module(target(sources, path, specifier)?);
                    Some(ImportEdge { specifier: specifier.clone(), kind: *kind, target })
                });
                let (path, imports) = (path.clone(), imports.collect());
                Some(ModuleEntry { path, source, kind: *kind, imports })
            });
            manifest(entries.collect())
        });
        let [before, after] = manifests;
        Self { before, after, texts }
    }

    /// Weaves them. A source that does not parse differs as a whole.
    pub fn weave(&self, tying: Tying) -> Weave {
        let source = |hash: &Hash| self.texts.get(hash).cloned();
        let woven = weave(&self.before, &self.after, &source, tying);
        woven.unwrap_or_else(|_| unreachable!("each source is at hand"))
    }
}

fn manifest(modules: Vec<ModuleEntry>) -> AppManifest {
    AppManifest {
        app: "loose".parse().unwrap_or_else(|_| unreachable!("it is a name")),
        functions: BTreeMap::new(),
        environment: EnvironmentName::default(),
        env: BTreeMap::new(),
        egress: EgressPolicy::default(),
        databases: BTreeMap::new(),
        transactions: BTreeMap::new(),
        tags: belay_model::AppTags::default(),
        policy: belay_model::Policy::default(),
        modules,
    }
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

    /// Modules whose weave was not what both versions say, and what it said: they differ as a whole instead, or more of
    /// them does.
    pub fn mismatches(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.iter().filter_map(|module| Some((&*module.path, module.mismatch.as_deref()?)))
    }
}
