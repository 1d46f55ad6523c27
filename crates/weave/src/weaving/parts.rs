//! Which hunks need each other: they make one part, and move together.
//!
//! Two hunks are tied when they
//! - use a name that only one of the two versions knows (T1);
//! - write and use the same local variable, or stand in the same statement (T2);
//! - differ in the parameters of a function and call it (T2c);
//! - write and use a property or module-level variable of the same name (T2p);
//! - are in the same function (T3), where that is wanted, or where that becomes a transaction or is none any more.
//!
//! The code may ask for more or less by `@rollback`, hunk by hunk. Of two hunks that ask for different things:
//! - T1, T2 and T2c hold between all: without them code would run that no version has;
//! - T2p holds where neither end is `fine`. It goes by names alone, and who writes `fine` vouches for that piece of code,
//!   whatever the rest of the app says: if the other end could ask for the tie, a single `fine` would mean nothing;
//! - T3 holds where either end is `medium`, for all of the function but what is `fine` in it: a smaller place within
//!   that says otherwise of itself;
//! - one `coarse` end ties everything, for what it asks for is said of the whole app.
//!
//! What additive code uses counts as used by whoever uses it. All that differs between the images is one part.
//!
//! State that outlives a request could tie more. There is none: each request starts from the image.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use belay_model::{HunkKind, Tie};
use oxc::span::Span;

use super::{
    facts::{HunkFacts, Vocabulary},
    hunk::{Hunk, Side},
    never::Brought,
};
use crate::{
    syntax::{NodeId, VariableId},
    tags::holds,
};

/// How closely hunks are tied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tying {
    /// By parameters and their callers, but not by names of properties: `@rollback fine`.
    Fine,
    /// By names of properties too: untagged code.
    Default,
    /// By function: `@rollback medium`.
    Medium,
    /// Everything: `@rollback coarse`.
    Coarse,
}

/// A hunk with what is known of it, in one module of the app.
pub(crate) struct Candidate<'c> {
    pub(crate) module: usize,
    /// The path of a module that only one version has, which is the whole of the hunk.
    pub(crate) path: Option<&'c str>,
    pub(crate) hunk: &'c Hunk,
    pub(crate) facts: &'c HunkFacts,
    pub(crate) tying: Tying,
    /// In the new source, the function that it moves with if the tying is medium.
    pub(crate) function: Option<Span>,
}

impl Candidate<'_> {
    /// It is there in both arms, as nobody uses it in the other one.
    pub(super) fn is_additive(&self) -> bool {
        self.hunk.kind == HunkKind::Additive
    }
}

/// Hunks that move together, by their places in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) members: BTreeSet<usize>,
    pub(crate) ties: BTreeSet<Tie>,
}

type Shared = BTreeMap<Tie, Vec<usize>>;

