//! Sources that are no app: two versions of a package or of a repository, woven for another engine to run.
//!
//! The text is the one that the engine runs, but for the way in which guards come to their cells: here `$belay` is a
//! global, a `Uint8Array` of 512 bytes of which the first 256 are the arms of parts, 1 for *after*. Whoever runs the
//! text provides it before any of it is loaded.
//!
//! Imports are not resolved here: two versions of a module that import another one by the same name mean the same. An
//! export that has two values is woven as if its importers chose between them, as those of an app would have to; whoever
//! runs the text gets the new value by the export's own name and the old one with `$belay_` before it.

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{AppManifest, Arm, EgressPolicy, EnvironmentName, Hash, ModuleEntry, ModuleKind};

use super::{Tying, Weave, app::weave_with};
use crate::syntax::detect;

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
    let (old, new) = (manifest(before), manifest(after));
    let source = |hash: &Hash| texts.get(hash).cloned();
    weave_with(&old, &new, &source, tying, true)
        .unwrap_or_else(|_| unreachable!("each source is at hand"))
}

fn manifest(sources: &Sources) -> AppManifest {
    let entries = sources.iter().map(|(path, text)| ModuleEntry {
        path: path.clone(),
        source: Hash::of(text.as_bytes()),
        kind: kind(path, text),
        imports: Vec::new(),
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

    /// Whether an export of an ES module has two values, between which its importers would have to choose.
    pub fn needs_importers(&self) -> bool {
        let mut weaves = self.modules.iter().filter_map(|module| module.weave.as_ref());
        weaves.any(|weave| !weave.output.exposed.is_empty())
    }

    /// Modules whose weave was not what both versions say, and what it said: they differ as a whole instead, or more of
    /// them does.
    pub fn mismatches(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.iter().filter_map(|module| {
            let mismatch = module.weave.as_ref()?.mismatch.as_deref()?;
            Some((&*module.path, mismatch))
        })
    }
}
