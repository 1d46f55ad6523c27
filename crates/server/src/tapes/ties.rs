//! How much parts have to do with each other, as far as recorded requests show it.
//!
//! Two parts of one function are tied, and two that one request comes by, the more the more often: one calls the other, or
//! both are called for the same thing. What is tied most is tried first, so that what the budget cuts is what is tied
//! least.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use belay_model::PartId;

/// The parts that are `on`, those of the most tied pairs first. `places` are the functions that each part touches, `reached`
/// the parts that each request came by.
pub(super) fn most_tied_first<'r>(
    on: &BTreeSet<PartId>,
    places: &[BTreeSet<String>],
    reached: impl Iterator<Item = &'r BTreeSet<PartId>>,
) -> Vec<PartId> {
    let mut met: BTreeMap<(PartId, PartId), usize> = BTreeMap::new();
    for parts in reached {
        for pair in pairs(parts) {
            *met.entry(pair).or_default() += 1;
        }
    }
    let of = |part: PartId| places.get(usize::from(part.0));
    let beside = |(one, other): (PartId, PartId)| {
        of(one).zip(of(other)).is_some_and(|(one, other)| !one.is_disjoint(other))
    };
    let mut tied: Vec<_> = pairs(on).collect();
    tied.sort_by_key(|pair| Reverse((beside(*pair), met.get(pair).copied().unwrap_or(0))));
    let mut order = Vec::new();
    for part in tied.into_iter().flat_map(|(one, other)| [one, other]).chain(on.iter().copied()) {
        if !order.contains(&part) {
            order.push(part);
        }
    }
    order
}

fn pairs(parts: &BTreeSet<PartId>) -> impl Iterator<Item = (PartId, PartId)> {
    let behind = |one: &PartId| {
        let one = *one;
        parts.iter().filter(move |other| **other > one).map(move |other| (one, *other))
    };
    parts.iter().flat_map(behind)
}

/// At most so many of the requests that came by `part`: first those that meet it with parts that no other one has shown.
pub(super) fn covering(part: PartId, reached: &[&BTreeSet<PartId>], max: usize) -> Vec<usize> {
    let mut left: Vec<usize> =
        (0..reached.len()).filter(|at| reached[*at].contains(&part)).collect();
    let (mut chosen, mut shown) = (Vec::new(), BTreeSet::from([part]));
    while chosen.len() < max && !left.is_empty() {
        let new = |at: &usize| reached[*at].difference(&shown).count();
        // Of equal ones the first.
        let best = left.iter().copied().min_by_key(|at| (Reverse(new(at)), *at));
        let Some(best) = best else { break };
        shown.extend(reached[best].iter().copied());
        left.retain(|at| *at != best);
        chosen.push(best);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(parts: &[u8]) -> BTreeSet<PartId> {
        parts.iter().copied().map(PartId).collect()
    }

    fn order(on: &[u8], places: &[&str], reached: &[&[u8]]) -> Vec<u8> {
        let places: Vec<_> =
            places.iter().map(|place| BTreeSet::from([(*place).to_owned()])).collect();
        let reached: Vec<_> = reached.iter().map(|parts| set(parts)).collect();
        let order = most_tied_first(&set(on), &places, reached.iter());
        order.into_iter().map(|part| part.0).collect()
    }

    #[test]
    fn what_one_function_has_comes_first_and_then_what_requests_meet_together() {
        let places = ["f", "g", "h", "g", "i"];
        assert_eq!(order(&[0, 1, 2, 3, 4], &places, &[&[0, 2], &[0, 2], &[1, 2]]), [1, 3, 0, 2, 4]);
        assert_eq!(order(&[0, 2, 4], &places, &[&[2, 4], &[0, 1, 3]]), [2, 4, 0]);
        assert_eq!(order(&[3], &places, &[]), [3]);
    }

    #[test]
    fn requests_are_chosen_by_the_parts_that_they_show() {
        let reached = [set(&[0, 1]), set(&[0, 1]), set(&[2]), set(&[0, 2, 3]), set(&[0])];
        let reached: Vec<_> = reached.iter().collect();
        assert_eq!(covering(PartId(0), &reached, 2), [3, 0]);
        assert_eq!(covering(PartId(0), &reached, 9), [3, 0, 1, 4]);
        assert_eq!(covering(PartId(5), &reached, 9), Vec::<usize>::new());
    }
}
