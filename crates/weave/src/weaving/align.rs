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
    let ops = capture_diff_slices(Algorithm::Patience, &old, &new);
    let changed = ops.iter().filter(|op| op.tag() != DiffTag::Equal);
    let gap = changed.map(|op| {
        let (old, new) = (op.old_range(), op.new_range());
        let pairs = pairs((before, &b[old.clone()]), (after, &a[new.clone()]));
        Gap { before: old, after: new, pairs }
    });
    gap.collect()
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
