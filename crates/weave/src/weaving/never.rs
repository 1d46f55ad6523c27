//! Which hunks stay, whatever is taken back: those tagged `@rollback never`, and what cannot be without them.
//!
//! What stays is there in both arms of every part, so it must hold together with either of them:
//! - what it uses stays too: the old arm of that would leave it without a name, a variable, a parameter;
//! - so does what is tied to it otherwise, since its old code was written for the old code of what stays. Of the rules of
//!   [`super::parts`] those count that stand where fineness was asked for;
//! - what only uses names that it brings is no such case. It can be taken back, all of it together: that is one part;
//! - a declaration that was removed is in the program as long as old code may want it. It goes for good if all who used
//!   it stay.

use std::collections::BTreeSet;

use super::{
    facts::Vocabulary,
    hunk::Side,
    parts::{Candidate, Groups, Tying, tie_locals, tie_names, tie_statements, used_additive},
};
use crate::syntax::VariableId;

/// What hunks that stay bring, which the old version does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Brought {
    /// Names of properties and globals.
    pub(super) names: BTreeSet<String>,
    /// Variables of the new source, each with the place of its module in the list of them.
    pub(super) locals: BTreeSet<(usize, VariableId)>,
    /// Paths of modules.
    pub(super) modules: BTreeSet<String>,
}

impl Brought {
    /// The first of it that a hunk's new code uses.
    pub(super) fn used_by(&self, candidate: &Candidate<'_>) -> Option<String> {
        let facts = candidate.facts.side(Side::After);
        let local = |variable: &&VariableId| self.locals.contains(&(candidate.module, **variable));
        let names = facts.globals.iter().chain(&facts.properties);
        let names = names.filter(|name| self.names.contains(*name));
        let locals = facts.locals.iter().filter(local).filter_map(|it| facts.names.get(it));
        let modules = facts.modules.intersection(&self.modules);
        names.chain(locals).chain(modules).next().cloned()
    }
}

pub(super) struct Never<'c> {
    /// All hunks, as if each were tagged `fine`.
    candidates: Vec<Candidate<'c>>,
    /// Names that only one version knows, the old ones and the new ones.
    lone: [BTreeSet<String>; 2],
    reach: Vec<BTreeSet<usize>>,
    tagged: BTreeSet<usize>,
    /// Also where nobody wants them back.
    others: BTreeSet<usize>,
}

