//! What a deploy changes: compared with what runs, woven, and with the arms that its parts begin with.
//!
//! A part that goes on from the change before keeps its arm; one that was taken back before starts so. Nothing here
//! commits or publishes: the change becomes part of the deploy's transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_govern::{Entry, Life, Told, Validated, tied};
use belay_model::{
    AppManifest, AppName, Arm, ChangeId, EditId, HunkInfo, PartId, PartInfo, Policy, ProgramName,
    VersionNumber,
};
use belay_weave::Reach;
use serde::Serialize;

use super::{
    code::ChangeCode,
    labels::{Labels, TakenOver, labels},
    parts::{arm_of, edits, edits_of, is_made_of, is_same, parts_of, twin_of},
    tried::Tried,
    verdicts::held,
};
use crate::{
    catalog::{
        Catalog, CatalogError, ChangeRecord, ChangeState, Consent, PartRecord, SettledPart,
        build::Work,
        manifest::read_manifest,
        planning::Seen,
        policy::policy_of,
        record::{FORMAT, TakenBack},
        woven::{Bindings, FaceWork, Pair, WovenWork},
    },
    routes::{AppRoutes, VersionRoutes},
    telemetry::Timestamp,
};

/// Changes that do not run and whose images are kept all the same; those of older ones are made anew if need be.
const IMAGES_KEPT: usize = 8;

/// What a deploy changes, ready to be committed with its version.
pub(in crate::catalog) struct PlannedChange {
    pub(in crate::catalog) record: ChangeRecord,
    /// The change whose place it takes.
    pub(in crate::catalog) superseded: Option<ChangeRecord>,
    /// Changes that ran long ago, whose images are not kept any more.
    pub(in crate::catalog) old: Vec<ChangeRecord>,
    pub(in crate::catalog) faces: Vec<FaceWork>,
    pub(in crate::catalog) notes: Vec<PartNote>,
    /// What is told of changes, with its number there.
    pub(in crate::catalog) told: Vec<(VersionNumber, u32, Entry)>,
    /// Of the requests, that run it from the beginning.
    pub(in crate::catalog) percent: f64,
    /// More are let in step by step.
    pub(in crate::catalog) canary: bool,
    /// What recorded requests say of it, and the parts that they take out.
    pub(in crate::catalog) validated: Option<Validated>,
    pub(in crate::catalog) guilty: Vec<PartId>,
}

impl PlannedChange {
    /// All that it writes.
    pub(in crate::catalog) fn records(&self) -> impl Iterator<Item = &ChangeRecord> {
        std::iter::once(&self.record).chain(&self.superseded).chain(&self.old)
    }

    /// What went on nowhere. What was still in canary is not settled: it is gone.
    pub(in crate::catalog) fn settled(&self, app: &AppName) -> Vec<SettledPart> {
        let parts = self.superseded.iter().flat_map(|change| {
            let settled = parts_of(change).filter(|(part, _)| !in_canary(change, *part));
            settled.map(|(id, part)| (change.version, id, part))
        });
        let gone = parts.filter(|(.., part)| part.carried_to.is_none());
        let told = |(version, id, part): (VersionNumber, PartId, &PartRecord)| SettledPart {
            part: format!("{app}/{version}:{id}"),
            arm: part.arm,
        };
        gone.map(told).collect()
    }
}

/// What a deploy says of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PartNote {
    #[schema(value_type = String)]
    pub part: PartId,
    pub kind: PartNoteKind,
    /// How it starts.
    pub arm: Arm,
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
    /// Recorded requests do worse with it.
    FailsOnTapes,
    /// The app's own tests fail with it.
    FailsTests,
    /// It depends on one that begins taken back.
    GoesWith,
}

/// What comes before the new version, and what goes on from there.
struct Base {
    from: ProgramName,
    before: AppManifest,
    labels: BTreeMap<String, String>,
    superseded: Option<ChangeRecord>,
    /// The edits of a part that goes on if its edits run at load in the new program, too: that is what ties them.
    tied_at_load: Option<Vec<EditId>>,
    /// Edits that go on, and run for everybody. `before` is without them.
    live: Vec<EditId>,
}

/// The parts of a change that a new version has as they are.
struct Untouched {
    parts: BTreeSet<PartId>,
    /// The one of them whose edits are tied since they run when modules are loaded, which a weave alone does not tell.
    tied_at_load: Option<PartId>,
}

