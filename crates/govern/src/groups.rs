//! Which parts are tested, and taken back, together: each alone at first, then those of one function.

use std::collections::BTreeSet;

use belay_model::{Granularity, PartId};

use crate::Code;

/// The groups as the policy wants them at the least: `medium`, with the parts of the same functions; `coarse`, all.
pub fn tied(groups: &[Vec<PartId>], code: &dyn Code) -> Vec<Vec<PartId>> {
    let asked = |granularity| move |part: &PartId| code.granularity(*part) == Some(granularity);
    if groups.iter().flatten().any(asked(Granularity::Coarse)) {
        return together(groups);
    }
    let medium = |part: PartId| {
        let wanted = asked(Granularity::Medium)(&part);
        if wanted { code.places(part) } else { BTreeSet::new() }
    };
    // Who asks for it takes those along that touch the same function, whatever these ask for.
    let asking: BTreeSet<String> = groups.iter().flatten().copied().flat_map(medium).collect();
    let places = |part: PartId| code.places(part).intersection(&asking).cloned().collect();
    if asking.is_empty() { groups.to_vec() } else { by_function(groups, &places) }
}

/// The groups, with those together that touch a function in common. `places` are the functions of a part.
pub(crate) fn by_function(
    groups: &[Vec<PartId>],
    places: &dyn Fn(PartId) -> BTreeSet<String>,
) -> Vec<Vec<PartId>> {
    let mut found: Vec<(BTreeSet<String>, Vec<PartId>)> = Vec::new();
    for group in groups {
        let mut all: BTreeSet<String> = group.iter().flat_map(|part| places(*part)).collect();
        let mut parts = group.clone();
        let (touching, apart): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(known, _)| !known.is_disjoint(&all));
        for (known, members) in touching {
            all.extend(known);
            parts.extend(members);
        }
        parts.sort_unstable();
        found = apart;
        found.push((all, parts));
    }
    let mut groups: Vec<Vec<PartId>> = found.into_iter().map(|(_, parts)| parts).collect();
    groups.sort();
    groups
}

/// All in one.
pub(crate) fn together(groups: &[Vec<PartId>]) -> Vec<Vec<PartId>> {
    let mut all: Vec<PartId> = groups.iter().flatten().copied().collect();
    all.sort_unstable();
    if all.is_empty() { Vec::new() } else { vec![all] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_function_go_together_also_by_way_of_others() {
        let places = |part: PartId| -> BTreeSet<String> {
            let names: &[&str] = match part.0 {
                0 => &["f"],
                1 => &["g"],
                2 => &["f", "h"],
                3 => &["h"],
                _ => &[],
            };
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let alone: Vec<Vec<PartId>> = (0..5).map(|part| vec![PartId(part)]).collect();
        let expected =
            vec![vec![PartId(0), PartId(2), PartId(3)], vec![PartId(1)], vec![PartId(4)]];
        assert_eq!(by_function(&alone, &places), expected);
        assert_eq!(by_function(&expected, &places), expected, "nothing is coarser than that");
        assert_eq!(together(&expected), [(0..5).map(PartId).collect::<Vec<_>>()]);
        assert!(together(&[]).is_empty());
    }
}
