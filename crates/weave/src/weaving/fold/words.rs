//! Statements and expressions, as words.

use std::cmp::Ordering;

use oxc::ast::AstType;
use oxc::span::Span;

use super::super::{
    names::is_name_list,
    nodes::{is_function, is_loop, is_statement},
};
use super::{Reader, Word, is_name};
use crate::syntax::{Marks, NodeId, Piece, Tree, is_list};

impl<'t> Reader<'t> {
    /// `export`, where it stands before a declaration.
    pub(super) fn export(&mut self, id: NodeId) {
        let mut around = self.tree.ancestors(id).take(2);
        if around.any(|outer| self.tree.ty(outer) == AstType::ExportDeclaration) {
            self.text("export");
        }
    }

    pub(super) fn statement(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        match node.ty {
            AstType::VariableDeclarator => self.declarator(id),
            AstType::Class => {
                self.export(id);
                if let Some(name) = self.name_of(id) {
                    self.assign(name, id);
                }
            }
            AstType::ExpressionStatement if self.chosen_export(id) => {}
            AstType::ExpressionStatement => {
                let inner = node.children.first().and_then(|inner| self.resolved(*inner));
                inner.into_iter().for_each(|inner| self.expression_statement(inner));
            }
            _ => self.node(id),
        }
    }

    pub(super) fn expression_statement(&mut self, id: NodeId) {
        let plain = self.tree.ty(id) == AstType::AssignmentExpression;
        match self.tree.node(id).children[..] {
            [target, value] if plain && is_plain_assignment(self.tree, id, target) => {
                self.assign(target, value);
            }
            _ => {
                self.words.push(Word::Open);
                self.node(id);
                self.words.push(Word::Close);
            }
        }
    }

    /// `name = value`, whether written as a declaration or as an assignment.
    pub(super) fn assign(&mut self, target: NodeId, value: NodeId) {
        let Some(value) = self.resolved(value) else { return };
        self.words.push(Word::Open);
        self.flat(target);
        self.text("=");
        let class = self.tree.ty(value) == AstType::Class;
        let own = self
            .name_of(value)
            .filter(|name| class && self.tree.code(*name) == self.tree.code(target));
        match own {
            Some(own) => {
                let outer = self.tree.node(target).variable;
                if let (Some(own), Some(outer)) = (self.tree.node(own).variable, outer)
                    && own != outer
                {
                    self.aliases.insert(own, outer);
                }
                self.class(value, false);
            }
            None if class => self.class(value, true),
            None => self.node(value),
        }
        self.words.push(Word::Close);
    }

    /// Patterns and targets: only their tokens, as the two are different nodes.
    pub(super) fn flat(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        if !is_pattern(node.ty) {
            return self.node(id);
        }
        if is_name_list(self.tree, id) {
            return self.names(node.children);
        }
        let key = node.children.first().copied().filter(|_| node.marks.has(Marks::SHORTHAND));
        for piece in self.tree.pieces(id) {
            match piece {
                Piece::Token(token) => self.text(self.tree.text(token)),
                Piece::Child(child) if Some(child) == key => {}
                Piece::Child(child) => self.flat(child),
            }
        }
    }

    pub(super) fn identifier(&mut self, id: NodeId) -> bool {
        let node = self.tree.node(id);
        let is = is_name(node.ty);
        if is {
            let name = self.tree.code(id);
            let name = match &self.fold {
                Some(_) => name.strip_prefix("$belay_").unwrap_or(name),
                None => name,
            };
            let variable = node.variable.map(|v| self.aliases.get(&v).copied().unwrap_or(v));
            self.words.push(Word::Name(name, variable));
        }
        is
    }

    pub(super) fn node(&mut self, id: NodeId) {
        if self.is_lone(id) || self.identifier(id) {
            return;
        }
        if let Some(arm) = self.arm(id) {
            return arm.into_iter().for_each(|arm| self.node(arm));
        }
        if let Some((function, _)) = self.length_of(id) {
            return self.node(self.named(function).unwrap_or(function));
        }
        if self.verbatim(id) {
            return;
        }
        let node = self.tree.node(id);
        if let Some(text) = node.text {
            return self.text(text);
        }
        self.words.push(Word::Open);
        match node.ty {
            ty if is_function(ty) => self.function(id, true),
            AstType::ComputedMemberExpression if self.chosen_member(id) => {}
            AstType::ObjectExpression if self.old_table(id) => {}
            AstType::Class => self.class(id, true),
            AstType::ClassBody => self.members(id),
            ty if is_list(ty) => self.list_node(id),
            _ => self.pieces(id),
        }
        self.words.push(Word::Close);
    }

    pub(super) fn class(&mut self, id: NodeId, with_name: bool) {
        let name = if with_name { None } else { self.name_of(id) };
        let children = self.tree.node(id).children.iter().filter(|child| Some(**child) != name);
        children.for_each(|child| self.node(*child));
    }

