//! The life of a change, by hand: what a deploy changes, and which arms of it run.
//!
//! A deploy is compared with what runs: the live version, with what was taken back resolved. What it changes stays
//! switchable until it is settled. At most one change of an app is unsettled: a further deploy takes over the parts
//! that it does not touch, with their arms, and settles the others.
//!
//! Invariants: taking back takes effect in memory first, then in the store, then is acknowledged; restoring is durable
//! first; a request keeps the arms that it started with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_fabric::Transaction;
use belay_model::{AppManifest, AppName, Arm, EditId, Hash, PartId, PartInfo, VersionNumber};
use serde::Serialize;

use super::{
    AppRecord, Catalog, CatalogError, ChangeRecord, ChangeState, Happening, PartRecord,
    ProgramName, VersionRecord, What,
    build::{Purpose, Work},
    load,
    manifest::{encode_manifest, read_manifest},
    maps,
    record::{
        self, APPS, CHANGES, DEPLOYS, FORMAT, FaceRecord, FlipRecord, TakenBack, version_key,
    },
    woven::{Bindings, FaceWork, Pair, WovenWork},
};
use crate::{
    routes::{AppRoutes, EffectiveRoutes},
    telemetry::Timestamp,
};

/// For so long a deploy asks before what a change brought could not be taken back any more: the rollback window.
const WINDOW_MS: u64 = 15 * 60 * 1_000;

/// What a deploy changes, ready to be committed with its version.
pub(super) struct PlannedChange {
    pub(super) record: ChangeRecord,
    /// The change whose place it takes.
    pub(super) superseded: Option<ChangeRecord>,
    pub(super) faces: Vec<FaceWork>,
    pub(super) notes: Vec<PartNote>,
}

/// What a deploy says of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PartNote {
    #[schema(value_type = String)]
    pub part: PartId,
    pub kind: PartNoteKind,
    /// The change, and the part of it, that it is about, such as `shop/11:b`.
    pub about: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartNoteKind {
    /// It was taken back before, and starts so.
    StaysTakenBack,
    /// Something of it was taken back before; with what it is tied to now it starts on.
    WasTakenBackInPart,
    /// It goes on from the change before, as it was.
    Carried,
}

/// What comes before the new version, and what goes on from there.
struct Base {
    from: ProgramName,
    before: AppManifest,
    superseded: Option<ChangeRecord>,
}

impl Catalog {
    /// What deploying `after`, which `plain` was made of, changes. `None` if nothing ran before, or nothing differs.
    pub(super) async fn plan_change(
        &self,
        after: &Arc<AppManifest>,
        plain: &Work,
        version: VersionNumber,
        yes: bool,
    ) -> Result<Option<PlannedChange>, CatalogError> {
        let Ok(app) = self.app(&after.app) else { return Ok(None) };
        let Some(base) = self.base(&app, after, yes).await? else { return Ok(None) };
        let label = format!("v{}", base.from.version);
        let pair = Pair { before: Arc::new(base.before), after: after.clone(), label };
        let Some(mut woven) = self.inner.builder.weave(&pair, plain).await? else {
            return Ok(None);
        };
        let taken = self.stored_app(&after.app).await?.map(|record| record.taken_back);
        let (parts, notes) = self.first_arms(
            &after.app,
            &woven.parts,
            base.superseded.as_ref(),
            &taken.unwrap_or_default(),
        );
        let faces = std::mem::take(&mut woven.faces);
        let (before, details, stored) = self.store_change(&pair, &woven, &faces).await?;
        let record = ChangeRecord {
            format: FORMAT,
            version,
            from: base.from,
            created_ms: Timestamp::now().0,
            state: ChangeState::Live,
            before,
            details,
            parts,
            frozen: woven.frozen,
            whole: woven.whole,
            flips: 0,
            faces: stored,
            face_part: woven.face_part,
            settled: None,
            history: Vec::new(),
        };
        let superseded = base.superseded.map(|old| supersede(old, &record));
        Ok(Some(PlannedChange { record, superseded, faces, notes }))
    }

    async fn stored_app(&self, app: &AppName) -> Result<Option<AppRecord>, CatalogError> {
        let found = self.inner.store.get(&APPS, app.as_str()).await?;
        found.map(|r| record::decode(&r.key, &r.value)).transpose()
    }

