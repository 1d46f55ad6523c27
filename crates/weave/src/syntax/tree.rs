//! A source as a tree that owns itself: nodes by index, each with its type, span, children and the tokens between
//! them, and the variables with their references.
//!
//! The AST of the parser has a type for each kind of node, which is right for reading meaning and wrong for comparing
//! two programs: what is woven, hashed or aligned treats all nodes alike. Comments, white space and types of TypeScript
//! are in neither the nodes nor the tokens.

use std::{
    cell::OnceCell,
    collections::{BTreeSet, HashMap},
    hash::{Hash as _, Hasher as _},
};

use belay_model::ModuleKind;
use oxc::{
    allocator::Allocator,
    ast::AstType,
    parser::{ParseOptions, Parser, config::TokensParserConfig},
    semantic::SemanticBuilder,
    span::{SourceType, Span},
};
use rustc_hash::FxHasher;

use super::{Dialect, Goal, depth, on_stack, reading::Builder};

/// A node of a [`Tree`]; the root is the first. Nodes are numbered in preorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(super) u32);

/// A variable of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct VariableId(pub(super) u32);

#[derive(Debug)]
pub(crate) struct Node<'c> {
    pub(crate) ty: AstType,
    /// Bytes of the code.
    pub(crate) span: Span,
    /// The tokens that begin within it, by their places among all.
    pub(super) tokens: (u32, u32),
    pub(crate) parent: Option<NodeId>,
    /// By their start.
    pub(crate) children: &'c [NodeId],
    /// The first node after this one and all in it.
    pub(crate) end: NodeId,
    /// What a string literal means, however it is quoted.
    pub(crate) text: Option<&'c str>,
    /// Of an identifier that declares or means a variable of this source.
    pub(crate) variable: Option<VariableId>,
    pub(crate) marks: Marks,
}

/// What a node is beyond its type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks(pub(super) u32);

impl Marks {
    pub(crate) const ASYNC: Self = Self(1);
    pub(crate) const GENERATOR: Self = Self(1 << 1);
    /// A function or class that is a statement.
    pub(crate) const DECLARATION: Self = Self(1 << 2);
    pub(crate) const STATIC: Self = Self(1 << 3);
    pub(crate) const COMPUTED: Self = Self(1 << 4);
    /// A getter or setter.
    pub(crate) const ACCESSOR: Self = Self(1 << 5);
    pub(crate) const CONSTRUCTOR: Self = Self(1 << 6);
    pub(crate) const SHORTHAND: Self = Self(1 << 7);
    /// A property that is written as a method.
    pub(crate) const METHOD: Self = Self(1 << 8);
    pub(crate) const VAR: Self = Self(1 << 9);
    pub(crate) const CONST: Self = Self(1 << 10);
    /// `using` and `await using`.
    pub(crate) const USING: Self = Self(1 << 11);
    /// An identifier that is assigned to.
    pub(crate) const WRITTEN: Self = Self(1 << 12);
    /// An identifier that is read.
    pub(crate) const READ: Self = Self(1 << 13);
    /// A class with a superclass.
    pub(crate) const DERIVED: Self = Self(1 << 14);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of the marks that are there.
    pub(crate) const fn only(self, marks: Self) -> Self {
        Self(self.0 & marks.0)
    }

    pub(super) fn with(self, other: Self, yes: bool) -> Self {
        if yes { Self(self.0 | other.0) } else { self }
    }
}

#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: Box<str>,
    /// The node that is its scope: the program, a function, a block, …
    pub(crate) scope: NodeId,
    /// Identifiers that declare it; several for a repeated `var`.
    pub(crate) declarations: Vec<NodeId>,
    /// Identifiers that read or write it, elsewhere than where it is declared.
    pub(crate) references: Vec<NodeId>,
    /// `let`, `const`, `using`, class: it cannot be used before its declaration.
    pub(crate) lexical: bool,
    pub(crate) function: bool,
}

/// A program, and the code that it was parsed from.
#[derive(Debug)]
pub(crate) struct Tree<'c> {
    pub(crate) code: &'c str,
    /// How deep it nests, where that was counted.
    depth: usize,
    nodes: Vec<Node<'c>>,
    /// By their start.
    tokens: Vec<Span>,
    variables: Vec<Variable>,
    /// Of each node: what it says.
    hashes: OnceCell<Vec<u64>>,
    /// The identifiers that declare variables, and which ones.
    declarations: OnceCell<Vec<(NodeId, VariableId)>>,
    /// Variables of the top level by their names.
    tops: OnceCell<HashMap<Box<str>, VariableId>>,
}

