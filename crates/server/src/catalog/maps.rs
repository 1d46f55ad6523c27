//! The position maps of a version, for stacks in the user's own coordinates. Read from their blob when first needed.
//!
//! The blob is zstd-compressed JSON: an object from module path to [`PositionMap`].

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwapOption;
use belay_fabric::Blobs;
use belay_model::Hash;
use belay_weave::{PositionMap, map_frames};
use parking_lot::Mutex;

const ZSTD_LEVEL: i32 = 1;

pub(super) type Maps = BTreeMap<String, PositionMap>;

/// The maps of one version.
pub struct AppMaps {
    blobs: Blobs,
    /// Another one after a rebuild.
    hash: Mutex<Hash>,
    loaded: ArcSwapOption<Maps>,
}

impl AppMaps {
    pub(super) fn new(blobs: Blobs, hash: Hash) -> Self {
        Self { blobs, hash: Mutex::new(hash), loaded: ArcSwapOption::empty() }
    }

    /// Rewrites stack frames to original positions. Frames of unknown modules, and all when the maps cannot be read,
    /// come back as they are: a stack in compiled coordinates is better than none.
    pub async fn map_stack(&self, stack: Vec<String>) -> Vec<String> {
        if stack.is_empty() {
            return stack;
        }
        match self.get().await {
            Ok(maps) => map_frames(&stack, &|path| maps.get(path)),
            Err(reason) => {
                tracing::warn!(hash = %self.hash.lock(), reason, "position maps cannot be read");
                stack
            }
        }
    }

    /// The maps that belong to a rebuilt image.
    pub(super) fn replace(&self, maps: Maps) {
        self.loaded.store(Some(Arc::new(maps)));
    }

    /// Where they are read from when they were released.
    pub(super) fn stored_as(&self, hash: Hash) {
        *self.hash.lock() = hash;
    }

    /// Gives the memory back; the next use reads the blob again.
    pub(super) fn release(&self) {
        self.loaded.store(None);
    }

    async fn get(&self) -> Result<Arc<Maps>, String> {
        if let Some(maps) = self.loaded.load_full() {
            return Ok(maps);
        }
        let hash = *self.hash.lock();
        let blob = self.blobs.get(&hash).await.map_err(|error| error.to_string())?;
        let maps = Arc::new(decode(&blob.ok_or("the blob is missing")?)?);
        self.loaded.store(Some(maps.clone()));
        Ok(maps)
    }
}

pub(super) fn encode(maps: &Maps) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(maps).map_err(|error| error.to_string())?;
    zstd::bulk::compress(&json, ZSTD_LEVEL).map_err(|error| error.to_string())
}

fn decode(blob: &[u8]) -> Result<Maps, String> {
    let json = zstd::stream::decode_all(blob).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}
