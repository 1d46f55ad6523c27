//! What a deploy changes: compared with what runs, woven, and with the arms that its parts begin with.
//!
//! A part that goes on from the change before keeps its arm; one that was taken back before starts so. Nothing here
//! commits or publishes: the change becomes part of the deploy's transaction.

use std::{collections::BTreeSet, sync::Arc};

use belay_model::{
    AppManifest, AppName, Arm, EditId, HunkInfo, PartId, PartInfo, ProgramName, VersionNumber,
};
use serde::Serialize;

use super::parts::{arm_of, edits_of, is_same, parts_of, twin_of};
use crate::{
    catalog::{
        AppRecord, Catalog, CatalogError, ChangeRecord, ChangeState, PartRecord,
        build::Work,
        manifest::read_manifest,
        record::{self, APPS, FORMAT, TakenBack},
        woven::{Bindings, FaceWork, Pair},
    },
    routes::AppRoutes,
    telemetry::Timestamp,
};

/// For so long a deploy asks before what a change brought could not be taken back any more: the rollback window.
const WINDOW_MS: u64 = 15 * 60 * 1_000;

/// What a deploy changes, ready to be committed with its version.
pub(in crate::catalog) struct PlannedChange {
    pub(in crate::catalog) record: ChangeRecord,
    /// The change whose place it takes.
    pub(in crate::catalog) superseded: Option<ChangeRecord>,
    pub(in crate::catalog) faces: Vec<FaceWork>,
    pub(in crate::catalog) notes: Vec<PartNote>,
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
    pub(in crate::catalog) async fn plan_change(
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
        let taken = taken.unwrap_or_default();
        if !yes {
            self.check_staying(&app, &woven.staying, &taken).await?;
        }
        let (parts, notes) =
            self.first_arms(&after.app, &woven.parts, base.superseded.as_ref(), &taken);
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
            staying: woven.staying.len(),
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

    /// What was taken back must not come back as what stays, unless it is asked for.
    async fn check_staying(
        &self,
        app: &AppRoutes,
        staying: &[HunkInfo],
        taken: &[TakenBack],
    ) -> Result<(), CatalogError> {
        let mut parts = Vec::new();
        for verdict in taken.iter().filter(|_| !staying.is_empty()) {
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
        if parts.is_empty() { Ok(()) } else { Err(CatalogError::ComesBack { parts }) }
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
        let from = app.program();
        let Some(change) = app.running_change() else {
            let before = self.manifest(&live.record).await?;
            return Ok(Some(Base { from, before, superseded: None }));
        };
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
        let before = match self.resolve(app, &change, &arm).await {
            // Another Belay cuts it into other parts, or there is no such source: none of them goes on.
            Err(CatalogError::Rewoven { .. } | CatalogError::NotOneSource(_)) => {
                self.resolve(app, &change, &|part| arm_of(&change, part)).await?
            }
            resolved => resolved?,
        };
        self.store_sources(&before).await?;
        let before = before.manifest;
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
        let there: Vec<Vec<EditId>> = probe.parts().iter().map(edits_of).collect();
        let all: Vec<Vec<EditId>> = change.parts.iter().map(|part| part.edits.clone()).collect();
        let same =
            parts_of(change).filter(|(_, part)| twin_of(&part.edits, &all, &there).is_some());
        Ok(same.map(|(part, _)| part).collect())
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
        let new: Vec<Vec<EditId>> = parts.iter().map(edits_of).collect();
        let all: BTreeSet<EditId> = new.iter().flatten().cloned().collect();
        let old: Vec<&PartRecord> = superseded.iter().flat_map(|change| &change.parts).collect();
        let known: Vec<Vec<EditId>> = old.iter().map(|part| part.edits.clone()).collect();
        let on = old.iter().filter(|part| part.arm == Arm::After);
        let on: BTreeSet<&EditId> = on.flat_map(|part| &part.edits).collect();
        // What ran until now is innocent, also where the same edit beside it was taken back.
        let held = |kept: &EditId, edit: &EditId| {
            kept == edit || !on.contains(edit) && is_same(kept, edit, &all)
        };
        let records = parts.iter().map(|part| {
            let edits = edits_of(part);
            let note = |kind, version: VersionNumber, of: PartId| PartNote {
                part: part.id,
                kind,
                about: format!("{app}/{version}:{of}"),
            };
            let old = superseded.and_then(|change| {
                let (id, old) = parts_of(change).nth(twin_of(&edits, &new, &known)?)?;
                Some((change.version, id, old.arm))
            });
            if let Some((version, id, arm)) = old {
                notes.push(note(PartNoteKind::Carried, version, id));
                let carried_from = Some((version, id));
                return PartRecord { arm, edits, carried_to: None, carried_from };
            }
            let by = |verdict: &TakenBack, edit: &EditId| {
                verdict.edits.iter().any(|kept| held(kept, edit))
            };
            let verdict = taken.iter().find(|verdict| edits.iter().any(|edit| by(verdict, edit)));
            let whole = edits.iter().all(|edit| taken.iter().any(|verdict| by(verdict, edit)));
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