    /// The program that the new version is compared with.
    async fn base(
        &self,
        app: &AppRoutes,
        after: &Arc<AppManifest>,
        yes: bool,
    ) -> Result<Option<Base>, CatalogError> {
        let Some(live) = app.live() else { return Ok(None) };
        let plain = ProgramName { version: app.live, flips: 0 };
        let change = app.effective.as_ref().and_then(|e| app.changes.get(&e.version)).cloned();
        let Some(change) = change else {
            let before = self.manifest(&live.record).await?;
            return Ok(Some(Base { from: plain, before, superseded: None }));
        };
        let from = ProgramName { version: change.version, flips: change.flips };
        if let Some(settled) = &change.settled {
            let before = read_manifest(&self.inner.blobs, settled).await?;
            return Ok(Some(Base { from, before, superseded: None }));
        }
        let untouched = self.untouched(app, &change, after).await?;
        let lost: Vec<PartId> = parts_of(&change)
            .filter(|(part, record)| record.arm == Arm::After && !untouched.contains(part))
            .map(|(part, _)| part)
            .collect();
        let age_ms = Timestamp::now().0.saturating_sub(change.created_ms);
        if !lost.is_empty() && !yes && age_ms < WINDOW_MS {
            let (app, change) = (app.name().clone(), change.version);
            return Err(CatalogError::WayBackLost { app, change, parts: lost });
        }
        // What goes on is woven again from where it came from; the rest stays as it is now.
        let arm = |part: PartId| {
            if untouched.contains(&part) { Arm::Before } else { arm_of(&change, part) }
        };
        let before = self.resolve(app, &change, &arm).await?;
        Ok(Some(Base { from, before, superseded: Some(ChangeRecord::clone(&change)) }))
    }

    /// The parts of a live change that a new version has as they are.
    async fn untouched(
        &self,
        app: &AppRoutes,
        change: &ChangeRecord,
        after: &Arc<AppManifest>,
    ) -> Result<BTreeSet<PartId>, CatalogError> {
        let old = self.pair(app, change).await?;
        let pair = Pair { after: after.clone(), ..old };
        let probe = self.inner.builder.weave_again(&pair, Bindings::default()).await?;
        let there: BTreeSet<Vec<EditId>> = probe.parts().iter().map(edits_of).collect();
        let same = parts_of(change).filter(|(_, part)| there.contains(&part.edits));
        Ok(same.map(|(part, _)| part).collect())
    }

    /// The two programs of a change.
    async fn pair(&self, app: &AppRoutes, change: &ChangeRecord) -> Result<Pair, CatalogError> {
        let version = app.versions.get(&change.version);
        let unknown =
            || CatalogError::UnknownVersion { app: app.name().clone(), version: change.version };
        let after = self.manifest(&version.ok_or_else(unknown)?.record).await?;
        let before = read_manifest(&self.inner.blobs, &change.before).await?;
        let label = format!("v{}", change.from.version);
        Ok(Pair { before: Arc::new(before), after: Arc::new(after), label })
    }

    /// The program in which each part of a change is at its arm; its sources are stored.
    async fn resolve(
        &self,
        app: &AppRoutes,
        change: &ChangeRecord,
        arm: &(dyn Fn(PartId) -> Arm + Sync),
    ) -> Result<AppManifest, CatalogError> {
        let pair = self.pair(app, change).await?;
        let bindings = Bindings { frozen: change.frozen.clone(), whole: change.whole.is_some() };
        let woven = self.inner.builder.weave_again(&pair, bindings).await?;
        let (manifest, texts) = woven.resolve(arm);
        let known: BTreeSet<Hash> =
            [&pair.before, &pair.after].iter().flat_map(|m| &m.modules).map(|m| m.source).collect();
        for module in manifest.modules.iter().filter(|module| !known.contains(&module.source)) {
            if let Some(text) = texts.get(&module.path) {
                self.inner.blobs.put(text.as_bytes()).await?;
            }
        }
        Ok(manifest)
    }

