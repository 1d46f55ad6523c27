//! What the modules around one would notice of what is there in both arms.
//!
//! An edit that only adds is not chosen per request: the method, the export, the import is there for old code, too. That is
//! the same to old code which does not look, and loading a module is the same as not to load it if that keeps to itself.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use belay_model::{AppManifest, ImportKind, ImportTarget, ModuleKind};
use oxc::ast::AstType;

use super::{
    hunk::Side,
    modules::{Source, WovenModule},
    nodes::{at_load, is_function},
};
use crate::syntax::{NodeId, Tree, with_source_tree};

/// Members that the language looks for, in objects of anyone.
const LOOKED_FOR: [&str; 6] = ["then", "toJSON", "next", "return", "throw", "exec"];

/// Members that every object has.
const INHERITED: [&str; 4] = ["constructor", "toString", "toLocaleString", "valueOf"];

/// How a name is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Also by calling it: the object may inherit another one.
    Any,
    /// Not by calling it, which would have failed.
    Test,
}

/// All modules of two versions.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    modules: Vec<[Option<Source>; 2]>,
    places: BTreeMap<String, usize>,
    /// Paths of what is loaded with the app, per version.
    loaded: [BTreeSet<String>; 2],
    /// What was found of modules: whether they act when they are loaded.
    acts: RefCell<BTreeMap<(Side, usize), bool>>,
}

impl Elsewhere {
    pub(super) fn new(modules: &[WovenModule], manifests: [&AppManifest; 2]) -> Self {
        let loaded = manifests.map(|manifest| {
            let edges = manifest.modules.iter().flat_map(|module| &module.imports);
            let edges = edges.filter(|edge| is_eager(edge.kind));
            let imported = edges.filter_map(|edge| match &edge.target {
                ImportTarget::Module(path) => Some(path.clone()),
                _ => None,
            });
            let entries = manifest.functions.values().map(|spec| spec.module.clone());
            imported.chain(entries).collect()
        });
        let sources = modules.iter().map(|module| [module.before.clone(), module.after.clone()]);
        let places = modules.iter().enumerate().map(|(at, module)| (module.path.clone(), at));
        let (modules, places) = (sources.collect(), places.collect());
        Self { modules, places, loaded, acts: RefCell::default() }
    }

    fn source(&self, side: Side, module: usize) -> Option<&Source> {
        self.modules.get(module)?[usize::from(side == Side::After)].as_ref()
    }

    /// Whether code of a version may look for a member by this name, in an object of whatever module.
    pub(super) fn looks_for(&self, side: Side, name: &str, look: Look) -> bool {
        let mut all = (0..self.modules.len()).filter_map(|module| self.source(side, module));
        LOOKED_FOR.contains(&name)
            || INHERITED.contains(&name)
            || all.any(|source| mentions(&source.text, name, look))
    }

    /// As [`Self::looks_for`], in what a module exports.
    pub(super) fn looks_for_export(&self, side: Side, module: usize, name: &str) -> bool {
        let mut importers = (0..self.modules.len()).filter_map(|other| {
            let source = self.source(side, other)?;
            let whole = source.entry.imports.iter().any(|edge| {
                self.target(&edge.target) == Some(module)
                    && (edge.kind != ImportKind::Import || source.text.contains("* as"))
            });
            whole.then_some(source)
        });
        name == "then" || importers.any(|source| mentions(&source.text, name, Look::Test))
    }

    fn target(&self, target: &ImportTarget) -> Option<usize> {
        match target {
            ImportTarget::Module(path) => self.places.get(path).copied(),
            _ => None,
        }
    }

    /// Specifiers by which a version of a module loads what acts on more than itself, where the other version does not load
    /// it, or in another order.
    pub(super) fn acting(&self, side: Side, module: usize) -> BTreeSet<&str> {
        let new = |(_, target): &(&str, usize)| self.acts(side, *target, false);
        let new = self.imports(side, module).into_iter().filter(new);
        new.map(|(specifier, _)| specifier).chain(self.reordered(module)).collect()
    }

