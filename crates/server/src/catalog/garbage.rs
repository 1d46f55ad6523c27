//! What nothing refers to any more: blobs of removed apps and of refused deploys, and pieces that no blob has any more.
//! Found by mark and sweep, after a removal and at start.
//!
//! Safe against deploys, which share a lock from looking for their sources until a record refers to them (rebuilds share it
//! while they keep what they made): marking and
//! listing take their time without that lock; under it, only what appeared in between is marked too, and what is dead
//! is removed. A client that was told "you need not upload this" before a sweep, and deploys after it, is asked to
//! upload again.

use std::collections::HashSet;

use belay_fabric::StoreError;
use belay_model::Hash;

use super::{
    Catalog, CatalogError, ChangeRecord, VersionRecord, load,
    manifest::read_manifest,
    record::{self, CHANGES},
};

/// Blobs that are listed at once.
const PAGE: usize = 10_000;

/// What is known to be referred to.
#[derive(Default)]
struct Marked {
    blobs: HashSet<Hash>,
    /// Manifests whose sources are among `blobs`.
    manifests: HashSet<Hash>,
}

impl Catalog {
    /// Removes all garbage; says how many blobs that was.
    pub async fn collect(&self) -> Result<usize, CatalogError> {
        let _alone = self.inner.collector.lock().await;
        let candidates = self.all_blobs().await?;
        let mut marked = Marked::default();
        self.mark(&mut marked).await?;
        let no_deploys = self.inner.collecting.write().await;
        self.mark(&mut marked).await?;
        let mut removed = 0;
        for dead in candidates.iter().filter(|hash| !marked.blobs.contains(hash)) {
            removed += usize::from(self.inner.blobs.remove(dead).await?);
        }
        drop(no_deploys);
        // Deploys put blobs whole, so they have no business with pieces.
        self.inner.blobs.sweep().await?;
        Ok(removed)
    }

    /// Nobody waits for it.
    pub fn collect_in_background(&self) {
        let catalog = self.clone();
        tokio::spawn(async move { catalog.collect_or_log().await });
    }

    /// What a start does beside serving: garbage goes, and sources that are not in pieces yet are cut.
    pub fn tidy_in_background(&self) {
        let catalog = self.clone();
        tokio::spawn(async move {
            catalog.collect_or_log().await;
            catalog.cut_all().await;
        });
    }

    /// A failure is logged, and the next start tries again.
    async fn collect_or_log(&self) {
        match self.collect().await {
            Ok(removed) => tracing::debug!(removed, "collected garbage"),
            // The next start goes on.
            Err(CatalogError::Store(StoreError::Closed)) => {}
            Err(error) => tracing::warn!(%error, "garbage could not be collected"),
        }
    }

    /// Every blob that a version refers to. A manifest that cannot be read stops the sweep: better garbage than loss.
    async fn mark(&self, marked: &mut Marked) -> Result<(), CatalogError> {
        for version in self.records() {
            marked.blobs.extend([version.manifest, version.maps, version.image]);
            marked.blobs.extend(version.tags);
            if marked.manifests.insert(version.manifest) {
                let manifest = read_manifest(&self.inner.blobs, &version.manifest).await?;
                marked.blobs.extend(manifest.modules.iter().map(|module| module.source));
            }
        }
        for change in self.change_records().await? {
            marked.blobs.insert(change.details);
            marked.blobs.extend(change.faces.iter().flat_map(|face| [face.maps, face.image]));
            for manifest in [Some(change.before), change.settled].into_iter().flatten() {
                marked.blobs.insert(manifest);
                if marked.manifests.insert(manifest) {
                    let manifest = read_manifest(&self.inner.blobs, &manifest).await?;
                    marked.blobs.extend(manifest.modules.iter().map(|module| module.source));
                }
            }
        }
        Ok(())
    }

    /// As they are known, and as they are stored: an image that was made anew is stored a moment before it is known,
    /// and not known at all if its change stopped to run meanwhile.
    pub(super) async fn change_records(&self) -> Result<Vec<ChangeRecord>, CatalogError> {
        let mut changes = Vec::new();
        for stored in load::all(&self.inner.store, &CHANGES).await? {
            changes.push(record::decode(&stored.key, &stored.value)?);
        }
        let routes = self.inner.routes.load();
        for app in routes.apps() {
            let known = app.changes.keys().filter_map(|version| app.change(*version));
            changes.extend(known.map(|change| ChangeRecord::clone(&change)));
        }
        Ok(changes)
    }

    pub(super) fn records(&self) -> Vec<std::sync::Arc<VersionRecord>> {
        let routes = self.inner.routes.load();
        let versions = routes.apps().flat_map(|app| app.versions.values());
        versions.map(|version| version.image.record()).collect()
    }

    async fn all_blobs(&self) -> Result<Vec<Hash>, CatalogError> {
        let mut all: Vec<Hash> = Vec::new();
        loop {
            let page = self.inner.blobs.list(all.last(), PAGE).await?;
            let end = page.len() < PAGE;
            all.extend(page);
            if end {
                return Ok(all);
            }
        }
    }
}
