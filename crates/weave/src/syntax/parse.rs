//! From text to a [`Tree`], on a stack that is large enough for what recurses over it.

use belay_model::ModuleKind;
use oxc::{
    allocator::Allocator,
    parser::{ParseOptions, Parser, config::TokensParserConfig},
    semantic::SemanticBuilder,
    span::{SourceType, Span},
};

use super::{
    Dialect, Goal, depth, on_stack,
    reading::Builder,
    tree::{Node, NodeId, Tree},
};

/// Levels that guards, and functions that choose between two, add to what they are put around.
const WOVEN_DEPTH: usize = 64;

/// Parses JavaScript and gives the tree to `work`, on a stack that is large enough for what recurses over it. `None` if
/// the code does not parse, which code that was emitted here does.
pub(crate) fn with_tree<T>(
    code: &str,
    kind: ModuleKind,
    work: impl FnOnce(&Tree<'_>) -> T,
) -> Option<T> {
    let depth = depth::nesting(code, false, false)?;
    let dialect = Dialect { typescript: false, jsx: false };
    on_stack(depth, || {
        let arena = Allocator::default();
        Some(work(&parse(&arena, code, dialect.source_type(Goal::Known(kind)))?))
    })
}

/// As [`with_tree`], for the source of the module at `path` in its own dialect.
pub(crate) fn with_source_tree<T>(
    path: &str,
    code: &str,
    kind: ModuleKind,
    work: impl FnOnce(&Tree<'_>) -> T,
) -> Option<T> {
    let arena = Allocator::default();
    let tree = source_tree(&arena, path, code, kind)?;
    Some(on_stack(tree.depth, || work(&tree)))
}

/// The tree of the source of the module at `path`, to be worked on within [`on_stack_of`].
pub(crate) fn source_tree<'c>(
    arena: &'c Allocator,
    path: &str,
    code: &'c str,
    kind: ModuleKind,
) -> Option<Tree<'c>> {
    let dialect = Dialect::of(path)?;
    let depth = depth::nesting(code, dialect.jsx, dialect.typescript)?;
    let mut tree = on_stack(depth, || parse(arena, code, dialect.source_type(Goal::Known(kind))))?;
    tree.depth = depth;
    Some(tree)
}

/// Does work that recurses over two trees.
pub(crate) fn on_stack_of<T>(one: &Tree<'_>, other: &Tree<'_>, work: impl FnOnce() -> T) -> T {
    on_stack(one.depth.max(other.depth), work)
}

