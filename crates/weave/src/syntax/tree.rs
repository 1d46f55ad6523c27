//! A source as a tree that owns itself: nodes by index, each with its type, span, children and the tokens between
//! them, and the variables with their references.
//!
//! The AST of the parser has a type for each kind of node, which is right for reading meaning and wrong for comparing
//! two programs: what is woven, hashed or aligned treats all nodes alike. Comments, white space and types of TypeScript
//! are in neither the nodes nor the tokens.

use std::{
    cell::OnceCell,
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use belay_model::ModuleKind;
use oxc::{
    allocator::Allocator,
    ast::AstType,
    parser::{ParseOptions, Parser, config::TokensParserConfig},
    semantic::SemanticBuilder,
    span::{SourceType, Span},
};

use super::{Dialect, Goal, depth, on_stack, reading::Builder};

/// A node of a [`Tree`]; the root is the first. Nodes are numbered in preorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(super) u32);

/// A variable of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct VariableId(pub(super) u32);

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) ty: AstType,
    /// Bytes of the code.
    pub(crate) span: Span,
    pub(crate) parent: Option<NodeId>,
    /// By their start.
    pub(crate) children: Vec<NodeId>,
    /// The first node after this one and all in it.
    pub(crate) end: NodeId,
    /// What a string literal means, however it is quoted.
    pub(crate) text: Option<Box<str>>,
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
    pub(super) nodes: Vec<Node>,
    /// By their start.
    pub(super) tokens: Vec<Span>,
    pub(super) variables: Vec<Variable>,
    /// Of each node: what it says, and what it says beside its children.
    hashes: OnceCell<Vec<(u64, u64)>>,
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
    on_stack(depth, || Some(work(&parse(code, dialect.source_type(Goal::Known(kind)))?)))
}

/// As [`with_tree`], for the source of the module at `path` in its own dialect.
pub(crate) fn with_source_tree<T>(
    path: &str,
    code: &str,
    kind: ModuleKind,
    work: impl FnOnce(&Tree<'_>) -> T,
) -> Option<T> {
    let dialect = Dialect::of(path)?;
    let depth = depth::nesting(code, dialect.jsx, dialect.typescript)?;
    on_stack(depth, || {
        let tree = parse(code, dialect.source_type(Goal::Known(kind)))?;
        Some(work(&Tree { depth, ..tree }))
    })
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
        let allocator = Allocator::default();
        let parsed = Parser::new(&allocator, code, source_type).parse();
        let checked = SemanticBuilder::new().with_check_syntax_error(true).build(&parsed.program);
        if !checked.diagnostics.is_empty() {
            let labels = checked.diagnostics.iter().flat_map(|problem| problem.labels.iter());
            return Err(labels.map(oxc::diagnostics::LabeledSpan::offset).collect());
        }
        Ok(work(&parse(code, source_type).ok_or_else(Vec::new)?))
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
    on_stack(depth, || Some(work(&parse(code, dialect.source_type(Goal::Known(kind)))?)))
}

fn parse(code: &str, source_type: SourceType) -> Option<Tree<'_>> {
    let allocator = Allocator::default();
    let options = ParseOptions { preserve_parens: false, ..ParseOptions::default() };
    let parser = Parser::new(&allocator, code, source_type).with_options(options);
    let parsed = parser.with_config(TokensParserConfig).parse();
    if !parsed.diagnostics.is_empty() {
        return None;
    }
    let scoping = SemanticBuilder::new().build(&parsed.program).semantic.into_scoping();
    let read = Builder::new(&scoping).read(&parsed.program);
    let tokens = parsed.tokens.iter().map(|token| token.span()).filter(|span| !span.is_empty());
    let tokens = read.without_types(tokens);
    let (hashes, tops) = (OnceCell::new(), OnceCell::new());
    let mut tree =
        Tree { code, depth: 0, nodes: read.nodes, tokens, variables: read.variables, hashes, tops };
    tree.order();
    Some(tree)
}

impl<'c> Tree<'c> {
    /// Children as they come in the text: the visitor has an order of its own for some nodes.
    fn order(&mut self) {
        let starts: Vec<(u32, u32)> =
            self.nodes.iter().map(|node| (node.span.start, node.span.end)).collect();
        for node in &mut self.nodes {
            node.children.sort_by_key(|child| starts[child.0 as usize]);
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
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

    /// The text of a node.
    pub(crate) fn code(&self, id: NodeId) -> &'c str {
        self.text(self.span(id))
    }

    /// What a node says, as a number that is equal for nodes that say the same. Two that differ have the same number
    /// only by accident.
    pub(crate) fn hash(&self, id: NodeId) -> u64 {
        self.hashes()[id.0 as usize].0
    }

    /// As [`Tree::hash`], without what its children say.
    pub(crate) fn own_hash(&self, id: NodeId) -> u64 {
        self.hashes()[id.0 as usize].1
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
    pub(crate) fn pieces(&self, id: NodeId) -> Vec<Piece> {
        let node = self.node(id);
        let mut at = node.span.start;
        let mut pieces = Vec::new();
        for &child in &node.children {
            let span = self.span(child);
            self.own_tokens(id, Span::new(at, span.start.max(at)), &mut pieces);
            if !(is_list(node.ty) && self.ty(child) == AstType::EmptyStatement) {
                pieces.push(Piece::Child(child));
            }
            at = span.end.max(at);
        }
        self.own_tokens(id, Span::new(at, node.span.end.max(at)), &mut pieces);
        pieces
    }

    fn own_tokens(&self, id: NodeId, span: Span, pieces: &mut Vec<Piece>) {
        if span.is_empty() {
            return;
        }
        let loop_head = self.ty(id) == AstType::ForStatement;
        let end = self.span(id).end;
        for token in self.tokens(span) {
            let idle = match self.text(*token) {
                "(" | ")" => true,
                ";" => !loop_head,
                "," => self.closes(Span::new(token.end, end)),
                _ => false,
            };
            if !idle {
                pieces.push(Piece::Token(*token));
            }
        }
    }

    /// Whether the next token closes something: a comma before it is a trailing one.
    fn closes(&self, rest: Span) -> bool {
        let next = self.tokens(rest).first();
        next.is_some_and(|next| matches!(self.text(*next), ")" | "]" | "}"))
    }

    fn hashes(&self) -> &[(u64, u64)] {
        self.hashes.get_or_init(|| {
            let mut hashes = vec![(0, 0); self.nodes.len()];
            for index in (0..self.nodes.len()).rev() {
                hashes[index] = self.hash_of(NodeId::of(index), &hashes);
            }
            hashes
        })
    }

    /// Needs the hashes of what is in it.
    fn hash_of(&self, id: NodeId, inner: &[(u64, u64)]) -> (u64, u64) {
        let node = self.node(id);
        let (mut whole, mut own) = (DefaultHasher::new(), DefaultHasher::new());
        node.ty.hash(&mut whole);
        node.ty.hash(&mut own);
        if let Some(text) = &node.text {
            text.hash(&mut whole);
            text.hash(&mut own);
            return (whole.finish(), own.finish());
        }
        for piece in self.pieces(id) {
            match piece {
                Piece::Token(token) => {
                    self.text(token).hash(&mut whole);
                    self.text(token).hash(&mut own);
                }
                Piece::Child(child) => {
                    inner[child.0 as usize].0.hash(&mut whole);
                    0xff_u8.hash(&mut own);
                }
            }
        }
        (whole.finish(), own.finish())
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
