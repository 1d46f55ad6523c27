//! Delta debugging (Zeller & Hildebrandt 2002): the smallest set of parts that does what the whole set does.
//!
//! Smallest in that no part of it can be left out. Pure: what a set does is asked of the caller.

use std::collections::BTreeSet;

use belay_model::PartId;

/// A smallest subset of `all` that is `bad`, if `all` is. What cannot be told counts as not bad.
///
/// # Errors
/// What the caller's are.
pub fn smallest<E>(
    all: &BTreeSet<PartId>,
    bad: &mut impl FnMut(&BTreeSet<PartId>) -> Result<bool, E>,
) -> Result<BTreeSet<PartId>, E> {
    let mut left: Vec<PartId> = all.iter().copied().collect();
    let mut pieces = 2;
    while left.len() > 1 {
        let size = left.len().div_ceil(pieces);
        let chunks: Vec<BTreeSet<PartId>> =
            left.chunks(size).map(|chunk| chunk.iter().copied().collect()).collect();
        if let Some(found) = first_bad(&chunks, bad)? {
            left = found.into_iter().collect();
            pieces = 2;
            continue;
        }
        let without = |chunk: &BTreeSet<PartId>| -> BTreeSet<PartId> {
            left.iter().copied().filter(|part| !chunk.contains(part)).collect()
        };
        let complements: Vec<_> = chunks.iter().map(without).collect();
        if let Some(found) = first_bad(&complements, bad)? {
            left = found.into_iter().collect();
            pieces = (pieces - 1).max(2);
            continue;
        }
        if size == 1 {
            break;
        }
        pieces = (pieces * 2).min(left.len());
    }
    Ok(left.into_iter().collect())
}

fn first_bad<E>(
    sets: &[BTreeSet<PartId>],
    bad: &mut impl FnMut(&BTreeSet<PartId>) -> Result<bool, E>,
) -> Result<Option<BTreeSet<PartId>>, E> {
    for set in sets {
        if bad(set)? {
            return Ok(Some(set.clone()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn set(parts: &[u8]) -> BTreeSet<PartId> {
        parts.iter().copied().map(PartId).collect()
    }

    fn found(len: u8, guilty: &BTreeSet<PartId>) -> (BTreeSet<PartId>, usize) {
        let all = (0..len).map(PartId).collect();
        let mut asked = 0;
        let mut bad = |set: &BTreeSet<PartId>| {
            asked += 1;
            Ok::<_, Infallible>(guilty.is_subset(set))
        };
        let smallest = smallest(&all, &mut bad).unwrap_or_default();
        (smallest, asked)
    }

    #[test]
    fn one_of_many_is_found_in_few_steps() {
        let (smallest, asked) = found(100, &set(&[73]));
        assert_eq!(smallest, set(&[73]));
        assert!(asked <= 20, "{asked}");
        assert_eq!(found(1, &set(&[0])).0, set(&[0]));
    }

    proptest! {
        #[test]
        fn those_that_are_bad_together_are_found(len in 1_u8..40, guilty in proptest::collection::btree_set(0_u8..40, 1..4)) {
            let guilty: BTreeSet<PartId> = guilty.into_iter().map(|part| PartId(part % len)).collect();
            prop_assert_eq!(found(len, &guilty).0, guilty);
        }
    }
}