    /// Specifiers by which both versions of a module load what acts on more than itself, if not in the same order.
    pub(super) fn reordered(&self, module: usize) -> Vec<&str> {
        let [old, new] = Side::BOTH.map(|side| self.imports(side, module));
        let common = |own: &[(&'_ str, usize)], other: &[(&str, usize)]| -> Vec<usize> {
            let other: BTreeSet<usize> = other.iter().map(|(_, target)| *target).collect();
            own.iter().map(|(_, target)| *target).filter(|target| other.contains(target)).collect()
        };
        let orders = [common(&old, &new), common(&new, &old)];
        if orders[0] == orders[1] {
            return Vec::new();
        }
        let acting: BTreeSet<usize> = orders[1]
            .iter()
            .copied()
            .filter(|target| Side::BOTH.into_iter().any(|side| self.acts(side, *target, true)))
            .collect();
        let [old_order, new_order] =
            orders.map(|all| all.into_iter().filter(|it| acting.contains(it)).collect::<Vec<_>>());
        if old_order == new_order {
            return Vec::new();
        }
        let all = old.into_iter().chain(new);
        all.filter(|(_, target)| acting.contains(target)).map(|(specifier, _)| specifier).collect()
    }

    /// What a module loads with itself, in order.
    fn imports(&self, side: Side, module: usize) -> Vec<(&str, usize)> {
        let edges = self.source(side, module).map_or(&[][..], |source| &source.entry.imports);
        let edges = edges.iter().filter(|edge| is_eager(edge.kind));
        edges.filter_map(|edge| Some((&*edge.specifier, self.target(&edge.target)?))).collect()
    }

    /// Whether a module, or what it loads, acts on more than itself. Without `all` only what the other version does not
    /// load counts.
    fn acts(&self, side: Side, module: usize, all: bool) -> bool {
        let (mut open, mut known) = (vec![module], BTreeSet::new());
        while let Some(at) = open.pop() {
            let Some(source) = self.source(side, at).filter(|_| known.insert(at)) else { continue };
            let loaded = &self.loaded[usize::from(side == Side::Before)];
            if !all && loaded.contains(&source.entry.path) {
                continue;
            }
            if self.module_acts(side, at, source) {
                return true;
            }
            open.extend(self.imports(side, at).into_iter().map(|(_, target)| target));
        }
        false
    }

    fn module_acts(&self, side: Side, module: usize, source: &Source) -> bool {
        let known = self.acts.borrow().get(&(side, module)).copied();
        known.unwrap_or_else(|| {
            let kind = source.entry.kind;
            let acts = kind != ModuleKind::Json
                && with_source_tree(&source.entry.path, &source.text, kind, |tree| {
                    tree.subtree(NodeId::ROOT).any(|id| is_act(tree, id))
                })
                .unwrap_or(true);
            self.acts.borrow_mut().insert((side, module), acts);
            acts
        })
    }
}

fn is_eager(kind: ImportKind) -> bool {
    kind != ImportKind::Dynamic
}

/// Whether a text looks for a member by this name: `.name`, `"name"`, or in a pattern. It is looked at as text, comments
/// and all: to find too much costs a switch, to find too little would be wrong.
fn mentions(text: &str, name: &str, look: Look) -> bool {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    text.match_indices(name).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + name.len()..]);
        if before.ends_with(word) || behind.starts_with(word) {
            return false;
        }
        let next = behind.trim_start().chars().next();
        match before.chars().next_back() {
            Some('.') => look == Look::Any || next != Some('('),
            Some(quote @ ('"' | '\'' | '`')) => behind.starts_with(quote),
            _ => {
                let opens = matches!(before.trim_end().chars().next_back(), Some('{' | ','));
                opens && matches!(next, Some(',' | '}' | '=' | ':'))
            }
        }
    })
}

/// Whether something that is done as a module is loaded may be seen outside of it: something is called for what it does, or
/// something is assigned that is not the module's own. What a value is made by is taken to make that value.
fn is_act(tree: &Tree<'_>, id: NodeId) -> bool {
    let node = tree.node(id);
    match node.ty {
        AstType::CallExpression | AstType::NewExpression | AstType::TaggedTemplateExpression => {
            is_for_its_effect(tree, id) && runs_at_load(tree, id) && !is_own_call(tree, id)
        }
        AstType::AssignmentExpression | AstType::UpdateExpression => {
            let target = node.children.first().copied();
            target.is_some_and(|target| !is_own(tree, target)) && runs_at_load(tree, id)
        }
        AstType::UnaryExpression => {
            let target = node.children.first().copied();
            let deletes = tree.code(id).starts_with("delete");
            deletes && target.is_some_and(|it| !is_own(tree, it)) && runs_at_load(tree, id)
        }
        AstType::ThrowStatement => runs_at_load(tree, id),
        _ => false,
    }
}