    pub(super) fn list_node(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        if node.ty == AstType::SwitchCase {
            let test = |c: &&NodeId| !is_statement(self.tree.ty(**c));
            let tests: Vec<NodeId> = node.children.iter().take_while(test).copied().collect();
            tests.iter().for_each(|test| self.node(*test));
            return self.list(&node.children[tests.len()..]);
        }
        self.list(node.children);
    }

    /// Methods in any order, as fields alone run in theirs.
    pub(super) fn members(&mut self, id: NodeId) {
        let mut members = self.tree.node(id).children.to_vec();
        members.retain(|member| !self.is_lone(*member) && !self.is_length_block(*member));
        let tree = self.tree;
        let key = |id: &NodeId| {
            let node = tree.node(*id);
            let key = || node.children.first().map_or("", |key| tree.code(*key));
            (node.ty == AstType::MethodDefinition).then(key)
        };
        members.sort_by(|one, other| {
            let told = key(one).cmp(&key(other));
            let method = || key(one).is_some();
            let kind = |id: &NodeId| (tree.own_hash(*id), tree.code(*id).len());
            told.then_with(|| if method() { kind(one).cmp(&kind(other)) } else { Ordering::Equal })
        });
        members.into_iter().for_each(|member| self.node(member));
    }

    pub(super) fn is_length_block(&self, member: NodeId) -> bool {
        let statement = self.tree.node(member).children.first();
        let call = statement.and_then(|id| self.tree.node(*id).children.first());
        self.tree.ty(member) == AstType::StaticBlock
            && call.is_some_and(|call| self.length_of(*call).is_some())
    }

    pub(super) fn pieces(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        let ty = node.ty;
        let commas = !matches!(ty, AstType::ObjectExpression | AstType::FormalParameters);
        // `{ a }` and `{ a: a }` are alike, `{ a: function () {} }` and `{ a() {} }` are not.
        let colons = ty != AstType::ObjectProperty;
        if node.marks.has(Marks::METHOD) && !colons {
            self.text("method");
        }
        for piece in self.tree.pieces(id) {
            match piece {
                Piece::Token(token) if !commas && self.tree.text(token) == "," => {}
                Piece::Token(token) if !colons && self.tree.text(token) == ":" => {}
                Piece::Token(token) => self.text(self.tree.text(token)),
                Piece::Child(child) if self.is_body(ty, child) => self.body(child),
                Piece::Child(child) => self.child(id, child),
            }
        }
    }

    pub(super) fn child(&mut self, parent: NodeId, child: NodeId) {
        let spread = self.tree.ty(child) == AstType::SpreadElement
            && self.tree.ty(parent) == AstType::ObjectExpression;
        let guarded = self.tree.node(child).children.first().copied();
        let arm = guarded.filter(|_| spread).and_then(|inner| self.arm(inner));
        match arm {
            None => self.node(child),
            Some(object) => {
                let object = object.map(|object| self.tree.node(object).children);
                object.into_iter().flatten().for_each(|property| self.node(*property));
            }
        }
    }

    pub(super) fn is_body(&self, outer: AstType, child: NodeId) -> bool {
        let ty = self.tree.ty(child);
        (is_loop(outer) || outer == AstType::IfStatement)
            && is_statement(ty)
            && !(is_loop(outer) && ty == AstType::VariableDeclaration)
    }

    pub(super) fn body(&mut self, id: NodeId) {
        let mut items = Vec::new();
        self.flatten(&[id], &mut items);
        while let [block] = items[..]
            && self.tree.ty(block) == AstType::BlockStatement
        {
            items.clear();
            self.flatten(self.tree.node(block).children, &mut items);
        }
        self.words.push(Word::Open);
        self.list(&items);
        self.words.push(Word::Close);
    }
}

pub(super) fn is_pattern(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::ObjectPattern
            | AstType::ArrayPattern
            | AstType::BindingProperty
            | AstType::BindingRestElement
            | AstType::AssignmentPattern
            | AstType::ObjectAssignmentTarget
            | AstType::ArrayAssignmentTarget
            | AstType::AssignmentTargetRest
            | AstType::AssignmentTargetWithDefault
            | AstType::AssignmentTargetPropertyIdentifier
            | AstType::AssignmentTargetPropertyProperty
    )
}

/// `target = value`, not `target += value`.
pub(super) fn is_plain_assignment(tree: &Tree<'_>, id: NodeId, target: NodeId) -> bool {
    let between = Span::new(tree.span(target).end, tree.span(id).end);
    let operator = tree.tokens(between).iter().map(|token| tree.text(*token));
    operator.into_iter().find(|text| *text != ")") == Some("=")
}
