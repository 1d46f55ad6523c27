//! What the modules around one would notice of what is there in both arms.
//!
//! An edit that only adds is not chosen per request: the method, the export, the import is there for old code, too. That is
//! the same to old code which does not look, and loading a module is the same as not to load it if that keeps to itself.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use belay_model::{AppManifest, ImportKind, ImportTarget, ModuleKind};

use super::{
    acts::is_act,
    hunk::Side,
    modules::{Source, WovenModule},
};
use crate::syntax::{NodeId, is_own_code, with_source_tree};

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
            || all.any(|Source { entry, text }| {
                match is_own_code(&entry.path) || look == Look::Any {
                    true => mentions(text, name, look),
                    false => asks_for(text, name),
                }
            })
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

/// Whether a text asks of any object if it has a member by this name: `typeof it.name`, `"name" in it`. Code of packages,
/// that knows nothing of the app's classes, would do so.
fn asks_for(text: &str, name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '?' | '(');
    text.match_indices(name).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + name.len()..]);
        let asked = before.trim_end_matches(word).trim_end().ends_with("typeof");
        let quoted = before.ends_with(['"', '\'']) && behind.starts_with(['"', '\'']);
        let ends = !behind.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$'));
        before.ends_with('.') && asked && ends
            || quoted && behind[1..].trim_start().starts_with("in ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_looked_for_by_reading_it() {
        for text in [
            "if (it.refresh) go()",
            "it?.refresh",
            "it.refresh\n",
            "has(it, 'refresh')",
            "it[\"refresh\"]",
            "const { refresh } = it",
            "const { a, refresh: b } = it",
        ] {
            assert!(mentions(text, "refresh", Look::Test), "{text}");
        }
        for text in ["it.refresh()", "it.refresh (1)", "refreshed", "it.refreshed", "refresh(it)"] {
            assert!(!mentions(text, "refresh", Look::Test), "{text}");
        }
        assert!(mentions("it.refresh()", "refresh", Look::Any));
    }

    #[test]
    fn packages_ask_for_a_member() {
        for text in
            ["typeof it.on === 'function'", "typeof (it.a.on)", "'on' in it", "typeof x?.on"]
        {
            assert!(asks_for(text, "on"), "{text}");
        }
        for text in ["it.on", "typeof it.one", "typeof it; it.on", "'on'", "typeof on"] {
            assert!(!asks_for(text, "on"), "{text}");
        }
    }
}
