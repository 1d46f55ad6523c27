//! The parts of a weave: its hunks tied, and parts that come together later.

use std::collections::BTreeSet;

use belay_model::{Granularity, PARTS_MAX, Tie};

use super::{
    app::{AppHunk, Weave},
    asked::{Asked, Sources, asked},
    facts::Vocabulary,
    hunk::HunkId,
    modules::Source,
    parts::{Candidate, Tying, tie},
};

impl Weave {
    /// The hunks, and how closely each is to be tied.
    pub(super) fn candidates(&self, untagged: Tying) -> Vec<Candidate<'_>> {
        let candidates = self.hunks.iter().map(|own| {
            let module = self.modules.get(own.module);
            let lone = module.filter(|m| m.before.is_some() != m.after.is_some());
            let path = lone.map(|module| module.path.as_str());
            let AppHunk { module, ref hunk, ref facts } = *own;
            let asked = self.asked(own);
            let (tying, function) = (asked.tying(untagged), asked.function);
            Candidate { module, path, hunk, facts, tying, function }
        });
        candidates.collect()
    }

    /// All names of the modules that differ.
    pub(super) fn vocabularies(&self) -> Vec<[Vocabulary; 2]> {
        let weaves = self.modules.iter().filter_map(|module| module.weave.as_ref());
        let weaves = weaves.filter(|weave| !weave.output.hunks.is_empty());
        weaves.map(|weave| weave.vocabularies.clone()).collect()
    }

    pub(super) fn tie(&mut self, untagged: Tying) {
        let brought = self.staying.as_ref().map_or(&[][..], |staying| &staying.brought);
        let tied = tie(&self.candidates(untagged), &self.vocabularies(), brought);
        (self.groups, self.shared) = tied;
        self.tie_followers();
        // New functions come with what they are made of; images and settings that both differ go together.
        let image = self.image_part().map(|part| usize::from(part.0));
        let settings = self.settings_part().map(|part| usize::from(part.0));
        if let (Some(image), Some(settings)) = (image, settings) {
            self.merge(&BTreeSet::from([image, settings]), &Tie::Image);
        }
        if self.groups.len() > PARTS_MAX {
            self.merge(&(0..self.groups.len()).collect(), &Tie::TooMany);
        }
    }

    /// What the code says of a hunk.
    pub(super) fn asked(&self, own: &AppHunk) -> Asked {
        let default = self.after.tags.rollback;
        let Some(module) = self.modules.get(own.module) else {
            // Settings are no code, but a part of everything.
            let granularity = default.filter(|it| *it == Granularity::Coarse);
            return Asked { granularity, function: None };
        };
        let text = |source: &'_ Option<Source>| source.as_ref().map(|it| it.text.clone());
        let texts = [&module.before, &module.after].map(|it| text(it).unwrap_or_default());
        let sources = Sources {
            texts: [&texts[0], &texts[1]],
            rollbacks: [&module.rollbacks[0], &module.rollbacks[1]],
        };
        asked((&own.hunk, &own.facts), sources, default)
    }

    /// The hunks by which a hunk that is made of imports is chosen; a hunk of its own is itself the only one.
    fn roots(&self, hunk: HunkId) -> Vec<HunkId> {
        let (mut roots, mut open, mut seen) = (Vec::new(), vec![hunk], BTreeSet::new());
        while let Some(id) = open.pop() {
            let weave = self.modules.get(id.module).and_then(|module| module.weave.as_ref());
            let found = weave.and_then(|weave| weave.output.hunks.iter().find(|h| h.id == id));
            match found.filter(|hunk| hunk.is_derived()) {
                Some(derived) if seen.insert(id) => open.extend(&derived.follows),
                Some(_) => {}
                None => roots.push(id),
            }
        }
        roots.sort();
        roots
    }

    /// A value that is made of several others is chosen with all of them at once.
    fn tie_followers(&mut self) {
        let weaves = self.modules.iter().filter_map(|module| module.weave.as_ref());
        let followers = weaves.flat_map(|weave| &weave.output.hunks);
        let followers = followers.filter(|hunk| !hunk.follows.is_empty());
        let tied: Vec<(Vec<HunkId>, String)> = followers
            .map(|hunk| {
                let own = Some(hunk.id).filter(|_| !hunk.is_derived()).into_iter();
                let follows = hunk.follows.iter().flat_map(|id| self.roots(*id));
                (own.chain(follows).collect(), hunk.names.join(", "))
            })
            .collect();
        for (hunks, name) in tied {
            let parts: BTreeSet<usize> = hunks.iter().map(|hunk| self.part_of(*hunk)).collect();
            if parts.len() > 1 {
                self.merge(&parts, &Tie::Written(name));
            }
        }
    }

    /// Makes everything one part.
    pub fn tie_all(&mut self) {
        self.merge(&(0..self.groups.len()).collect(), &Tie::Whole);
    }

    /// Ties parts to the one that the images differ in: they were reached when modules were loaded. Tells whether that
    /// changed anything.
    pub fn freeze(&mut self, parts: &BTreeSet<u8>) -> bool {
        let mut all: BTreeSet<usize> = parts.iter().map(|part| usize::from(*part)).collect();
        all.retain(|part| *part < self.groups.len());
        all.extend(self.image_part().map(|part| usize::from(part.0)));
        let frozen = self.groups.iter().position(|group| group.ties.contains(&Tie::Load));
        all.extend(frozen);
        let news = all.len() > 1 || frozen.is_none() && !all.is_empty();
        self.merge(&all, &Tie::Load);
        news
    }

    fn merge(&mut self, parts: &BTreeSet<usize>, tie: &Tie) {
        let Some(&first) = parts.first() else { return };
        let mut merged = self.groups[first].clone();
        for part in parts.iter().skip(1) {
            let group = self.groups[*part].clone();
            merged.members.extend(group.members);
            merged.ties.extend(group.ties);
        }
        merged.ties.insert(tie.clone());
        self.groups[first] = merged;
        let mut index = 0;
        self.groups.retain(|_| {
            index += 1;
            index - 1 == first || !parts.contains(&(index - 1))
        });
    }

    /// The part of a hunk of some module.
    pub(super) fn part_of(&self, hunk: HunkId) -> usize {
        let hunk = self.roots(hunk).first().copied().unwrap_or(hunk);
        let at = self.hunks.iter().position(|own| own.hunk.id == hunk);
        let group = at.and_then(|at| self.groups.iter().position(|g| g.members.contains(&at)));
        group.unwrap_or(0)
    }
}
