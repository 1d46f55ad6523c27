//! Who reads a property of what a module exports while modules are loaded. What is read then is read once, when the image
//! is made: the property cannot choose, so whoever reads it must.

use oxc::ast::AstType;

use super::{chain::DEFAULT, nodes::at_load};
use crate::syntax::{NodeId, Tree, VariableId};

/// So many variables that hold the same are followed.
const KNOWN_MAX: usize = 32;

/// A place at which a property is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    /// The property of a pattern, the member expression, or the specifier of an import.
    pub(super) at: NodeId,
    /// Of the very object, not by a namespace.
    pub(super) direct: bool,
}

/// Where a module reads `name`, when it is loaded, of what it loads by `specifier`: `const { name } = require("…")`,
/// `loaded.name`. Of a CommonJS module, what is imported by name is read by whoever links the two.
pub(super) fn reads_at_load(
    tree: &Tree<'_>,
    specifier: &str,
    name: &str,
    common_js: bool,
) -> Vec<Read> {
    let mut reading =
        Reading { tree, name, common_js, direct: true, known: Vec::new(), found: Vec::new() };
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
    name: &'r str,
    /// Whether the module that is loaded is one.
    common_js: bool,
    direct: bool,
    known: Vec<VariableId>,
    found: Vec<Read>,
}

impl Reading<'_, '_> {
    fn text(&self, id: NodeId) -> &str {
        self.tree.node(id).text.unwrap_or(self.tree.code(id))
    }

    fn first(&self, id: NodeId) -> Option<NodeId> {
        self.tree.node(id).children.first().copied()
    }

    fn note(&mut self, at: NodeId) {
        self.found.push(Read { at, direct: self.direct });
    }

    fn specifier(&mut self, id: NodeId) {
        let foreign = self.first(id).map(|foreign| self.text(foreign));
        let default = match self.tree.ty(id) {
            AstType::ImportDefaultSpecifier => true,
            AstType::ImportSpecifier => foreign == Some(DEFAULT),
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
        } else if self.common_js && foreign == Some(self.name) {
            self.direct = false;
            self.note(id);
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
            (AstType::StaticMemberExpression, Some(object))
                if object == value
                    && node.children.last().is_some_and(|it| self.text(*it) == self.name) =>
            {
                self.note(parent);
            }
            (AstType::VariableDeclarator, Some(target)) => match tree.ty(target) {
                AstType::BindingIdentifier => {
                    let variable = tree.node(target).variable;
                    variable.into_iter().for_each(|variable| self.variable(variable));
                }
                AstType::ObjectPattern => {
                    for &property in tree.node(target).children {
                        let key = self.first(property).map(|key| self.text(key));
                        let rest = tree.ty(property) != AstType::BindingProperty;
                        if rest || key == Some(self.name) {
                            self.note(property);
                        }
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
