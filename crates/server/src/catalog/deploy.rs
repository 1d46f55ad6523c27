//! A deploy: a manifest becomes the next version of its app, wholly or not at all.
//!
//! check → compile → evaluate → blobs → one transaction → publish → acknowledge. Until the transaction nothing that
//! anyone can see has changed; blobs that a refused deploy leaves behind are garbage. Its sources are cut into pieces
//! when it is done, behind its back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use belay_engine::FunctionImage;
use belay_fabric::{Expect, Transaction};
use belay_govern::Validated;
use belay_model::{
    AppManifest, AppName, Arm, ChangeId, Diagnostic, FunctionName, Hash, PartId, VersionNumber,
};
use serde::Serialize;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::{
    AppRecord, AppShared, BuildLine, Catalog, CatalogError, FunctionRecord, Happening,
    VersionRecord, What,
    build::{Purpose, Work},
    changes::{OwnTests, PartNote, PlannedChange, brought, hold, with_decision},
    load::Parts,
    manifest::{check, encode_manifest},
    maps,
    policy::policy_of,
    record::{self, APPS, CHANGES, DEPLOYS, FORMAT, VERSIONS, version_key},
    shared::Secrets,
    tags,
};
use crate::telemetry::Timestamp;

/// What whoever deploys agrees to. Parts are named as they are shown, such as `shop/12:b`.
#[derive(Debug, Clone, Default)]
pub struct Consent {
    /// Whatever is asked.
    pub all: bool,
    /// That these cannot be taken back any more.
    pub lose: BTreeSet<String>,
    /// That these, which were taken back, run again and stay.
    pub bring_back: BTreeSet<String>,
    /// That all requests run it from the beginning.
    pub now: bool,
    /// That what is decided of it is told and not done.
    pub dry_run: bool,
    /// What the app's own tests say of it.
    pub tests: OwnTests,
}

impl Consent {
    pub(super) fn loses(&self, change: &ChangeId, parts: &[PartId]) -> bool {
        self.all || parts.iter().all(|part| self.lose.contains(&format!("{change}:{part}")))
    }

    pub(super) fn brings_back(&self, parts: &[String]) -> bool {
        self.all || parts.iter().all(|part| self.bring_back.contains(part))
    }
}

/// What a deploy answers.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DeployResult {
    pub app: AppName,
    pub version: VersionNumber,
    /// The live version says the same; nothing was done.
    pub unchanged: bool,
    /// … though the sources differ, in comments, types or formatting.
    pub rewritten: bool,
    pub functions: Vec<FunctionName>,
    /// What can be taken back of it; absent where nothing ran before, or nothing differs.
    pub change: Option<DeployedChange>,
    pub image: Hash,
    /// Warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// What top-level code logged.
    pub logs: Vec<BuildLine>,
    pub timings_ms: DeployTimings,
}

/// The change that a deploy made.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DeployedChange {
    /// Such as `shop/12`.
    pub id: String,
    /// What ran before, such as `11` or `11+2`.
    pub from: String,
    #[schema(value_type = Vec<String>)]
    pub parts: Vec<PartId>,
    pub notes: Vec<PartNote>,
    /// Parts of the change before that it touched: they stay as they are, and cannot be switched any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<SettledPart>,
    /// What recorded requests say of it; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validated: Option<Validated>,
    /// Percent of the requests that run it now.
    pub percent: f64,
    /// More are let in step by step.
    pub canary: bool,
    /// How many edits are in no part, because they stay whatever is taken back (`@rollback never`).
    pub staying: usize,
    /// Why nothing finer than the whole can be switched, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<String>,
}

/// A part that a deploy settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SettledPart {
    /// Such as `shop/11:b`.
    pub part: String,
    /// Where it was.
    pub arm: Arm,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DeployTimings {
    pub compile: f64,
    /// Evaluating top-level code and making the image.
    pub build: f64,
    /// Weaving it with what ran before.
    pub weave: f64,
    /// Making it durable.
    pub store: f64,
}

/// Blobs of a version, durable.
struct Stored {
    manifest: Hash,
    maps: Hash,
    image: Hash,
    /// Absent if there are none.
    tags: Option<Hash>,
    notape: BTreeSet<FunctionName>,
}

