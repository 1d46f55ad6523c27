//! The catalog: apps, their numbered versions, aliases and secrets, and how they change.
//!
//! The store holds the state of record; [`Routes`] hold the same in memory, in the form that requests need. Every
//! change is committed first, then published, then acknowledged.
//!
//! - [`record`]: the durable records and their keys; [`load`]: from the store to routes, at start;
//! - [`deploy`]: a manifest becomes a version; [`replay`]: what would become of one; [`compared`]: with what; [`build`]: compile and evaluate; [`diagnose`]: say what was wrong;
//! - [`changes`]: what a deploy changes, and which arms of it run; [`policy`]: how much of it, and who is asked; [`named`]: is there what a policy names;
//!   [`planning`]: what takes long is not done in turn;
//! - [`disabled`]: functions that are off for a time; [`alerts`]: what happens more often than it did; [`webhooks`]: who is told; [`change`]: aliases, secrets, removal; [`garbage`]: blobs that nothing refers to any more; [`pieces`]: sources that
//!   share what they have in common, [`stored`] and [`across`]: and what that saves, within an app and between apps;
//! - [`images`], [`maps`], [`engines`]: what is read or opened when first needed; [`rebuild`]: images after an upgrade.
//!
//! Invariants: changes of one app happen one after another (and each is checked against the record it was based on,
//! should another process ever write too); the numbers of versions have no gaps; a version never changes, though its
//! image may be made anew; a refused change changes nothing; the values of secrets are neither listed nor logged.

mod across;
mod alerts;
mod blocking;
mod blocks;
mod build;
mod change;
mod changes;
mod compared;
mod deploy;
mod diagnose;
mod disabled;
mod engines;
mod error;
mod garbage;
mod graph;
mod images;
mod load;
mod manifest;
mod maps;
mod named;
mod pieces;
mod planning;
mod policy;
mod rebuild;
mod record;
mod replay;
mod rewritten;
mod shared;
mod stored;
mod tags;
mod webhooks;
mod woven;

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use belay_fabric::{Blobs, Store};
use belay_model::{AppManifest, AppName};
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, RwLock};

pub use self::{
    alerts::{AlertRecord, Usually},
    blocks::BlocksReport,
    build::{BuildLine, Builder},
    changes::{
        ChangeCode, Contents, EffectiveFile, EffectiveProgram, EffectiveVersion, Flipped, Left,
        Named, OwnTests, PartNote, PartNoteKind, find_change,
    },
    compared::Compared,
    deploy::{Consent, DeployResult, DeployTimings, DeployedChange, SettledPart},
    disabled::{DISABLED_MAX_MS, Off, OffSwitches},
    engines::Engines,
    error::{CatalogError, ImageError},
    graph::GraphReport,
    images::{IdlePolicy, ImageSlot, Images},
    maps::AppMaps,
    policy::PolicyReport,
    record::{
        AppRecord, ChangeRecord, ChangeState, DecisionRecord, Disabled, EVIDENCE, FORMAT,
        FlipRecord, FunctionRecord, Happening, PartRecord, VersionRecord, What, encode,
    },
    replay::ReplayResult,
    shared::{AppShared, Services},
};
use self::{pieces::Uncut, rebuild::Rebuilder};
use crate::routes::{AppRoutes, Routes, SharedRoutes};

/// Changes the state of record and publishes routes. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    blobs: Blobs,
    builder: Builder,
    images: Images,
    services: Services,
    routes: SharedRoutes,
    /// Held while an app changes, so that its deploys get their numbers one after another.
    turns: Mutex<HashMap<AppName, Arc<tokio::sync::Mutex<()>>>>,
    /// Shared by deploys and rebuilds, which rely on blobs that no record refers to yet; exclusive for garbage collection.
    collecting: Arc<RwLock<()>>,
    /// One garbage collection at a time.
    collector: tokio::sync::Mutex<()>,
    /// Held while sources are cut, one after another.
    uncut: tokio::sync::Mutex<Uncut>,
}

impl Catalog {
    /// Reads the state of record and publishes it.
    pub async fn open(
        store: Store,
        blobs: Blobs,
        engines: Engines,
        services: Services,
        idle: IdlePolicy,
    ) -> Result<Self, CatalogError> {
        let builder = Builder::new(engines, blobs.clone());
        let collecting = Arc::new(RwLock::default());
        let rebuilder = Rebuilder {
            builder: builder.clone(),
            store: store.clone(),
            collecting: collecting.clone(),
        };
        let images = Images::new(rebuilder, idle);
        let loaded = load::load(&store, &blobs, &images, &services).await?;
        let inner = Inner {
            store,
            blobs,
            builder,
            images,
            services,
            routes: Arc::new(ArcSwap::from_pointee(loaded.routes)),
            turns: Mutex::default(),
            collecting,
            collector: tokio::sync::Mutex::default(),
            uncut: tokio::sync::Mutex::default(),
        };
        let catalog = Self { inner: Arc::new(inner) };
        for app in &loaded.orphans {
            catalog.delete_remains(app).await?;
        }
        catalog.forget_orphaned_alerts().await?;
        Ok(catalog)
    }

    pub fn routes(&self) -> &SharedRoutes {
        &self.inner.routes
    }

    pub fn engines(&self) -> &Engines {
        self.inner.builder.engines()
    }

    pub fn images(&self) -> &Images {
        &self.inner.images
    }

    pub fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    pub fn app(&self, app: &AppName) -> Result<Arc<AppRoutes>, CatalogError> {
        let routes = self.inner.routes.load();
        routes.app(app).cloned().ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })
    }

    /// What a version was deployed with.
    pub async fn manifest(&self, version: &VersionRecord) -> Result<AppManifest, CatalogError> {
        manifest::read_manifest(&self.inner.blobs, &version.manifest).await
    }

    /// Waits for its turn to change `app`.
    async fn turn(&self, app: &AppName) -> OwnedMutexGuard<()> {
        let turn = self.inner.turns.lock().entry(app.clone()).or_default().clone();
        turn.lock_owned().await
    }

    /// Only who holds the turn of the app that differs may call this.
    fn publish(&self, change: impl Fn(&Routes) -> Routes) {
        self.inner.routes.rcu(|routes| change(routes));
    }
}