impl Catalog {
    /// What deploying `after`, which `plain` was made of, changes. `None` if nothing ran before, or nothing differs.
    pub(in crate::catalog) async fn plan_change(
        &self,
        seen: &Seen,
        after: &Arc<AppManifest>,
        plain: &Work,
        consent: &Consent,
    ) -> Result<Option<PlannedChange>, CatalogError> {
        let Some(app) = &seen.routes else { return Ok(None) };
        let Some((base, pair, mut woven)) = self.weave_on(app, after, plain, consent).await? else {
            return Ok(None);
        };
        let taken = taken_back(seen);
        self.check_staying(app, &woven.staying, &taken, consent).await?;
        let (mut parts, mut notes) =
            self.first_arms(&after.app, &woven, base.superseded.as_ref(), &taken);
        let policy = effective_policy(seen, after);
        let trial = on_trial(&parts, base.superseded.as_ref());
        let way = (&policy, seen.in_turn);
        let tried = self.try_out(app, (&woven, &parts), &trial, way, consent).await?;
        let version = app.latest().next();
        take_out(&mut parts, &mut notes, (&after.app, version), &tried);
        let faces = std::mem::take(&mut woven.faces);
        let (before, details, stored) = self.store_change(&pair, &woven, &faces).await?;
        let now_ms = Timestamp::now().0;
        let groups = groups(trial, &parts, base.superseded.as_ref(), &tried);
        let mut record = ChangeRecord {
            format: FORMAT,
            version,
            from: base.from,
            labels: base.labels,
            created_ms: now_ms,
            state: ChangeState::Live,
            before,
            details,
            parts,
            staying: woven.staying.len(),
            frozen: woven.frozen,
            whole: woven.whole,
            flips: 0,
            life: None,
            dry_run: consent.dry_run,
            seed: seed(base.superseded.as_ref()),
            told: 0,
            faces: stored,
            face_part: woven.face_part,
            settled: None,
            history: Vec::new(),
        };
        let canary = record.canary(&policy);
        let life = first_life(groups, &record, &policy, &tried, (consent.now, now_ms));
        let (percent, is_canary) = (life.percent(&canary), life.is_canary());
        let beginning = life.beginning(&canary, now_ms);
        record.life = Some(life);
        let maps = faces.first().map(|face| &face.maps);
        let entries = tried.entries(now_ms, maps).chain(beginning);
        let told = (1..).zip(entries).map(|(number, entry)| (version, number, entry));
        let mut told: Vec<_> = told.collect();
        record.told = u32::try_from(told.len()).unwrap_or(u32::MAX);
        let superseded = base.superseded.map(|old| supersede(old, &record));
        told.extend(superseded.iter().map(|old| gone(old, version, now_ms)));
        let old = without_images(app, superseded.as_ref());
        let guilty = Vec::from_iter(tried.guilty_parts());
        let validated = tried.tapes.map(|validation| validation.told);
        Ok(Some(PlannedChange {
            record,
            superseded,
            old,
            faces,
            notes,
            told,
            percent,
            canary: is_canary,
            guilty,
            validated,
        }))
    }

    /// Weaves the new version with what runs.
    async fn weave_on(
        &self,
        app: &AppRoutes,
        after: &Arc<AppManifest>,
        plain: &Work,
        consent: &Consent,
    ) -> Result<Option<(Base, Pair, WovenWork)>, CatalogError> {
        let mut at_load = true;
        loop {
            let Some(base) = self.base(app, after, consent, at_load).await? else {
                return Ok(None);
            };
            let labels = Labels::new(base.from, base.labels.clone());
            let before = Arc::new(base.before.clone());
            let pair = Pair { before, after: after.clone(), labels };
            let Some(woven) = self.inner.builder.weave(&pair, plain).await? else {
                return Ok(None);
            };
            let has = |edits: &Vec<EditId>| {
                let all = |part: &PartInfo| {
                    let there = edits_of(part);
                    edits.iter().all(|edit| there.contains(edit))
                };
                woven.parts.iter().any(all)
            };
            if base.tied_at_load.as_ref().is_none_or(has) {
                return Ok(Some((base, pair, woven)));
            }
            // They do not run at load any more, which takes that part apart: it is touched.
            at_load = false;
        }
    }

