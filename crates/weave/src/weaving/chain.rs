//! What hangs together by the values of the top level: a name that has two values, all that is made of it when the
//! module is loaded, and the statements that complete it.
//!
//! ```js
//! const patterns = { de: /^\d{5}$/ };
//! patterns.at = patterns.de;
//! export const locales = Object.keys(patterns);
//! ```
//! If `patterns` has two values, so has `locales`, and the second statement runs on both. Nothing else may come of a
//! value at load: a call that could do anything ends a chain with a refusal.

use std::collections::{BTreeMap, BTreeSet};

use oxc::ast::AstType;

use super::{
    binding::use_element,
    function::own_name,
    hunk::{HunkId, Refusal, Side},
    importers::is_word,
    list::Names,
    nodes::{at_load, is_member, is_pure},
    property::assigned,
    weaver::Weaver,
};
use crate::syntax::{Marks, NodeId, Tree, VariableId};

/// By what `export default` exports, which no variable can be called.
pub(super) const DEFAULT: &str = "default";

/// After so many names were linked in one module, no more are: it is a source that was made to take long.
const LINKS_MAX: u32 = 200_000;

/// What is bound twice together.
#[derive(Default)]
pub(super) struct Chain {
    /// Names of the top level.
    pub(super) names: Names,
    /// The statements of each side that declare, complete or export them.
    pub(super) items: [BTreeSet<NodeId>; 2],
    /// Those of the names that are imported with two values, and what chooses between these.
    pub(super) imports: BTreeMap<String, HunkId>,
    /// The items whose other names are in it.
    joined: BTreeSet<(Side, NodeId)>,
    /// Of each side, the names that are yet to be linked.
    open: [Names; 2],
}

/// Why a name cannot be linked.
enum Unlinked {
    /// Whatever else the chain has.
    Never(Refusal),
    /// It may be once the chain has more.
    NotYet(Refusal),
}

impl From<Refusal> for Unlinked {
    fn from(refusal: Refusal) -> Self {
        Self::Never(refusal)
    }
}

impl Chain {
    fn add(&mut self, name: &str) {
        if !self.names.contains(name) {
            let all = self.open.iter_mut().chain([&mut self.names]);
            all.for_each(|names| names.extend([name.to_owned()]));
        }
    }
}

/// By the names that statements of the top level declare: the statement, in each version.
pub(super) type Tops = [BTreeMap<String, NodeId>; 2];

pub(super) fn index(side: Side) -> usize {
    usize::from(side == Side::After)
}

