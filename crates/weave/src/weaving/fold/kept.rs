//! What has two values: which of them a side reads.

use oxc::ast::AstType;

use super::super::{chain::DEFAULT, hunk::Side, importers::both_values, table::key};
use super::{Reader, Word};
use crate::syntax::NodeId;

impl<'t> Reader<'t> {
    /// What a pattern of the top level takes by names, in their order. Of a property with two values, this side has one.
    pub(super) fn names(&mut self, properties: &'t [NodeId]) {
        let tree = self.tree;
        let before = self.fold.as_ref().is_some_and(|fold| fold.side == Side::Before);
        let mut names: Vec<(&str, NodeId, Option<&str>)> = Vec::new();
        for &property in properties.iter().filter(|property| !self.is_lone(**property)) {
            let local = tree.node(property).children.last().copied().unwrap_or(property);
            match self.taken(property) {
                None => names.push((tree.code(local), property, None)),
                Some((name, local, old)) if old == before => {
                    let text = tree.code(local);
                    let text = text.strip_prefix("$belay_").filter(|_| old).unwrap_or(text);
                    names.push((text, local, Some(name)));
                }
                Some(_) => {}
            }
        }
        names.sort_by_key(|(local, ..)| *local);
        for (text, id, taken) in names {
            if let Some(name) = taken.filter(|name| *name != text) {
                self.words.extend([Word::Open, Word::Text(name), Word::Close]);
                self.text(":");
            }
            self.flat(id);
        }
    }

    /// Of a property that a weave takes with both values: its name, the name here, and whether it is the old value.
    fn taken(&self, property: NodeId) -> Option<(&'t str, NodeId, bool)> {
        let tree = self.tree;
        let [key, value] = tree.node(property).children[..] else { return None };
        let key = tree.code(key);
        let (old, new) = (key.strip_prefix("$belay_"), key.strip_prefix("$belay$"));
        let name = old.or(new).filter(|_| self.fold.is_some())?;
        let [local, _] = tree.node(value).children[..] else { return None };
        let pattern = tree.node(property).parent?;
        let object = *tree.node(tree.node(pattern).parent?).children.get(1)?;
        let text = tree.code(local);
        let text = text.strip_prefix("$belay_").filter(|_| old.is_some()).unwrap_or(text);
        let [after, before] = both_values(tree.code(object), name, text);
        let expected = if old.is_some() { before } else { after };
        (tree.code(property) == expected).then_some((name, local, old.is_some()))
    }

    pub(super) fn completes_kept(&self, item: NodeId) -> bool {
        self.fold.is_some() && self.tree.code(item).starts_with("$belay_kept:")
    }

    /// Whether a declarator of a weave's own holds the value that this side has.
    pub(super) fn is_kept(&self, declarator: NodeId) -> bool {
        let name = self.tree.node(declarator).children.first().map_or("", |n| self.tree.code(*n));
        let name = name.strip_prefix("$belay_").unwrap_or_default();
        let before = self.fold.as_ref().is_some_and(|fold| fold.side == Side::Before);
        before && !is_kept_export(name)
    }

    pub(super) fn declarator(&mut self, id: NodeId) {
        let [name, value] = self.tree.node(id).children[..] else { return };
        let text = self.tree.code(name);
        let Some(original) = text.strip_prefix("$belay_").filter(|_| self.fold.is_some()) else {
            self.export(id);
            return self.assign(name, value);
        };
        if !self.is_kept(id) || original.starts_with(|c: char| c.is_ascii_digit()) {
            return;
        }
        // `{ name: value }.name`
        let value = self.kept_value(value);
        if original == DEFAULT {
            self.words.push(Word::Open);
            self.text("export");
            self.text("default");
            self.node(value);
            return self.words.push(Word::Close);
        }
        self.export(id);
        self.assign(name, value);
    }

    /// What a weave keeps: of `{ name: value }.name` or `(0, value)` that no source has, the value.
    pub(super) fn kept_value(&self, value: NodeId) -> NodeId {
        let made = self.fold.as_ref().is_some_and(|fold| {
            self.tree.ty(value) == AstType::SequenceExpression
                && fold.rendered.origin(self.tree.span(value).start).is_none()
        });
        let last = self.tree.node(value).children.last().copied().filter(|_| made);
        last.or_else(|| self.named(value)).unwrap_or(value)
    }

    pub(super) fn unwrapped(&self, member: NodeId) -> Option<NodeId> {
        let object = *self.tree.node(member).children.first()?;
        (self.tree.ty(object) == AstType::ObjectExpression).then_some(())?;
        let property = *self.tree.node(object).children.first()?;
        self.tree.node(property).children.get(1).copied()
    }