/// Levels that guards, and functions that choose between two, add to what they are put around.
const WOVEN_DEPTH: usize = 64;

/// A piece of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Piece {
    Token(Span),
    Child(NodeId),
}

impl NodeId {
    pub(crate) const ROOT: Self = Self(0);

    pub(super) fn of(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

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
    let tree = on_stack(depth, || parse(arena, code, dialect.source_type(Goal::Known(kind))))?;
    Some(Tree { depth, ..tree })
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
    let (hashes, declarations, tops) = Default::default();
    Some(Tree {
        code,
        depth: 0,
        nodes: read.nodes,
        tokens,
        variables: read.variables,
        hashes,
        declarations,
        tops,
    })
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

impl<'c> Tree<'c> {
    /// Nearly always more than all tokens, and where nodes begin and end.
    pub(crate) fn words_max(&self) -> usize {
        self.tokens.len() + self.nodes.len()
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node<'c> {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn ty(&self, id: NodeId) -> AstType {
        self.node(id).ty
    }

    pub(crate) fn span(&self, id: NodeId) -> Span {
        self.node(id).span
    }

    pub(crate) fn text(&self, span: Span) -> &'c str {
        self.code.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The only byte of a token; 0 for a longer one.
    fn sign(&self, token: Span) -> u8 {
        let byte = self.code.as_bytes().get(token.start as usize).filter(|_| token.size() == 1);
        byte.copied().unwrap_or(0)
    }

    /// The text of a node.
    pub(crate) fn code(&self, id: NodeId) -> &'c str {
        self.text(self.span(id))
    }

    /// What a node says, as a number that is equal for nodes that say the same. Two that differ have the same number
    /// only by accident.
    pub(crate) fn hash(&self, id: NodeId) -> u64 {
        let hashes = self.hashes.get_or_init(|| {
            let mut hashes = vec![0; self.nodes.len()];
            for index in (0..self.nodes.len()).rev() {
                hashes[index] = self.hash_of(NodeId::of(index), |child| hashes[child.0 as usize]);
            }
            hashes
        });
        hashes[id.0 as usize]
    }

    /// As [`Tree::hash`], without what its children say.
    pub(crate) fn own_hash(&self, id: NodeId) -> u64 {
        self.hash_of(id, |_| 0)
    }

    /// A node and all in it, in preorder.
    pub(crate) fn subtree(&self, id: NodeId) -> impl Iterator<Item = NodeId> + use<> {
        (id.0..self.node(id).end.0).map(NodeId)
    }

    pub(crate) fn contains(&self, outer: NodeId, inner: NodeId) -> bool {
        outer <= inner && inner < self.node(outer).end
    }

    /// The parent, its parent, and so on.
    pub(crate) fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(self.node(id).parent, |id| self.node(*id).parent)
    }

    pub(crate) fn variable(&self, id: VariableId) -> &Variable {
        &self.variables[id.0 as usize]
    }

    /// The variable of the top level by this name.
    pub(crate) fn top_variable(&self, name: &str) -> Option<VariableId> {
        let tops = self.tops.get_or_init(|| {
            let tops = self.variables().filter(|(_, variable)| variable.scope == NodeId::ROOT);
            tops.map(|(id, variable)| (variable.name.clone(), id)).collect()
        });
        tops.get(name).copied()
    }

    /// The variables that a node declares, itself or by what is in it.
    pub(crate) fn declared_in(&self, id: NodeId) -> BTreeSet<VariableId> {
        let declarations = self.declarations.get_or_init(|| {
            let of = |(id, variable): (VariableId, &Variable)| {
                variable.declarations.iter().map(|at| (*at, id)).collect::<Vec<_>>()
            };
            let mut all: Vec<_> = self.variables().flat_map(of).collect();
            all.sort_unstable();
            all
        });
        let end = self.node(id).end;
        let first = declarations.partition_point(|(at, _)| *at < id);
        let own = declarations[first..].iter().take_while(|(at, _)| *at < end);
        own.map(|(_, variable)| *variable).collect()
    }

