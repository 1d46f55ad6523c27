//! What recorded requests, and the app's own tests, say of a change before it gets a request.

use std::collections::BTreeSet;

use belay_govern::{By, Code as _, Entry, Level, Told, tied};
use belay_model::{Arm, Dependents, FunctionName, PartId, Policy, TapePolicy};
use belay_weave::map_frames;

use super::{code::ChangeCode, hear::places_of, own_tests::Tested, plan::PartNoteKind};
use crate::{
    catalog::{
        Catalog, CatalogError, Consent, PartRecord,
        blocking::on_big_stack,
        maps::Maps,
        woven::{FaceWork, WovenWork},
    },
    routes::AppRoutes,
    tapes::{Did, Face, Program, TAPES_MAX, Validation, validate},
};

/// So long may it take while everybody else who changes the app waits.
const IN_TURN_MS: u64 = 250;

/// What is known of a change before it gets a request.
#[derive(Debug, Default)]
pub(super) struct Tried {
    tests: Tested,
    pub(super) tapes: Option<Validation>,
    blamed: Vec<Blamed>,
    /// What is decided is told and not done.
    dry_run: bool,
}

/// Parts that do worse, together.
#[derive(Debug)]
struct Blamed {
    parts: BTreeSet<PartId>,
    by: By,
    reasons: Vec<Did>,
    /// What depends on them. Nobody has it yet, so there is no need to ask anybody before it is not let in.
    dependents: BTreeSet<PartId>,
    affects: BTreeSet<FunctionName>,
}

impl Catalog {
    /// What is known of a change before it gets a request: what the app's own tests say, and of what is left then, what recorded
    /// requests do.
    pub(super) async fn try_out(
        &self,
        app: &AppRoutes,
        (woven, parts): (&WovenWork, &[PartRecord]),
        trial: &BTreeSet<PartId>,
        (policy, in_turn): (&Policy, bool),
        consent: &Consent,
    ) -> Result<Tried, CatalogError> {
        let tests = consent.tests.on(parts, trial);
        let left = trial - &tests.failed;
        let program = program(woven, parts, (trial, &left));
        let mut on_tapes = policy.tapes.clone();
        if in_turn {
            on_tapes.budget_ms = on_tapes.budget_ms.min(IN_TURN_MS);
        }
        let tapes = self.try_on_tapes(app, program, &on_tapes).await?;
        let dry_run = policy.canary.dry_run || consent.dry_run;
        let mut tried = Tried { tests, tapes, blamed: Vec::new(), dry_run };
        tried.blame(trial, &ChangeCode { parts, policy });
        Ok(tried)
    }

    /// Replays what was recorded of the app on the change. `None` if nothing was, or it must not take any time.
    async fn try_on_tapes(
        &self,
        app: &AppRoutes,
        program: Option<Program>,
        policy: &TapePolicy,
    ) -> Result<Option<Validation>, CatalogError> {
        let tapes = app.shared.tapes.newest(TAPES_MAX);
        let Some(program) = program.filter(|program| !program.trial.is_empty()) else {
            return Ok(None);
        };
        if tapes.values().all(Vec::is_empty) {
            return Ok(None);
        }
        if policy.budget_ms == 0 {
            return Ok(None);
        }
        let policy = policy.clone();
        let tried =
            on_big_stack("belay-validate", move || validate(&program, tapes, &policy)).await;
        match tried {
            Ok(Ok(validation)) => Ok(Some(validation)),
            // That it cannot be tried is no reason to refuse it: it will be let in step by step.
            Ok(Err(error)) => {
                tracing::warn!(app = %app.name(), %error, "a change could not be tried on tapes");
                Ok(None)
            }
            Err(_) => {
                tracing::error!(app = %app.name(), "trying a change on tapes broke down");
                Ok(None)
            }
        }
    }
}

/// `trial` are the parts that nobody runs yet; `left` those of them that may be let in.
fn program(
    woven: &WovenWork,
    parts: &[PartRecord],
    (trial, left): (&BTreeSet<PartId>, &BTreeSet<PartId>),
) -> Option<Program> {
    let face = |arm: Arm| {
        let face: &FaceWork = woven.faces.iter().find(|face| face.arm == arm)?;
        Some(Face {
            image: face.image.clone(),
            functions: face.functions.clone(),
            criteria: face.criteria.clone(),
        })
    };
    let before = (0..)
        .map(PartId)
        .zip(parts)
        .map(|(part, record)| if trial.contains(&part) { Arm::Before } else { record.arm });
    Some(Program {
        after: face(Arm::After)?,
        before_face: face(Arm::Before),
        face_part: woven.face_part,
        before: before.collect(),
        trial: left.clone(),
        places: parts.iter().map(places_of).collect(),
    })
}