    /// The arms that parts begin with: as before where they go on, as before the change where they were taken back.
    fn first_arms(
        &self,
        app: &AppName,
        parts: &[PartInfo],
        superseded: Option<&ChangeRecord>,
        taken: &[TakenBack],
    ) -> (Vec<PartRecord>, Vec<PartNote>) {
        let mut notes = Vec::new();
        let records = parts.iter().map(|part| {
            let edits = edits_of(part);
            let note = |kind, version: VersionNumber, of: PartId| PartNote {
                part: part.id,
                kind,
                about: format!("{app}/{version}:{of}"),
            };
            let old = superseded.and_then(|change| {
                let (id, old) = parts_of(change).find(|(_, old)| old.edits == edits)?;
                Some((change.version, id, old.arm))
            });
            if let Some((version, id, arm)) = old {
                notes.push(note(PartNoteKind::Carried, version, id));
                let carried_from = Some((version, id));
                return PartRecord { arm, edits, carried_to: None, carried_from };
            }
            let verdict =
                taken.iter().find(|verdict| edits.iter().any(|e| verdict.edits.contains(e)));
            let again = |edit: &EditId| taken.iter().any(|verdict| verdict.edits.contains(edit));
            let whole = edits.iter().all(again);
            if let Some(verdict) = verdict {
                let kind = if whole {
                    PartNoteKind::StaysTakenBack
                } else {
                    PartNoteKind::WasTakenBackInPart
                };
                notes.push(note(kind, verdict.version, verdict.part));
            }
            let arm = if verdict.is_some() && whole { Arm::Before } else { Arm::After };
            PartRecord { arm, edits, carried_to: None, carried_from: None }
        });
        (records.collect(), notes)
    }

    async fn store_change(
        &self,
        pair: &Pair,
        woven: &WovenWork,
        faces: &[FaceWork],
    ) -> Result<(Hash, Hash, Vec<FaceRecord>), CatalogError> {
        let details = record::encode(&woven.parts);
        let manifest = encode_manifest(&pair.before)?;
        let blobs = &self.inner.blobs;
        let (before, details) = tokio::try_join!(blobs.put(&manifest), blobs.put(&details))?;
        let mut stored = Vec::new();
        for face in faces {
            stored.push(self.store_face(face).await?);
        }
        Ok((before, details, stored))
    }

    async fn store_face(&self, face: &FaceWork) -> Result<FaceRecord, CatalogError> {
        let maps = maps::encode(&face.maps).map_err(|e| CatalogError::damaged("maps", e))?;
        let image = face.image.to_bytes();
        let blobs = &self.inner.blobs;
        let (maps, image) = tokio::try_join!(blobs.put(&maps), blobs.put(&image))?;
        Ok(FaceRecord {
            arm: face.arm,
            environment: face.environment.clone(),
            functions: face.functions.clone(),
            egress: face.egress.clone(),
            maps,
            image,
            engine: face.engine,
        })
    }

    /// Puts parts of a change at `arm`, all of them if none is named. What is there already stays so.
    pub async fn flip(
        &self,
        app: &AppName,
        change: VersionNumber,
        parts: &[PartId],
        arm: Arm,
    ) -> Result<ChangeRecord, CatalogError> {
        self.app(app)?;
        let _turn = self.turn(app).await;
        let routes = self.app(app)?;
        let (change, parts) = find_parts(&routes, change, parts)?;
        let moving: Vec<PartId> =
            parts.into_iter().filter(|part| arm_of(&change, *part) != arm).collect();
        if moving.is_empty() {
            return Ok(ChangeRecord::clone(&change));
        }
        let new = flipped(&change, &moving, arm);
        if arm == Arm::Before {
            self.publish_arms(app, &new);
        }
        self.commit_flip(app, &new, &moving, arm).await?;
        if arm == Arm::After {
            self.publish_arms(app, &new);
        }
        Ok(new)
    }

