//! Makes an image anew after an upgrade of Belay, and keeps it, so that this happens once for each version.
//!
//! What users see of a version never changes; its image, its maps and the engine that they belong to are derived from
//! the manifest, and may. They are kept by compare-and-set on the version's record.

use std::sync::Arc;

use belay_engine::FunctionImage;
use belay_fabric::{CommitError, Expect, Store, Transaction};
use belay_model::AppName;
use tokio::sync::RwLock;

use super::{
    Builder, CatalogError, VersionRecord,
    build::{Purpose, Work},
    images::WovenFace,
    manifest::read_manifest,
    maps::{self, Maps},
    record::{self, VERSIONS, version_key},
    woven::{Bindings, Pair},
};

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Rebuilder {
    pub(super) builder: Builder,
    pub(super) store: Store,
    /// See [`super::Inner::collecting`].
    pub(super) collecting: Arc<RwLock<()>>,
}

/// A version on the engine of today.
pub(super) struct Rebuilt {
    pub(super) image: FunctionImage,
    pub(super) maps: Maps,
}

impl Rebuilder {
    /// The same sources, on the engine of today. `adopt` is told the new record once it is durable, while no garbage
    /// is collected. An image that cannot be kept can still run.
    pub(super) async fn rebuild(
        &self,
        app: &AppName,
        old: &VersionRecord,
        adopt: impl FnOnce(VersionRecord),
    ) -> Result<Rebuilt, CatalogError> {
        tracing::info!(%app, version = %old.version, "rebuilding for this engine");
        let manifest = read_manifest(self.builder.blobs(), &old.manifest).await?;
        let work = self.builder.build(&Arc::new(manifest), Purpose::Rebuild).await?;
        let _blobs_stay = self.collecting.read().await;
        match self.keep(app, old, &work).await {
            Ok(Some(new)) => adopt(new),
            Ok(None) => tracing::info!(%app, version = %old.version, "the version is gone"),
            Err(error) => {
                tracing::warn!(%app, version = %old.version, %error, "a rebuilt image is not kept");
            }
        }
        Ok(Rebuilt { image: work.image, maps: work.maps })
    }

    /// As [`Self::rebuild`] for one of the images of a change. It is not kept: the change will be settled before long.
    pub(super) async fn rebuild_face(
        &self,
        app: &AppName,
        face: &WovenFace,
    ) -> Result<(FunctionImage, Maps), CatalogError> {
        let change = &face.change;
        tracing::info!(%app, change = %change.version, "weaving for this engine");
        let blobs = self.builder.blobs();
        if let Some(settled) = &change.settled {
            let manifest = Arc::new(read_manifest(blobs, settled).await?);
            let work = self.builder.build(&manifest, Purpose::Rebuild).await?;
            return Ok((work.image, work.maps));
        }
        let key = version_key(app, change.version);
        let found = self.store.get(&VERSIONS, &key).await?;
        let found = found.ok_or_else(|| CatalogError::damaged(&key, "it is missing"))?;
        let version: VersionRecord = record::decode(&key, &found.value)?;
        let pair = Pair {
            before: Arc::new(read_manifest(blobs, &change.before).await?),
            after: Arc::new(read_manifest(blobs, &version.manifest).await?),
            label: format!("v{}", change.from.version),
        };
        let bindings = Bindings { frozen: change.frozen.clone(), whole: change.whole.is_some() };
        self.builder.face(&pair, bindings, face.arm).await
    }

    /// `None` if the stored record is not `old` any more: its app was removed meanwhile.
    async fn keep(
        &self,
        app: &AppName,
        old: &VersionRecord,
        work: &Work,
    ) -> Result<Option<VersionRecord>, CatalogError> {
        let key = version_key(app, old.version);
        let Some(found) = self.store.get(&VERSIONS, &key).await? else { return Ok(None) };
        if record::decode::<VersionRecord>(&key, &found.value)? != *old {
            return Ok(None);
        }
        let new = self.store_blobs(old, work).await?;
        let transaction = Transaction::new()
            .check(&VERSIONS, key.clone(), Expect::Revision(found.revision))
            .put(&VERSIONS, key, record::encode(&new));
        match self.store.commit(transaction).await {
            Ok(_) => Ok(Some(new)),
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    async fn store_blobs(
        &self,
        old: &VersionRecord,
        work: &Work,
    ) -> Result<VersionRecord, CatalogError> {
        let blobs = self.builder.blobs();
        let maps = maps::encode(&work.maps).map_err(|e| CatalogError::damaged("maps", e))?;
        let image = work.image.to_bytes();
        let (maps, image) = tokio::try_join!(blobs.put(&maps), blobs.put(&image))?;
        Ok(VersionRecord { maps, image, engine: work.engine, ..old.clone() })
    }
}