    /// What was taken back must not come back as what stays, unless it is asked for.
    async fn check_staying(
        &self,
        app: &AppRoutes,
        staying: &[HunkInfo],
        taken: &[TakenBack],
        consent: &Consent,
    ) -> Result<(), CatalogError> {
        let mut parts = Vec::new();
        let asked = !staying.is_empty() && !consent.all;
        for verdict in taken.iter().filter(|_| asked) {
            let Some(change) = app.changes.get(&verdict.version) else { continue };
            let contents = self.contents(change).await?;
            let part = contents.parts.iter().find(|part| part.id == verdict.part);
            let held = |hunk: &&HunkInfo| {
                verdict.edits.iter().any(|edit| edit.anywhere() == hunk.edit.anywhere())
            };
            let mut hunks = part.iter().flat_map(|part| &part.hunks).filter(held);
            if hunks.any(|hunk| staying.iter().any(|stays| is_within(hunk, stays))) {
                parts.push(format!("{}/{}:{}", app.name(), verdict.version, verdict.part));
            }
        }
        parts.dedup();
        if consent.brings_back(&parts) { Ok(()) } else { Err(CatalogError::ComesBack { parts }) }
    }

    /// What a new version is compared with, and the edits that run for everybody though that is without them; `None` where
    /// nothing runs.
    pub(in crate::catalog) async fn before(
        &self,
        after: &Arc<AppManifest>,
    ) -> Result<Option<(AppManifest, Vec<EditId>)>, CatalogError> {
        let Ok(app) = self.app(&after.app) else { return Ok(None) };
        let consent = Consent { all: true, ..Consent::default() };
        let base = self.base(&app, after, &consent, true).await?;
        Ok(base.map(|base| (base.before, base.live)))
    }

    /// The program that the new version is compared with.
    async fn base(
        &self,
        app: &AppRoutes,
        after: &Arc<AppManifest>,
        consent: &Consent,
        at_load: bool,
    ) -> Result<Option<Base>, CatalogError> {
        let Some(live) = app.live() else { return Ok(None) };
        let from = app.program();
        let plain = self.manifest(&live.record).await?;
        let alone = |before: AppManifest| {
            let labels = labels(from, &plain, &before, None);
            let live = Vec::new();
            Ok(Some(Base { from, before, labels, superseded: None, tied_at_load: None, live }))
        };
        let Some(change) = app.running_change() else { return alone(plain.clone()) };
        let (from, plain) = match never_live(app, &change) {
            Some((from, version)) => (from, self.manifest(&version.record).await?),
            None => (from, plain.clone()),
        };
        if let Some(settled) = &change.settled {
            return alone(read_manifest(&self.inner.blobs, settled).await?);
        }
        let Untouched { parts: untouched, tied_at_load } =
            self.untouched(app, &change, after, at_load).await?;
        check_way_back(app, &change, &untouched, consent)?;
        // What is still in canary was never live: it is as if it had not been there.
        let live_arm = |part: PartId| {
            if in_canary(&change, part) { Arm::Before } else { arm_of(&change, part) }
        };
        // What goes on is woven again from where it came from; the rest stays as it is now.
        let arm =
            |part: PartId| if untouched.contains(&part) { Arm::Before } else { live_arm(part) };
        let on = |part: &PartId| arm_of(&change, *part) == Arm::After;
        let mut gone_on: Vec<EditId> =
            untouched.iter().copied().filter(on).flat_map(|it| edits(&change, it)).collect();
        let before = match self.resolve(app, &change, &arm).await {
            // Another Belay cuts it into other parts, or there is no such source: none of them goes on.
            Err(CatalogError::Rewoven { .. } | CatalogError::NotOneSource(_)) => {
                gone_on.clear();
                self.resolve(app, &change, &live_arm).await?
            }
            resolved => resolved?,
        };
        let earlier = read_manifest(&self.inner.blobs, &change.before).await?;
        let before = self.with_known_texts(before, &plain, &earlier).await?;
        self.store_sources(&before).await?;
        let taken_over = TakenOver {
            change: &change,
            before: &earlier,
            modules: gone_on.iter().map(|edit| edit.module.as_str()).collect(),
        };
        let labels = labels(from, &plain, &before.manifest, Some(&taken_over));
        let tied_at_load = tied_at_load.map(|part| edits(&change, part));
        let live = gone_on.iter().filter(|edit| {
            let part = parts_of(&change).find(|(_, part)| part.edits.contains(edit));
            part.is_some_and(|(part, _)| !in_doubt(&change, part))
        });
        let live = live.cloned().collect();
        let superseded = Some(ChangeRecord::clone(&change));
        Ok(Some(Base { from, before: before.manifest, labels, superseded, tied_at_load, live }))
    }