pub(crate) fn tie(
    candidates: &[Candidate<'_>],
    vocabularies: &[[Vocabulary; 2]],
    brought: &[Brought],
) -> (Vec<Group>, BTreeMap<usize, BTreeSet<usize>>) {
    let mut tying = Groups::new(candidates.len());
    let active: Vec<usize> =
        (0..candidates.len()).filter(|at| !candidates[*at].is_additive()).collect();
    let additive: Vec<usize> =
        (0..candidates.len()).filter(|at| candidates[*at].is_additive()).collect();
    let reach = used_additive(candidates, &additive);
    let names = introduced(candidates, vocabularies);
    tie_names(candidates, &active, &reach, &names, &mut tying);
    tie_locals(candidates, &active, &BTreeSet::new(), &mut tying);
    tie_statements(candidates, &active, &mut tying);
    tie_image_names(candidates, &active, &reach, &mut tying);
    tie_functions(candidates, &mut tying);
    tie_brought(candidates, &active, &reach, brought, &mut tying);
    let image = active.iter().copied().filter(|at| candidates[*at].hunk.kind == HunkKind::Image);
    tying.join(&image.collect::<Vec<_>>(), &Tie::Image);
    let settings =
        active.iter().copied().filter(|at| candidates[*at].hunk.kind == HunkKind::Settings);
    tying.join(&settings.collect::<Vec<_>>(), &Tie::Settings);
    if candidates.iter().any(|candidate| candidate.tying == Tying::Coarse) {
        tying.join(&(0..candidates.len()).collect::<Vec<_>>(), &Tie::Whole);
    }
    // Additive code follows the one part that uses it. What several use is of all of them, what nobody uses on its own.
    let mut shared = BTreeMap::new();
    for &at in &additive {
        let users: BTreeSet<usize> =
            active.iter().copied().filter(|user| reach[*user].contains(&at)).collect();
        let parts: BTreeSet<usize> = users.iter().map(|user| tying.find(*user)).collect();
        match (parts.len(), users.first()) {
            (1, Some(user)) => {
                tying.join(&[*user, at], &Tie::Introduced(candidates[at].hunk.names.join(", ")));
            }
            (0, _) => reach[at].iter().for_each(|other| {
                let names = candidates[*other].hunk.names.join(", ");
                tying.join(&[at, *other], &Tie::Introduced(names));
            }),
            _ => {
                shared.insert(at, users);
            }
        }
    }
    let mut groups = tying.groups();
    groups.iter_mut().for_each(|group| group.members.retain(|at| !shared.contains_key(at)));
    groups.retain(|group| !group.members.is_empty());
    (groups, shared)
}

/// Names of properties and globals that one version alone knows, and that are not those of additive code.
fn introduced(candidates: &[Candidate<'_>], vocabularies: &[[Vocabulary; 2]]) -> BTreeSet<String> {
    let all = |side: usize| {
        let vocabularies = vocabularies.iter().map(|both| &both[side]);
        let properties: BTreeSet<&String> =
            vocabularies.clone().flat_map(|it| &it.properties).collect();
        [properties, vocabularies.flat_map(|it| &it.globals).collect()]
    };
    let (old, new) = (all(0), all(1));
    let additive: BTreeSet<&String> = candidates
        .iter()
        .filter(|c| c.hunk.kind == HunkKind::Additive)
        .flat_map(|c| &c.hunk.names)
        .collect();
    let one_sided = (0..2).flat_map(|kind| old[kind].symmetric_difference(&new[kind]));
    one_sided.filter(|name| !additive.contains(*name)).map(|name| (*name).clone()).collect()
}

/// The additive hunks that each hunk uses, directly or through others, on the side where they are.
pub(super) fn used_additive(
    candidates: &[Candidate<'_>],
    additive: &[usize],
) -> Vec<BTreeSet<usize>> {
    let direct = directly_used(candidates, additive);
    let reach = |from: usize| {
        let mut found = BTreeSet::new();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            let next = direct[at].iter().copied();
            open.extend(next.filter(|other| *other != from && found.insert(*other)));
        }
        found
    };
    (0..candidates.len()).map(reach).collect()
}

fn directly_used(candidates: &[Candidate<'_>], additive: &[usize]) -> Vec<BTreeSet<usize>> {
    type Index<'c> = HashMap<&'c str, Vec<usize>>;
    let (mut names, mut paths): ([Index<'_>; 2], [Index<'_>; 2]) = Default::default();
    for &at in additive {
        let Candidate { hunk, path, .. } = &candidates[at];
        for side in Side::BOTH.into_iter().filter(|side| !hunk.place(*side).spans.is_empty()) {
            let side = usize::from(side == Side::After);
            for name in &hunk.names {
                names[side].entry(name).or_default().push(at);
            }
            if let Some(path) = path {
                paths[side].entry(path).or_default().push(at);
            }
        }
    }
    let used = |candidate: &Candidate<'_>| {
        let sides = Side::BOTH.into_iter().flat_map(|side| {
            let (facts, side) = (candidate.facts.side(side), usize::from(side == Side::After));
            let named = facts.globals.iter().chain(&facts.properties);
            let named = named.filter_map(|name| names[side].get(name.as_str()));
            let imported = facts.modules.iter().filter_map(|path| paths[side].get(path.as_str()));
            named.chain(imported).flatten().copied().collect::<Vec<_>>()
        });
        sides.collect()
    };
    candidates.iter().map(used).collect()
}

pub(super) fn tie_names(
    candidates: &[Candidate<'_>],
    active: &[usize],
    reach: &[BTreeSet<usize>],
    introduced: &BTreeSet<String>,
    tying: &mut Groups,
) {
    let changed = |at: &usize| {
        let hunk = candidates[*at].hunk;
        matches!(hunk.kind, HunkKind::Parameters | HunkKind::Function)
    };
    let parameters: BTreeSet<&String> =
        active.iter().filter(|at| changed(at)).flat_map(|at| &candidates[*at].hunk.names).collect();
    let mut direct: Shared = BTreeMap::new();
    let mut through: Shared = BTreeMap::new();
    let written: BTreeSet<&String> = active
        .iter()
        .filter(|at| candidates[**at].tying != Tying::Fine)
        .flat_map(|at| Side::BOTH.map(|side| &candidates[*at].facts.side(side).written))
        .flatten()
        .collect();
    let note = |at: usize, of: usize, into: &mut Shared| {
        let (facts, fine) = (candidates[of].facts, [at, of].map(|it| candidates[it].tying));
        let by_name = !fine.contains(&Tying::Fine);
        for side in Side::BOTH {
            let facts = facts.side(side);
            for name in facts.properties.iter().chain(&facts.globals) {
                if introduced.contains(name) {
                    into.entry(Tie::Introduced(name.clone())).or_default().push(at);
                }
                if parameters.contains(name) {
                    into.entry(Tie::Parameters(name.clone())).or_default().push(at);
                }
                if by_name && written.contains(name) {
                    into.entry(Tie::Written(name.clone())).or_default().push(at);
                }
            }
        }
    };
    for &at in active {
        note(at, at, &mut direct);
        for name in candidates[at].hunk.names.iter().filter(|_| changed(&at)) {
            direct.entry(Tie::Parameters(name.clone())).or_default().push(at);
        }
        for other in &reach[at] {
            note(at, *other, &mut through);
        }
    }
    // Through additive code a hunk is tied to those that use the name themselves, not to others that use that code.
    for (tie, users) in through {
        if let Some(owners) = direct.get_mut(&tie) {
            owners.extend(users);
        }
    }
    direct.into_iter().for_each(|(tie, members)| tying.join(&members, &tie));
}

/// But for some variables of the new sources.
pub(super) fn tie_locals(
    candidates: &[Candidate<'_>],
    active: &[usize],
    but: &BTreeSet<(usize, VariableId)>,
    tying: &mut Groups,
) {
    type Key = (usize, Side, VariableId);
    let mut users: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    let mut tied: BTreeSet<Key> = BTreeSet::new();
    for &at in active {
        let candidate = &candidates[at];
        for side in Side::BOTH {
            let facts = candidate.facts.side(side);
            let apart = |variable: &VariableId| {
                side == Side::After && but.contains(&(candidate.module, *variable))
            };
            for variable in facts.locals.iter().filter(|it| !apart(it)) {
                let key = (candidate.module, side, *variable);
                users.entry(key).or_default().push(at);
                if facts.written_locals.contains(variable) || facts.introduced.contains(variable) {
                    tied.insert(key);
                }
            }
        }
    }
    for (key, members) in users.into_iter().filter(|(key, _)| tied.contains(key)) {
        let first = members.first().map(|at| candidates[*at].facts.side(key.1));
        let name = first.and_then(|facts| facts.names.get(&key.2)).cloned().unwrap_or_default();
        tying.join(&members, &Tie::Variable(name));
    }
}

pub(super) fn tie_statements(candidates: &[Candidate<'_>], active: &[usize], tying: &mut Groups) {
    let mut statements: BTreeMap<(usize, NodeId), Vec<usize>> = BTreeMap::new();
    for &at in active {
        let Candidate { module, facts, .. } = &candidates[at];
        if let Some(statement) = facts.statement {
            statements.entry((*module, statement)).or_default().push(at);
        }
    }
    statements.values().for_each(|members| tying.join(members, &Tie::SameStatement));
}

/// What only one of two images declares must not be used in the other one.
fn tie_image_names(
    candidates: &[Candidate<'_>],
    active: &[usize],
    reach: &[BTreeSet<usize>],
    tying: &mut Groups,
) {
    let image = active.iter().copied().filter(|at| candidates[*at].hunk.kind == HunkKind::Image);
    let mut declared: BTreeMap<(usize, &String), [Vec<usize>; 2]> = BTreeMap::new();
    for at in image {
        let Candidate { module, facts, .. } = &candidates[at];
        for side in Side::BOTH {
            for name in &facts.side(side).declared {
                let both = declared.entry((*module, name)).or_default();
                both[usize::from(side == Side::After)].push(at);
            }
        }
    }
    for ((module, name), [old, new]) in declared {
        let by =
            if old.is_empty() { new } else { old.into_iter().filter(|_| new.is_empty()).collect() };
        let uses = |at: &usize| {
            let all = reach[*at].iter().chain([at]).map(|at| &candidates[*at]);
            let mut own = all.filter(|it| it.module == module);
            own.any(|it| Side::BOTH.into_iter().any(|s| it.facts.side(s).globals.contains(name)))
        };
        if !by.is_empty() {
            let users = active.iter().copied().filter(uses);
            let members: Vec<usize> = by.iter().copied().chain(users).collect();
            tying.join(&members, &Tie::Introduced(name.clone()));
        }
    }
}

fn tie_functions(candidates: &[Candidate<'_>], tying: &mut Groups) {
    let medium = candidates.iter().filter(|it| it.tying == Tying::Medium);
    let medium = medium.filter_map(|it| Some((it.module, it.function?)));
    let binding = candidates.iter().filter_map(|it| Some((it.module, it.hunk.of?)));
    let binding = binding.filter(|(_, of)| of.binds).map(|(module, of)| (module, of.function));
    let functions: BTreeSet<(usize, u32, u32)> =
        medium.chain(binding).map(|(module, span)| (module, span.start, span.end)).collect();
    for (module, start, end) in functions {
        let within = |it: &Candidate<'_>| {
            it.module == module
                && it.tying != Tying::Fine
                && holds(Span::new(start, end), about(it.hunk))
        };
        let members: Vec<usize> =
            (0..candidates.len()).filter(|at| within(&candidates[*at])).collect();
        tying.join(&members, &Tie::SameFunction);
    }
}

/// The code that a hunk changes or speaks of, in the new source.
fn about(hunk: &Hunk) -> Span {
    hunk.of.map_or_else(|| hunk.after.cover(), |of| of.function)
}

/// What an edit that stays brings is there in both arms: all that uses it moves together.
fn tie_brought(
    candidates: &[Candidate<'_>],
    active: &[usize],
    reach: &[BTreeSet<usize>],
    brought: &[Brought],
    tying: &mut Groups,
) {
    for brought in brought {
        let used = |at: usize| {
            let through = reach[at].iter().copied().chain([at]);
            through.filter_map(|at| brought.used_by(&candidates[at])).next()
        };
        let users: Vec<(usize, String)> =
            active.iter().filter_map(|at| Some((*at, used(*at)?))).collect();
        if let Some((_, name)) = users.first() {
            let members: Vec<usize> = users.iter().map(|(at, _)| *at).collect();
            tying.join(&members, &Tie::Stays(name.clone()));
        }
    }
}

/// Disjoint sets, each with why its members came together.
pub(super) struct Groups {
    parents: Vec<usize>,
    ties: Vec<(usize, Tie)>,
}

impl Groups {
    pub(super) fn new(len: usize) -> Self {
        Self { parents: (0..len).collect(), ties: Vec::new() }
    }

    fn find(&mut self, at: usize) -> usize {
        let mut root = at;
        while self.parents[root] != root {
            self.parents[root] = self.parents[self.parents[root]];
            root = self.parents[root];
        }
        root
    }

    fn join(&mut self, members: &[usize], tie: &Tie) {
        let Some((&first, rest)) = members.split_first() else { return };
        for &other in rest {
            let (a, b) = (self.find(first), self.find(other));
            if a != b {
                self.parents[a.max(b)] = a.min(b);
                self.ties.push((first, tie.clone()));
            }
        }
    }

    pub(super) fn groups(mut self) -> Vec<Group> {
        let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
        for at in 0..self.parents.len() {
            let root = self.find(at);
            groups.entry(root).or_default().members.insert(at);
        }
        for (at, tie) in std::mem::take(&mut self.ties) {
            let root = self.find(at);
            groups.entry(root).or_default().ties.insert(tie);
        }
        groups.into_values().collect()
    }
}
