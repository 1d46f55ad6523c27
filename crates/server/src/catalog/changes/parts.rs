//! Reading the record of a change part by part.

use std::collections::BTreeSet;

use belay_model::{Arm, EditId, PartId, PartInfo};

use crate::catalog::{AppRecord, ChangeRecord, PartRecord};

/// The edits of a part, sorted.
pub(super) fn edits_of(part: &PartInfo) -> Vec<EditId> {
    let edits: BTreeSet<EditId> = part.hunks.iter().map(|hunk| hunk.edit.clone()).collect();
    edits.into_iter().collect()
}

pub(super) fn parts_of(change: &ChangeRecord) -> impl Iterator<Item = (PartId, &PartRecord)> {
    (0..).map(PartId).zip(&change.parts)
}

pub(super) fn arm_of(change: &ChangeRecord, part: PartId) -> Arm {
    change.parts.get(usize::from(part.0)).map_or(Arm::After, |part| part.arm)
}

pub(super) fn edits(change: &ChangeRecord, part: PartId) -> Vec<EditId> {
    change.parts.get(usize::from(part.0)).map(|part| part.edits.clone()).unwrap_or_default()
}

/// What was taken back is no longer held against these parts.
pub(super) fn lift(record: &mut AppRecord, change: &ChangeRecord, parts: &[PartId]) {
    let lifted: BTreeSet<EditId> = parts.iter().flat_map(|part| edits(change, *part)).collect();
    for verdict in &mut record.taken_back {
        verdict.edits.retain(|edit| !lifted.contains(edit));
    }
    record.taken_back.retain(|verdict| !verdict.edits.is_empty());
}
