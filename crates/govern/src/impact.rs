//! What depends on what is to be taken back.

use std::collections::BTreeSet;

use belay_model::PartId;

/// The groups that depend on `taken`, directly or not, those first that nothing else depends on. `users`: the groups that
/// depend on a group. Where some depend on each other, in a circle, they are next to each other.
pub(crate) fn dependents(
    taken: &BTreeSet<usize>,
    users: &dyn Fn(usize) -> BTreeSet<usize>,
) -> Vec<usize> {
    let mut seen = taken.clone();
    let mut found = Vec::new();
    for start in taken {
        // Depth first, without recursion: a group comes after all that depends on it.
        let mut path = vec![(*start, users(*start).into_iter())];
        while let Some((group, left)) = path.last_mut() {
            match left.next() {
                Some(user) if seen.insert(user) => path.push((user, users(user).into_iter())),
                Some(_) => {}
                None => {
                    found.extend((!taken.contains(group)).then_some(*group));
                    path.pop();
                }
            }
        }
    }
    found
}

/// The groups that have some of `parts`.
pub(crate) fn groups_with(groups: &[Vec<PartId>], parts: &BTreeSet<PartId>) -> BTreeSet<usize> {
    let has = |group: &Vec<PartId>| group.iter().any(|part| parts.contains(part));
    groups.iter().enumerate().filter(|(_, group)| has(group)).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `edges`: who depends on whom.
    fn of(taken: &[usize], edges: &[(usize, usize)]) -> Vec<usize> {
        let users = |group: usize| {
            let users = edges.iter().filter(|(_, on)| *on == group);
            users.map(|(user, _)| *user).collect()
        };
        dependents(&taken.iter().copied().collect(), &users)
    }

    #[test]
    fn who_uses_goes_before_who_is_used() {
        assert_eq!(of(&[0], &[(1, 0), (2, 1)]), [2, 1], "a chain");
        assert_eq!(of(&[0], &[(1, 0), (2, 0), (3, 1), (3, 2)]), [3, 1, 2], "a diamond");
        assert_eq!(of(&[0], &[(1, 0), (2, 1), (2, 0)]), [2, 1], "also a shortcut");
        assert_eq!(of(&[1], &[(1, 0), (2, 0)]), [0_usize; 0], "nothing depends on it");
        assert_eq!(of(&[0, 1], &[(2, 0), (2, 1), (1, 0)]), [2], "both are taken back anyway");
    }

    #[test]
    fn circles_end() {
        assert_eq!(of(&[0], &[(1, 0), (0, 1)]), [1], "two that need each other");
        assert_eq!(of(&[0], &[(0, 0)]), [0_usize; 0], "itself");
        assert_eq!(
            of(&[0], &[(1, 0), (2, 1), (1, 2), (3, 2)]),
            [3, 2, 1],
            "a circle that hangs on it"
        );
    }

    proptest! {
        #[test]
        fn all_that_depends_is_found_once_and_in_order(
            edges in proptest::collection::vec((0_usize..12, 0_usize..12), 0..30)
        ) {
            // Without circles: who depends has the larger number.
            let edges: Vec<_> = edges.into_iter().filter(|(user, on)| user > on).collect();
            let found = of(&[0], &edges);
            let mut reached = BTreeSet::from([0]);
            while let Some((user, _)) =
                edges.iter().find(|(user, on)| reached.contains(on) && !reached.contains(user))
            {
                reached.insert(*user);
            }
            reached.remove(&0);
            prop_assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), reached.clone());
            prop_assert_eq!(found.len(), reached.len());
            let place = |group: usize| found.iter().position(|it| *it == group);
            for (user, on) in edges {
                if let (Some(user), Some(on)) = (place(user), place(on)) {
                    prop_assert!(user < on);
                }
            }
        }
    }
}
