//! Edits that stay, whatever is taken back.
//!
//! They are left out of the weave: it is made of the new version and of a *base*, the old version with these edits made.
//! So what stays stands in the woven text as code of both, without a guard, and the fold proves the old arms to be the
//! base. In the base each name must mean what it meant: what stands in the way of that stays, too. What is told of places
//! in the base is told by the old version's lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_model::{AppManifest, Arm, Diagnostic, Granularity, Hash, HunkInfo};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::{
    app::Weave,
    hunk::Hunk,
    misread::Misread,
    never::{Brought, Never},
    parts::Tying,
    resolved::Program,
};
use crate::map::{BEFORE, WovenSegment};

#[derive(Debug)]
pub(super) struct Staying {
    hunks: Vec<HunkInfo>,
    pub(super) brought: Vec<Brought>,
    /// For each line of a module of the base: the line of the old version that it is, or that it is behind. From 0.
    lines: BTreeMap<String, Vec<u32>>,
    /// The two versions themselves, woven: nothing stays of it.
    plain: Box<Weave>,
}

/// After so many rounds all of a module stays whose names still mean something else.
const ROUNDS_MAX: usize = 8;

/// What stays.
struct Found {
    hunks: BTreeMap<usize, HunkInfo>,
    brought: Vec<Brought>,
    /// The old version with it.
    base: Program,
}

impl Weave {
    /// Ties the hunks, but for those that stay, which are left out of the weave.
    pub(super) fn with_staying(
        mut self,
        source: &dyn Fn(&Hash) -> Option<Arc<str>>,
        untagged: Tying,
    ) -> Result<Self, Hash> {
        let Some(Found { hunks, brought, base: resolved }) = self.find_staying(untagged) else {
            self.tie(untagged);
            return Ok(self);
        };
        let (resolved, texts) = resolved;
        let base = AppManifest { modules: resolved.modules, ..self.before.clone() };
        let texts: BTreeMap<Hash, Arc<str>> =
            texts.into_values().map(|text| (Hash::of(text.as_bytes()), text)).collect();
        let text = |hash: &Hash| texts.get(hash).cloned().or_else(|| source(hash));
        let mut weave = Self::of(&base, &self.after, &text)?;
        let lines = self.modules.iter().filter_map(|module| {
            let new = weave.modules.iter().find(|other| other.path == module.path)?;
            let (old, base) = (module.before.as_ref()?, new.before.as_ref()?);
            let same = old.entry.source == base.entry.source;
            (!same).then(|| (module.path.clone(), lines_of(&base.text, &old.text)))
        });
        let lines = lines.collect();
        let brought = brought.into_iter().map(|brought| weave.renumbered(&self, brought));
        let brought = brought.collect();
        let hunks = hunks.into_values().collect();
        self.tie(untagged);
        weave.staying = Some(Staying { hunks, brought, lines, plain: Box::new(self) });
        weave.tie(untagged);
        Ok(weave)
    }

    fn find_staying(&self, untagged: Tying) -> Option<Found> {
        let is_never =
            |at: &usize| self.asked(&self.hunks[*at]).granularity == Some(Granularity::Never);
        let tagged: BTreeSet<usize> = (0..self.hunks.len()).filter(is_never).collect();
        if tagged.is_empty() {
            return None;
        }
        let candidates = self.candidates(untagged);
        let mut never = Never::new(&candidates, &self.vocabularies(), tagged.clone());
        let mut rounds = 0..ROUNDS_MAX;
        let (staying, base) = loop {
            let staying = never.staying();
            let arm = |at| if staying.contains(&at) { Arm::After } else { Arm::Before };
            let (base, misread) = self.resolve_hunks(&arm);
            let few = rounds.next().is_some();
            let more = misread.iter().flat_map(|(module, it)| self.at_fault(*module, it, few));
            let more: BTreeSet<usize> = more.filter(|at| !staying.contains(at)).collect();
            let modules = misread.iter().map(|(module, _)| *module);
            if !never.extend(&more) && !never.extend(&self.all_of(&modules.collect())) {
                break (staying, base);
            }
        };
        let brought = never.brought(&staying).collect();
        let hunks = staying.into_iter().map(|at| {
            let mut info = self.info(&self.hunks[at]);
            info.reason = (!tagged.contains(&at)).then(|| {
                let message = "what is tagged `@rollback never` needs it, or is tied to it";
                Diagnostic::warning("stays", message)
            });
            (at, info)
        });
        Some(Found { hunks: hunks.collect(), brought, base })
    }

