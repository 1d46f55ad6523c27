//! Text that was put together of two sources, and its nodes.
//!
//! A piece that is put in the place of another one may join what is beside it: `b + 1` in `a * …`, a line that begins with
//! a parenthesis behind one without a semicolon. So each node of the pieces must be there, at its place and of its kind,
//! and no others. Parentheses and semicolons, which are in no node, are not counted.

use oxc::{ast::AstType, span::Span};

use super::{
    hunk::Side,
    render::{Origin, Rendered},
};
use crate::syntax::{NodeId, Tree};

/// Where it begins, where it ends, what it is.
type Shape = (u32, u32, u8);

/// A place in one of the sources whose node is not there as it should.
pub(super) fn differs(
    made: &Rendered,
    tree: &Tree<'_>,
    [old, new]: [&Tree<'_>; 2],
) -> Option<(Side, u32)> {
    let shapes = |tree: &Tree<'_>, place: &dyn Fn(Span, AstType) -> Option<Span>| -> Vec<Shape> {
        let nodes = tree.subtree(NodeId::ROOT).skip(1);
        let nodes = nodes.filter(|id| tree.ty(*id) != AstType::EmptyStatement);
        let shapes = nodes.filter_map(|id| {
            let (start, end) = trimmed(&made.text, place(tree.span(id), tree.ty(id))?)?;
            Some((start, end, tree.ty(id) as u8))
        });
        shapes.collect()
    };
    let mut there = shapes(tree, &|span, _| Some(span));
    let mut wanted = shapes(new, &|span, ty| of_new(made, span, ty));
    wanted.extend(shapes(old, &|span, _| of_old(made, span)));
    there.sort_unstable();
    wanted.sort_unstable();
    let odd = there.iter().zip(&wanted).find(|(there, wanted)| there != wanted);
    let odd = odd.map(|(_, wanted)| wanted.0);
    let longer = if there.len() > wanted.len() { &there } else { &wanted };
    let odd = odd.or_else(|| longer.get(there.len().min(wanted.len())).map(|shape| shape.0));
    odd.map(|at| made.origin(at).unwrap_or((Side::After, 0)))
}

/// Where a node of the new source is in the text, unless something was put in its place.
fn of_new(made: &Rendered, span: Span, ty: AstType) -> Option<Span> {
    let own = |origin: &&Origin| origin.side == Side::After;
    let pieces: Vec<&Origin> = made.origins.iter().filter(own).collect();
    let first = pieces.partition_point(|piece| piece.span.end <= span.start);
    let last = pieces.partition_point(|piece| piece.span.start < span.end).checked_sub(1);
    // Nothing of it is left between two pieces.
    let last = last.filter(|last| first <= *last)?;
    let (first, last) = (pieces[first], pieces[last]);
    let end_of = |piece: &Origin| piece.at + piece.span.size();
    let before = |at: u32| {
        let before = pieces.partition_point(|piece| piece.at < at).checked_sub(1);
        before.map_or(0, |before| end_of(pieces[before]))
    };
    let behind = |at: u32| {
        let behind = pieces.get(pieces.partition_point(|piece| piece.at <= at));
        behind.map_or(u32::try_from(made.text.len()).unwrap_or(u32::MAX), |piece| piece.at)
    };
    let start = match span.start.checked_sub(first.span.start) {
        Some(offset) => first.at + offset,
        None => before(first.at),
    };
    let end = match last.span.end.checked_sub(span.end) {
        // Nothing closes a case: what is put behind its last statement is in it.
        Some(0) if ty == AstType::SwitchCase => behind(last.at),
        Some(rest) => end_of(last) - rest,
        None => behind(last.at),
    };
    Some(Span::new(start, end))
}

/// Where a node of the old source is in the text, if it was put there as a whole.
fn of_old(made: &Rendered, span: Span) -> Option<Span> {
    let piece = made.origins.iter().find(|piece| {
        piece.side == Side::Before && piece.span.start <= span.start && span.end <= piece.span.end
    })?;
    let start = piece.at + (span.start - piece.span.start);
    Some(Span::new(start, start + span.size()))
}

/// Without what is in no node.
fn trimmed(text: &str, span: Span) -> Option<(u32, u32)> {
    let code = text.get(span.start as usize..span.end as usize)?;
    let idle = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ';' | ',');
    let tail = code.trim_start_matches(idle);
    let start = u32::try_from(code.len() - tail.len()).ok()?;
    let len = u32::try_from(tail.trim_end_matches(idle).len()).ok()?;
    (len > 0).then(|| (span.start + start, span.start + start + len))
}
