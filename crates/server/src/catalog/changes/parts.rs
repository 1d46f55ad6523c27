//! Reading the record of a change part by part.

use std::collections::BTreeSet;

use belay_model::{Arm, EditId, PartId, PartInfo};

use crate::catalog::{ChangeRecord, PartRecord};

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

/// Whether an edit is the one that was `kept`. At another place of the function it is, if the kept one is not there
/// any more: places are numbered, and what is before them may have gone. `all` are the edits that there are.
pub(super) fn is_same(kept: &EditId, edit: &EditId, all: &BTreeSet<EditId>) -> bool {
    kept == edit || kept.anywhere() == edit.anywhere() && !all.contains(kept)
}

/// The one of `others` that has the edits of a part, whose own list `all` is. At other places of their functions they
/// are the same if that leaves no choice.
pub(super) fn twin_of(
    part: &[EditId],
    all: &[Vec<EditId>],
    others: &[Vec<EditId>],
) -> Option<usize> {
    let exact = others.iter().position(|other| other == part);
    let anywhere = |part: &[EditId]| part.iter().map(EditId::anywhere).collect::<Vec<_>>();
    let wanted = anywhere(part);
    let left = |these: &[Vec<EditId>], those: &[Vec<EditId>]| -> Vec<usize> {
        let alike = |at: &usize| anywhere(&these[*at]) == wanted && !those.contains(&these[*at]);
        (0..these.len()).filter(alike).collect()
    };
    exact.or_else(|| match (&left(all, others)[..], &left(others, all)[..]) {
        ([_], [twin]) => Some(*twin),
        _ => None,
    })
}

/// Whether a part is some of `others` together, and nothing else.
pub(super) fn is_made_of(part: &[EditId], others: &[Vec<EditId>]) -> bool {
    let own: BTreeSet<&EditId> = part.iter().collect();
    let touching = others.iter().filter(|other| other.iter().any(|edit| own.contains(edit)));
    own == touching.flatten().collect()
}

/// Whether a weave that was made again has the parts of the change. By an older Belay, edits that are the same were not
/// numbered.
pub(in crate::catalog) fn is_cut_as(parts: &[PartInfo], change: &ChangeRecord) -> bool {
    let anywhere = |edits: &[EditId]| edits.iter().map(EditId::anywhere).collect::<BTreeSet<_>>();
    parts
        .iter()
        .map(|part| anywhere(&edits_of(part)))
        .eq(change.parts.iter().map(|p| anywhere(&p.edits)))
}

/// The edits of all parts.
pub(super) fn all_edits(change: &ChangeRecord) -> BTreeSet<EditId> {
    change.parts.iter().flat_map(|part| part.edits.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use belay_model::Hash;

    use super::*;

    fn edit(text: &str, ordinal: u32) -> EditId {
        let after = Some(Hash::of(text.as_bytes()));
        let (module, function) = ("shop.js".to_owned(), "price".to_owned());
        EditId { module, function, before: None, after, ordinal }
    }

    #[test]
    fn an_edit_is_another_one_while_the_first_is_there() {
        let (one, two, other) = (edit("x", 1), edit("x", 2), edit("y", 1));
        let all = BTreeSet::from([one.clone(), two.clone()]);
        assert!(is_same(&one, &one, &all) && !is_same(&one, &two, &all));
        assert!(is_same(&one, &two, &BTreeSet::from([two.clone()])), "it moved");
        assert!(is_same(&one.anywhere(), &two, &all), "an older Belay did not number them");
        assert!(!is_same(&one, &other, &BTreeSet::from([other.clone()])));
    }

    #[test]
    fn a_part_may_be_several_others() {
        let [a, b, c] = ["a", "b", "c"].map(|text| edit(text, 0));
        let others = [vec![a.clone()], vec![b.clone()], vec![c.clone()]];
        assert!(is_made_of(&[a.clone(), b.clone()], &others));
        assert!(!is_made_of(&[a.clone(), b.clone()], &others[..1]), "one is gone");
        assert!(!is_made_of(&[a.clone(), b.clone()], &[vec![a], vec![b, c]]), "one is more");
    }

    #[test]
    fn a_part_goes_on_where_there_is_no_doubt() {
        let part = |ordinal| vec![edit("x", ordinal)];
        let two = [part(1), part(2)];
        assert_eq!(twin_of(&part(2), &two, &two), Some(1));
        // The first one is gone: the second one is still itself.
        assert_eq!(twin_of(&part(2), &two, &[part(2)]), Some(0));
        assert_eq!(twin_of(&part(1), &two, &[part(2)]), None);
        // One that moved, and one that could be either.
        assert_eq!(twin_of(&part(2), &[part(2)], &[part(1)]), Some(0));
        assert_eq!(twin_of(&part(1), &two, &[part(0)]), None);
    }
}
