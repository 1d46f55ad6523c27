//! What recorded requests say of a change, before it gets any.

use std::collections::BTreeSet;

use belay_govern::{By, Entry, Level, Told};
use belay_model::{Arm, PartId, TapePolicy};
use belay_weave::map_frames;

use super::hear::places_of;
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

impl Catalog {
    /// Replays what was recorded of the app on the change. `None` if nothing was, or it must not take any time.
    pub(super) async fn try_on_tapes(
        &self,
        app: &AppRoutes,
        woven: &WovenWork,
        parts: &[PartRecord],
        trial: &BTreeSet<PartId>,
        policy: &TapePolicy,
    ) -> Result<Option<Validation>, CatalogError> {
        let tapes = app.shared.tapes.newest(TAPES_MAX);
        let nothing = tapes.values().all(Vec::is_empty) || trial.is_empty();
        let Some(program) = program(woven, parts, trial).filter(|_| !nothing) else {
            return Ok(None);
        };
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

fn program(woven: &WovenWork, parts: &[PartRecord], trial: &BTreeSet<PartId>) -> Option<Program> {
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
        trial: trial.clone(),
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

impl Validation {
    pub(super) fn guilty_parts(&self) -> impl Iterator<Item = PartId> {
        self.guilty.iter().flat_map(|(parts, _)| parts.iter().copied())
    }

    /// What is told of it. `maps` lead to the user's own lines.
    pub(super) fn entries(&self, at_ms: u64, maps: Option<&Maps>) -> impl Iterator<Item = Entry> {
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
        let all: Vec<Told> = [validated].into_iter().chain(taken).chain(merged).collect();
        all.into_iter().map(move |told| Entry { at_ms, told })
    }
}