impl Weaver<'_> {
    /// All that hangs together with `seed`.
    pub(super) fn chain(&self, seed: &str, tops: &Tops) -> Result<Chain, Refusal> {
        let mut chain = Chain::default();
        chain.add(seed);
        loop {
            let known = (chain.names.len(), chain.items.each_ref().map(BTreeSet::len));
            let old = self.link_all(Side::Before, tops, &mut chain)?;
            let new = self.link_all(Side::After, tops, &mut chain)?;
            if known == (chain.names.len(), chain.items.each_ref().map(BTreeSet::len)) {
                return old.or(new).map_or(Ok(chain), Err);
            }
        }
    }

    /// Links the names that are open on one side; the first reason why one of them cannot be yet.
    fn link_all(
        &self,
        side: Side,
        tops: &Tops,
        chain: &mut Chain,
    ) -> Result<Option<Refusal>, Refusal> {
        let mut first = None;
        for name in std::mem::take(&mut chain.open[index(side)]) {
            self.links.set(self.links.get() + 1);
            if self.links.get() > LINKS_MAX {
                return self.refuse(side, NodeId::ROOT, "too much is made of each other");
            }
            match self.link(side, &name, tops, chain) {
                Ok(()) => {}
                Err(Unlinked::Never(refusal)) => return Err(refusal),
                Err(Unlinked::NotYet(refusal)) => {
                    chain.open[index(side)].insert(name);
                    first.get_or_insert(refusal);
                }
            }
        }
        Ok(first)
    }

    /// What hangs together with one name in one version, by a single step.
    fn link(&self, side: Side, name: &str, tops: &Tops, chain: &mut Chain) -> Result<(), Unlinked> {
        if let Some(hunk) = self.imported(side, name) {
            chain.imports.insert(name.to_owned(), hunk);
            return self.follow_all(side, name, chain);
        }
        if self.imported(side.other(), name).is_some() && self.top_variable(side, name).is_some() {
            return Ok(self.refuse(side, NodeId::ROOT, "it is imported in one version only")?);
        }
        let (Some(&item), other) =
            (tops[index(side)].get(name), tops[index(side.other())].get(name))
        else {
            return Ok(self.no_import(side, name)?);
        };
        // What is new is made of new values alone.
        if side == Side::After && other.is_none() {
            return Ok(());
        }
        self.is_bindable(side, item, name)?;
        if let Some(twin) = other {
            let (tree, foreign) = (self.tree(side), self.tree(side.other()));
            if is_exported(tree, item) != is_exported(foreign, *twin) {
                return Ok(self.refuse(side, item, "the export is rebound")?);
            }
        }
        chain.items[index(side)].insert(item);
        if !chain.joined.contains(&(side, item)) {
            self.join_siblings(side, item, chain)?;
            self.join_imports(side, item, chain);
            chain.joined.insert((side, item));
        }
        self.follow_all(side, name, chain)
    }

    fn follow_all(&self, side: Side, name: &str, chain: &mut Chain) -> Result<(), Unlinked> {
        let Some(variable) = self.top_variable(side, name) else { return Ok(()) };
        for &reference in &self.tree(side).variable(variable).references {
            self.follow(side, reference, chain)?;
        }
        Ok(())
    }

    /// A name that one version declares must not be one that the other version imports.
    fn no_import(&self, side: Side, name: &str) -> Result<(), Refusal> {
        match self.top_variable(side, name) {
            Some(_) => self.refuse(side, NodeId::ROOT, "it is declared in another way"),
            None => Ok(()),
        }
    }

    pub(super) fn top_variable(&self, side: Side, name: &str) -> Option<VariableId> {
        self.tree(side).top_variable(name)
    }

    /// Whether what a statement declares by this name may have two values.
    fn is_bindable(&self, side: Side, item: NodeId, name: &str) -> Result<(), Refusal> {
        let tree = self.tree(side);
        let Some(value) = value_of(tree, item, name) else {
            return self.refuse(side, item, "only a plain name with a value can be bound twice");
        };
        if !is_pure(tree, value) {
            let message = "its value is made by code that runs when the module is loaded";
            return self.refuse(side, value, message);
        }
        if !self.listed_exports(side, tree, name).iter().all(|exported| is_word(exported)) {
            return self.refuse(side, item, "it is exported by a name that is no identifier");
        }
        let variable = self.top_variable(side, name).map(|variable| tree.variable(variable));
        if variable.is_some_and(|variable| variable.declarations.len() != 1) {
            return self.refuse(side, item, "it is declared more than once");
        }
        Ok(())
    }

    /// Other declarators of one statement that differ go with it.
    fn join_siblings(&self, side: Side, item: NodeId, chain: &mut Chain) -> Result<(), Unlinked> {
        let (tree, foreign) = (self.tree(side), self.tree(side.other()));
        for &declarator in declarators(tree, item) {
            let Some(name) = tree.node(declarator).children.first().map(|id| tree.code(*id)) else {
                continue;
            };
            let twin = self.top_variable(side.other(), name).and_then(|variable| {
                let declaration = *foreign.variable(variable).declarations.first()?;
                foreign.node(declaration).parent
            });
            let same = twin.is_some_and(|twin| foreign.hash(twin) == tree.hash(declarator));
            if !same && !chain.names.contains(name) {
                if twin.is_none() {
                    let refused = self.refuse(side, declarator, "other names are declared");
                    return refused.map_err(Unlinked::NotYet);
                }
                chain.add(name);
            }
        }
        Ok(())
    }

    /// Other imports with two values that a statement is made of.
    fn join_imports(&self, side: Side, item: NodeId, chain: &mut Chain) {
        let tree = self.tree(side);
        let names = tree.subtree(item).filter(|id| {
            let variable = tree.node(*id).variable.map(|variable| tree.variable(variable));
            tree.ty(*id) == AstType::IdentifierReference
                && variable.is_some_and(|variable| variable.scope == NodeId::ROOT)
                && at_load(tree, *id)
        });
        let names = names.map(|id| tree.code(id));
        names.filter(|name| self.imported(side, name).is_some()).for_each(|name| chain.add(name));
    }

    /// What a use of a name at load makes of it.
    fn follow(&self, side: Side, reference: NodeId, chain: &mut Chain) -> Result<(), Unlinked> {
        let tree = self.tree(side);
        let node = tree.node(reference);
        let parent = node.parent.map_or(AstType::Program, |parent| tree.ty(parent));
        if node.marks.has(Marks::WRITTEN) {
            return Ok(self.refuse(side, reference, "it is assigned to")?);
        }
        if use_element(tree, reference) {
            return Ok(self.refuse(side, reference, "it is the name of an element")?);
        }
        if !at_load(tree, reference) || parent == AstType::ExportSpecifier {
            return Ok(());
        }
        let Some(item) = top_item(tree, reference) else { return Ok(()) };
        if let Some(name) = made_name(tree, item, reference) {
            chain.add(&name);
        } else if self.completes(side, item, chain) || self.assigns(side, item, chain) {
            chain.items[index(side)].insert(item);
            self.join_imports(side, item, chain);
        } else {
            let refused = self.refuse(side, reference, "it is used when the module is loaded");
            return refused.map_err(Unlinked::NotYet);
        }
        Ok(())
    }

    /// Whether a statement assigns a property of something else, which then chooses when it is read.
    fn assigns(&self, side: Side, item: NodeId, chain: &Chain) -> bool {
        let tree = self.tree(side);
        assigned(tree, item).is_some_and(|assigned| {
            is_pure(tree, assigned.value) && !chain.names.contains(assigned.base(tree))
        })
    }

    /// Whether a statement does nothing but complete what the names of a chain mean.
    fn completes(&self, side: Side, id: NodeId, chain: &Chain) -> bool {
        let tree = self.tree(side);
        let node = tree.node(id);
        let all = || node.children.iter().all(|child| self.completes(side, *child, chain));
        match node.ty {
            AstType::BlockStatement
            | AstType::IfStatement
            | AstType::ForStatement
            | AstType::ForOfStatement
            | AstType::ForInStatement
            | AstType::VariableDeclaration
            | AstType::ExpressionStatement => all(),
            AstType::VariableDeclarator => {
                node.children.iter().skip(1).all(|value| is_pure(tree, *value))
            }
            AstType::UpdateExpression => all() && self.is_own(side, node.children[0]),
            AstType::AssignmentExpression => {
                let [target, value] = node.children[..] else { return false };
                is_pure(tree, value)
                    && (self.is_own(side, target)
                        || self.member_of(side, target, chain).is_some_and(|v| is_plain(tree, v)))
            }
            AstType::CallExpression if !is_pure(tree, id) => {
                let Some((callee, arguments)) = node.children.split_first() else { return false };
                let value = self.member_of(side, *callee, chain);
                value.is_some_and(|value| adds_to(tree, *callee, value))
                    && arguments.iter().all(|argument| is_pure(tree, *argument))
            }
            _ => is_pure(tree, id),
        }
    }

    /// A variable of the statement's own.
    fn is_own(&self, side: Side, id: NodeId) -> bool {
        let tree = self.tree(side);
        let variable = tree.node(id).variable.map(|variable| tree.variable(variable));
        variable.is_some_and(|variable| variable.scope != NodeId::ROOT)
    }

    /// Of `name.x` or `name[x]`, the value that `name` is declared with, if it was made for it alone.
    fn member_of(&self, side: Side, id: NodeId, chain: &Chain) -> Option<NodeId> {
        let tree = self.tree(side);
        let (&object, keys) = tree.node(id).children.split_first()?;
        let declared = tree.node(object).variable.and_then(|variable| {
            let variable = tree.variable(variable);
            let own = variable.scope == NodeId::ROOT && chain.names.contains(&*variable.name);
            let declarator = tree.node(*variable.declarations.first()?).parent?;
            tree.node(declarator).children.get(1).copied().filter(|_| own)
        });
        let member = is_member(tree.ty(id)) && keys.iter().all(|key| is_pure(tree, *key));
        declared.filter(|_| member)
    }
}

