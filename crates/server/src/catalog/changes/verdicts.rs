//! What was taken back: remembered by its edits, wherever they are met again.
//!
//! A verdict is held against later deploys until it is restored or settled. A settled one is kept all the same: should
//! `live` go back to a version before it, the edit stays as it was taken back.

use belay_model::{Arm, EditId, PartId};

use super::parts::{all_edits, edits, is_same, parts_of};
use crate::catalog::{AppRecord, ChangeRecord, record::TakenBack};

/// Edits that an app remembers: beyond that the oldest verdicts are forgotten, of those that were settled first.
const EDITS_MAX: usize = 4_000;

/// Those that a deploy heeds.
pub(super) fn held(taken: &[TakenBack]) -> impl Iterator<Item = &TakenBack> + Clone {
    taken.iter().filter(|verdict| !verdict.settled)
}

/// Parts that are taken back are held against whatever brings them again.
pub(in crate::catalog) fn hold(
    record: &mut AppRecord,
    change: &ChangeRecord,
    parts: &[PartId],
    at_ms: u64,
) {
    remember(record, change, parts, at_ms, false);
}

/// What was taken back is no longer held against these parts.
pub(super) fn lift(record: &mut AppRecord, change: &ChangeRecord, parts: &[PartId]) {
    let all = all_edits(change);
    let lifted: Vec<EditId> = parts.iter().flat_map(|part| edits(change, *part)).collect();
    for verdict in &mut record.taken_back {
        verdict.edits.retain(|kept| !lifted.iter().any(|edit| is_same(kept, edit, &all)));
    }
    record.taken_back.retain(|verdict| !verdict.edits.is_empty());
}

/// What runs of a settled change is innocent from now on. What was taken back of it may be brought again if people settled it; that its
/// window closed says nothing of it.
pub(super) fn settle(record: &mut AppRecord, change: &ChangeRecord, at_ms: u64, by_hand: bool) {
    let at = |arm: Arm| {
        let parts = parts_of(change).filter(move |(_, part)| part.arm == arm);
        parts.map(|(id, _)| id).collect::<Vec<_>>()
    };
    lift(record, change, &at(Arm::After));
    remember(record, change, &at(Arm::Before), at_ms, by_hand);
}

/// What a deploy brings again is not what was settled before.
pub(in crate::catalog) fn brought(record: &mut AppRecord, change: &ChangeRecord) {
    let all = all_edits(change);
    let on = change.parts.iter().filter(|part| part.arm == Arm::After);
    let on: Vec<&EditId> = on.flat_map(|part| &part.edits).collect();
    for verdict in record.taken_back.iter_mut().filter(|verdict| verdict.settled) {
        verdict.edits.retain(|kept| !on.iter().any(|edit| is_same(kept, edit, &all)));
    }
    record.taken_back.retain(|verdict| !verdict.edits.is_empty());
}

/// A change runs again: what is taken back of it is held, also where that was lifted elsewhere since then.
pub(super) fn hold_again(record: &mut AppRecord, change: &ChangeRecord, at_ms: u64) {
    let all = all_edits(change);
    let is_held = |edit: &EditId| {
        let mut kept = held(&record.taken_back).flat_map(|verdict| &verdict.edits);
        kept.any(|kept| is_same(kept, edit, &all))
    };
    let off = parts_of(change).filter(|(_, part)| part.arm == Arm::Before);
    let missing = off.filter(|(_, part)| !part.edits.iter().all(is_held));
    let missing: Vec<PartId> = missing.map(|(id, _)| id).collect();
    hold(record, change, &missing, at_ms);
}

/// The parts of `change` that run, all of whose edits were taken back in other changes.
pub(super) fn taken_elsewhere(change: &ChangeRecord, taken: &[TakenBack]) -> Vec<PartId> {
    // What was taken back in this change itself is at its arm already.
    let others = || taken.iter().filter(|other| other.version != change.version);
    let all = all_edits(change);
    let back = |edit: &EditId| {
        others().any(|other| other.edits.iter().any(|kept| is_same(kept, edit, &all)))
    };
    let on = parts_of(change).filter(|(_, part)| part.arm == Arm::After);
    on.filter(|(_, part)| part.edits.iter().all(back)).map(|(id, _)| id).collect()
}

fn remember(
    record: &mut AppRecord,
    change: &ChangeRecord,
    parts: &[PartId],
    at_ms: u64,
    settled: bool,
) {
    // One verdict of an edit is enough.
    lift(record, change, parts);
    record.taken_back.extend(parts.iter().map(|part| TakenBack {
        version: change.version,
        part: *part,
        edits: edits(change, *part),
        at_ms,
        settled,
    }));
    forget(&mut record.taken_back, EDITS_MAX);
}

/// The newest one stays in any case.
fn forget(taken: &mut Vec<TakenBack>, edits_max: usize) {
    let mut edits: usize = taken.iter().map(|verdict| verdict.edits.len()).sum();
    while edits > edits_max && taken.len() > 1 {
        let rest = &taken[..taken.len() - 1];
        let oldest = rest.iter().position(|verdict| verdict.settled).unwrap_or(0);
        edits -= taken.remove(oldest).edits.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(version: u32, edits: usize, settled: bool) -> TakenBack {
        let edit = |number: usize| EditId {
            module: format!("{version}-{number}.js"),
            function: String::new(),
            before: None,
            after: None,
            ordinal: 0,
        };
        let version = version.to_string().parse().unwrap();
        let edits = (0..edits).map(edit).collect();
        TakenBack { version, part: PartId(0), edits, at_ms: 0, settled }
    }

    fn left(mut taken: Vec<TakenBack>, max: usize) -> Vec<u32> {
        forget(&mut taken, max);
        taken.iter().map(|verdict| verdict.version.get()).collect()
    }

    #[test]
    fn beyond_the_bound_the_oldest_go_and_settled_ones_first() {
        let all = || {
            vec![
                verdict(1, 2, false),
                verdict(2, 2, true),
                verdict(3, 2, false),
                verdict(4, 2, true),
            ]
        };
        assert_eq!(left(all(), 8), [1, 2, 3, 4]);
        assert_eq!(left(all(), 7), [1, 3, 4]);
        assert_eq!(left(all(), 4), [3, 4]);
        assert_eq!(left(all(), 1), [4], "the newest stays, however large it is");
        assert_eq!(left(vec![verdict(1, 9, false)], 1), [1]);
    }
}
