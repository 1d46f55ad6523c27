//! How stacks name the program that a change followed, module by module.
//!
//! ```text
//! v11      the text that version 11 was deployed with
//! v11+2    what ran of version 11 when its arms had been flipped twice; v11+0 where something of it began taken back
//! before   a mixture that never ran: what goes on from the change before is put back in it, and other edits are not
//! ```

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{AppManifest, Hash, ProgramName};

use belay_weave::same_code;

use super::resolve::Resolved;
use crate::catalog::{Catalog, CatalogError, blocking::on_big_stack, record::ChangeRecord};

/// A module of which no version and no effective version has the text.
const MIXTURE: &str = "before";

/// The names of a change's modules before it.
#[derive(Debug, Clone)]
pub(in crate::catalog) struct Labels {
    from: ProgramName,
    own: BTreeMap<String, String>,
}

impl Labels {
    pub(in crate::catalog) fn of(change: &ChangeRecord) -> Self {
        Self { from: change.from, own: change.labels.clone() }
    }

    pub(super) fn new(from: ProgramName, own: BTreeMap<String, String>) -> Self {
        Self { from, own }
    }

    pub(in crate::catalog) fn module(&self, path: &str) -> String {
        self.own.get(path).cloned().unwrap_or_else(|| format!("v{}", self.from.version))
    }
}

/// A change that a new one takes over parts of.
pub(super) struct TakenOver<'c> {
    pub(super) change: &'c ChangeRecord,
    /// What ran before it.
    pub(super) before: &'c AppManifest,
    /// Modules of the parts that go on and are on.
    pub(super) modules: BTreeSet<&'c str>,
}

impl Catalog {
    /// The same program, with the texts of `earlier` where these say the same: taking edits back leaves the comments of the
    /// newer version in place, so that lines are those of no version. What `live` has keeps its text.
    pub(super) async fn with_known_texts(
        &self,
        mut program: Resolved,
        live: &AppManifest,
        earlier: &AppManifest,
    ) -> Result<Resolved, CatalogError> {
        let mut pairs = Vec::new();
        for (index, module) in program.manifest.modules.iter().enumerate() {
            let old = earlier.modules.iter().find(|old| old.path == module.path);
            let old = old.filter(|old| old.kind == module.kind && old.source != module.source);
            let text = program.texts.get(&module.path).filter(|_| !live.modules.contains(module));
            if let (Some(old), Some(text)) = (old, text) {
                let (hash, old_text) =
                    self.inner.builder.text(old.path.clone(), old.source).await?;
                pairs.push((index, module.clone(), text.clone(), hash, old_text));
            }
        }
        let compare = move || {
            pairs.retain(|(_, module, text, _, old)| {
                same_code(&module.path, module.kind, old, text)
            });
            pairs
        };
        // Without a comparison the program is the same, and its lines have no name.
        let same = on_big_stack("belay-compare", compare).await.unwrap_or_default();
        for (index, module, _, hash, old) in same {
            program.manifest.modules[index].source = hash;
            program.texts.insert(module.path, old);
        }
        Ok(program)
    }
}

/// Names of the modules of `before` that do not have the text of `live`, the version that ran as `from`.
pub(super) fn labels(
    from: ProgramName,
    live: &AppManifest,
    before: &AppManifest,
    old: Option<&TakenOver<'_>>,
) -> BTreeMap<String, String> {
    let texts = |manifest: &AppManifest| -> BTreeMap<String, Hash> {
        manifest.modules.iter().map(|module| (module.path.clone(), module.source)).collect()
    };
    let (live, earlier) = (texts(live), old.map(|old| texts(old.before)).unwrap_or_default());
    let label = |path: &str, text: Hash| match old {
        _ if live.get(path) == Some(&text) => None,
        Some(old) if earlier.get(path) == Some(&text) => Some(Labels::of(old.change).module(path)),
        Some(old) if old.modules.contains(path) => Some(MIXTURE.to_owned()),
        _ => Some(format!("v{}+{}", from.version, from.flips)),
    };
    let modules = before.modules.iter();
    let own = modules.filter_map(|it| Some((it.path.clone(), label(&it.path, it.source)?)));
    own.collect()
}
