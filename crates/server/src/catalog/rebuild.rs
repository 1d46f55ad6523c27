//! Makes an image anew after an upgrade of Belay, and keeps it, so that this happens once for each version.
//!
//! What users see of a version never changes; its image, its maps and the engine that they belong to are derived from
//! the manifest, and may. They are kept by compare-and-set on the version's record; those of a change, on the change's.

use std::sync::Arc;

use belay_engine::FunctionImage;
use belay_fabric::{CommitError, Expect, Store, Transaction};
use belay_model::{AppName, Hash};
use tokio::sync::RwLock;

use super::{
    Builder, CatalogError, ChangeRecord, VersionRecord,
    build::Purpose,
    changes::Labels,
    images::WovenFace,
    manifest::read_manifest,
    maps::{self, Maps},
    record::{self, CHANGES, VERSIONS, version_key},
    woven::Pair,
};

/// Attempts at a transaction whose base was changed in between.
const ATTEMPTS: usize = 8;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Rebuilder {
    pub(super) builder: Builder,
    pub(super) store: Store,
    /// See [`super::Inner::collecting`].
    pub(super) collecting: Arc<RwLock<()>>,
}

/// An image on the engine of today.
pub(super) struct Rebuilt {
    pub(super) image: FunctionImage,
    pub(super) maps: Maps,
    engine: Hash,
}

impl Rebuilder {
    /// The same sources, on the engine of today. `old` is as its slot knows it; `woven` if it is an image of a change.
    /// `adopt` is told the new record once it is durable, while no garbage is collected. An image that cannot be kept
    /// can still run.
    pub(super) async fn rebuild(
        &self,
        app: &AppName,
        old: &VersionRecord,
        woven: Option<&WovenFace>,
        adopt: impl FnOnce(VersionRecord),
    ) -> Result<Rebuilt, CatalogError> {
        let version = old.version;
        tracing::info!(%app, %version, woven = woven.is_some(), "rebuilding for this engine");
        let rebuilt = match woven.filter(|face| face.change.settled.is_none()) {
            Some(face) => self.weave(app, face).await?,
            // What stays of a settled change is a program like any other.
            None => self.plain(old).await?,
        };
        let _blobs_stay = self.collecting.read().await;
        match self.keep(app, old, woven, &rebuilt).await {
            Ok(Some(new)) => adopt(new),
            Ok(None) => tracing::info!(%app, %version, "what the image belonged to is gone"),
            Err(error) => tracing::warn!(%app, %version, %error, "a rebuilt image is not kept"),
        }
        Ok(rebuilt)
    }

    async fn plain(&self, old: &VersionRecord) -> Result<Rebuilt, CatalogError> {
        let manifest = read_manifest(self.builder.blobs(), &old.manifest).await?;
        let work = self.builder.build(&Arc::new(manifest), Purpose::Rebuild).await?;
        Ok(Rebuilt { image: work.image, maps: work.maps, engine: work.engine })
    }

    async fn weave(&self, app: &AppName, face: &WovenFace) -> Result<Rebuilt, CatalogError> {
        let change = &face.change;
        let blobs = self.builder.blobs();
        let key = version_key(app, change.version);
        let found = self.store.get(&VERSIONS, &key).await?;
        let found = found.ok_or_else(|| CatalogError::damaged(&key, "it is missing"))?;
        let version: VersionRecord = record::decode(&key, &found.value)?;
        let pair = Pair {
            before: Arc::new(read_manifest(blobs, &change.before).await?),
            after: Arc::new(read_manifest(blobs, &version.manifest).await?),
            labels: Labels::of(change),
        };
        let (image, maps, engine) = self.builder.face(&pair, change, face.arm).await?;
        Ok(Rebuilt { image, maps, engine })
    }

    /// `None` if the stored record does not have the old image any more: its app was removed meanwhile, or its change
    /// settled.
    async fn keep(
        &self,
        app: &AppName,
        old: &VersionRecord,
        woven: Option<&WovenFace>,
        rebuilt: &Rebuilt,
    ) -> Result<Option<VersionRecord>, CatalogError> {
        let key = version_key(app, old.version);
        let collection = if woven.is_some() { &CHANGES } else { &VERSIONS };
        for _ in 0..ATTEMPTS {
            let Some(found) = self.store.get(collection, &key).await? else { return Ok(None) };
            let Some(place) = Place::find(&key, &found.value, old, woven)? else {
                return Ok(None);
            };
            let new = self.store_blobs(old, rebuilt).await?;
            let transaction = Transaction::new()
                .check(collection, key.clone(), Expect::Revision(found.revision))
                .put(collection, key.clone(), place.with(&new));
            match self.store.commit(transaction).await {
                Ok(_) => return Ok(Some(new)),
                // The arms of a change were flipped meanwhile, say.
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    async fn store_blobs(
        &self,
        old: &VersionRecord,
        rebuilt: &Rebuilt,
    ) -> Result<VersionRecord, CatalogError> {
        let blobs = self.builder.blobs();
        let maps = maps::encode(&rebuilt.maps).map_err(|e| CatalogError::damaged("maps", e))?;
        let image = rebuilt.image.to_bytes();
        let (maps, image) = tokio::try_join!(blobs.put(&maps), blobs.put(&image))?;
        Ok(VersionRecord { maps, image, engine: rebuilt.engine, ..old.clone() })
    }
}

/// A stored record that has an image which was made anew.
enum Place {
    Version,
    /// The change, and which of its faces it is.
    Change(Box<ChangeRecord>, usize),
}

impl Place {
    fn find(
        key: &str,
        value: &[u8],
        old: &VersionRecord,
        woven: Option<&WovenFace>,
    ) -> Result<Option<Self>, CatalogError> {
        let Some(WovenFace { arm, .. }) = woven else {
            let same = record::decode::<VersionRecord>(key, value)? == *old;
            return Ok(same.then_some(Self::Version));
        };
        let change: ChangeRecord = record::decode(key, value)?;
        let face = change.faces.iter().position(|f| f.arm == *arm && f.image == old.image);
        Ok(face.map(|face| Self::Change(Box::new(change), face)))
    }

    /// The record with what belongs to the new image.
    fn with(self, new: &VersionRecord) -> Vec<u8> {
        match self {
            Self::Version => record::encode(new),
            Self::Change(mut change, face) => {
                change.faces[face].renew(new);
                record::encode(&change)
            }
        }
    }
}