    async fn commit_flip(
        &self,
        app: &AppName,
        change: &ChangeRecord,
        parts: &[PartId],
        arm: Arm,
    ) -> Result<(), CatalogError> {
        let at_ms = Timestamp::now().0;
        let what = match arm {
            Arm::Before => What::TakenBack { change: change.version, parts: parts.to_vec() },
            Arm::After => What::Restored { change: change.version, parts: parts.to_vec() },
        };
        let happening = Happening { at_ms, app: app.clone(), what };
        self.change_record(app, |old| {
            let mut record = old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
            match arm {
                Arm::Before => record.taken_back.extend(parts.iter().map(|part| TakenBack {
                    version: change.version,
                    part: *part,
                    edits: edits(change, *part),
                    at_ms,
                })),
                Arm::After => lift(&mut record, change, parts),
            }
            let transaction = Transaction::new()
                .put(&CHANGES, version_key(app, change.version), record::encode(change))
                .put(&APPS, app.as_str(), record::encode(&record))
                .append(&DEPLOYS, record::encode(&happening));
            Ok((transaction, ()))
        })
        .await
    }

    /// Only who holds the turn of the app may call this.
    fn publish_arms(&self, app: &AppName, change: &ChangeRecord) {
        let Ok(known) = self.app(app) else { return };
        let mut routes = AppRoutes::clone(&known);
        if let Some(effective) = &known.effective {
            let arms: Arc<[Arm]> = change.parts.iter().map(|part| part.arm).collect();
            routes.effective = Some(Arc::new(effective.at(arms)));
        }
        routes.changes.insert_mut(change.version, Arc::new(change.clone()));
        let routes = Arc::new(routes);
        self.publish(|all| all.with_app(routes.clone()));
    }

    /// Keeps what runs and drops the other arms.
    pub async fn settle(
        &self,
        app: &AppName,
        change: VersionNumber,
    ) -> Result<ChangeRecord, CatalogError> {
        let _blobs_stay = self.inner.collecting.read().await;
        self.app(app)?;
        let _turn = self.turn(app).await;
        let routes = self.app(app)?;
        let (change, parts) = find_parts(&routes, change, &[])?;
        let mut new = ChangeRecord { state: ChangeState::Settled, ..ChangeRecord::clone(&change) };
        let kept = change.parts.iter().all(|part| part.arm == Arm::After);
        let mut face = None;
        if kept {
            new.faces.clear();
            new.settled = routes.versions.get(&change.version).map(|v| v.record.manifest);
        } else {
            let manifest = self.resolve(&routes, &change, &|part| arm_of(&change, part)).await?;
            let manifest = Arc::new(manifest);
            let work = self.inner.builder.build(&manifest, Purpose::Rebuild).await?;
            let made = plain_face(&manifest, work);
            new.faces = vec![self.store_face(&made).await?];
            new.settled = Some(self.inner.blobs.put(&encode_manifest(&manifest)?).await?);
            face = Some(made);
        }
        new.face_part = None;
        let happening = Happening {
            at_ms: Timestamp::now().0,
            app: app.clone(),
            what: What::Settled { change: new.version },
        };
        let record = self
            .change_record(app, |old| {
                let mut record =
                    old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
                lift(&mut record, &new, &parts);
                record.change = (!kept).then_some(new.version);
                let transaction = Transaction::new()
                    .put(&CHANGES, version_key(app, new.version), record::encode(&new))
                    .put(&APPS, app.as_str(), record::encode(&record))
                    .append(&DEPLOYS, record::encode(&happening));
                Ok((transaction, record))
            })
            .await?;
        let changes = routes.changes.insert(new.version, Arc::new(new.clone()));
        let (shared, versions) = (routes.shared.clone(), routes.versions.clone());
        self.publish_app(&record, shared, versions, changes, face.into_iter().collect())?;
        Ok(new)
    }

    /// Publishes an app anew from its records. The images of `faces` are at hand.
    pub(super) fn publish_app(
        &self,
        record: &AppRecord,
        shared: Arc<super::AppShared>,
        versions: load::Versions,
        changes: load::ChangeRecords,
        faces: Vec<FaceWork>,
    ) -> Result<(), CatalogError> {
        let (blobs, images) = (&self.inner.blobs, &self.inner.images);
        let parts = load::Parts { blobs, images, shared: &shared };
        let routes = load::app_routes(record, &parts, versions, changes)?;
        if let Some(effective) = &routes.effective {
            for face in faces {
                let routes = match face.arm {
                    Arm::After => Some(&effective.after),
                    Arm::Before => effective.before.as_ref(),
                };
                routes.into_iter().for_each(|routes| routes.image.fill(face.image.clone()));
            }
        }
        let routes = Arc::new(routes);
        self.publish(|all| all.with_app(routes.clone()));
        Ok(())
    }

