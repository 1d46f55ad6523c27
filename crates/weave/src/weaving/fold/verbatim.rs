//! What a woven text has as a source has it: it need not be read word by word.
//!
//! Nearly all of a woven text is one of its sources, unchanged. Of a node that both texts have so, one word tells all but
//! what its names mean.

use oxc::ast::AstType;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    super::{hunk::Side, render::Rendered},
    Lone, Reader, Word, is_name,
};
use crate::syntax::{NodeId, Tree};

/// Nodes of fewer tokens are read sooner than they are looked up.
const TOKENS_MIN: u32 = 8;

/// Nodes of the two sources that are in a woven text as they are.
pub(crate) struct Verbatim<'t> {
    trees: [&'t Tree<'t>; 2],
    /// By where they begin in their source.
    nodes: FxHashMap<(Side, u32), NodeId>,
    hashes: FxHashSet<u64>,
}

impl<'t> Verbatim<'t> {
    /// The outermost such nodes, but for those that have something of `lone` in them.
    pub(crate) fn new(rendered: &Rendered, trees: [&'t Tree<'t>; 2], lone: &Lone) -> Self {
        let mut own = Self { trees, nodes: FxHashMap::default(), hashes: FxHashSet::default() };
        for (side, tree) in Side::BOTH.into_iter().zip(trees) {
            let pieces = rendered.origins.iter().filter(|piece| piece.side == side);
            let mut pieces: Vec<(u32, u32)> =
                pieces.map(|piece| (piece.span.start, piece.span.end)).collect();
            pieces.sort_unstable();
            let lone = lone.iter().filter(|(of, ..)| *of == side).map(|(_, start, _)| *start);
            let mut lone: Vec<u32> = lone.collect();
            lone.sort_unstable();
            own.find(side, tree, &pieces, &lone);
        }
        own
    }

    fn find(&mut self, side: Side, tree: &Tree<'_>, pieces: &[(u32, u32)], lone: &[u32]) {
        let mut skipped = NodeId::ROOT;
        for id in tree.subtree(NodeId::ROOT) {
            if id < skipped || !is_unit(tree, id) {
                continue;
            }
            let (start, end) = (tree.span(id).start, tree.span(id).end);
            let piece = pieces.partition_point(|piece| piece.0 <= start).checked_sub(1);
            let whole = piece.is_some_and(|piece| end <= pieces[piece].1);
            let first = lone.partition_point(|at| *at < start);
            if whole && lone.get(first).is_none_or(|at| *at >= end) {
                self.nodes.insert((side, start), id);
                self.hashes.insert(tree.hash(id));
                skipped = tree.node(id).end;
            }
        }
    }
}

/// Whether a node is read in the same way wherever it stands.
fn is_unit(tree: &Tree<'_>, id: NodeId) -> bool {
    tree.tokens_len(id) >= TOKENS_MIN
        && !matches!(
            tree.ty(id),
            AstType::Program
                | AstType::ImportDeclaration
                | AstType::ExportAllDeclaration
                | AstType::ExportDeclaration
                | AstType::ExportDefaultDeclaration
                | AstType::ExportFromDeclaration
                | AstType::ExportNamedDeclaration
                | AstType::VariableDeclaration
                | AstType::VariableDeclarator
                | AstType::Function
                | AstType::Class
                | AstType::BlockStatement
                | AstType::ExpressionStatement
                | AstType::AssignmentExpression
        )
}

impl<'t> Reader<'t> {
    /// A node that a source has as well, and the names in it.
    pub(super) fn verbatim(&mut self, id: NodeId) -> bool {
        let Some(hash) = self.verbatim_hash(id) else { return false };
        self.words.push(Word::Verbatim(hash));
        let tree = self.tree;
        for name in tree.subtree(id).filter(|id| is_name(tree.ty(*id))) {
            self.identifier(name);
        }
        true
    }

    fn verbatim_hash(&self, id: NodeId) -> Option<u64> {
        let verbatim = self.verbatim?;
        let node = self.tree.node(id);
        if !is_unit(self.tree, id) {
            return None;
        }
        let Some(fold) = &self.fold else {
            let hash = self.tree.hash(id);
            return verbatim.hashes.contains(&hash).then_some(hash);
        };
        let (side, start) = fold.rendered.origin(node.span.start)?;
        let original = *verbatim.nodes.get(&(side, start))?;
        let tree = verbatim.trees[usize::from(side == Side::After)];
        let same = tree.ty(original) == node.ty
            && tree.code(original) == self.tree.code(id)
            && tree.subtree(original).count() == self.tree.subtree(id).count();
        same.then(|| tree.hash(original))
    }
}

#[cfg(test)]
mod tests {
    use belay_model::ModuleKind;
    use oxc::span::Span;

    use super::*;
    use crate::{syntax::with_source_tree, weaving::fold::verify};

    const SOURCE: &str = "let x = 1; { use(x, x, x, x, x); }";

    /// Whether the source with `inserted` before the call says what the source says, and whether the call is verbatim.
    fn folded(inserted: &str) -> (bool, bool) {
        let call = u32::try_from(SOURCE.find("use").unwrap()).unwrap();
        let end = u32::try_from(SOURCE.len()).unwrap();
        let mut woven = Rendered::default();
        woven.push(Side::After, Span::new(0, call), SOURCE);
        woven.text.push_str(inserted);
        woven.push(Side::After, Span::new(call, end), SOURCE);
        let found = with_source_tree("a.mjs", SOURCE, ModuleKind::Esm, |source| {
            with_source_tree("a.mjs", &woven.text, ModuleKind::Esm, |tree| {
                let lone = Lone::new();
                let verbatim = Verbatim::new(&woven, [source, source], &lone);
                let found = !verbatim.nodes.is_empty() && !verbatim.hashes.is_empty();
                let said = verify((tree, &woven), source, Side::After, (&lone, &[]), &verbatim);
                (said.is_ok(), found)
            })
        });
        found.flatten().unwrap()
    }

    #[test]
    fn verbatim_code_with_other_variables_is_found() {
        assert_eq!(folded(""), (true, true));
        assert_eq!(folded("let y; "), (true, true));
        assert_eq!(folded("let x; "), (false, true));
        assert_eq!(folded("stop(); "), (false, true));
    }
}
