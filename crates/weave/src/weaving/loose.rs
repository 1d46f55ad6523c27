//! Sources that are no app: two versions of a package or of a repository, woven for another engine to run.
//!
//! The text is the one that the engine runs, but for the way in which guards come to their cells: here `$belay` is a
//! global, a list of the arms of parts, 1 for *after*; `$belay_arm` is a function that answers 0 for the others, and
//! `$belay_enter`, `$belay_leave` and `$belay_settable` are functions that need not do anything. Whoever runs the text provides them before any of it is loaded.
//!
//! Of imports, relative ones are resolved, as those between the modules of an app are: where an export has two values,
//! they choose. Whoever else imports it gets the new value by the export's own name and the old one with `$belay_` before
//! it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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

/// Weaves two versions of the same modules. A source that is neither JavaScript nor TypeScript, or that does not parse,
/// differs as a whole.
pub fn weave_sources(before: &Sources, after: &Sources, tying: Tying) -> Weave {
    let mut modules = modules(before, after);
    let woven = |modules: &[Module<'_>]| {
        let texts: BTreeMap<Hash, &Arc<str>> =
            modules.iter().map(|module| (module.hash, module.text)).collect();
        let source = |hash: &Hash| texts.get(hash).map(|text| Arc::clone(text));
        let [old, new] = [(0, before), (1, after)].map(|side| manifest(modules, side));
        weave(&old, &new, &source, tying).unwrap_or_else(|_| unreachable!("each source is at hand"))
    };
    let (mut weave, mut choosing) = (woven(&modules), BTreeSet::new());
    let moved = before.keys().filter(|path| !after.contains_key(*path));
    let moved = moved.chain(after.keys().filter(|path| !before.contains_key(*path)));
    let mut told: BTreeSet<String> = moved.cloned().collect();
    // Who imports two values may export them further.
    loop {
        let exposing: BTreeSet<String> = weave.exposing().map(str::to_owned).collect();
        if exposing.is_subset(&choosing) {
            return weave;
        }
        told.extend(exposing.iter().cloned());
        choosing.extend(exposing);
        let counts = |module: &Module<'_>| {
            module.has != [true; 2]
                || mentions(module.text).any(|specifier| {
                    let target = |sources| target(sources, module.path, specifier);
                    let mut targets = [before, after].into_iter().filter_map(target);
                    specifier.contains('\\') || targets.any(|path| told.contains(&path))
                })
        };
        modules.iter_mut().filter(|module| counts(module)).for_each(Module::read);
        weave = woven(&modules);
    }
}

/// All of a text that may be the specifier of another source, and more.
fn mentions(text: &str) -> impl Iterator<Item = &str> {
    let quoted = |pair: &[u8]| matches!(pair, [b'"' | b'\'' | b'`', b'.' | b'\\']);
    let starts = text.as_bytes().windows(2).enumerate().filter(move |(_, pair)| quoted(pair));
    starts.filter_map(|(at, _)| text[at + 1..].split(['"', '\'', '`', '\n']).next())
}

/// One source of either version or, where they are the same, of both.
struct Module<'s> {
    path: &'s String,
    text: &'s Arc<str>,
    /// Which version has it.
    has: [bool; 2],
    hash: Hash,
    kind: ModuleKind,
    imports: Vec<(String, ImportKind)>,
    read: bool,
}

/// What both versions have is read only where its imports count.
fn modules<'s>(before: &'s Sources, after: &'s Sources) -> Vec<Module<'s>> {
    let module = |path, text, has: [bool; 2]| Module {
        path,
        text,
        has,
        hash: Hash::of(text.as_bytes()),
        kind: if has == [true; 2] { ModuleKind::Esm } else { kind(path, text) },
        imports: Vec::new(),
        read: false,
    };
    let same = |path, text, other: &Sources| other.get(path) == Some(text);
    let old = before.iter().map(|(path, text)| module(path, text, [true, same(path, text, after)]));
    let new = after.iter().filter(|(path, text)| !same(path, text, before));
    old.chain(new.map(|(path, text)| module(path, text, [false, true]))).collect()
}

impl Module<'_> {
    fn read(&mut self) {
        if self.read {
            return;
        }
        self.read = true;
        self.kind = kind(self.path, self.text);
        self.imports = imports(self.path, self.text);
    }
}

fn manifest(modules: &[Module<'_>], (side, sources): (usize, &Sources)) -> AppManifest {
    let entries = modules.iter().filter(|module| module.has[side]).map(|module| {
        let imports = module.imports.iter().filter_map(|(specifier, kind)| {
            let target = ImportTarget::Module(target(sources, module.path, specifier)?);
            Some(ImportEdge { specifier: specifier.clone(), kind: *kind, target })
        });
        ModuleEntry {
            path: module.path.clone(),
            source: module.hash,
            kind: module.kind,
            imports: imports.collect(),
        }
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

    /// ES modules of which an export has two values.
    fn exposing(&self) -> impl Iterator<Item = &str> {
        let weaves =
            self.modules.iter().filter_map(|module| Some((module, module.weave.as_ref()?)));
        let exposing = weaves.filter(|(_, weave)| !weave.output.exposed.is_empty());
        exposing.map(|(module, _)| &*module.path)
    }

    /// Modules whose weave was not what both versions say, and what it said: they differ as a whole instead, or more of
    /// them does.
    pub fn mismatches(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.iter().filter_map(|module| Some((&*module.path, module.mismatch.as_deref()?)))
    }
}
