//! Functions: which is declared by what name, and which of two is called.

use oxc::ast::AstType;

use super::super::function::{own_name, shape};
use super::{Reader, Word};
use crate::syntax::{Marks, NodeId, is_list};

/// A function, and the name that it is declared by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Declared<'t> {
    name: &'t str,
    identifier: NodeId,
    function: NodeId,
}

impl<'t> Reader<'t> {
    /// What is as if declared by a function declaration: also `let f = function f() {}`.
    pub(super) fn declared_function(&self, id: NodeId) -> Option<Declared<'t>> {
        let node = self.tree.node(id);
        match node.ty {
            AstType::Function => {
                let name = self.name_of(id)?;
                Some(Declared { name: self.tree.code(name), identifier: name, function: id })
            }
            AstType::VariableDeclarator => self.declared_by(id),
            _ => None,
        }
    }

    pub(super) fn declared_by(&self, declarator: NodeId) -> Option<Declared<'t>> {
        let [identifier, value] = self.tree.node(declarator).children[..] else { return None };
        let name = self.tree.code(identifier);
        let kept = name.strip_prefix("$belay_").filter(|_| self.fold.is_some());
        let function = match kept {
            Some(_) => self.unwrapped(value).filter(|_| self.is_kept(declarator))?,
            None => self.resolved(value)?,
        };
        let name = kept.unwrap_or(name);
        // What was a declaration is kept as an expression without a name.
        let named = own_name(self.tree, function) == Some(name)
            || kept.is_some() && self.is_whole_declaration(declarator);
        let declared = self.tree.ty(function) == AstType::Function && named;
        declared.then_some(Declared { name, identifier, function })
    }

    /// `var $belay_f = …;` keeps what was a function declaration.
    pub(super) fn is_whole_declaration(&self, declarator: NodeId) -> bool {
        let parent = self.tree.node(declarator).parent.map(|parent| self.tree.node(parent));
        parent.is_some_and(|parent| {
            parent.marks.has(Marks::VAR) && parent.children.first() == Some(&declarator)
        })
    }

    pub(super) fn name_of(&self, id: NodeId) -> Option<NodeId> {
        let mut children = self.tree.node(id).children.iter().copied();
        children.find(|child| self.tree.ty(*child) == AstType::BindingIdentifier)
    }

    pub(super) fn declare(&mut self, declared: &Declared<'t>) {
        let own = self.name_of(declared.function).and_then(|name| self.tree.node(name).variable);
        let outer = self.tree.node(declared.identifier).variable;
        if let (Some(own), Some(outer)) = (own, outer)
            && own != outer
        {
            self.aliases.insert(own, outer);
        }
        self.words.push(Word::Open);
        self.export(match self.tree.node(declared.identifier).parent {
            Some(declarator) if declarator != declared.function => declarator,
            _ => declared.function,
        });
        self.identifier(declared.identifier);
        self.function(declared.function, false);
        self.words.push(Word::Close);
    }

    /// Of `Object.defineProperty(target, "length", { …, get: () => (selector ? 2 : 1) })` that no source has: the target,
    /// and what this side reads.
    pub(super) fn length_of(&self, call: NodeId) -> Option<(NodeId, usize)> {
        let tree = self.tree;
        let node = tree.node(call);
        if node.ty != AstType::CallExpression {
            return None;
        }
        let [_, target, key, getter] = node.children[..] else { return None };
        let made = self.fold.as_ref()?.rendered.origin(node.span.start).is_none()
            && tree.code(call).starts_with("Object.defineProperty(");
        let named = tree.node(key).text == Some("length");
        let arm = tree.subtree(getter).filter(|_| made && named).find_map(|id| self.arm(id))??;
        Some((target, tree.code(arm).parse().ok()?))
    }

    /// What reading `length` of a function that calls one of two gives.
    pub(super) fn told_length(&self, id: NodeId) -> Option<usize> {
        let tree = self.tree;
        let node = tree.node(id);
        let parent = node.parent?;
        if let Some(call) = tree.ancestors(id).take(4).find(|c| self.length_of(*c).is_some()) {
            return self.length_of(call).map(|(_, length)| length);
        }
        let method = tree.ty(parent) == AstType::MethodDefinition;
        let name =
            if method { tree.node(parent).children.first().copied() } else { self.name_of(id) };
        let name = tree.code(name?);
        let (prototype, object) = (format!("this.prototype.{name}"), format!("this.{name}"));
        let targets: &[&str] = match (method, tree.node(parent).marks.has(Marks::STATIC)) {
            (true, false) => &[&prototype],
            (true, true) => &[&object],
            (false, _) => &[name],
        };
        let list = tree
            .ancestors(id)
            .find(|outer| is_list(tree.ty(*outer)) || tree.ty(*outer) == AstType::ClassBody)?;
        let calls = tree.subtree(list).filter_map(|call| self.length_of(call));
        let mut own = calls.filter(|(target, _)| targets.contains(&tree.code(*target)));
        own.next().map(|(_, length)| length)
    }

    /// Whether a function that calls one of two has the `length` of the chosen one.
    pub(super) fn has_length(&self, id: NodeId, chosen: NodeId) -> bool {
        let length = |id| shape(self.tree, id).map(|shape| shape.length);
        match self.told_length(id) {
            Some(told) => length(chosen) == Some(told),
            None => length(id) == length(chosen),
        }
    }

    /// Kind, name, parameters, body. Of a function that calls one of two, the chosen one.
    pub(super) fn function(&mut self, id: NodeId, with_name: bool) {
        let name = self.name_of(id).filter(|_| with_name);
        let chosen = self.chosen_function(id).unwrap_or(id);
        if chosen != id && !self.has_length(id, chosen) {
            self.text("another length");
        }
        let inner = self.tree.node(chosen);
        let kind = inner.marks.only(Marks::ASYNC.and(Marks::GENERATOR));
        self.words.push(Word::Function(inner.ty, kind));
        name.into_iter().for_each(|name| self.node(name));
        let parts =
            inner.children.iter().filter(|c| self.tree.ty(**c) != AstType::BindingIdentifier);
        parts.for_each(|part| self.node(*part));
    }

    pub(super) fn chosen_function(&self, id: NodeId) -> Option<NodeId> {
        self.fold.as_ref()?;
        let body = *self.tree.node(id).children.last()?;
        let choice = if self.tree.ty(body) == AstType::CallExpression {
            let last = self.tree.node(body).children.last()?;
            (self.tree.code(*last) == "...$belay_a").then_some(())?;
            *self.tree.node(body).children.first()?
        } else {
            let first = *self.tree.node(body).children.first()?;
            let declarator = *self.tree.node(first).children.first()?;
            let [name, value] = self.tree.node(declarator).children[..] else { return None };
            (self.tree.code(name) == "$belay_f").then_some(value)?
        };
        self.arm(choice)?
    }
}
