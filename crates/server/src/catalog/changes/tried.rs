//! What recorded requests, and the app's own tests, say of a change before it gets a request.

use std::collections::BTreeSet;

use belay_govern::{By, Entry, Level, Told};
use belay_model::{Arm, PartId, TapePolicy};
use belay_weave::map_frames;

use super::{
    hear::places_of,
    own_tests::{OwnTests, Tested},
    plan::PartNoteKind,
};
use crate::{
    catalog::{
        Catalog, CatalogError, PartRecord,
        blocking::on_big_stack,
        maps::Maps,
        woven::{FaceWork, WovenWork},
    },
    routes::AppRoutes,
    tapes::{Did, Face, Program, TAPES_MAX, Validation, validate},
};

/// What is known of a change before it gets a request.
#[derive(Debug, Default)]
pub(super) struct Tried {
    tests: Tested,
    pub(super) tapes: Option<Validation>,
}

impl Catalog {
    /// What is known of a change before it gets a request: what the app's own tests say, and of what is left then, what recorded
    /// requests do.
    pub(super) async fn try_out(
        &self,
        app: &AppRoutes,
        (woven, parts): (&WovenWork, &[PartRecord]),
        trial: &BTreeSet<PartId>,
        (policy, tests): (&TapePolicy, &OwnTests),
    ) -> Result<Tried, CatalogError> {
        let tests = tests.on(parts, trial);
        let left = trial - &tests.failed;
        let program = program(woven, parts, (trial, &left));
        let tapes = self.try_on_tapes(app, program, policy).await?;
        Ok(Tried { tests, tapes })
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
    /// Parts that begin taken back.
    pub(super) fn guilty_parts(&self) -> impl Iterator<Item = PartId> {
        let guilty = self.tapes.iter().flat_map(|it| &it.guilty);
        let by_tapes = guilty.flat_map(|(parts, _)| parts.iter().copied());
        self.tests.failed.iter().copied().chain(by_tapes)
    }

    /// What they do worse on.
    pub(super) fn kind(&self, part: PartId) -> PartNoteKind {
        let by_tests = self.tests.failed.contains(&part);
        if by_tests { PartNoteKind::FailsTests } else { PartNoteKind::FailsOnTapes }
    }

    /// Parts that move together.
    pub(super) fn merged(&self) -> impl Iterator<Item = &BTreeSet<PartId>> {
        let by_tapes = self.tapes.iter().flat_map(|it| &it.merged.sets);
        self.tests.tied.iter().chain(by_tapes)
    }

    /// What is told of it. `maps` lead to the user's own lines.
    pub(super) fn entries(&self, at_ms: u64, maps: Option<&Maps>) -> impl Iterator<Item = Entry> {
        let by_tapes = self.tapes.iter().flat_map(|it| it.told_of(maps));
        let all: Vec<Told> = self.tests.told().chain(by_tapes).collect();
        all.into_iter().map(move |told| Entry { at_ms, told })
    }
}

impl Validation {
    fn told_of(&self, maps: Option<&Maps>) -> Vec<Told> {
        let validated = Told::Validated(self.told.clone());
        let taken = self.guilty.iter().map(|(parts, reasons)| Told::TakenBack {
            parts: parts.iter().copied().collect(),
            by: By::Tapes,
            level: Level::Part,
            measured: Vec::new(),
            reasons: reasons.iter().map(|did| reason(did, maps)).collect(),
            dependents: Vec::new(),
            affects: BTreeSet::new(),
        });
        let merged = self.merged.sets.iter().map(|parts| Told::Merged {
            parts: parts.iter().copied().collect(),
            measured: Vec::new(),
        });
        [validated].into_iter().chain(taken).chain(merged).collect()
    }
}
