//! Which statement of the new list continues which one of the old.

use std::{cell::OnceCell, hash::BuildHasher as _, ops::Range};

use oxc::{ast::AstType, span::Span};
use rustc_hash::FxBuildHasher;
use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::nodes::label;
use crate::syntax::{NodeId, Tree};

/// Beyond this many pairs in one gap, nothing in it is paired.
const PAIRS_MAX: usize = 40_000;

/// A run of one list, and the run of the other one that took its place.
pub(super) struct Gap {
    pub(super) before: Range<usize>,
    pub(super) after: Range<usize>,
    /// Places within the two runs: statements that continue each other, changed.
    pub(super) pairs: Vec<(usize, usize)>,
}

/// The gaps between what is equal.
pub(super) fn gaps(
    (before, b): (&Tree<'_>, &[NodeId]),
    (after, a): (&Tree<'_>, &[NodeId]),
) -> Vec<Gap> {
    let old: Vec<u64> = b.iter().map(|id| before.hash(*id)).collect();
    let new: Vec<u64> = a.iter().map(|id| after.hash(*id)).collect();
    let gap = differences(&old, &new).into_iter().map(|(old, new)| {
        let pairs = pairs((before, &b[old.clone()]), (after, &a[new.clone()]));
        Gap { before: old, after: new, pairs }
    });
    gap.collect()
}

/// Runs of the two lists between what is equal. Of the operations of a diff only how long they are is heeded: where it
/// moved them to join them, it leaves their places as they were.
fn differences(old: &[u64], new: &[u64]) -> Vec<(Range<usize>, Range<usize>)> {
    let mut all: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    let (mut b, mut a, mut open) = (0, 0, false);
    for op in capture_diff_slices(Algorithm::Patience, old, new) {
        let (removed, added) = (op.old_range().len(), op.new_range().len());
        let (next_b, next_a) = (b + removed, a + added);
        let equal = op.tag() == DiffTag::Equal;
        match all.last_mut().filter(|_| open && !equal) {
            Some(last) => (last.0.end, last.1.end) = (next_b, next_a),
            None if equal => {}
            None => all.push((b..next_b, a..next_a)),
        }
        (b, a, open) = (next_b, next_a, !equal);
    }
    all
}

/// The pairs, in order on both sides, whose scores add up to the most.
fn pairs(
    (before, b): (&Tree<'_>, &[NodeId]),
    (after, a): (&Tree<'_>, &[NodeId]),
) -> Vec<(usize, usize)> {
    let (rows, columns) = (b.len(), a.len());
    if rows == 0 || columns == 0 || rows * columns > PAIRS_MAX {
        return Vec::new();
    }
    let alone = rows == 1 && columns == 1;
    let (old, new) = (statements(before, b), statements(after, a));
    let row = |old: &Statement<'_>| new.iter().map(|new| score(old, new, alone)).collect();
    let scores: Vec<Vec<f64>> = old.iter().map(row).collect();
    let mut best = vec![vec![0.0_f64; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            let skip = best[row + 1][column].max(best[row][column + 1]);
            let score = scores[row][column];
            let take = if score > 0.0 { score + best[row + 1][column + 1] } else { 0.0 };
            best[row][column] = skip.max(take);
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut pairs = Vec::new();
    while row < rows && column < columns {
        // The same sums as above, of the same numbers: what was taken is told by what is not skipped.
        let here = best[row][column];
        if here <= best[row + 1][column] {
            row += 1;
        } else if here <= best[row][column + 1] {
            column += 1;
        } else {
            pairs.push((row, column));
            row += 1;
            column += 1;
        }
    }
    pairs
}

/// A statement that may continue another one.
struct Statement<'t> {
    ty: AstType,
    label: String,
    id: NodeId,
    tree: &'t Tree<'t>,
    words: OnceCell<Vec<u64>>,
}

fn statements<'t>(tree: &'t Tree<'_>, ids: &[NodeId]) -> Vec<Statement<'t>> {
    let statement = |id: &NodeId| Statement {
        ty: tree.ty(*id),
        label: label(tree, *id),
        id: *id,
        tree,
        words: OnceCell::new(),
    };
    ids.iter().map(statement).collect()
}

/// 0 for what does not continue each other. `alone`: one statement took the place of one; it continues it unless it is
/// of another kind.
fn score(old: &Statement<'_>, new: &Statement<'_>, alone: bool) -> f64 {
    if old.ty != new.ty {
        return 0.0;
    }
    let plain = matches!(old.ty, AstType::ExpressionStatement | AstType::ReturnStatement);
    if old.label != new.label {
        let similar = if plain { similarity(old, new) } else { 0.0 };
        return if similar > 0.6 { similar } else { 0.0 };
    }
    if alone {
        return 1.0;
    }
    let similar = similarity(old, new);
    if !old.label.is_empty() {
        return 1.0 + similar;
    }
    if similar > 0.5 { similar } else { 0.0 }
}

/// The share of tokens that both have: 0 to 1.
fn similarity(old: &Statement<'_>, new: &Statement<'_>) -> f64 {
    let (old, new) = (old.words(), new.words());
    let (mut both, mut at) = (0_u32, 0);
    for word in old {
        at += new[at..].iter().take_while(|other| *other < word).count();
        if new.get(at) == Some(word) {
            both += 1;
            at += 1;
        }
    }
    let float = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    2.0 * f64::from(both) / float((old.len() + new.len()).max(1))
}

impl Statement<'_> {
    /// The hashes of its tokens, in order.
    fn words(&self) -> &[u64] {
        self.words.get_or_init(|| {
            let tokens = self.tree.tokens(self.tree.span(self.id)).iter();
            let hash = |token: &Span| FxBuildHasher.hash_one(self.tree.text(*token));
            let mut words: Vec<u64> = tokens.map(hash).collect();
            words.sort_unstable();
            words
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `similar` says of this that the first three are removed behind the first of the new ones.
    #[test]
    fn differences_stand_where_they_are() {
        let found = differences(&[31, 1, 2, 0, 15, 1, 2, 0, 12], &[0, 0, 15]);
        assert_eq!(found, [(0..3, 0..0), (4..4, 1..2), (5..9, 3..3)]);
        assert_eq!(differences(&[1, 2], &[3]), [(0..2, 0..1)]);
        assert_eq!(differences(&[1], &[1]), []);
    }
}