impl<'c> Never<'c> {
    pub(super) fn new(
        candidates: &[Candidate<'c>],
        vocabularies: &[[Vocabulary; 2]],
        tagged: BTreeSet<usize>,
    ) -> Self {
        let fine = candidates.iter().map(|it| Candidate { tying: Tying::Fine, ..*it });
        let candidates: Vec<Candidate<'c>> = fine.collect();
        let additive: Vec<usize> =
            (0..candidates.len()).filter(|at| candidates[*at].is_additive()).collect();
        let reach = used_additive(&candidates, &additive);
        let known = |side: usize| -> BTreeSet<String> {
            let all = vocabularies.iter().map(|both| &both[side]);
            all.flat_map(|it| it.properties.union(&it.globals)).cloned().collect()
        };
        let (old, new) = (known(0), known(1));
        let lone = [&old - &new, &new - &old];
        Self { candidates, lone, reach, tagged, others: BTreeSet::new() }
    }

    /// These stay as well; whether there are any that did not.
    pub(super) fn extend(&mut self, others: &BTreeSet<usize>) -> bool {
        let known = self.others.len();
        self.others.extend(others);
        self.others.len() > known
    }

    /// All hunks that stay.
    pub(super) fn staying(&self) -> BTreeSet<usize> {
        let mut staying = self.tagged.clone();
        staying.retain(|at| !self.is_removed(*at));
        staying.extend(&self.others);
        loop {
            let known = staying.len();
            staying.extend(self.tied(&staying));
            staying.extend(self.needed(&staying));
            staying.extend(self.gone(&staying));
            if staying.len() == known {
                return staying;
            }
        }
    }

    /// What hunks that stay bring.
    pub(super) fn brought<'s>(
        &'s self,
        staying: &'s BTreeSet<usize>,
    ) -> impl Iterator<Item = Brought> + 's {
        let all = self.brought_by(staying, staying);
        staying.iter().map(move |at| {
            let own = self.brought_by(&BTreeSet::from([*at]), staying);
            Brought {
                names: &own.names & &all.names,
                locals: &own.locals & &all.locals,
                modules: own.modules,
            }
        })
    }

    /// Tied to one that stays by more than names which that brings.
    fn tied(&self, staying: &BTreeSet<usize>) -> BTreeSet<usize> {
        let candidates = &self.candidates;
        let active: Vec<usize> = (0..candidates.len())
            .filter(|at| staying.contains(at) || !candidates[*at].is_additive())
            .collect();
        let brought = self.brought_by(staying, staying);
        let additive: BTreeSet<&String> = (0..candidates.len())
            .filter(|at| candidates[*at].is_additive() && !staying.contains(at))
            .flat_map(|at| &candidates[at].hunk.names)
            .collect();
        let lone = self.lone.iter().flatten();
        let lone = lone.filter(|name| !brought.names.contains(*name) && !additive.contains(name));
        let mut groups = Groups::new(candidates.len());
        tie_names(candidates, &active, &self.reach, &lone.cloned().collect(), &mut groups);
        tie_locals(candidates, &active, &brought.locals, &mut groups);
        tie_statements(candidates, &active, &mut groups);
        let groups = groups.groups().into_iter().map(|group| group.members);
        groups.filter(|members| !members.is_disjoint(staying)).flatten().collect()
    }

    /// Declarations that were added, and that code which stays uses.
    fn needed(&self, staying: &BTreeSet<usize>) -> BTreeSet<usize> {
        let used = staying.iter().flat_map(|at| &self.reach[*at]).copied();
        used.filter(|at| !self.is_removed(*at)).collect()
    }

    /// Declarations that were removed, and that nobody wants back.
    fn gone(&self, staying: &BTreeSet<usize>) -> BTreeSet<usize> {
        let removed = (0..self.candidates.len()).filter(|at| self.is_removed(*at));
        let unwanted = removed.filter(|at| {
            let mut users = (0..self.reach.len()).filter(|user| self.reach[*user].contains(at));
            let used = users.clone().next().is_some();
            (used || self.tagged.contains(at)) && users.all(|user| staying.contains(&user))
        });
        unwanted.collect()
    }

    fn is_removed(&self, at: usize) -> bool {
        let candidate = &self.candidates[at];
        candidate.is_additive() && candidate.hunk.after.spans.is_empty()
    }

    /// A name belongs to who declares or assigns it, if that stays; and to who uses it, if nobody does.
    fn brought_by(&self, these: &BTreeSet<usize>, staying: &BTreeSet<usize>) -> Brought {
        let mut brought = Brought::default();
        let others = (0..self.candidates.len()).filter(|at| !staying.contains(at));
        let mut foreign = Brought::default();
        others.for_each(|at| self.note_made(at, &mut foreign));
        for &at in these {
            let Candidate { module, path, hunk, facts, .. } = &self.candidates[at];
            self.note_made(at, &mut brought);
            let facts = facts.side(Side::After);
            let used = facts.globals.union(&facts.properties);
            brought.names.extend(used.filter(|it| !foreign.names.contains(*it)).cloned());
            let used = facts.introduced.iter().map(|variable| (*module, *variable));
            brought.locals.extend(used.filter(|it| !foreign.locals.contains(it)));
            let added = path.filter(|_| !hunk.after.spans.is_empty());
            brought.modules.extend(added.map(str::to_owned));
        }
        brought.names.retain(|name| self.lone[1].contains(name));
        brought
    }

    /// What the new side of a hunk declares or assigns.
    fn note_made(&self, at: usize, made: &mut Brought) {
        let Candidate { module, hunk, facts, .. } = &self.candidates[at];
        let facts = facts.side(Side::After);
        made.names.extend(facts.written.iter().cloned());
        if !hunk.after.spans.is_empty() {
            made.names.extend(hunk.names.iter().cloned());
        }
        let locals = facts.introduced.intersection(&facts.written_locals);
        made.locals.extend(locals.map(|variable| (*module, *variable)));
    }
}
