//! JavaScript as a tree that owns itself: nodes by index, each with its type, span, children and the tokens between
//! them.
//!
//! The AST of the parser has a type for each kind of node, which is right for reading meaning and wrong for comparing
//! two programs: what is woven, hashed or aligned treats all nodes alike. Comments and white space are in neither the
//! nodes nor the tokens. Types of TypeScript have been stripped before.

use belay_model::ModuleKind;
use oxc::{
    allocator::Allocator,
    ast::{AstKind, AstType},
    ast_visit::Visit,
    parser::{ParseOptions, Parser, config::TokensParserConfig},
    span::{GetSpan, SourceType, Span},
};

use super::{depth, on_stack};

/// A node of a [`Tree`]; the root is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) ty: AstType,
    /// Bytes of the code.
    pub(crate) span: Span,
    pub(crate) parent: Option<NodeId>,
    /// By their start.
    pub(crate) children: Vec<NodeId>,
    /// What a string literal means, however it is quoted.
    pub(crate) text: Option<Box<str>>,
}

/// A program, and the code that it was parsed from.
#[derive(Debug)]
pub(crate) struct Tree<'c> {
    pub(crate) code: &'c str,
    nodes: Vec<Node>,
    /// By their start.
    tokens: Vec<Span>,
}

impl NodeId {
    pub(crate) const ROOT: Self = Self(0);

    fn of(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// Parses `code` and gives the tree to `work`, on a stack that is large enough for what recurses over it. `None` if the
/// code does not parse, which code that was emitted here does.
pub(crate) fn with_tree<T>(
    code: &str,
    kind: ModuleKind,
    work: impl FnOnce(&Tree<'_>) -> T,
) -> Option<T> {
    let depth = depth::nesting(code, false, false)?;
    on_stack(depth, || Some(work(&parse(code, kind)?)))
}

fn parse(code: &str, kind: ModuleKind) -> Option<Tree<'_>> {
    let source_type = match kind {
        ModuleKind::Esm => SourceType::mjs(),
        ModuleKind::CommonJs | ModuleKind::Json => SourceType::cjs(),
    };
    let allocator = Allocator::default();
    let options = ParseOptions { preserve_parens: false, ..ParseOptions::default() };
    let parser = Parser::new(&allocator, code, source_type).with_options(options);
    let parsed = parser.with_config(TokensParserConfig).parse();
    if !parsed.diagnostics.is_empty() {
        return None;
    }
    let mut builder = Builder { nodes: Vec::new(), open: Vec::new() };
    builder.visit_program(&parsed.program);
    let tokens = parsed.tokens.iter().map(|token| token.span()).filter(|span| !span.is_empty());
    let mut tree = Tree { code, nodes: builder.nodes, tokens: tokens.collect() };
    tree.order();
    Some(tree)
}

struct Builder {
    nodes: Vec<Node>,
    open: Vec<NodeId>,
}

impl<'a> Visit<'a> for Builder {
    fn enter_node(&mut self, kind: AstKind<'a>) {
        let id = NodeId::of(self.nodes.len());
        let parent = self.open.last().copied();
        if let Some(parent) = parent {
            self.nodes[parent.0 as usize].children.push(id);
        }
        let text = match kind {
            AstKind::StringLiteral(literal) => Some(literal.value.as_str().into()),
            _ => None,
        };
        self.nodes.push(Node {
            ty: kind.ty(),
            span: kind.span(),
            parent,
            children: Vec::new(),
            text,
        });
        self.open.push(id);
    }

    fn leave_node(&mut self, _kind: AstKind<'a>) {
        self.open.pop();
    }
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

    pub(crate) fn text(&self, span: Span) -> &'c str {
        self.code.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The tokens that lie within `span`.
    pub(crate) fn tokens(&self, span: Span) -> &[Span] {
        let first = self.tokens.partition_point(|token| token.start < span.start);
        let last = self.tokens.partition_point(|token| token.start < span.end);
        self.tokens.get(first..last).unwrap_or_default()
    }
}
