//! From the store to routes, when the platform starts. Reads records only: images and maps wait for their first use.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_fabric::{Blobs, Collection, KeyRange, Record, Store};
use belay_model::{AppName, VersionNumber};
use rpds::RedBlackTreeMapSync;

use super::{
    AppMaps, AppRecord, AppShared, CatalogError, ChangeRecord, Images, Services, VersionRecord,
    changes::effective_routes,
    images::WovenFace,
    policy::policy_of,
    record::{self, APPS, CHANGES, FaceRecord, SECRETS, SecretRecord, VERSIONS},
    shared::Secrets,
};
use crate::routes::{AppRoutes, Routes, VersionRoutes};

/// Records that are read at once.
const PAGE: u32 = 1_000;

pub(super) type Versions = RedBlackTreeMapSync<VersionNumber, Arc<VersionRoutes>>;
pub(super) type ChangeRecords = RedBlackTreeMapSync<VersionNumber, Arc<ChangeRecord>>;

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
    let mut changes = by_app(all(store, &CHANGES).await?, |record, _| {
        record::decode::<ChangeRecord>(&record.key, &record.value)
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
        let changes = changes.remove(&name).unwrap_or_default().into_iter();
        let changes = changes.map(|change| (change.version, Arc::new(change))).collect();
        routes = routes.with_app(Arc::new(app_routes(&record, &parts, versions, changes)?));
    }
    let remains = versions.into_keys().chain(secrets.into_keys()).chain(changes.into_keys());
    let orphans = remains.collect();
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
        let image = self.images.slot(&self.shared.app, &record, &maps, None);
        Arc::new(VersionRoutes::new(record, image, maps, self.shared.clone()))
    }

    /// One image of a change, under the number of the version that it brought.
    pub(super) fn face(
        &self,
        version: &VersionRecord,
        change: &ChangeRecord,
        face: &FaceRecord,
    ) -> Arc<VersionRoutes> {
        let record = Arc::new(VersionRecord {
            environment: face.environment.clone(),
            functions: face.functions.clone(),
            egress: face.egress.clone(),
            databases: face.databases.clone(),
            manifest: change.settled.unwrap_or(version.manifest),
            maps: face.maps,
            image: face.image,
            engine: face.engine,
            ..version.clone()
        });
        let maps = Arc::new(AppMaps::new(self.blobs.clone(), record.maps));
        let woven = WovenFace { change: change.clone(), arm: face.arm };
        let image = self.images.slot(&self.shared.app, &record, &maps, Some(woven));
        Arc::new(VersionRoutes::new(record, image, maps, self.shared.clone()))
    }

    fn versions(&self, records: Vec<VersionRecord>) -> Versions {
        records.into_iter().map(|record| (record.version, self.version(record))).collect()
    }
}

/// An app's routes from its record. A record whose live version is missing is damaged.
pub(super) fn app_routes(
    record: &AppRecord,
    parts: &Parts<'_>,
    versions: Versions,
    changes: ChangeRecords,
) -> Result<AppRoutes, CatalogError> {
    let shared = parts.shared.clone();
    if !versions.contains_key(&record.live) {
        let reason = format!("its live version {} is missing", record.live);
        return Err(CatalogError::damaged(shared.app.as_str(), reason));
    }
    let aliases = Arc::new(record.aliases.clone());
    let live = versions.get(&record.live);
    let policy = live.map(|live| policy_of(&live.record.policy, &record.policy));
    let policy = Arc::new(policy.unwrap_or_default());
    shared.tapes.set_policy(&policy.tapes);
    shared.off.set(record.disabled.clone());
    let change = record.change.and_then(|change| changes.get(&change));
    let version = change.and_then(|change| versions.get(&change.version));
    let effective = change.zip(version).and_then(|(change, version)| {
        effective_routes(parts, &version.record, change, &policy).map(Arc::new)
    });
    let (live, created_ms) = (record.live, record.created_ms);
    Ok(AppRoutes { shared, live, versions, aliases, created_ms, policy, effective, changes })
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

pub(super) async fn all(
    store: &Store,
    collection: &Collection,
) -> Result<Vec<Record>, CatalogError> {
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