impl Catalog {
    /// Deploys `manifest` and makes it live.
    pub async fn deploy(
        &self,
        manifest: AppManifest,
        consent: &Consent,
    ) -> Result<DeployResult, CatalogError> {
        let _blobs_stay = self.inner.collecting.read().await;
        let manifest = Arc::new(manifest);
        let encoded = encode_manifest(&manifest)?;
        if let Some(unchanged) = self.unchanged(&manifest.app, &Hash::of(&encoded)) {
            return Ok(unchanged);
        }
        check(&manifest)?;
        if let Some(unchanged) = self.rewritten(&manifest).await? {
            return Ok(unchanged);
        }
        let mut work = self.inner.builder.build(&manifest, Purpose::Deploy).await?;
        work.diagnostics.extend(self.doubts(&manifest, &work.tags).await?);
        let started = Instant::now();
        let stored = self.store_blobs((&manifest, &encoded), &work).await?;

        let weaving = Instant::now();
        let (_turn, change) = self.plan_in_turn(&manifest, &work, consent).await?;
        // Someone may have deployed the same in the meantime.
        if let Some(unchanged) = self.unchanged(&manifest.app, &stored.manifest) {
            return Ok(unchanged);
        }
        let weave = weaving.elapsed();
        self.finish_removal(&manifest.app).await?;
        let (app, record) =
            self.commit_version(&manifest, &stored, work.engine, change.as_ref()).await?;
        let told = change.iter().flat_map(|change| &change.told).map(|(.., entry)| entry);
        self.count_decisions(&manifest.app, told);
        let deployed = change.as_ref().map(|change| deployed(&manifest.app, change));
        let before = change.as_ref().map(|change| change.record.before);
        self.serve(&manifest.app, &app, &record, work.image, change)?;
        self.cut_in_background([Some(record.manifest), before].into_iter().flatten().collect());
        Ok(DeployResult {
            app: manifest.app.clone(),
            version: record.version,
            unchanged: false,
            rewritten: false,
            functions: manifest.functions.keys().cloned().collect(),
            change: deployed,
            image: record.image,
            diagnostics: work.diagnostics,
            logs: work.logs,
            timings_ms: DeployTimings {
                compile: millis(work.compile),
                build: millis(work.build),
                weave: millis(weave),
                store: millis(started.elapsed().saturating_sub(weave)),
            },
        })
    }

    /// The turn of the app, with what the deploy changes of the state in which it was taken.
    async fn plan_in_turn(
        &self,
        manifest: &Arc<AppManifest>,
        work: &Work,
        consent: &Consent,
    ) -> Result<(OwnedMutexGuard<()>, Option<PlannedChange>), CatalogError> {
        let mut planning = self.planning(&manifest.app);
        loop {
            let seen = planning.begin().await?;
            let change = self.plan_change(&seen, manifest, work, consent).await?;
            if let Some(turn) = planning.end().await? {
                return Ok((turn, change));
            }
        }
    }

    pub(super) fn unchanged(&self, app: &AppName, manifest: &Hash) -> Option<DeployResult> {
        let routes = self.inner.routes.load();
        let live = routes.app(app)?.live()?;
        (live.record.manifest == *manifest).then(|| DeployResult {
            app: app.clone(),
            version: live.record.version,
            unchanged: true,
            rewritten: false,
            functions: live.record.functions.keys().cloned().collect(),
            change: None,
            image: live.image.record().image,
            diagnostics: Vec::new(),
            logs: Vec::new(),
            timings_ms: DeployTimings::default(),
        })
    }

    async fn store_blobs(
        &self,
        (program, manifest): (&AppManifest, &[u8]),
        work: &Work,
    ) -> Result<Stored, CatalogError> {
        let blobs = &self.inner.blobs;
        let maps = maps::encode(&work.maps).map_err(|e| CatalogError::damaged("maps", e))?;
        let image = work.image.to_bytes();
        let puts = tokio::try_join!(
            blobs.put(manifest),
            blobs.put(&maps),
            blobs.put(&image),
            tags::store(blobs, &work.tags)
        );
        let (manifest, maps, image, tags) = puts?;
        let notape = tags::notape(program, &work.tags);
        Ok(Stored { manifest, maps, image, tags, notape })
    }

    /// Of an app that had this name: a removal that failed half-way leaves versions whose numbers are in the way.
    async fn finish_removal(&self, app: &AppName) -> Result<(), CatalogError> {
        match self.inner.store.get(&APPS, app.as_str()).await? {
            Some(_) => Ok(()),
            None => self.delete_remains(app).await,
        }
    }