/// Whether assigning a property of a value does no more than that: what it is made of has no setter.
fn is_plain(tree: &Tree<'_>, value: NodeId) -> bool {
    let node = tree.node(value);
    let plain = |property: &NodeId| {
        let property = tree.node(*property);
        let key = property.children.first().map_or("", |key| tree.code(*key));
        property.ty == AstType::ObjectProperty
            && !property.marks.has(Marks::ACCESSOR)
            && !key.contains("__proto__")
    };
    match node.ty {
        AstType::ObjectExpression => node.children.iter().all(plain),
        AstType::ArrayExpression => true,
        AstType::NewExpression => made_by(tree, value, &["Map", "Set", "WeakMap", "WeakSet"]),
        _ => false,
    }
}

/// `list.push(…)` of an array, `set.add(…)` of a set, `map.set(…)` of a map: not of what has such a method of its own.
fn adds_to(tree: &Tree<'_>, callee: NodeId, value: NodeId) -> bool {
    let method = tree.node(callee).children.last().map_or("", |name| tree.code(*name));
    match method {
        "push" | "unshift" => tree.ty(value) == AstType::ArrayExpression,
        "add" => made_by(tree, value, &["Set", "WeakSet"]),
        "set" => made_by(tree, value, &["Map", "WeakMap"]),
        _ => false,
    }
}

