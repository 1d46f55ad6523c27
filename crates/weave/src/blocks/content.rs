//! What a block says, as bytes: the form that is hashed.
//!
//! Preorder over the tree. A node is `2`, its type's name, its content, `3`; a token is `1`, its length, its text; a
//! block within is `4` and its address. Types are told by name, so that an address outlives a change of the parser's
//! numbering.

use belay_model::Hash;
use oxc::{ast::AstType, span::Span};

use super::{Block, BlockKind, NodeId, Tree};
use crate::syntax::{Piece, is_list};

const TOKEN: u8 = 1;
const OPEN: u8 = 2;
const CLOSE: u8 = 3;
const BLOCK: u8 = 4;

pub(super) struct Blocks<'t> {
    pub(super) tree: &'t Tree<'t>,
    /// Lines of the user's file for a span of the code.
    pub(super) place: &'t dyn Fn(u32, u32) -> (u32, u32),
}

/// A block while it is read.
#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    blocks: Vec<Block>,
}

impl Content {
    fn add(&mut self, block: Block) {
        self.bytes.push(BLOCK);
        self.bytes.extend(block.hash.as_bytes());
        self.blocks.push(block);
    }

    fn token(&mut self, text: &str) {
        self.bytes.push(TOKEN);
        self.bytes.extend((text.len() as u64).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }
}

impl Blocks<'_> {
    pub(super) fn module(&self) -> Block {
        self.block(NodeId::ROOT, BlockKind::Module)
    }

    fn block(&self, id: NodeId, kind: BlockKind) -> Block {
        let mut content = Content::default();
        self.node(id, &mut content);
        let name = match kind {
            BlockKind::Function | BlockKind::Class => self.name(id),
            BlockKind::Module | BlockKind::Loop | BlockKind::Branch | BlockKind::Run => None,
        };
        self.finish(kind, name, self.tree.node(id).span, content)
    }

    fn finish(&self, kind: BlockKind, name: Option<String>, span: Span, content: Content) -> Block {
        let Content { bytes, blocks } = content;
        let inner: u32 = blocks.iter().map(size).sum();
        Block {
            kind,
            name,
            hash: Hash::of(&bytes),
            lines: (self.place)(span.start, span.end),
            bytes: span.size().saturating_sub(inner),
            blocks,
        }
    }

    fn node(&self, id: NodeId, content: &mut Content) {
        let node = self.tree.node(id);
        content.bytes.push(OPEN);
        content.token(&format!("{:?}", node.ty));
        match &node.text {
            Some(text) => content.token(text),
            None => self.inside(id, content),
        }
        content.bytes.push(CLOSE);
    }

    /// The tokens of a node with its children at their places; in a list of statements, runs are blocks.
    fn inside(&self, id: NodeId, content: &mut Content) {
        let list = is_list(self.tree.ty(id));
        let mut run = Vec::new();
        for piece in self.tree.pieces(id) {
            match piece {
                Piece::Child(child) if list && is_plain(self.tree.ty(child)) => run.push(child),
                Piece::Child(child) => {
                    self.end_run(&mut run, content);
                    self.child(child, content);
                }
                Piece::Token(token) => {
                    self.end_run(&mut run, content);
                    content.token(self.tree.text(token));
                }
            }
        }
        self.end_run(&mut run, content);
    }

    fn child(&self, id: NodeId, content: &mut Content) {
        match kind_of(self.tree.node(id).ty) {
            Some(kind) => content.add(self.block(id, kind)),
            None => self.node(id, content),
        }
    }

    fn end_run(&self, run: &mut Vec<NodeId>, content: &mut Content) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        let span = Span::new(self.tree.node(*first).span.start, self.tree.node(*last).span.end);
        let mut own = Content::default();
        run.iter().for_each(|statement| self.node(*statement, &mut own));
        content.add(self.finish(BlockKind::Run, None, span, own));
        run.clear();
    }

    /// What a function or class is called: by itself, or by what it is the value of.
    fn name(&self, id: NodeId) -> Option<String> {
        let node = self.tree.node(id);
        let own = node.children.iter().map(|child| self.tree.node(*child));
        let own =
            own.filter(|child| child.ty == AstType::BindingIdentifier).map(|child| child.span);
        if let Some(own) = own.clone().next() {
            return Some(self.tree.text(own).to_owned());
        }
        let parent = self.tree.node(node.parent?);
        let named = match parent.ty {
            AstType::VariableDeclarator
            | AstType::AssignmentExpression
            | AstType::ObjectProperty
            | AstType::MethodDefinition
            | AstType::PropertyDefinition => parent.children.first()?,
            AstType::ExportDefaultDeclaration => return Some("default".to_owned()),
            _ => return None,
        };
        let text = self.tree.text(self.tree.node(*named).span);
        (*named != id && !text.contains('\n') && text.len() <= 80).then(|| text.to_owned())
    }
}

fn size(block: &Block) -> u32 {
    block.bytes + block.blocks.iter().map(size).sum::<u32>()
}

fn kind_of(ty: AstType) -> Option<BlockKind> {
    match ty {
        AstType::Function | AstType::ArrowFunctionExpression => Some(BlockKind::Function),
        AstType::Class => Some(BlockKind::Class),
        AstType::ForStatement
        | AstType::ForInStatement
        | AstType::ForOfStatement
        | AstType::WhileStatement
        | AstType::DoWhileStatement => Some(BlockKind::Loop),
        AstType::IfStatement | AstType::SwitchStatement | AstType::TryStatement => {
            Some(BlockKind::Branch)
        }
        _ => None,
    }
}

/// Statements that are no block of their own.
fn is_plain(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::VariableDeclaration
            | AstType::ExpressionStatement
            | AstType::ReturnStatement
            | AstType::ThrowStatement
            | AstType::BreakStatement
            | AstType::ContinueStatement
            | AstType::DebuggerStatement
    )
}