    /// One transaction: the version, the app that leads to it, and a note in the log.
    async fn commit_version(
        &self,
        manifest: &AppManifest,
        stored: &Stored,
        engine: Hash,
        change: Option<&PlannedChange>,
    ) -> Result<(AppRecord, VersionRecord), CatalogError> {
        let name = &manifest.app;
        let at_ms = Timestamp::now().0;
        self.change_record(name, |old| {
            let mut app = next_record(old, at_ms);
            app.change = change.map(|change| change.record.version);
            if let Some(change) = change {
                brought(&mut app, &change.record);
                hold(&mut app, &change.record, &change.guilty, at_ms);
            }
            if change.is_some_and(|change| change.record.version != app.live) {
                // Someone else deployed in between.
                return Err(CatalogError::Contended);
            }
            let version = version_record(manifest, stored, engine, app.live, at_ms);
            let what = What::Deployed { version: app.live, image: stored.image };
            let key = version_key(name, app.live);
            let transaction = Transaction::new()
                .check(&VERSIONS, key.clone(), Expect::Absent)
                .put(&VERSIONS, key, record::encode(&version))
                .put(&APPS, name.as_str(), record::encode(&app))
                .append(&DEPLOYS, record::encode(&Happening { at_ms, app: name.clone(), what }));
            let records = change.into_iter().flat_map(PlannedChange::records);
            let transaction = records.fold(transaction, |t, change| {
                t.put(&CHANGES, version_key(name, change.version), record::encode(change))
            });
            let told = change.into_iter().flat_map(|change| &change.told);
            let alerts = policy_of(&manifest.policy, &app.policy).alerts;
            let transaction = told.fold(transaction, |t, (change, number, entry)| {
                with_decision(t, (name, &alerts), *change, *number, entry)
            });
            Ok((transaction, (app, version)))
        })
        .await
    }

    /// Publishes a version that was just committed. Its image stays in memory, as it will soon be called.
    fn serve(
        &self,
        name: &AppName,
        app: &AppRecord,
        version: &VersionRecord,
        image: FunctionImage,
        change: Option<PlannedChange>,
    ) -> Result<(), CatalogError> {
        let known = self.app(name).ok();
        let new = || {
            let (incarnation, services) = (app.incarnation.clone(), self.inner.services.clone());
            AppShared::new(name.clone(), incarnation, Secrets::new(), services)
        };
        let shared = known.as_ref().map_or_else(|| Arc::new(new()), |known| known.shared.clone());
        let mut changes = known.as_ref().map(|known| known.changes.clone()).unwrap_or_default();
        let versions = known.map(|known| known.versions.clone()).unwrap_or_default();
        let (blobs, images) = (&self.inner.blobs, &self.inner.images);
        let routes = Parts { blobs, images, shared: &shared }.version(version.clone());
        routes.image.fill(image);
        let versions = versions.insert(version.version, routes);
        let mut faces = Vec::new();
        if let Some(change) = change {
            for record in change.records() {
                changes.insert_mut(record.version, Arc::new(record.clone()));
            }
            faces = change.faces;
        }
        self.publish_app(app, shared, versions, changes, faces)
    }
}

/// The app with one version more, which is live; the first one when it is new.
fn next_record(old: Option<AppRecord>, at_ms: u64) -> AppRecord {
    let Some(old) = old else {
        return AppRecord {
            format: FORMAT,
            incarnation: Uuid::new_v4().simple().to_string(),
            latest: VersionNumber::FIRST,
            live: VersionNumber::FIRST,
            aliases: BTreeMap::new(),
            created_ms: at_ms,
            change: None,
            policy: serde_json::Map::new(),
            disabled: BTreeMap::new(),
            taken_back: Vec::new(),
        };
    };
    let next = old.latest.next();
    AppRecord { latest: next, live: next, ..old }
}

fn version_record(
    manifest: &AppManifest,
    stored: &Stored,
    engine: Hash,
    version: VersionNumber,
    created_ms: u64,
) -> VersionRecord {
    let functions =
        manifest.functions.iter().enumerate().map(|(entry, (name, spec))| {
            (name.clone(), FunctionRecord { entry, limits: spec.limits })
        });
    VersionRecord {
        format: FORMAT,
        version,
        created_ms,
        environment: manifest.environment.clone(),
        functions: functions.collect(),
        egress: manifest.egress.clone(),
        databases: manifest.databases.clone(),
        manifest: stored.manifest,
        maps: stored.maps,
        image: stored.image,
        policy: manifest.policy.clone(),
        notape: stored.notape.clone(),
        tags: stored.tags,
        engine,
    }
}

pub(super) fn deployed(app: &AppName, change: &PlannedChange) -> DeployedChange {
    let record = &change.record;
    DeployedChange {
        id: format!("{app}/{}", record.version),
        from: record.from.to_string(),
        parts: (0..).map(PartId).take(record.parts.len()).collect(),
        notes: change.notes.clone(),
        settled: change.settled(app),
        validated: change.validated.clone(),
        percent: change.percent,
        canary: change.canary,
        staying: record.staying,
        whole: record.whole.clone(),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