    /// `Object.defineProperty(exports, "name", { get: () => selector ? new : old })`, as `exports.name = value`.
    pub(super) fn chosen_export(&mut self, id: NodeId) -> bool {
        let tree = self.tree;
        let made =
            self.fold.as_ref().is_some_and(|f| f.rendered.origin(tree.span(id).start).is_none());
        if !made || !tree.code(id).starts_with("Object.defineProperty(") {
            return false;
        }
        let guard = tree.subtree(id).find(|inner| self.arm(*inner).is_some());
        let Some(Some(arm)) = guard.and_then(|guard| self.arm(guard)) else { return false };
        // Who reads it when it is loaded gets both values.
        let arms = guard.map_or(&[][..], |guard| tree.node(guard).children);
        if let ([_, new, old], true) = (arms, tree.code(id).contains(" $belay: ["))
            && !tree.code(id).contains(&format!("[{}, {}]", tree.code(*old), tree.code(*new)))
        {
            return false;
        }
        let variable = tree.node(arm).variable.map(|variable| tree.variable(variable));
        let declaration = variable.and_then(|variable| variable.declarations.first().copied());
        let declarator = declaration.and_then(|declaration| tree.node(declaration).parent);
        let value =
            declarator.and_then(|declarator| tree.node(declarator).children.get(1).copied());
        let value = value.map(|value| self.kept_value(value));
        let call = tree.node(id).children.first().map(|call| tree.node(*call).children);
        let (Some(value), Some([_, object, name, _])) = (value, call) else { return false };
        self.words.extend([Word::Open, Word::Open]);
        self.node(*object);
        self.text(".");
        let name = tree.node(*name).text.unwrap_or_default();
        self.words.extend([Word::Open, Word::Text(name), Word::Close, Word::Close]);
        self.text("=");
        self.node(value);
        self.words.push(Word::Close);
        true
    }

    /// `object[selector ? "name" : "$belay_name"]`, as `object.name`.
    pub(super) fn chosen_member(&mut self, id: NodeId) -> bool {
        let [object, property] = self.tree.node(id).children[..] else { return false };
        let Some(Some(arm)) = self.arm(property) else { return false };
        let made = self
            .fold
            .as_ref()
            .is_some_and(|fold| fold.rendered.origin(self.tree.span(property).start).is_none());
        let Some(name) = self.tree.node(arm).text.filter(|_| made) else { return false };
        let name = name.strip_prefix("$belay_").unwrap_or(name);
        self.node(object);
        self.text(".");
        self.words.extend([Word::Open, Word::Text(name), Word::Close]);
        true
    }

    /// `{ ...table, key: old }` that no source has, as the entries that it comes to.
    pub(super) fn old_table(&mut self, id: NodeId) -> bool {
        let tree = self.tree;
        let node = tree.node(id);
        let made = self.fold.as_ref().is_some_and(|f| f.rendered.origin(node.span.start).is_none());
        let Some((spread, own)) = node.children.split_first().filter(|_| made) else {
            return false;
        };
        let named = |id: &NodeId| tree.ty(*id) == AstType::IdentifierReference;
        // The pattern binds names of its own; the table is used behind it.
        let table = tree.subtree(*spread).filter(named).last();
        let declared = table.and_then(|id| tree.node(id).variable);
        let declared = declared.and_then(|id| tree.variable(id).declarations.first().copied());
        let declarator = declared.and_then(|id| tree.node(id).parent);
        let value = declarator.and_then(|id| tree.node(id).children.get(1).copied());
        let value = value.filter(|_| tree.ty(*spread) == AstType::SpreadElement);
        let Some(value) = value else { return false };
        let pattern = |id: &NodeId| tree.ty(*id) == AstType::BindingProperty;
        let dropped: Vec<String> =
            tree.subtree(*spread).filter(pattern).filter_map(|id| key(tree, id)).collect();
        let mut entries = Vec::new();
        for &id in tree.node(value).children.iter().chain(own) {
            let Some(name) = key(tree, id) else { return false };
            match entries.iter_mut().find(|(other, _)| *other == name) {
                Some((_, place)) => *place = id,
                None => entries.push((name, id)),
            }
        }
        entries.retain(|(name, id)| own.contains(id) || !dropped.contains(name));
        self.text("{");
        entries.into_iter().for_each(|(_, id)| self.child(value, id));
        self.text("}");
        true
    }
}

/// The constants behind an export that is chosen when it is read.
pub(super) fn is_kept_export(name: &str) -> bool {
    let digits = name.strip_prefix("after").or_else(|| name.strip_prefix("before"));
    digits.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'_')
    })
}
