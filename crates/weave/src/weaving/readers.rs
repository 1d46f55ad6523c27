//! Who reads a property of what a module exports while modules are loaded. What is read then is read once, when the image
//! is made: the property cannot choose, so whoever reads it must.

use std::collections::BTreeMap;

use oxc::ast::AstType;

use super::{chain::DEFAULT, nodes::at_load};
use crate::syntax::{Marks, NodeId, Tree, VariableId};

/// So many variables that hold the same are followed. What others read, the engine finds when the image is made.
const KNOWN_MAX: usize = 32;

/// A place at which a property is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    /// The property of a pattern, the member expression, or the specifier of an import.
    pub(super) at: NodeId,
    /// Of the very object, not by a namespace.
    pub(super) direct: bool,
}

/// What a module reads when it is loaded of what it loads by one specifier.
#[derive(Debug, Default)]
pub(super) struct Reads {
    by_name: BTreeMap<String, Vec<Read>>,
    /// Whatever is there.
    all: Vec<Read>,
}

impl Reads {
    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = Read> {
        let named = self.by_name.get(name).into_iter().flatten();
        named.chain(&self.all).copied()
    }
}

/// What a module reads, when it is loaded, of what it loads by `specifier`: `const { name } = require("…")`, `loaded.name`.
/// Of a CommonJS module, what is imported by name is read by whoever links the two.
pub(super) fn reads_at_load(tree: &Tree<'_>, specifier: &str, common_js: bool) -> Reads {
    let (direct, known, found) = (true, Vec::new(), Reads::default());
    let mut reading = Reading { tree, common_js, direct, known, found };
    let named = |id: &NodeId| {
        tree.ty(*id) == AstType::StringLiteral && tree.node(*id).text == Some(specifier)
    };
    for literal in tree.subtree(NodeId::ROOT).filter(named) {
        let Some(parent) = tree.node(literal).parent else { continue };
        let children = &tree.node(parent).children;
        match tree.ty(parent) {
            AstType::CallExpression if at_load(tree, parent) => reading.value(parent),
            AstType::ImportDeclaration | AstType::ExportFromDeclaration => {
                children.iter().for_each(|specifier| reading.specifier(*specifier));
            }
            _ => {}
        }
    }
    reading.found
}

struct Reading<'r, 't> {
    tree: &'r Tree<'t>,
    /// Whether the module that is loaded is one.
    common_js: bool,
    direct: bool,
    known: Vec<VariableId>,
    found: Reads,
}

impl Reading<'_, '_> {
    fn text(&self, id: NodeId) -> String {
        self.tree.node(id).text.unwrap_or(self.tree.code(id)).to_owned()
    }

    fn first(&self, id: NodeId) -> Option<NodeId> {
        self.tree.node(id).children.first().copied()
    }

    /// `name`: nothing for whatever is there.
    fn note(&mut self, at: NodeId, name: Option<String>) {
        let read = Read { at, direct: self.direct };
        match name {
            Some(name) => self.found.by_name.entry(name).or_default().push(read),
            None => self.found.all.push(read),
        }
    }

    fn specifier(&mut self, id: NodeId) {
        let foreign = self.first(id).map(|foreign| self.text(foreign));
        let default = match self.tree.ty(id) {
            AstType::ImportDefaultSpecifier => true,
            AstType::ImportSpecifier => foreign.as_deref() == Some(DEFAULT),
            AstType::ImportNamespaceSpecifier if self.common_js => false,
            AstType::ExportSpecifier => false,
            _ => return,
        };
        let namespace = self.tree.ty(id) == AstType::ImportNamespaceSpecifier;
        if default || namespace {
            let local = self.tree.node(id).children.last();
            let variable = local.and_then(|local| self.tree.node(*local).variable);
            self.direct = default;
            variable.into_iter().for_each(|variable| self.variable(variable));
            self.direct = true;
        } else if self.common_js {
            self.direct = false;
            self.note(id, foreign);
            self.direct = true;
        }
    }

    /// Where the property is read of a value.
    fn value(&mut self, value: NodeId) {
        let tree = self.tree;
        let Some(parent) = tree.node(value).parent else { return };
        let (node, first) = (tree.node(parent), self.first(parent));
        match (node.ty, first) {
            (AstType::ChainExpression, _) => self.value(parent),
            (AstType::StaticMemberExpression, Some(object)) if object == value => {
                let name = node.children.last().map(|name| self.text(*name));
                self.note(parent, name);
            }
            (AstType::VariableDeclarator, Some(target)) => match tree.ty(target) {
                AstType::BindingIdentifier => {
                    let variable = tree.node(target).variable;
                    variable.into_iter().for_each(|variable| self.variable(variable));
                }
                AstType::ObjectPattern => {
                    for &property in tree.node(target).children {
                        let node = tree.node(property);
                        let named =
                            node.ty == AstType::BindingProperty && !node.marks.has(Marks::COMPUTED);
                        let key = self.first(property).filter(|_| named);
                        self.note(property, key.map(|key| self.text(key)));
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn variable(&mut self, variable: VariableId) {
        if self.known.contains(&variable) || self.known.len() == KNOWN_MAX {
            return;
        }
        self.known.push(variable);
        for &reference in &self.tree.variable(variable).references {
            if at_load(self.tree, reference) {
                self.value(reference);
            }
        }
    }
}
