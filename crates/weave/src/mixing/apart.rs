//! The group check: each part alone, and all without it. What does worse so is bound to what it cannot be without.

use std::collections::BTreeSet;

use belay_model::PartId;

use super::smallest;

/// Sets of parts that move together, none of which has a part of another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bound {
    pub sets: Vec<BTreeSet<PartId>>,
}

impl Bound {
    /// Binds the parts of `set`, and with them those that any of them was bound to.
    pub fn bind(&mut self, mut set: BTreeSet<PartId>) {
        if set.len() < 2 {
            return;
        }
        let sets = std::mem::take(&mut self.sets);
        let (touching, mut apart): (Vec<_>, Vec<_>) =
            sets.into_iter().partition(|other| !other.is_disjoint(&set));
        set.extend(touching.into_iter().flatten());
        apart.push(set);
        self.sets = apart;
    }

    /// Binds `part` to the others of `on` that touch a function which it touches. `places` are the functions of all parts.
    fn bind_beside(&mut self, part: PartId, on: &BTreeSet<PartId>, places: &[BTreeSet<String>]) {
        let of = |part: &PartId| places.get(usize::from(part.0));
        let Some(own) = of(&part) else { return };
        let beside = |other: &&PartId| of(other).is_some_and(|it| !it.is_disjoint(own));
        self.bind(on.iter().filter(beside).copied().collect());
    }

    /// `part` with those that it is bound to.
    pub fn of(&self, part: PartId) -> BTreeSet<PartId> {
        let own = self.sets.iter().find(|set| set.contains(&part));
        own.cloned().unwrap_or_else(|| BTreeSet::from([part]))
    }
}

/// Checks each part of `on`, in this order. `bad` is asked of a part that is checked, and of a set of parts that are on; if it
/// stops, those that are not checked are bound to what touches the same functions, and that it stopped is told, too.
pub fn group_check<E>(
    order: &[PartId],
    on: &BTreeSet<PartId>,
    places: &[BTreeSet<String>],
    bad: &mut impl FnMut(PartId, &BTreeSet<PartId>) -> Result<bool, E>,
) -> (Bound, Result<(), E>) {
    let mut bound = Bound::default();
    if on.len() < 2 {
        return (bound, Ok(()));
    }
    for (at, part) in order.iter().enumerate() {
        match inseparable(*part, on, &mut |set| bad(*part, set)) {
            Ok(set) => bound.bind(set),
            Err(stopped) => {
                order[at..].iter().for_each(|part| bound.bind_beside(*part, on, places));
                return (bound, Err(stopped));
            }
        }
    }
    (bound, Ok(()))
}

/// `part` with the fewest others that it has to go with, for neither it alone nor all of `on` without it to be `bad`, as `on`
/// itself is not.
fn inseparable<E>(
    part: PartId,
    on: &BTreeSet<PartId>,
    bad: &mut impl FnMut(&BTreeSet<PartId>) -> Result<bool, E>,
) -> Result<BTreeSet<PartId>, E> {
    let with = grown(part, on, &mut |set| bad(set))?;
    let without = grown(part, on, &mut |set| bad(&(on - set)))?;
    Ok(&with | &without)
}

/// `part` with the fewest others for which `bad` is not so any more.
fn grown<E>(
    part: PartId,
    on: &BTreeSet<PartId>,
    bad: &mut impl FnMut(&BTreeSet<PartId>) -> Result<bool, E>,
) -> Result<BTreeSet<PartId>, E> {
    let mut set = BTreeSet::from([part]);
    while set.len() < on.len() && bad(&set)? {
        let others = on - &set;
        // Those of the others that it does worse on the other side of.
        set.extend(smallest(&others, &mut |apart| bad(&(on - apart)))?);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn set(parts: &[u8]) -> BTreeSet<PartId> {
        parts.iter().copied().map(PartId).collect()
    }

    /// Of five parts, with what breaks if it is cut.
    fn found(part: u8, needs: &[(u8, u8)]) -> BTreeSet<PartId> {
        let mut bad = |on: &BTreeSet<PartId>| {
            let cut = |(one, other): &(u8, u8)| {
                on.contains(&PartId(*one)) != on.contains(&PartId(*other))
            };
            Ok::<_, Infallible>(needs.iter().any(cut))
        };
        inseparable(PartId(part), &set(&[0, 1, 2, 3, 4]), &mut bad).unwrap_or_default()
    }

    #[test]
    fn parts_are_bound_to_what_they_break_without() {
        assert_eq!(found(1, &[]), set(&[1]));
        assert_eq!(found(1, &[(1, 3)]), set(&[1, 3]));
        assert_eq!(found(1, &[(1, 3), (3, 4)]), set(&[1, 3, 4]));
        assert_eq!(found(0, &[(1, 3)]), set(&[0]));
    }

    #[test]
    fn what_there_was_no_time_for_is_bound_to_what_touches_the_same() {
        let (on, order) = (set(&[0, 1, 2, 3]), [0, 1, 2, 3].map(PartId));
        let places = ["f", "g", "h", "g"].map(|place| BTreeSet::from([place.to_owned()]));
        let mut left = 3;
        let (bound, ended) = group_check(&order, &on, &places, &mut |_, _| {
            left -= 1;
            if left < 0 { Err("late") } else { Ok(false) }
        });
        assert_eq!((bound.sets, ended), (vec![set(&[1, 3])], Err("late")));
        let none = group_check(&order[..1], &set(&[0]), &places, &mut |_, _| Err(()));
        assert_eq!(none, (Bound::default(), Ok(())));
    }

    #[test]
    fn what_is_bound_to_the_same_is_bound() {
        let mut bound = Bound::default();
        for pair in [[0, 1], [2, 3], [4, 4], [1, 2]] {
            bound.bind(set(&pair));
        }
        assert_eq!(bound.sets, [set(&[0, 1, 2, 3])]);
        assert_eq!((bound.of(PartId(3)), bound.of(PartId(4))), (set(&[0, 1, 2, 3]), set(&[4])));
    }
}