    /// The parts of a live change that a new version has as they are. `at_load`: whatever runs when modules are loaded
    /// is taken to do so in the new version, too.
    async fn untouched(
        &self,
        app: &AppRoutes,
        change: &ChangeRecord,
        after: &Arc<AppManifest>,
        at_load: bool,
    ) -> Result<Untouched, CatalogError> {
        let old = self.pair(app, change).await?;
        let pair = Pair { after: after.clone(), ..old };
        let probe = self.inner.builder.weave_again(&pair, Bindings::default()).await?;
        let there: Vec<Vec<EditId>> = probe.parts().iter().map(edits_of).collect();
        let all: Vec<Vec<EditId>> = change.parts.iter().map(|part| part.edits.clone()).collect();
        let same = |part: &PartRecord| twin_of(&part.edits, &all, &there).is_some();
        let tied = change.face_part.filter(|_| at_load && !change.frozen.is_empty());
        let tied_at_load = parts_of(change)
            .find(|(id, part)| tied == Some(*id) && !same(part) && is_made_of(&part.edits, &there))
            .map(|(id, _)| id);
        let same = parts_of(change).filter(|(_, part)| same(part)).map(|(id, _)| id);
        Ok(Untouched { parts: same.chain(tied_at_load).collect(), tied_at_load })
    }

    /// The arms that parts begin with: as before where they go on, as before the change where they were taken back.
    fn first_arms(
        &self,
        app: &AppName,
        woven: &WovenWork,
        superseded: Option<&ChangeRecord>,
        taken: &[TakenBack],
    ) -> (Vec<PartRecord>, Vec<PartNote>) {
        let mut notes = Vec::new();
        let new: Vec<Vec<EditId>> = woven.parts.iter().map(edits_of).collect();
        let all: BTreeSet<EditId> = new.iter().flatten().cloned().collect();
        let old: Vec<&PartRecord> = superseded.iter().flat_map(|change| &change.parts).collect();
        let known: Vec<Vec<EditId>> = old.iter().map(|part| part.edits.clone()).collect();
        let on = old.iter().filter(|part| part.arm == Arm::After);
        let on: BTreeSet<&EditId> = on.flat_map(|part| &part.edits).collect();
        // What ran until now is innocent, also where the same edit beside it was taken back.
        let held = |kept: &EditId, edit: &EditId| {
            kept == edit || !on.contains(edit) && is_same(kept, edit, &all)
        };
        let records = woven.parts.iter().map(|part| {
            let edits = edits_of(part);
            let note = |kind, arm, version: VersionNumber, of: PartId| PartNote {
                part: part.id,
                kind,
                arm,
                about: format!("{app}/{version}:{of}"),
            };
            let old = superseded.and_then(|change| {
                let (id, old) = parts_of(change).nth(twin_of(&edits, &new, &known)?)?;
                Some((change.version, id, old.arm))
            });
            if let Some((version, id, arm)) = old {
                notes.push(note(PartNoteKind::Carried, arm, version, id));
                let carried_from = Some((version, id));
                return PartRecord { arm, edits, carried_from, ..PartRecord::default() };
            }
            let by = |verdict: &TakenBack, edit: &EditId| {
                verdict.edits.iter().any(|kept| held(kept, edit))
            };
            let verdict = taken.iter().find(|verdict| edits.iter().any(|edit| by(verdict, edit)));
            let whole = edits.iter().all(|edit| taken.iter().any(|verdict| by(verdict, edit)));
            let arm = if verdict.is_some() && whole { Arm::Before } else { Arm::After };
            if let Some(verdict) = verdict {
                let kind = if whole {
                    PartNoteKind::StaysTakenBack
                } else {
                    PartNoteKind::WasTakenBackInPart
                };
                notes.push(note(kind, arm, verdict.version, verdict.part));
            }
            PartRecord { arm, edits, ..PartRecord::default() }
        });
        let mut records: Vec<PartRecord> = records.collect();
        with_reach(&mut records, &woven.reach);
        (records, notes)
    }
}

