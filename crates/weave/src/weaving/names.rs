//! `const { a, b } = require("./x")` at the top level: what one version takes only, both do, as from an import.

use std::collections::BTreeMap;

use belay_model::HunkKind;
use oxc::{ast::AstType, span::Span};

use super::{
    hunk::{Edit, Emit, Output, Side, Woven},
    nodes::is_pure,
    weaver::Weaver,
};
use crate::syntax::{NodeId, Tree};

impl Weaver<'_> {
    pub(super) fn name_list(&self, b: NodeId, a: NodeId) -> Woven {
        if !is_name_list(self.before, b) || !is_name_list(self.after, a) {
            return self.refuse(Side::After, a, "the pattern changed");
        }
        let (old, new) = (names(self.before, b), names(self.after, a));
        if old.iter().any(|(name, id)| new.get(name).is_some_and(|other| !self.same(*id, *other))) {
            return self.refuse(Side::After, a, "the name is bound to another property");
        }
        let mut lone = Vec::new();
        for (side, own, other) in [(Side::Before, &old, &new), (Side::After, &new, &old)] {
            for (name, id) in own.iter().filter(|(name, _)| !other.contains_key(*name)) {
                if self.is_meant(side.other(), NodeId::ROOT, name) {
                    let message = format!("`{name}` means something else in the other version");
                    return self.refuse(side, *id, message);
                }
                lone.push((side, *id));
            }
        }
        let (old_span, new_span) = (self.before.span(b), self.after.span(a));
        let mut hunk = self.hunk(HunkKind::Additive, old_span, new_span);
        let all = old.keys().chain(new.keys());
        let differs = all.filter(|name| old.contains_key(*name) != new.contains_key(*name));
        hunk.names = differs.cloned().collect();
        let removed = lone.iter().filter(|(side, _)| *side == Side::Before);
        let last = self.after.node(a).children.last().map(|last| self.after.span(*last).end);
        let (at, before, behind) = match last {
            Some(end) => (end, ", ", ""),
            None => (new_span.start + 1, "", ", "),
        };
        let emit: Vec<Emit> = removed
            .flat_map(|(_, id)| {
                [before.into(), Emit::Code(Side::Before, self.before.span(*id)), behind.into()]
            })
            .collect();
        hunk.lone = lone;
        let mut output = Output { hunks: vec![hunk], ..Output::default() };
        if !emit.is_empty() {
            output.edits.push(Edit { at: Span::empty(at), emit });
        }
        Ok(output)
    }
}

/// Whether a pattern of the top level does nothing but name properties of what is at hand: its order tells nothing.
pub(super) fn is_name_list(tree: &Tree<'_>, pattern: NodeId) -> bool {
    let node = tree.node(pattern);
    let plain = node.children.iter().all(|child| {
        let parts = &tree.node(*child).children;
        tree.ty(*child) == AstType::BindingProperty
            && parts.first().is_some_and(|key| tree.ty(*key) == AstType::IdentifierName)
            && parts.last().is_some_and(|name| {
                let both = tree.ty(*name) == AstType::AssignmentPattern;
                // What takes both values of a property; no source has such a name.
                tree.ty(*name) == AstType::BindingIdentifier
                    || both && tree.code(parts[0]).starts_with("$belay")
            })
    });
    let Some(declarator) = node.parent.filter(|_| node.ty == AstType::ObjectPattern && plain)
    else {
        return false;
    };
    let mut around = tree.ancestors(declarator);
    let top = around.next().is_some_and(|id| tree.ty(id) == AstType::VariableDeclaration)
        && around.next() == Some(NodeId::ROOT);
    let value = tree.node(declarator).children.get(1);
    tree.ty(declarator) == AstType::VariableDeclarator
        && top
        && value.is_some_and(|value| is_pure(tree, *value))
}

/// By their names here: the properties.
fn names(tree: &Tree<'_>, pattern: NodeId) -> BTreeMap<String, NodeId> {
    let properties = tree.node(pattern).children.iter();
    let named = properties.filter_map(|property| {
        let name = *tree.node(*property).children.last()?;
        Some((tree.code(name).to_owned(), *property))
    });
    named.collect()
}