fn reason(did: &Did, maps: Option<&Maps>) -> String {
    let Some(frame) = &did.frame else { return did.text.clone() };
    let frames = std::slice::from_ref(frame);
    let mapped = maps.map(|maps| map_frames(frames, &|path| maps.get(path)));
    let frame =
        mapped.and_then(|frames| frames.into_iter().next()).unwrap_or_else(|| frame.clone());
    format!("{} ({})", did.text, frame.trim())
}

impl Tried {
    fn blame(&mut self, trial: &BTreeSet<PartId>, code: &ChangeCode<'_>) {
        let failed = Some(self.tests.failed.clone()).filter(|parts| !parts.is_empty());
        let reason = || vec![Did { text: self.tests.reason(), frame: None }];
        let by_tests = failed.into_iter().map(|parts| (parts, By::Tests, reason()));
        let by_tapes = self.tapes.iter().flat_map(|it| &it.guilty);
        let by_tapes = by_tapes.map(|(parts, did)| (parts.clone(), By::Tapes, did.clone()));
        let alone: Vec<Vec<PartId>> = trial.iter().map(|part| vec![*part]).collect();
        // As much at once as the policy wants; and nothing that is known to do worse without the rest.
        let together: Vec<BTreeSet<PartId>> = tied(&alone, code)
            .into_iter()
            .map(BTreeSet::from_iter)
            .chain(self.merged().map(|set| set & trial))
            .collect();
        let mut blamed: Vec<Blamed> = Vec::new();
        for (guilty, by, mut reasons) in by_tests.chain(by_tapes) {
            let mut parts = with_those_beside(guilty, &together);
            if let Some(same) = blamed.iter_mut().find(|it| !it.parts.is_disjoint(&parts)) {
                parts.extend(same.parts.iter().copied());
                (same.parts, parts) = (parts, BTreeSet::new());
                same.reasons.append(&mut reasons);
            }
            if !parts.is_empty() {
                let (dependents, affects) = (BTreeSet::new(), BTreeSet::new());
                blamed.push(Blamed { parts, by, reasons, dependents, affects });
            }
        }
        let mut known: BTreeSet<PartId> = blamed.iter().flat_map(|it| &it.parts).copied().collect();
        for it in &mut blamed {
            let found = dependents(&it.parts, trial, &together, code);
            it.dependents = &found - &known;
            known.extend(&it.dependents);
            let all = it.parts.iter().chain(&it.dependents);
            it.affects = all.flat_map(|part| code.functions(*part)).collect();
        }
        self.blamed = blamed;
    }

    /// Parts that begin taken back.
    pub(super) fn guilty_parts(&self) -> BTreeSet<PartId> {
        let blamed = self.blamed.iter().filter(|_| !self.dry_run);
        blamed.flat_map(|it| it.parts.iter().chain(&it.dependents)).copied().collect()
    }

    /// Parts that would, if what is decided were done.
    pub(super) fn reported(&self) -> Vec<PartId> {
        let blamed = self.blamed.iter().filter(|_| self.dry_run);
        let parts: BTreeSet<PartId> = blamed.flat_map(|it| it.parts.iter().copied()).collect();
        parts.into_iter().collect()
    }

    /// What is said of parts when it is deployed; the arm at which they begin.
    pub(super) fn noted(&self) -> impl Iterator<Item = (PartId, PartNoteKind, Arm)> {
        let arm = if self.dry_run { Arm::After } else { Arm::Before };
        self.blamed.iter().flat_map(move |it| {
            let kind = match it.by {
                By::Tests => PartNoteKind::FailsTests,
                By::Tapes | By::Judge | By::Human => PartNoteKind::FailsOnTapes,
            };
            let own = it.parts.iter().map(move |part| (*part, kind, arm));
            let others = it.dependents.iter().filter(move |_| !self.dry_run);
            own.chain(others.map(move |part| (*part, PartNoteKind::GoesWith, arm)))
        })
    }