/// Within the rollback window a deploy asks before what a change brought could not be taken back any more.
fn check_way_back(
    app: &AppRoutes,
    change: &ChangeRecord,
    untouched: &BTreeSet<PartId>,
    consent: &Consent,
) -> Result<(), CatalogError> {
    let lost = parts_of(change).filter(|(part, record)| {
        record.arm == Arm::After && !untouched.contains(part) && !in_canary(change, *part)
    });
    let lost: Vec<PartId> = lost.map(|(part, _)| part).collect();
    // At the end of its window a change is settled; not so one that an older Belay kept.
    let age_ms = Timestamp::now().0.saturating_sub(change.created_ms);
    let within = change.life.is_some() || age_ms < app.policy.canary.window_ms;
    let id = ChangeId { app: app.name().clone(), version: change.version };
    if within && !consent.loses(&id, &lost) {
        let ChangeId { app, version: change } = id;
        return Err(CatalogError::WayBackLost { app, change, parts: lost });
    }
    Ok(())
}

/// What ran before a change of which nothing was live yet, and the version of that.
fn never_live<'a>(
    app: &'a AppRoutes,
    change: &ChangeRecord,
) -> Option<(ProgramName, &'a Arc<VersionRoutes>)> {
    let on = parts_of(change).filter(|(_, part)| part.arm == Arm::After);
    let (in_canary, live): (Vec<_>, Vec<_>) = on.partition(|(part, _)| in_canary(change, *part));
    let version = app.versions.get(&change.from.version)?;
    (live.is_empty() && !in_canary.is_empty()).then_some((change.from, version))
}

/// Whether a part is let in step by step, and has not been live yet.
fn in_canary(change: &ChangeRecord, part: PartId) -> bool {
    change.life.as_ref().is_some_and(|life| life.is_canary() && life.is_on_trial(part))
}

/// What was taken back of the app, and stays so.
fn taken_back(seen: &Seen) -> Vec<TakenBack> {
    seen.record.iter().flat_map(|it| held(&it.taken_back)).cloned().collect()
}

/// The policy that will hold.
fn effective_policy(seen: &Seen, after: &AppManifest) -> Policy {
    let set = seen.record.as_ref().map(|record| &record.policy);
    set.map_or_else(|| after.policy.clone(), |set| policy_of(&after.policy, set))
}

/// Whether it is not known yet what to think of a part: it is in canary, or its change is suspected.
fn in_doubt(change: &ChangeRecord, part: PartId) -> bool {
    let life = change.life.as_ref().filter(|life| life.is_on_trial(part));
    life.is_some_and(|life| {
        life.is_canary() || life.is_suspected() || life.is_withdrawn() || life.waits_for_people()
    })
}

/// The parts that begin on trial. What goes on from a live change is not on trial again; what goes on from a canary, or is
/// suspected, is.
fn on_trial(parts: &[PartRecord], superseded: Option<&ChangeRecord>) -> BTreeSet<PartId> {
    let went_on = |part: &PartRecord| {
        let from = part.carried_from.map(|(_, part)| part);
        from.is_some_and(|part| superseded.is_some_and(|old| !in_doubt(old, part)))
    };
    let on = (0..).map(PartId).zip(parts);
    let on = on.filter(|(_, part)| part.arm == Arm::After && !went_on(part));
    on.map(|(id, _)| id).collect()
}

/// What draws are made of: clients with a key stay where they are while a canary goes on.
fn seed(superseded: Option<&ChangeRecord>) -> u64 {
    let canary = superseded.filter(|old| old.life.as_ref().is_some_and(Life::is_canary));
    canary.map_or_else(rand::random, |old| old.seed)
}

/// Who is tested together: each part alone, but for those that do worse one without the other.
fn groups(
    mut trial: BTreeSet<PartId>,
    parts: &[PartRecord],
    superseded: Option<&ChangeRecord>,
    tried: &Tried,
) -> Vec<Vec<PartId>> {
    trial = &trial - &tried.guilty_parts();
    let now = |old: &PartId| {
        let twin = |part: &PartRecord| part.carried_from.is_some_and(|(_, from)| from == *old);
        (0..).map(PartId).zip(parts).find(|(_, part)| twin(part)).map(|(id, _)| id)
    };
    let known = superseded.and_then(|old| old.life.as_ref()).map(|life| &life.groups[..]);
    let known = known.unwrap_or_default().iter().filter(|group| group.len() > 1);
    let known = known.map(|group| group.iter().filter_map(now).collect::<BTreeSet<_>>());
    let merged = tried.merged().cloned();
    let mut groups: Vec<BTreeSet<PartId>> = Vec::new();
    let alone = trial.iter().map(|part| BTreeSet::from([*part]));
    for set in known.chain(merged).chain(alone) {
        let mut set: BTreeSet<PartId> = set.intersection(&trial).copied().collect();
        let (touching, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|other| !other.is_disjoint(&set));
        set.extend(touching.into_iter().flatten());
        groups = apart;
        groups.extend((!set.is_empty()).then_some(set));
    }
    groups.into_iter().map(|set| set.into_iter().collect()).collect()
}

