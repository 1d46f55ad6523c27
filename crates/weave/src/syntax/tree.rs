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

use oxc::{ast::AstType, span::Span};
use rustc_hash::FxHasher;

use super::pieces::{Piece, Pieces};

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
    pub(super) depth: usize,
    nodes: Vec<Node<'c>>,
    /// By their start.
    pub(super) tokens: Vec<Span>,
    variables: Vec<Variable>,
    /// Of each node: what it says.
    hashes: OnceCell<Vec<u64>>,
    /// The identifiers that declare variables, and which ones.
    declarations: OnceCell<Vec<(NodeId, VariableId)>>,
    /// Variables of the top level by their names.
    tops: OnceCell<HashMap<Box<str>, VariableId>>,
}

impl NodeId {
    pub(crate) const ROOT: Self = Self(0);

    pub(super) fn of(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

impl<'c> Tree<'c> {
    pub(super) fn new(
        code: &'c str,
        nodes: Vec<Node<'c>>,
        tokens: Vec<Span>,
        variables: Vec<Variable>,
    ) -> Self {
        let (hashes, declarations, tops) = Default::default();
        Self { code, depth: 0, nodes, tokens, variables, hashes, declarations, tops }
    }

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
    pub(super) fn sign(&self, token: Span) -> u8 {
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
        Pieces::of(self, self.node(id))
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
