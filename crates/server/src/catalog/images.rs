//! Function images in memory: read when first called, released when idle.
//!
//! A thousand deployed functions must not cost the memory of a thousand images. A slot is empty until its first
//! call; a sweep empties those that were not called for a while, and the oldest ones beyond a bound. Emptying is
//! always safe: whoever runs holds the image itself.
//!
//! An image of another engine is made anew when first called, and takes the place of the old one in the store.
//!
//! Idleness is counted in ticks of the sweep, so that a call does not read the clock.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use belay_engine::{EngineError, FunctionImage};
use belay_model::{AppName, Arm};
use parking_lot::Mutex;

use super::{AppMaps, CatalogError, ChangeRecord, ImageError, VersionRecord, rebuild::Rebuilder};

/// When images are released.
#[derive(Debug, Clone, Copy)]
pub struct IdlePolicy {
    /// A function that was not called for so long gives its memory back.
    pub after: Duration,
    /// Most images in memory, compressed; the one that was called least recently goes first.
    pub loaded_max: usize,
}

impl Default for IdlePolicy {
    fn default() -> Self {
        Self { after: Duration::from_secs(60), loaded_max: 256 }
    }
}

/// All slots that hold an image. Cheap to clone.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

struct Inner {
    rebuilder: Rebuilder,
    policy: IdlePolicy,
    /// Number of the current tick.
    tick: AtomicU64,
    loaded: Mutex<Vec<Weak<ImageSlot>>>,
}

/// One of the images of a change.
pub(super) struct WovenFace {
    pub(super) change: ChangeRecord,
    pub(super) arm: Arm,
}

/// The image of one version, in memory or not.
pub struct ImageSlot {
    images: Images,
    app: AppName,
    /// Another one after a rebuild.
    record: ArcSwap<VersionRecord>,
    maps: Arc<AppMaps>,
    /// What it is made of, if not of the version's manifest alone.
    woven: Option<WovenFace>,
    image: ArcSwapOption<FunctionImage>,
    /// So that many first calls read once.
    loading: tokio::sync::Mutex<()>,
    used: AtomicU64,
}

impl Images {
    /// Ticks until a slot counts as idle.
    const TICKS: u32 = 4;

    pub(super) fn new(rebuilder: Rebuilder, policy: IdlePolicy) -> Self {
        let (tick, loaded) = (AtomicU64::default(), Mutex::default());
        Self { inner: Arc::new(Inner { rebuilder, policy, tick, loaded }) }
    }

    pub(super) fn slot(
        &self,
        app: &AppName,
        record: &Arc<VersionRecord>,
        maps: &Arc<AppMaps>,
        woven: Option<WovenFace>,
    ) -> Arc<ImageSlot> {
        Arc::new(ImageSlot {
            woven,
            images: self.clone(),
            app: app.clone(),
            record: ArcSwap::new(record.clone()),
            maps: maps.clone(),
            image: ArcSwapOption::empty(),
            loading: tokio::sync::Mutex::default(),
            used: AtomicU64::default(),
        })
    }

    /// Releases idle images until it is dropped. Runs for as long as the platform.
    pub async fn sweep(self) {
        let mut ticks = tokio::time::interval(self.inner.policy.after / Self::TICKS);
        loop {
            ticks.tick().await;
            self.tick();
        }
    }

    /// How many images are in memory.
    pub fn loaded(&self) -> usize {
        self.inner.loaded.lock().iter().filter(|slot| slot.strong_count() > 0).count()
    }

    /// One step of the sweep; for tests, which have no time to wait.
    pub fn tick(&self) {
        let tick = self.inner.tick.fetch_add(1, Relaxed) + 1;
        let idle = |slot: &ImageSlot| slot.used.load(Relaxed) + u64::from(Self::TICKS) < tick;
        self.inner
            .loaded
            .lock()
            .retain(|slot| slot.upgrade().is_some_and(|slot| !(idle(&slot) && slot.release())));
    }

    fn add(&self, slot: &Arc<ImageSlot>) {
        let mut loaded = self.inner.loaded.lock();
        loaded.retain(|other| other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), &**slot));
        if loaded.len() >= self.inner.policy.loaded_max {
            release_oldest(&mut loaded);
        }
        loaded.push(Arc::downgrade(slot));
    }
}

