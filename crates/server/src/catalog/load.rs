//! From the store to routes, when the platform starts. Reads records only: images and maps wait for their first use.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_fabric::{Blobs, Collection, KeyRange, Record, Store};
use belay_model::{AppName, VersionNumber};
use rpds::RedBlackTreeMapSync;

use super::{
    AppMaps, AppRecord, AppShared, CatalogError, Images, Services, VersionRecord,
    record::{self, APPS, SECRETS, SecretRecord, VERSIONS},
    shared::Secrets,
};
use crate::routes::{AppRoutes, Routes, VersionRoutes};

/// Records that are read at once.
const PAGE: u32 = 1_000;

pub(super) type Versions = RedBlackTreeMapSync<VersionNumber, Arc<VersionRoutes>>;

/// What the store holds.
pub(super) struct Loaded {
    pub(super) routes: Routes,
    /// Apps whose removal did not come to its end: there are records of them but not their own.
    pub(super) orphans: BTreeSet<AppName>,
}

pub(super) async fn load(
    store: &Store,
    blobs: &Blobs,
    images: &Images,
    services: &Services,
) -> Result<Loaded, CatalogError> {
    let mut versions = by_app(all(store, &VERSIONS).await?, |record, _| {
        record::decode::<VersionRecord>(&record.key, &record.value)
    })?;
    let mut secrets = by_app(all(store, &SECRETS).await?, |record, name| {
        let secret: SecretRecord = record::decode(&record.key, &record.value)?;
        Ok((name.to_owned(), secret.value))
    })?;
    let mut routes = Routes::default();
    for app in all(store, &APPS).await? {
        let name = app_name(&app.key)?;
        let record: AppRecord = record::decode(&app.key, &app.value)?;
        let secrets: Secrets = secrets.remove(&name).unwrap_or_default().into_iter().collect();
        let incarnation = record.incarnation.clone();
        let shared = Arc::new(AppShared::new(name.clone(), incarnation, secrets, services.clone()));
        let parts = Parts { blobs, images, shared: &shared };
        let versions = parts.versions(versions.remove(&name).unwrap_or_default());
        routes = routes.with_app(Arc::new(app_routes(&record, shared, versions)?));
    }
    let orphans = versions.into_keys().chain(secrets.into_keys()).collect();
    Ok(Loaded { routes, orphans })
}

/// What the routes of a version are made with.
pub(super) struct Parts<'a> {
    pub(super) blobs: &'a Blobs,
    pub(super) images: &'a Images,
    pub(super) shared: &'a Arc<AppShared>,
}

impl Parts<'_> {
    pub(super) fn version(&self, record: VersionRecord) -> Arc<VersionRoutes> {
        let record = Arc::new(record);
        let maps = Arc::new(AppMaps::new(self.blobs.clone(), record.maps));
        let image = self.images.slot(&self.shared.app, &record, &maps);
        Arc::new(VersionRoutes::new(record, image, maps, self.shared.clone()))
    }

    fn versions(&self, records: Vec<VersionRecord>) -> Versions {
        records.into_iter().map(|record| (record.version, self.version(record))).collect()
    }
}

/// An app's routes from its record. A record whose live version is missing is damaged.
pub(super) fn app_routes(
    record: &AppRecord,
    shared: Arc<AppShared>,
    versions: Versions,
) -> Result<AppRoutes, CatalogError> {
    if !versions.contains_key(&record.live) {
        let reason = format!("its live version {} is missing", record.live);
        return Err(CatalogError::damaged(shared.app.as_str(), reason));
    }
    let aliases = Arc::new(record.aliases.clone());
    let (live, created_ms) = (record.live, record.created_ms);
    Ok(AppRoutes { shared, live, versions, aliases, created_ms })
}

fn app_name(key: &str) -> Result<AppName, CatalogError> {
    key.parse().map_err(|error| CatalogError::damaged(key, error))
}

fn by_app<T>(
    records: Vec<Record>,
    read: impl Fn(&Record, &str) -> Result<T, CatalogError>,
) -> Result<BTreeMap<AppName, Vec<T>>, CatalogError> {
    let mut apps: BTreeMap<AppName, Vec<T>> = BTreeMap::new();
    for record in records {
        let (app, rest) = record::app_of(&record.key)?;
        apps.entry(app).or_default().push(read(&record, rest)?);
    }
    Ok(apps)
}

async fn all(store: &Store, collection: &Collection) -> Result<Vec<Record>, CatalogError> {
    let mut all: Vec<Record> = Vec::new();
    loop {
        let mut range = KeyRange::all().limit(PAGE);
        range.after = all.last().map(|record| record.key.clone());
        let page = store.list(collection, range).await?;
        let end = page.len() < PAGE as usize;
        all.extend(page);
        if end {
            return Ok(all);
        }
    }
}