/// As [`with_source_tree`], for what nobody has written. The error is places where it breaks a rule that a parser does not
/// know, such as one name declared twice; none if it does not parse at all.
pub(crate) fn with_made_tree<T>(
    path: &str,
    code: &str,
    kind: ModuleKind,
    work: impl FnOnce(&Tree<'_>) -> T,
) -> Result<T, Vec<u32>> {
    let dialect = Dialect::of(path).ok_or_else(Vec::new)?;
    let depth = depth::nesting(code, dialect.jsx, dialect.typescript).ok_or_else(Vec::new)?;
    on_stack(depth, || {
        let source_type = dialect.source_type(Goal::Known(kind));
        let arena = Allocator::default();
        let parsed = Parser::new(&arena, code, source_type).parse();
        let checked = SemanticBuilder::new().with_check_syntax_error(true).build(&parsed.program);
        if !checked.diagnostics.is_empty() {
            let labels = checked.diagnostics.iter().flat_map(|problem| problem.labels.iter());
            return Err(labels.map(oxc::diagnostics::LabeledSpan::offset).collect());
        }
        Ok(work(&parse(&arena, code, source_type).ok_or_else(Vec::new)?))
    })
}

/// As [`with_source_tree`], for what was woven of two sources: it nests at most as deep as both of them together, and
/// what is put around them.
pub(crate) fn with_woven_tree<T>(
    path: &str,
    code: &str,
    kind: ModuleKind,
    (before, after): (&Tree<'_>, &Tree<'_>),
    work: impl FnOnce(&Tree<'_>) -> T,
) -> Option<T> {
    let dialect = Dialect::of(path)?;
    let depth = before.depth + after.depth + WOVEN_DEPTH;
    on_stack(depth, || {
        let arena = Allocator::default();
        Some(work(&parse(&arena, code, dialect.source_type(Goal::Known(kind)))?))
    })
}

fn parse<'c>(arena: &'c Allocator, code: &'c str, source_type: SourceType) -> Option<Tree<'c>> {
    let options = ParseOptions { preserve_parens: false, ..ParseOptions::default() };
    // Gone when the tree is made: it is several times as large.
    let ast = Allocator::default();
    let parser = Parser::new(&ast, code, source_type).with_options(options);
    let parsed = parser.with_config(TokensParserConfig).parse();
    if !parsed.diagnostics.is_empty() {
        return None;
    }
    let scoping = SemanticBuilder::new().build(&parsed.program).semantic.into_scoping();
    let mut read = Builder::new(&scoping, parsed.tokens.len(), arena).read(&parsed.program);
    let tokens = parsed.tokens.iter().map(|token| token.span()).filter(|span| !span.is_empty());
    let tokens = read.without_types(tokens);
    adopt(&mut read.nodes, arena);
    place_tokens(&mut read.nodes, &tokens);
    Some(Tree::new(code, read.nodes, tokens, read.variables))
}

/// Gives all nodes their children as they come in the text: the visitor has an order of its own for some nodes.
fn adopt<'c>(nodes: &mut [Node<'c>], arena: &'c Allocator) {
    // Where the children of each node begin among all; while they are put there, where the next one goes.
    let mut places = vec![0; nodes.len() + 1];
    for parent in nodes.iter().filter_map(|node| node.parent) {
        places[parent.0 as usize + 1] += 1;
    }
    for at in 1..places.len() {
        places[at] += places[at - 1];
    }
    let mut all = vec![NodeId::ROOT; nodes.len().saturating_sub(1)];
    for (id, node) in (0..).map(NodeId).zip(&*nodes) {
        if let Some(parent) = node.parent {
            let place = &mut places[parent.0 as usize];
            all[*place] = id;
            *place += 1;
        }
    }
    let mut from = 0;
    for to in &places[..nodes.len()] {
        let children = &mut all[from..*to];
        let place = |child: &NodeId| {
            let span = nodes[child.0 as usize].span;
            (span.start, span.end)
        };
        if !children.is_sorted_by_key(place) {
            children.sort_by_key(place);
        }
        from = *to;
    }
    let mut rest: &'c [NodeId] = arena.alloc_slice_copy(&all);
    let mut from = 0;
    for (node, to) in nodes.iter_mut().zip(places) {
        (node.children, rest) = rest.split_at(to - from);
        from = to;
    }
}

/// Tells all nodes their tokens. One pass forth for where they begin and one back for where they end, as a node begins
/// near the one before it, and ends near its last child.
fn place_tokens(nodes: &mut [Node<'_>], tokens: &[Span]) {
    let mut place = 0;
    for node in &mut *nodes {
        place = seek(tokens, place, node.span.start);
        node.tokens.0 = place;
    }
    for index in (0..nodes.len()).rev() {
        let node = &nodes[index];
        let inner =
            node.children.last().map_or(node.tokens.0, |child| nodes[child.0 as usize].tokens.1);
        nodes[index].tokens.1 = seek(tokens, inner, nodes[index].span.end);
    }
}

/// The first of the tokens that does not begin before `start`, which is near the one at `near`.
fn seek(tokens: &[Span], near: u32, start: u32) -> u32 {
    let (before, behind) = tokens.split_at(near as usize);
    let place = if before.last().is_some_and(|token| token.start >= start) {
        before.partition_point(|token| token.start < start)
    } else {
        before.len() + behind.iter().take_while(|token| token.start < start).count()
    };
    u32::try_from(place).unwrap_or(u32::MAX)
}
