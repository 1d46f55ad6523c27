//! Sources are stored as pieces, so that what versions and apps have in common is stored once.
//!
//! A source arrives whole and is deployed so: nobody waits for its pieces. It is cut when a version refers to it, in the
//! background, one source at a time. Until then, or should that fail, it is stored whole, which is no less right; the next
//! start makes up for it. That also finds what a change was settled to. Where to cut is for [`belay_weave::cuts`] to say, what is shared for [`belay_fabric::Blobs`].

use std::collections::{BTreeMap, BTreeSet, HashSet};

use belay_fabric::{StoreError, Stored};
use belay_model::{Hash, ModuleEntry};
use belay_weave::{cuts, may_be_cut};

use super::{Catalog, CatalogError, blocking::on_big_stack, manifest::read_manifest};

/// Sources that are known to stay whole. Beyond this they are forgotten, and found out about again.
const UNCUT_MAX: usize = 10_000;

/// Long sources without a place to cut them at.
#[derive(Default)]
pub(super) struct Uncut(HashSet<Hash>);

impl Catalog {
    /// Cuts the sources of these manifests.
    pub(super) fn cut_in_background(&self, manifests: Vec<Hash>) {
        let catalog = self.clone();
        tokio::spawn(async move { catalog.cut_manifests(manifests).await });
    }

    /// Cuts every source that a version or a change refers to.
    pub(super) async fn cut_all(&self) {
        match self.manifests().await {
            Ok(manifests) => self.cut_manifests(manifests).await,
            Err(error) => log(&error),
        }
    }

    /// Cuts those of `modules` that are not in pieces yet. Returns when they are, whoever began. A failure is logged:
    /// what is not cut stays whole until the next start.
    pub(super) async fn cut_sources(&self, modules: &[ModuleEntry]) {
        if let Err(error) = self.try_cut_sources(modules).await {
            log(&error);
        }
    }

    async fn cut_manifests(&self, manifests: Vec<Hash>) {
        for manifest in manifests {
            // Its app may have been removed meanwhile.
            if self.inner.blobs.has(&manifest).await.is_ok_and(|there| there) {
                match read_manifest(&self.inner.blobs, &manifest).await {
                    Ok(manifest) => self.cut_sources(&manifest.modules).await,
                    Err(error) => log(&error),
                }
            }
        }
    }

    async fn try_cut_sources(&self, modules: &[ModuleEntry]) -> Result<(), CatalogError> {
        let mut uncut = self.inner.uncut.lock().await;
        let modules: BTreeMap<_, _> =
            modules.iter().map(|module| (module.source, module)).collect();
        let sources: Vec<Hash> =
            modules.keys().copied().filter(|source| !uncut.0.contains(source)).collect();
        let stored = self.inner.blobs.stored(&sources).await?;
        for (source, stored) in sources.into_iter().zip(stored) {
            let Some(Stored::Whole { bytes }) = stored else { continue };
            if may_be_cut(bytes) && !self.cut(modules[&source]).await? {
                uncut.add(source);
            }
        }
        Ok(())
    }

    async fn cut(&self, module: &ModuleEntry) -> Result<bool, CatalogError> {
        let (path, kind) = (module.path.clone(), module.kind);
        let (_, text) = self.inner.builder.text(path.clone(), module.source).await?;
        // What the parser breaks down at stays whole.
        let cuts = on_big_stack("belay-cut", move || cuts(&path, kind, &text)).await;
        let cuts = cuts.unwrap_or_default();
        Ok(!cuts.is_empty() && self.inner.blobs.cut(&module.source, &cuts).await?)
    }

    async fn manifests(&self) -> Result<Vec<Hash>, CatalogError> {
        let changes = self.change_records().await?;
        let of_changes = changes.iter().flat_map(|change| [Some(change.before), change.settled]);
        let of_versions = self.records().into_iter().map(|version| version.manifest);
        let all: BTreeSet<_> = of_versions.chain(of_changes.flatten()).collect();
        Ok(all.into_iter().collect())
    }
}

impl Uncut {
    fn add(&mut self, source: Hash) {
        if self.0.len() >= UNCUT_MAX {
            self.0.clear();
        }
        self.0.insert(source);
    }
}

fn log(error: &CatalogError) {
    match error {
        // Its app was removed meanwhile, or the server stops.
        CatalogError::MissingBlobs(_) | CatalogError::Store(StoreError::Closed) => {}
        error => tracing::warn!(%error, "sources could not be cut into pieces"),
    }
}