    /// Parts that move together.
    pub(super) fn merged(&self) -> impl Iterator<Item = &BTreeSet<PartId>> {
        let by_tapes = self.tapes.iter().flat_map(|it| &it.merged.sets);
        self.tests.tied.iter().chain(by_tapes)
    }

    /// What is told of it. `maps` lead to the user's own lines.
    pub(super) fn entries(&self, at_ms: u64, maps: Option<&Maps>) -> impl Iterator<Item = Entry> {
        let validated = self.tapes.iter().map(|it| Told::Validated(it.told.clone()));
        let merged = self.merged().map(|parts| Told::Merged {
            parts: parts.iter().copied().collect(),
            measured: Vec::new(),
        });
        let blamed = self.blamed.iter().map(|it| it.told(self.dry_run, maps));
        let all: Vec<Told> = validated.chain(blamed).chain(merged).collect();
        all.into_iter().map(move |told| Entry { at_ms, told })
    }
}

impl Blamed {
    fn told(&self, dry_run: bool, maps: Option<&Maps>) -> Told {
        let parts = self.parts.iter().copied().collect();
        let (measured, reasons) = (Vec::new(), self.reasons.iter().map(|did| reason(did, maps)));
        let reasons = reasons.collect();
        if dry_run {
            return Told::WouldTakeBack { parts, measured, reasons };
        }
        let level = if self.parts.len() == 1 { Level::Part } else { Level::Function };
        let dependents = self.dependents.iter().copied().collect();
        let (by, affects) = (self.by, self.affects.clone());
        Told::TakenBack { parts, by, level, measured, reasons, dependents, affects }
    }
}

/// The parts with all that move together with some of them.
fn with_those_beside(
    mut parts: BTreeSet<PartId>,
    together: &[BTreeSet<PartId>],
) -> BTreeSet<PartId> {
    loop {
        let touching = together.iter().filter(|set| !set.is_disjoint(&parts));
        let more: BTreeSet<PartId> = touching.flatten().copied().collect();
        if more.is_subset(&parts) {
            return parts;
        }
        parts.extend(more);
    }
}

/// The parts on trial that depend on `parts`, directly or not, with what moves together with those; unless they are to go on
/// without.
fn dependents(
    parts: &BTreeSet<PartId>,
    trial: &BTreeSet<PartId>,
    together: &[BTreeSet<PartId>],
    code: &ChangeCode<'_>,
) -> BTreeSet<PartId> {
    let mut all = parts.clone();
    if parts.iter().all(|part| code.dependents(*part) == Dependents::Keep) {
        return BTreeSet::new();
    }
    loop {
        let users = all.iter().flat_map(|part| code.users(*part));
        let users = users.filter(|part| trial.contains(part)).collect::<BTreeSet<_>>();
        let more = with_those_beside(&all | &users, together);
        if more == all {
            return &all - parts;
        }
        all = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(parts: &[u8]) -> BTreeSet<PartId> {
        parts.iter().copied().map(PartId).collect()
    }

    #[test]
    fn what_moves_together_is_left_out_together() {
        let users = [&[1_u8][..], &[], &[], &[4], &[]];
        let parts: Vec<PartRecord> =
            users.map(|users| PartRecord { users: set(users), ..PartRecord::default() }).into();
        let mut policy = Policy::default();
        let found = |policy: &Policy, together: &[BTreeSet<PartId>]| {
            let code = ChangeCode { parts: &parts, policy };
            dependents(&set(&[0]), &set(&[0, 1, 2, 3, 4]), together, &code)
        };
        assert_eq!(found(&policy, &[]), set(&[1]));
        // What depends on it does worse without 3, and 4 depends on that.
        assert_eq!(found(&policy, &[set(&[1, 3])]), set(&[1, 3, 4]));
        assert_eq!(found(&policy, &[set(&[2, 4])]), set(&[1]), "nothing of these is concerned");
        policy.impact.dependents = Dependents::Keep;
        assert_eq!(found(&policy, &[set(&[1, 3])]), set(&[]));
        assert_eq!(with_those_beside(set(&[0]), &[set(&[2, 3]), set(&[0, 2])]), set(&[0, 2, 3]));
    }
}
