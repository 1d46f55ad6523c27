//! Deploys whose sources were rewritten without saying anything else: comments without tags, types, formatting.
//!
//! They change nothing that runs, so there is no new version: neither its numbers nor its evidence would mean
//! anything. Everything else of the manifest (limits, environment, imports) has to be equal.

use std::sync::Arc;

use belay_model::{AppManifest, Diagnostic, Hash, ModuleEntry};
use belay_weave::{same_code, same_tags};

use super::{Builder, Catalog, CatalogError, DeployResult, blocking::on_big_stack};

/// One module with its source in two versions.
struct Rewritten {
    module: ModuleEntry,
    before: Hash,
}

impl Catalog {
    /// The live version as the answer to a deploy of `manifest`, if both say the same.
    pub(super) async fn rewritten(
        &self,
        manifest: &Arc<AppManifest>,
    ) -> Result<Option<DeployResult>, CatalogError> {
        let live = self.app(&manifest.app).ok().and_then(|app| app.live().cloned());
        let Some(live) = live else { return Ok(None) };
        let before = self.manifest(&live.record).await?;
        let Some(modules) = rewritten(&before, manifest) else { return Ok(None) };
        let mut diagnostics = Vec::new();
        for module in modules {
            match self.inner.builder.same(manifest, module).await? {
                Some(warnings) => diagnostics.extend(warnings),
                None => return Ok(None),
            }
        }
        let unchanged = self.unchanged(&manifest.app, &live.record.manifest);
        Ok(unchanged.map(|unchanged| DeployResult { rewritten: true, diagnostics, ..unchanged }))
    }
}

impl Builder {
    /// What there is to warn of, if the module says the same in both versions.
    async fn same(
        &self,
        manifest: &Arc<AppManifest>,
        Rewritten { module, before }: Rewritten,
    ) -> Result<Option<Vec<Diagnostic>>, CatalogError> {
        let (_, before) = self.text(module.path.clone(), before).await?;
        let (_, after) = self.text(module.path.clone(), module.source).await?;
        let manifest = manifest.clone();
        let compare = move || {
            let same = same_code(&module.path, module.kind, &before, &after);
            same.then(|| same_tags(&manifest, &module, &before, &after)).flatten()
        };
        // A comparison that breaks down is no reason to refuse the deploy.
        Ok(on_big_stack("belay-compare", compare).await.unwrap_or_default())
    }
}

/// The modules whose source differs, if nothing else does.
fn rewritten(before: &AppManifest, after: &AppManifest) -> Option<Vec<Rewritten>> {
    let without_sources = |manifest: &AppManifest| {
        let mut manifest = manifest.clone();
        manifest.modules.iter_mut().for_each(|module| module.source = Hash::of(b""));
        manifest
    };
    if without_sources(before) != without_sources(after) {
        return None;
    }
    let pairs = before.modules.iter().zip(&after.modules);
    let differing = pairs.filter(|(before, after)| before.source != after.source);
    let module = |(before, after): (&ModuleEntry, &ModuleEntry)| Rewritten {
        module: after.clone(),
        before: before.source,
    };
    Some(differing.map(module).collect())
}