/// At load, or in a function that is called where it is written.
fn runs_at_load(tree: &Tree<'_>, id: NodeId) -> bool {
    if at_load(tree, id) {
        return true;
    }
    let mut functions = tree.ancestors(id).filter(|outer| is_function(tree.ty(*outer)));
    let called = |function: NodeId| {
        let call = tree.node(function).parent?;
        let callee = tree.node(call).children.first() == Some(&function);
        (callee && tree.ty(call) == AstType::CallExpression).then_some(call)
    };
    functions.next().and_then(called).is_some_and(|call| runs_at_load(tree, call))
}

/// Whether nothing is made of what an expression gives.
fn is_for_its_effect(tree: &Tree<'_>, id: NodeId) -> bool {
    for outer in tree.ancestors(id) {
        match tree.ty(outer) {
            AstType::ExpressionStatement => return true,
            AstType::LogicalExpression
            | AstType::ConditionalExpression
            | AstType::SequenceExpression
            | AstType::AwaitExpression
            | AstType::ChainExpression
            | AstType::UnaryExpression => {}
            _ => return false,
        }
    }
    false
}

/// A call of something of the module's own, or that changes only that.
fn is_own_call(tree: &Tree<'_>, call: NodeId) -> bool {
    let children = &tree.node(call).children;
    let Some(&callee) = children.first() else { return false };
    if is_function(tree.ty(callee)) {
        // What it is given it may change.
        let foreign =
            |id: &NodeId| tree.ty(*id) == AstType::IdentifierReference && !is_own(tree, *id);
        return !children.iter().skip(1).any(|argument| foreign(argument));
    }
    if tree.code(callee) == "require" {
        return true;
    }
    if tree.ty(callee) == AstType::StaticMemberExpression
        && tree.code(callee).starts_with("Object.")
    {
        return children.get(1).is_some_and(|target| is_own(tree, *target));
    }
    tree.ty(callee) == AstType::StaticMemberExpression && is_own(tree, callee)
}

/// Whether an expression leads, by names, to something that the module itself has made.
fn is_own(tree: &Tree<'_>, id: NodeId) -> bool {
    let node = tree.node(id);
    match node.ty {
        AstType::StaticMemberExpression
        | AstType::ComputedMemberExpression
        | AstType::PrivateFieldExpression
        | AstType::TSNonNullExpression
        | AstType::TSAsExpression => {
            node.children.first().is_some_and(|inner| is_own(tree, *inner))
        }
        AstType::ObjectPattern
        | AstType::ArrayPattern
        | AstType::ArrayAssignmentTarget
        | AstType::ObjectAssignmentTarget => {
            let names = tree.subtree(id).filter(|id| tree.ty(*id) == AstType::IdentifierReference);
            names.into_iter().all(|name| is_own(tree, name))
        }
        // Of a CommonJS module it is what is exported.
        AstType::ThisExpression => true,
        AstType::IdentifierReference | AstType::AssignmentTargetPropertyIdentifier => {
            match node.variable {
                Some(variable) => {
                    let declared = tree.variable(variable).declarations.first();
                    declared.is_some_and(|declared| !is_imported(tree, *declared))
                }
                None => matches!(tree.code(id), "exports" | "module"),
            }
        }
        _ => false,
    }
}

/// Whether a name is of an import, or of what `require` gave.
fn is_imported(tree: &Tree<'_>, declared: NodeId) -> bool {
    tree.ancestors(declared).any(|outer| match tree.ty(outer) {
        AstType::ImportDeclaration => true,
        AstType::VariableDeclarator => tree.subtree(outer).any(|id| {
            tree.ty(id) == AstType::ImportExpression
                || tree.ty(id) == AstType::CallExpression
                    && tree.node(id).children.first().is_some_and(|it| tree.code(*it) == "require")
        }),
        _ => false,
    })
}
