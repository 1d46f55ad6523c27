//! Which statement of the new list continues which one of the old.

use std::{collections::HashMap, ops::Range};

use oxc::ast::AstType;
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
    let mut scorer = Scorer::new(before, after, rows == 1 && columns == 1);
    let scores: Vec<Vec<f64>> =
        b.iter().map(|b| a.iter().map(|a| scorer.score(*b, *a)).collect()).collect();
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

struct Scorer<'t> {
    before: &'t Tree<'t>,
    after: &'t Tree<'t>,
    /// One statement took the place of one: it continues it unless it is of another kind.
    alone: bool,
    labels: HashMap<(bool, NodeId), String>,
    words: HashMap<(bool, NodeId), HashMap<&'t str, u32>>,
}

impl<'t> Scorer<'t> {
    fn new(before: &'t Tree<'t>, after: &'t Tree<'t>, alone: bool) -> Self {
        Self { before, after, alone, labels: HashMap::new(), words: HashMap::new() }
    }

    /// 0 for what does not continue each other.
    fn score(&mut self, b: NodeId, a: NodeId) -> f64 {
        let ty = self.before.ty(b);
        if ty != self.after.ty(a) {
            return 0.0;
        }
        let (before, after) = (self.before, self.after);
        let old = self.labels.entry((false, b)).or_insert_with(|| label(before, b)).clone();
        let new = self.labels.entry((true, a)).or_insert_with(|| label(after, a)).clone();
        let similar = self.similarity(b, a);
        if old.is_empty() && new.is_empty() {
            let enough = similar > 0.5 || self.alone;
            return if enough { similar.max(0.01) } else { 0.0 };
        }
        if old == new {
            return 1.0 + similar;
        }
        let plain = matches!(ty, AstType::ExpressionStatement | AstType::ReturnStatement);
        if plain && similar > 0.6 { similar } else { 0.0 }
    }

    /// The share of tokens that both have: 0 to 1.
    fn similarity(&mut self, b: NodeId, a: NodeId) -> f64 {
        let (before, after) = (self.before, self.after);
        self.words.entry((false, b)).or_insert_with(|| words(before, b));
        self.words.entry((true, a)).or_insert_with(|| words(after, a));
        let (old, new) = (&self.words[&(false, b)], &self.words[&(true, a)]);
        let total: u32 = old.values().sum::<u32>() + new.values().sum::<u32>();
        let both: u32 = old.iter().map(|(word, n)| *n.min(new.get(word).unwrap_or(&0))).sum();
        2.0 * f64::from(both) / f64::from(total.max(1))
    }
}

fn words<'t>(tree: &Tree<'t>, id: NodeId) -> HashMap<&'t str, u32> {
    let mut words = HashMap::new();
    for token in tree.tokens(tree.span(id)) {
        *words.entry(tree.text(*token)).or_default() += 1;
    }
    words
}