    /// What the parts of a change hold.
    pub async fn parts(&self, change: &ChangeRecord) -> Result<Vec<PartInfo>, CatalogError> {
        let bytes = self.inner.blobs.get(&change.details).await?;
        let bytes = bytes.ok_or_else(|| CatalogError::damaged("details", "the blob is missing"))?;
        serde_json::from_slice(&bytes).map_err(|error| CatalogError::damaged("details", error))
    }

    /// The sources of what runs, and those that were deployed last.
    pub async fn effective(&self, app: &AppName) -> Result<EffectiveProgram, CatalogError> {
        let routes = self.app(app)?;
        let unknown = || CatalogError::UnknownApp { app: app.clone() };
        let live = routes.live().ok_or_else(unknown)?;
        let deployed = self.manifest(&live.record).await?;
        let change = routes.effective.as_ref().and_then(|e| routes.changes.get(&e.version));
        let (program, manifest) = match change {
            None => (ProgramName { version: routes.live, flips: 0 }, deployed.clone()),
            Some(change) => {
                let manifest = match &change.settled {
                    Some(settled) => read_manifest(&self.inner.blobs, settled).await?,
                    None => self.resolve(&routes, change, &|part| arm_of(change, part)).await?,
                };
                (ProgramName { version: change.version, flips: change.flips }, manifest)
            }
        };
        let mut files: BTreeMap<String, EffectiveFile> = BTreeMap::new();
        for (module, new) in deployed
            .modules
            .iter()
            .map(|m| (m, false))
            .chain(manifest.modules.iter().map(|m| (m, true)))
        {
            let (_, text) = self.inner.builder.text(module.path.clone(), module.source).await?;
            let path = module.path.clone();
            let file = files.entry(path.clone()).or_insert_with(|| EffectiveFile {
                path,
                deployed: None,
                text: None,
            });
            let place = if new { &mut file.text } else { &mut file.deployed };
            *place = Some(text.to_string());
        }
        let files = files.into_values().collect();
        let settings = manifest.functions != deployed.functions
            || manifest.egress != deployed.egress
            || manifest.env != deployed.env;
        Ok(EffectiveProgram {
            app: app.clone(),
            program: program.to_string(),
            settings_differ: settings,
            files,
        })
    }
}

/// What runs, as sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EffectiveProgram {
    pub app: AppName,
    /// Such as `12+1`.
    pub program: String,
    /// Something of `belay.toml` runs otherwise than it was deployed; it is in no file here.
    pub settings_differ: bool,
    /// All modules of the app, sorted.
    pub files: Vec<EffectiveFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EffectiveFile {
    pub path: String,
    /// As it was deployed last; absent if it was not.
    pub deployed: Option<String>,
    /// As it runs; absent if it does not.
    pub text: Option<String>,
}

fn plain_face(manifest: &AppManifest, work: Work) -> FaceWork {
    let functions = manifest.functions.iter().enumerate().map(|(entry, (name, spec))| {
        (name.clone(), super::FunctionRecord { entry, limits: spec.limits })
    });
    FaceWork {
        arm: Arm::After,
        image: work.image,
        maps: work.maps,
        engine: work.engine,
        environment: manifest.environment.clone(),
        functions: functions.collect(),
        egress: manifest.egress.clone(),
    }
}

/// The edits of a part, sorted.
fn edits_of(part: &PartInfo) -> Vec<EditId> {
    let edits: BTreeSet<EditId> = part.hunks.iter().map(|hunk| hunk.edit.clone()).collect();
    edits.into_iter().collect()
}

fn parts_of(change: &ChangeRecord) -> impl Iterator<Item = (PartId, &PartRecord)> {
    (0..).map(PartId).zip(&change.parts)
}

fn arm_of(change: &ChangeRecord, part: PartId) -> Arm {
    change.parts.get(usize::from(part.0)).map_or(Arm::After, |part| part.arm)
}