/// One that an invocation uses right now is not released but stays first in line.
fn release_oldest(loaded: &mut Vec<Weak<ImageSlot>>) {
    let mut slots: Vec<_> = loaded.iter().filter_map(Weak::upgrade).collect();
    slots.sort_by_key(|slot| slot.used.load(Relaxed));
    if let Some(released) = slots.iter().find(|slot| slot.release()) {
        loaded.retain(|slot| !std::ptr::eq(slot.as_ptr(), &**released));
    }
}

impl ImageSlot {
    /// The image if it is in memory.
    pub fn ready(&self) -> Option<FunctionImage> {
        let image = self.image.load();
        let image = image.as_deref()?;
        let tick = self.images.inner.tick.load(Relaxed);
        // A plain write would make every core fight for the cache line on every call.
        if self.used.load(Relaxed) != tick {
            self.used.store(tick, Relaxed);
        }
        Some(image.clone())
    }

    /// The version's record, with the image, maps and engine of now.
    pub fn record(&self) -> Arc<VersionRecord> {
        self.record.load_full()
    }

    /// The image, read from its blob if need be. An error concerns this version alone, and the next call tries again.
    pub async fn get(self: &Arc<Self>) -> Result<FunctionImage, ImageError> {
        if let Some(image) = self.ready() {
            return Ok(image);
        }
        // Apart from the caller's future: what a rebuild stores must come into memory too, even if the caller goes away.
        let slot = self.clone();
        match tokio::spawn(async move { slot.loaded().await }).await {
            Ok(loaded) => loaded.map_err(|error| self.error(&error)),
            Err(_) => Err(self.error(&CatalogError::BuildPanicked)),
        }
    }

    async fn loaded(self: Arc<Self>) -> Result<FunctionImage, CatalogError> {
        let _turn = self.loading.lock().await;
        if let Some(image) = self.ready() {
            return Ok(image);
        }
        let image = self.load().await?;
        self.fill(image.clone());
        Ok(image)
    }

    pub(super) fn fill(self: &Arc<Self>, image: FunctionImage) {
        self.used.store(self.images.inner.tick.load(Relaxed), Relaxed);
        self.image.store(Some(Arc::new(image)));
        self.images.add(self);
    }

    /// Empties the slot unless an invocation runs on the image.
    fn release(&self) -> bool {
        let idle = |image: &FunctionImage| image.release_idle() || !image.is_resident();
        let released = self.image.load().as_deref().is_none_or(idle);
        if released {
            self.image.store(None);
            self.maps.release();
        }
        released
    }

    async fn load(&self) -> Result<FunctionImage, CatalogError> {
        let (builder, record) = (&self.images.inner.rebuilder.builder, self.record());
        let engine = builder.engines().get(&record.environment).await?;
        if engine.hash() != record.engine {
            return self.rebuild(&record).await;
        }
        let stored = builder.blobs().get(&record.image).await?;
        let stored = stored.ok_or_else(|| missing(&record))?;
        match engine.load(&stored) {
            Err(EngineError::OtherEngine { .. }) => self.rebuild(&record).await,
            loaded => Ok(loaded?),
        }
    }

    /// Belay was upgraded since the image was made.
    async fn rebuild(&self, record: &VersionRecord) -> Result<FunctionImage, CatalogError> {
        let adopt = |new: VersionRecord| {
            self.maps.stored_as(new.maps);
            self.record.store(Arc::new(new));
        };
        let rebuilder = &self.images.inner.rebuilder;
        let rebuilt = rebuilder.rebuild(&self.app, record, self.woven.as_ref(), adopt).await?;
        self.maps.replace(rebuilt.maps);
        Ok(rebuilt.image)
    }

    fn error(&self, error: &CatalogError) -> ImageError {
        let (app, version) = (self.app.clone(), self.record.load().version);
        tracing::error!(%app, %version, %error, "an image cannot be loaded");
        ImageError { app, version, reason: error.to_string().into() }
    }
}

fn missing(record: &VersionRecord) -> CatalogError {
    CatalogError::damaged(&format!("image {}", record.image), "the blob is missing")
}
