//! Deploys whose sources were rewritten without saying anything else: comments, types, formatting.
//!
//! They change nothing that runs, so there is no new version: neither its numbers nor its evidence would mean
//! anything. Everything else of the manifest (limits, environment, imports) has to be equal.

use belay_model::{AppManifest, Hash, ModuleEntry, ModuleKind};
use belay_weave::same_code;

use super::{Builder, Catalog, CatalogError, DeployResult, blocking::on_big_stack};

/// One module with its source in two versions.
struct Rewritten {
    path: String,
    kind: ModuleKind,
    before: Hash,
    after: Hash,
}

impl Catalog {
    /// The live version as the answer to a deploy of `manifest`, if both say the same.
    pub(super) async fn rewritten(
        &self,
        manifest: &AppManifest,
    ) -> Result<Option<DeployResult>, CatalogError> {
        let live = self.app(&manifest.app).ok().and_then(|app| app.live().cloned());
        let Some(live) = live else { return Ok(None) };
        let before = self.manifest(&live.record).await?;
        let Some(modules) = rewritten(&before, manifest) else { return Ok(None) };
        for module in modules {
            if !self.inner.builder.same_code(module).await? {
                return Ok(None);
            }
        }
        let unchanged = self.unchanged(&manifest.app, &live.record.manifest);
        Ok(unchanged.map(|unchanged| DeployResult { rewritten: true, ..unchanged }))
    }
}

impl Builder {
    async fn same_code(&self, module: Rewritten) -> Result<bool, CatalogError> {
        let Rewritten { path, kind, before, after } = module;
        let (_, before) = self.text(path.clone(), before).await?;
        let (_, after) = self.text(path.clone(), after).await?;
        let compare = move || same_code(&path, kind, &before, &after);
        // A comparison that breaks down is no reason to refuse the deploy.
        Ok(on_big_stack("belay-compare", compare).await.unwrap_or(false))
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
        path: after.path.clone(),
        kind: after.kind,
        before: before.source,
        after: after.source,
    };
    Some(differing.map(module).collect())
}
