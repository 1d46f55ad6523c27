//! Which failures matter: those that loading an entry runs into for certain.
//!
//! A file is *bad* if it has an error or cannot do without something bad. An import that can be
//! done without and leads to something bad becomes [`ImportTarget::Missing`]; a bad file that an
//! entry cannot do without has its errors reported, with the way to it. Files that nothing leads to
//! any more are left out.

use std::collections::{BTreeMap, VecDeque};

use belay_model::{Diagnostic, ImportTarget};

use super::{
    ResolvedEntry, edge, messages,
    walk::{End, File, Walked},
};
use crate::{
    linking::Unit,
    syntax::{Import, Need},
};

/// Most problems told at once.
const ERRORS_MAX: usize = 50;

pub(super) struct Settled {
    /// Sorted by path.
    pub(super) units: Vec<Unit>,
    pub(super) entries: Vec<ResolvedEntry>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

pub(super) fn settle(walked: Walked) -> Settled {
    let Walked { mut files, entries, mut diagnostics } = walked;
    let bad = bad(&files);
    let starts: Vec<usize> = entries.iter().map(|(_, at)| *at).collect();
    let firm = reach(&files, &starts, |at, link| files[at].links[link].firm);
    diagnostics.extend(errors(&files, &firm));
    let keeps = |at: usize, link: usize| match &files[at].links[link] {
        link if link.firm => true,
        link => matches!(link.end, End::File(target) if !bad[target]),
    };
    let kept = reach(&files, &starts, keeps);
    for at in kept.keys() {
        let (edges, warnings) = edges(&files, *at, &bad);
        files[*at].unit.edges = edges;
        diagnostics
            .extend(warnings.into_iter().map(|warning| warning.via(chain(&files, &kept, *at))));
    }
    let kept_files = files.into_iter().enumerate().filter(|(at, _)| kept.contains_key(at));
    let mut units: Vec<Unit> = kept_files.map(|(_, file)| file.unit).collect();
    units.sort_by(|a, b| a.path.cmp(&b.path));
    let entries = entries.into_iter().map(|(entry, _)| entry).collect();
    Settled { units, entries, diagnostics }
}

/// For each file whether it is bad: spreads from errors backwards along firm links.
fn bad(files: &[File]) -> Vec<bool> {
    let mut importers: Vec<Vec<usize>> = vec![Vec::new(); files.len()];
    let mut bad = vec![false; files.len()];
    let mut pending = Vec::new();
    for (at, file) in files.iter().enumerate() {
        for link in file.links.iter().filter(|link| link.firm) {
            match link.end {
                End::File(target) => importers[target].push(at),
                End::Failed(_) => pending.push(at),
                End::Builtin | End::Empty => {}
            }
        }
        if !file.errors.is_empty() {
            pending.push(at);
        }
    }
    while let Some(at) = pending.pop() {
        if !bad[at] {
            bad[at] = true;
            pending.extend(&importers[at]);
        }
    }
    bad
}

/// Files reached along links that `follow` accepts, each with its importer; breadth first, so by a
/// shortest way.
fn reach(
    files: &[File],
    starts: &[usize],
    follow: impl Fn(usize, usize) -> bool,
) -> BTreeMap<usize, Option<usize>> {
    let mut reached = BTreeMap::new();
    let mut queue: VecDeque<(usize, Option<usize>)> = starts.iter().map(|at| (*at, None)).collect();
    while let Some((at, importer)) = queue.pop_front() {
        if reached.contains_key(&at) {
            continue;
        }
        reached.insert(at, importer);
        for (index, link) in
            files[at].links.iter().enumerate().filter(|(index, _)| follow(at, *index))
        {
            if let End::File(target) = link.end {
                queue.push_back((target, Some(at)));
            }
            debug_assert!(index < files[at].links.len());
        }
    }
    reached
}

fn chain(files: &[File], reached: &BTreeMap<usize, Option<usize>>, at: usize) -> Vec<String> {
    let mut chain = vec![files[at].unit.path.clone()];
    let mut place = at;
    while let Some(Some(importer)) = reached.get(&place) {
        chain.push(files[*importer].unit.path.clone());
        place = *importer;
    }
    chain.reverse();
    chain
}

fn errors(files: &[File], firm: &BTreeMap<usize, Option<usize>>) -> Vec<Diagnostic> {
    let failed = |at: usize| {
        let links = files[at].links.iter().filter(|link| link.firm);
        links.filter_map(|link| match &link.end {
            End::Failed(problem) => Some(problem.as_ref()),
            End::File(_) | End::Builtin | End::Empty => None,
        })
    };
    let all = firm.keys().flat_map(|&at| {
        let problems = files[at].errors.iter().chain(failed(at));
        problems.map(move |problem| problem.clone().via(chain(files, firm, at)))
    });
    let mut all: Vec<_> = all.collect();
    let more = all.len().saturating_sub(ERRORS_MAX);
    all.truncate(ERRORS_MAX);
    all.extend((more > 0).then(|| messages::and_more(more)));
    all
}

/// The edges of a kept file, and warnings about what it will lack.
fn edges(
    files: &[File],
    at: usize,
    bad: &[bool],
) -> (Vec<belay_model::ImportEdge>, Vec<Diagnostic>) {
    let file = &files[at];
    let (mut edges, mut warnings) = (Vec::new(), Vec::new());
    for (import, link) in file.unit.imports().iter().zip(&file.links) {
        let target = match &link.end {
            End::Builtin => ImportTarget::Builtin("belay".to_owned()),
            End::Empty => ImportTarget::Empty,
            End::File(target) if link.firm || !bad[*target] => {
                ImportTarget::Module(files[*target].unit.path.clone())
            }
            End::File(target) => {
                warnings.extend(warning(import, first_error(files, *target, bad)));
                ImportTarget::Missing(import.specifier.clone())
            }
            End::Failed(problem) => {
                warnings.extend(warning(import, Some(problem)).filter(|_| !link.firm));
                ImportTarget::Missing(import.specifier.clone())
            }
        };
        edges.push(edge(&import.specifier, import.kind, target));
    }
    (edges, warnings)
}

/// Why a bad file is bad.
fn first_error<'f>(files: &'f [File], start: usize, bad: &[bool]) -> Option<&'f Diagnostic> {
    let reached = reach(files, &[start], |at, link| {
        let link = &files[at].links[link];
        link.firm && matches!(link.end, End::File(target) if bad[target])
    });
    reached.keys().find_map(|at| {
        let failed =
            files[*at].links.iter().filter(|link| link.firm).find_map(|link| match &link.end {
                End::Failed(problem) => Some(problem.as_ref()),
                End::File(_) | End::Builtin | End::Empty => None,
            });
        files[*at].errors.first().or(failed)
    })
}

/// An importer that tests for absence needs no warning; one that does not may throw later, and one
/// that looks for machine code most likely cannot work.
fn warning(import: &Import, problem: Option<&Diagnostic>) -> Option<Diagnostic> {
    let mut warning = problem?.clone();
    if import.need == Need::Optional && warning.code != "native-addon" {
        return None;
    }
    warning.severity = belay_model::Severity::Warning;
    warning.help = Some(match warning.help {
        Some(help) => format!("it throws if this code is reached; {help}"),
        None => "it throws if this code is reached".to_owned(),
    });
    Some(warning)
}
