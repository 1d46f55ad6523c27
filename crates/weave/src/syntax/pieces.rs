//! A node as its own tokens and its children, in order.

use oxc::{ast::AstType, span::Span};

use super::tree::{Node, NodeId, Tree, is_list};

/// A piece of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Piece {
    Token(Span),
    Child(NodeId),
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

impl<'t> Pieces<'t> {
    pub(super) fn of(tree: &'t Tree<'t>, node: &'t Node<'t>) -> Self {
        let (at, end) = node.tokens;
        Self { tree, node, at, stop: at, end, child: None, children: node.children }
    }
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