    /// The hunks without which a name would mean what it should: those that it, and what it means instead, are in.
    fn at_fault(&self, module: usize, misread: &Misread, few: bool) -> BTreeSet<usize> {
        let has = |hunk: &Hunk| {
            misread.places.iter().any(|(side, at)| {
                hunk.place(*side).spans.iter().any(|span| span.start <= *at && *at < span.end)
            })
        };
        let own = self.all_of(&BTreeSet::from([module])).into_iter();
        own.filter(|at| few && has(&self.hunks[*at].hunk)).collect()
    }

    fn all_of(&self, modules: &BTreeSet<usize>) -> BTreeSet<usize> {
        let own = |at: &usize| modules.contains(&self.hunks[*at].module);
        (0..self.hunks.len()).filter(own).collect()
    }

    /// Modules have other places here than in `other`. The new sources are the same, and so are their variables.
    fn renumbered(&self, other: &Self, brought: Brought) -> Brought {
        let place = |index: usize| {
            let path = &other.modules.get(index)?.path;
            self.modules.iter().position(|module| module.path == *path)
        };
        let locals = brought.locals.iter();
        let locals = locals.filter_map(|(module, variable)| Some((place(*module)?, *variable)));
        Brought { locals: locals.collect(), ..brought }
    }

    /// Edits that are no part of the change's and stay whatever is taken back: they are tagged `@rollback never`, or such
    /// an edit needs them.
    pub fn staying(&self) -> &[HunkInfo] {
        self.staying.as_ref().map_or(&[], |staying| &staying.hunks)
    }

    /// The two versions as one part, with all that stayed otherwise.
    #[must_use]
    pub fn as_one(mut self) -> Self {
        if let Some(staying) = self.staying.take() {
            self = *staying.plain;
        }
        self.tie_all();
        self
    }

    /// Lines of the old version for those of what was woven. From 1.
    pub(super) fn old_lines(&self, path: &str, lines: (u32, u32)) -> (u32, u32) {
        let line = |line: u32| self.old_line(path, line.saturating_sub(1)).saturating_add(1);
        (line(lines.0), line(lines.1))
    }

    /// From 0.
    fn old_line(&self, path: &str, line: u32) -> u32 {
        let lines = self.staying.as_ref().and_then(|staying| staying.lines.get(path));
        lines.and_then(|lines| lines.get(line as usize)).copied().unwrap_or(line)
    }

    /// Places in the base as places in the old version.
    pub(super) fn in_old_version(
        &self,
        path: &str,
        mut segments: Vec<WovenSegment>,
    ) -> Vec<WovenSegment> {
        for segment in segments.iter_mut().filter(|segment| segment.before == BEFORE) {
            segment.source_line = self.old_line(path, segment.source_line);
        }
        segments
    }
}

/// For each line of `text`: the line of `old` that it is, or else the last one before it that is.
fn lines_of(text: &str, old: &str) -> Vec<u32> {
    let (new, old): (Vec<&str>, Vec<&str>) = (text.lines().collect(), old.lines().collect());
    let mut lines = vec![None; new.len()];
    for op in capture_diff_slices(Algorithm::Patience, &new, &old) {
        if let DiffOp::Equal { old_index, new_index, len } = op {
            for offset in 0..len {
                lines[old_index + offset] = u32::try_from(new_index + offset).ok();
            }
        }
    }
    let mut last = 0;
    let known = lines.into_iter().map(|line| {
        last = line.unwrap_or(last);
        last
    });
    known.collect()
}