/// Parts on which recorded requests do worse, or tests fail, begin taken back, with what depends on them.
fn take_out(
    parts: &mut [PartRecord],
    notes: &mut Vec<PartNote>,
    (app, version): (&AppName, VersionNumber),
    tried: &Tried,
) {
    for (part, kind, arm) in tried.noted() {
        if let Some(record) = parts.get_mut(usize::from(part.0)) {
            record.arm = arm;
        }
        notes.retain(|note| note.part != part);
        notes.push(PartNote { part, kind, arm, about: format!("{app}/{version}:{part}") });
    }
}

/// How a change begins.
fn first_life(
    groups: Vec<Vec<PartId>>,
    change: &ChangeRecord,
    policy: &Policy,
    tried: &Tried,
    (now, now_ms): (bool, u64),
) -> Life {
    if change.parts.iter().all(|part| part.arm == Arm::Before) {
        return Life::taken_back();
    }
    let begin = if now { Life::at_once } else { Life::new };
    let groups = tied(&groups, &ChangeCode { parts: &change.parts, policy });
    let mut life = begin(groups, &change.canary(policy), now_ms);
    life.reported = tried.reported();
    life.untried = life.groups.is_empty() && !tried.guilty_parts().is_empty();
    life
}

fn with_reach(parts: &mut [PartRecord], all: &[Reach]) {
    for (part, reach) in parts.iter_mut().zip(all) {
        let Reach { functions, places, users } = reach.clone();
        (part.functions, part.places, part.users) = (functions, places, users);
    }
}

/// The end of the story of a change whose place another one takes.
fn gone(old: &ChangeRecord, by: VersionNumber, at_ms: u64) -> (VersionNumber, u32, Entry) {
    let told = Told::Superseded { by_version: by.get() };
    (old.version, old.told, Entry { at_ms, told })
}

/// Changes that ran so long ago that their images are not kept. Should `live` be moved back to one of them, they are
/// made anew.
fn without_images(app: &AppRoutes, superseded: Option<&ChangeRecord>) -> Vec<ChangeRecord> {
    let now = superseded.map(|change| change.version);
    let past = app.changes.values().rev().filter(|change| {
        let past = change.state != ChangeState::Settled && Some(change.version) != now;
        past && !change.faces.is_empty()
    });
    let old = past.skip(IMAGES_KEPT);
    old.map(|change| ChangeRecord { faces: Vec::new(), ..ChangeRecord::clone(change) }).collect()
}

/// Whether an edit is one that stays, or within it: what stays is cut into statements, whatever the edit was.
fn is_within(edit: &HunkInfo, stays: &HunkInfo) -> bool {
    let place = |hunk: &HunkInfo| (hunk.edit.module.clone(), hunk.edit.function.clone());
    let texts = [(&edit.before_text, &stays.before_text), (&edit.after_text, &stays.after_text)];
    edit.edit.anywhere() == stays.edit.anywhere()
        || place(edit) == place(stays) && texts.iter().all(|(inner, outer)| outer.contains(*inner))
}

/// The change before, with where its parts go on: as they are, or in a part that has more.
fn supersede(mut old: ChangeRecord, new: &ChangeRecord) -> ChangeRecord {
    old.state = ChangeState::Superseded;
    old.told += 1;
    for (index, part) in (0..).map(PartId).zip(&mut old.parts) {
        let twin = parts_of(new).find(|(_, p)| p.carried_from == Some((old.version, index)));
        let holds = |(_, p): &(PartId, &PartRecord)| {
            !part.edits.is_empty() && part.edits.iter().all(|edit| p.edits.contains(edit))
        };
        let larger = || parts_of(new).find(holds);
        part.carried_to = twin.or_else(larger).map(|(id, _)| (new.version, id));
    }
    // Its images stay, for the day on which `live` is moved back to it.
    old
}
