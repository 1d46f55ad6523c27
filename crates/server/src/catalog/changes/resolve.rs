//! The program in which each part of a change is at its arm, as sources.
//!
//! A change's weave is not stored: it is made again from the two manifests, and comes to the same parts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_model::{AppManifest, Arm, Hash, ModuleEntry, PartId};

use super::{
    labels::Labels,
    parts::{is_cut_as, parts_of},
};
use crate::{
    catalog::{
        Catalog, CatalogError, ChangeRecord,
        manifest::read_manifest,
        woven::{Bindings, Pair},
    },
    routes::AppRoutes,
};

/// A program as sources, which need not be stored.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) manifest: AppManifest,
    /// Of its modules, by path.
    pub(super) texts: BTreeMap<String, Arc<str>>,
}

impl Catalog {
    /// The two programs of a change.
    pub(super) async fn pair(
        &self,
        app: &AppRoutes,
        change: &ChangeRecord,
    ) -> Result<Pair, CatalogError> {
        let version = app.versions.get(&change.version);
        let unknown =
            || CatalogError::UnknownVersion { app: app.name().clone(), version: change.version };
        let after = self.manifest(&version.ok_or_else(unknown)?.record).await?;
        let before = read_manifest(&self.inner.blobs, &change.before).await?;
        let labels = Labels::of(change);
        Ok(Pair { before: Arc::new(before), after: Arc::new(after), labels })
    }

    /// The program in which each part of a change is at its arm. Nothing is stored.
    pub(super) async fn resolve(
        &self,
        app: &AppRoutes,
        change: &ChangeRecord,
        arm: &(dyn Fn(PartId) -> Arm + Sync),
    ) -> Result<Resolved, CatalogError> {
        let pair = self.pair(app, change).await?;
        let bindings = Bindings { frozen: change.frozen.clone(), whole: change.whole.is_some() };
        let woven = self.inner.builder.weave_again(&pair, bindings).await?;
        if !is_cut_as(&woven.parts(), change)
            && parts_of(change).any(|(part, _)| arm(part) == Arm::Before)
        {
            // The arms are of other parts than these: better no program than another one.
            return Err(CatalogError::Rewoven { app: app.name().clone(), change: change.version });
        }
        let (manifest, texts) = woven.resolve(arm).map_err(CatalogError::NotOneSource)?;
        Ok(Resolved { manifest, texts })
    }

    /// A program whose manifest and sources are stored.
    pub(super) async fn read_program(&self, manifest: &Hash) -> Result<Resolved, CatalogError> {
        let manifest = read_manifest(&self.inner.blobs, manifest).await?;
        let sources = self.inner.builder.texts(&manifest).await?;
        let text = |module: &ModuleEntry| {
            Some((module.path.clone(), sources.get(&module.source)?.clone()))
        };
        let texts = manifest.modules.iter().filter_map(text).collect();
        Ok(Resolved { manifest, texts })
    }

    /// Stores the sources of a program. Only who shares the lock of deploys may call this: nothing refers to them yet.
    pub(super) async fn store_sources(&self, program: &Resolved) -> Result<(), CatalogError> {
        let blobs = &self.inner.blobs;
        let hashes: Vec<Hash> = program.manifest.modules.iter().map(|m| m.source).collect();
        let missing: BTreeSet<Hash> = blobs.missing(&hashes).await?.into_iter().collect();
        for module in program.manifest.modules.iter().filter(|m| missing.contains(&m.source)) {
            if let Some(text) = program.texts.get(&module.path) {
                blobs.put(text.as_bytes()).await?;
            }
        }
        Ok(())
    }
}