/// `new Name(…)`, where the name is nobody's own.
fn made_by(tree: &Tree<'_>, value: NodeId, names: &[&str]) -> bool {
    let callee = tree.node(value).children.first().copied();
    callee.filter(|_| tree.ty(value) == AstType::NewExpression).is_some_and(|callee| {
        tree.node(callee).variable.is_none() && names.contains(&tree.code(callee))
    })
}

/// By the names that statements of the top level declare: the statements.
pub(super) fn tops(tree: &Tree<'_>, items: &[NodeId]) -> BTreeMap<String, NodeId> {
    let mut tops = BTreeMap::new();
    for &item in items {
        if tree.ty(item) == AstType::ExportDefaultDeclaration {
            tops.insert(DEFAULT.to_owned(), item);
        }
        let inner = declaration(tree, item);
        if matches!(tree.ty(inner), AstType::Function | AstType::Class) {
            tops.extend(own_name(tree, inner).map(|name| (name.to_owned(), item)));
        }
        for declarator in declarators(tree, item) {
            let name = tree.node(*declarator).children.first().map(|name| tree.code(*name));
            tops.extend(name.map(|name| (name.to_owned(), item)));
        }
    }
    tops
}

/// What a statement declares or exports, without `export`.
pub(super) fn declaration(tree: &Tree<'_>, item: NodeId) -> NodeId {
    match (tree.ty(item), tree.node(item).children.first()) {
        (AstType::ExportDeclaration, Some(inner)) => *inner,
        _ => item,
    }
}

pub(super) fn is_exported(tree: &Tree<'_>, item: NodeId) -> bool {
    matches!(tree.ty(item), AstType::ExportDeclaration | AstType::ExportDefaultDeclaration)
}

/// The declarators of a `var`, `let` or `const`, exported or not.
pub(super) fn declarators<'t>(tree: &Tree<'t>, item: NodeId) -> &'t [NodeId] {
    let inner = tree.node(declaration(tree, item));
    let plain = inner.ty == AstType::VariableDeclaration && !inner.marks.has(Marks::USING);
    if plain { inner.children } else { &[] }
}

/// The declarator, class or function by which a statement declares a name; the expression of `export default`.
pub(super) fn declares(tree: &Tree<'_>, item: NodeId, name: &str) -> Option<NodeId> {
    if name == DEFAULT {
        return tree.node(item).children.first().copied();
    }
    let inner = declaration(tree, item);
    if matches!(tree.ty(inner), AstType::Function | AstType::Class) {
        return (own_name(tree, inner) == Some(name)).then_some(inner);
    }
    let named = |declarator: &NodeId| {
        let id = tree.node(*declarator).children.first();
        id.is_some_and(|id| tree.ty(*id) == AstType::BindingIdentifier && tree.code(*id) == name)
    };
    let own = declarators(tree, item);
    let Some(variable) = tree.top_variable(name) else {
        return own.iter().copied().find(named);
    };
    let declarations = tree.variable(variable).declarations.iter();
    let mut parents = declarations.filter_map(|id| tree.node(*id).parent);
    parents.find(|parent| own.binary_search(parent).is_ok() && named(parent))
}

fn value_of(tree: &Tree<'_>, item: NodeId, name: &str) -> Option<NodeId> {
    let declared = declares(tree, item, name)?;
    match tree.ty(declared) {
        AstType::VariableDeclarator => tree.node(declared).children.get(1).copied(),
        // A declaration that has a name besides being the default is two bindings.
        AstType::Function | AstType::Class if name == DEFAULT => {
            own_name(tree, declared).is_none().then_some(declared)
        }
        _ => Some(declared),
    }
}

/// The statement of the top level around a node.
pub(super) fn top_item(tree: &Tree<'_>, id: NodeId) -> Option<NodeId> {
    let mut around = std::iter::once(id).chain(tree.ancestors(id));
    around.find(|outer| tree.node(*outer).parent == Some(NodeId::ROOT))
}

/// The name by which a statement keeps what it makes of what is used at `id`.
fn made_name(tree: &Tree<'_>, item: NodeId, id: NodeId) -> Option<String> {
    if tree.ty(item) == AstType::ExportDefaultDeclaration {
        return Some(DEFAULT.to_owned());
    }
    let inner = declaration(tree, item);
    if tree.ty(inner) == AstType::Class {
        return own_name(tree, inner).map(str::to_owned);
    }
    let declarator = declarators(tree, item).iter().find(|d| tree.contains(**d, id))?;
    let name = *tree.node(*declarator).children.first()?;
    (tree.ty(name) == AstType::BindingIdentifier).then(|| tree.code(name).to_owned())
}