    /// The nodes that touch a span, in preorder.
    pub(crate) fn touching(&self, span: Span) -> impl Iterator<Item = NodeId> {
        let mut next = NodeId::ROOT;
        std::iter::from_fn(move || {
            while (next.0 as usize) < self.nodes.len() {
                let (id, node) = (next, self.node(next));
                if node.span.end < span.start || node.span.start > span.end {
                    next = node.end;
                    continue;
                }
                next = NodeId(id.0 + 1);
                return Some(id);
            }
            None
        })
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (VariableId, &Variable)> {
        (0..).map(VariableId).zip(&self.variables)
    }

    fn own_tokens(&self, node: &Node<'_>) -> &[Span] {
        &self.tokens[node.tokens.0 as usize..node.tokens.1 as usize]
    }

    /// How many tokens begin within a node.
    pub(crate) fn tokens_len(&self, id: NodeId) -> u32 {
        let (first, end) = self.node(id).tokens;
        end - first
    }

    /// The tokens that begin within `span`.
    pub(crate) fn tokens(&self, span: Span) -> &[Span] {
        let first = self.tokens.partition_point(|token| token.start < span.start);
        let rest = self.tokens.get(first..).unwrap_or_default();
        // Most spans are short: looking on is faster than searching again.
        let near = rest.iter().take(8).take_while(|token| token.start < span.end).count();
        if near < 8 {
            return &rest[..near];
        }
        &rest[..rest.partition_point(|token| token.start < span.end)]
    }

    /// The own tokens of a node and its children, as they come, without what a formatter adds and removes:
    /// parentheses, semicolons (except those of `for (;;)`), trailing commas, empty statements.
    pub(crate) fn pieces(&self, id: NodeId) -> Pieces<'_> {
        let node = self.node(id);
        let (at, end) = node.tokens;
        Pieces { tree: self, node, at, stop: at, end, children: node.children, child: None }
    }

    fn hash_of(&self, id: NodeId, inner: impl Fn(NodeId) -> u64) -> u64 {
        let node = self.node(id);
        let mut hasher = FxHasher::default();
        node.ty.hash(&mut hasher);
        if let Some(text) = node.text {
            text.hash(&mut hasher);
            return hasher.finish();
        }
        // A name or a number: most nodes are.
        if let ([], [token]) = (node.children, self.own_tokens(node))
            && !matches!(self.sign(*token), b'(' | b')' | b';' | b',')
        {
            self.text(*token).hash(&mut hasher);
            return hasher.finish();
        }
        for piece in self.pieces(id) {
            match piece {
                Piece::Token(token) => self.text(token).hash(&mut hasher),
                Piece::Child(child) => inner(child).hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}

/// See [`Tree::pieces`].
pub(crate) struct Pieces<'t> {
    tree: &'t Tree<'t>,
    node: &'t Node<'t>,
    /// The next token, the one before which a child stands, and the end of all.
    at: u32,
    stop: u32,
    end: u32,
    /// The child that comes next, and those behind it.
    child: Option<NodeId>,
    children: &'t [NodeId],
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            while self.at < self.stop {
                self.at += 1;
                let token = self.tree.tokens[self.at as usize - 1];
                if !self.is_idle(token) {
                    return Some(Piece::Token(token));
                }
            }
            if let Some(child) = self.child.take() {
                self.at = self.at.max(self.tree.node(child).tokens.1);
                let empty = self.tree.ty(child) == AstType::EmptyStatement;
                if !(empty && is_list(self.node.ty)) {
                    return Some(Piece::Child(child));
                }
            }
            if let Some((child, rest)) = self.children.split_first() {
                self.stop = self.tree.node(*child).tokens.0;
                (self.child, self.children) = (Some(*child), rest);
            } else if self.at < self.end {
                self.stop = self.end;
            } else {
                return None;
            }
        }
    }
}

impl Pieces<'_> {
    /// Whether the token that was taken is one that a formatter adds and removes.
    fn is_idle(&self, token: Span) -> bool {
        match self.tree.sign(token) {
            b'(' | b')' => true,
            b';' => self.node.ty != AstType::ForStatement,
            // A comma before what closes something is a trailing one.
            b',' => {
                let behind = self.tree.tokens.get(self.at as usize..self.node.tokens.1 as usize);
                let next = behind.and_then(|tokens| tokens.first());
                next.is_some_and(|next| matches!(self.tree.sign(*next), b')' | b']' | b'}'))
            }
            _ => false,
        }
    }
}

/// Nodes whose children are statements.
pub(crate) fn is_list(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::Program
            | AstType::FunctionBody
            | AstType::BlockStatement
            | AstType::StaticBlock
            | AstType::SwitchCase
    )
}