fn edits(change: &ChangeRecord, part: PartId) -> Vec<EditId> {
    change.parts.get(usize::from(part.0)).map(|part| part.edits.clone()).unwrap_or_default()
}

/// What was taken back is no longer held against these parts.
fn lift(record: &mut AppRecord, change: &ChangeRecord, parts: &[PartId]) {
    let lifted: BTreeSet<EditId> = parts.iter().flat_map(|part| edits(change, *part)).collect();
    for verdict in &mut record.taken_back {
        verdict.edits.retain(|edit| !lifted.contains(edit));
    }
    record.taken_back.retain(|verdict| !verdict.edits.is_empty());
}

fn flipped(change: &ChangeRecord, parts: &[PartId], arm: Arm) -> ChangeRecord {
    let mut new = ChangeRecord { flips: change.flips + 1, ..change.clone() };
    for part in parts {
        if let Some(record) = new.parts.get_mut(usize::from(part.0)) {
            record.arm = arm;
        }
    }
    let arms = new.parts.iter().map(|part| part.arm).collect();
    let at_ms = Timestamp::now().0;
    new.history.push(FlipRecord { at_ms, flips: new.flips, parts: parts.to_vec(), arm, arms });
    new
}

/// The change before, with where its parts go on.
fn supersede(mut old: ChangeRecord, new: &ChangeRecord) -> ChangeRecord {
    old.state = ChangeState::Superseded;
    for (index, part) in (0..).map(PartId).zip(&mut old.parts) {
        let twin = parts_of(new).find(|(_, p)| p.carried_from == Some((old.version, index)));
        part.carried_to = twin.map(|(id, _)| (new.version, id));
    }
    // Its images have nothing left to run.
    old.faces.clear();
    old
}

/// The live change that has these parts now: they may go on in a later one than where they were named.
fn find_parts(
    app: &AppRoutes,
    change: VersionNumber,
    parts: &[PartId],
) -> Result<(Arc<ChangeRecord>, Vec<PartId>), CatalogError> {
    let name = app.name().clone();
    let unknown = || CatalogError::UnknownChange { app: name.clone(), change };
    let mut record = app.changes.get(&change).ok_or_else(unknown)?.clone();
    let mut wanted: Vec<PartId> = parts.to_vec();
    if wanted.is_empty() {
        wanted = parts_of(&record).map(|(part, _)| part).collect();
    }
    if let Some(part) = wanted.iter().find(|part| usize::from(part.0) >= record.parts.len()) {
        return Err(CatalogError::UnknownPart { app: name, change, part: *part });
    }
    while record.state == ChangeState::Superseded {
        let next: Vec<(VersionNumber, PartId)> =
            wanted.iter().filter_map(|part| record.parts[usize::from(part.0)].carried_to).collect();
        let Some((version, _)) = next.first() else {
            return Err(CatalogError::NotLive { app: name, change, state: "was superseded" });
        };
        record = app.changes.get(version).ok_or_else(unknown)?.clone();
        wanted = next.into_iter().map(|(_, part)| part).collect();
    }
    if record.state == ChangeState::Settled {
        return Err(CatalogError::NotLive { app: name, change, state: "is settled" });
    }
    let running = app.effective.as_ref().is_some_and(|e| e.version == record.version);
    if !running {
        return Err(CatalogError::NotLive { app: name, change, state: "does not run" });
    }
    Ok((record, wanted))
}

/// The routes of what a change makes run.
pub(super) fn effective_routes(
    parts: &load::Parts<'_>,
    version: &VersionRecord,
    change: &ChangeRecord,
) -> Option<EffectiveRoutes> {
    let face = |arm: Arm| {
        let face = change.faces.iter().find(|face| face.arm == arm)?;
        Some(parts.face(version, change, face))
    };
    let unsettled = change.settled.is_none();
    let arms: Arc<[Arm]> = change.parts.iter().filter(|_| unsettled).map(|part| part.arm).collect();
    let counters = Arc::new(crate::telemetry::ChangeCounters::new(arms.len()));
    let routes = EffectiveRoutes {
        version: change.version,
        arms: arms.clone(),
        face_part: change.face_part,
        after: face(Arm::After)?,
        before: face(Arm::Before),
        counters,
    };
    Some(routes.at(arms))
}
