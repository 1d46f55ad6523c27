//! The program in which each part is at its arm, as sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_model::{AppManifest, Arm, Diagnostic, Hash, HunkKind, Label, PartId};
use oxc::span::Span;

use super::{
    app::{AppHunk, Weave, part_id},
    hunk::{HunkId, Side},
    misread::Misread,
    modules::{Source, WovenModule, edges_have},
    remarks::are_said,
    resolve::Manner,
    settings::speaks,
};
use crate::{same_code, tags::remarks};

/// A manifest, and the sources of its modules by their paths.
pub(super) type Program = (AppManifest, BTreeMap<String, Arc<str>>);

impl Weave {
    /// The sources of the program in which each part is at its arm: what is to be written in the user's files.
    ///
    /// # Errors A name that would mean something else there than in what runs.
    pub fn resolve(&self, arm: &dyn Fn(PartId) -> Arm) -> Result<Program, Box<Diagnostic>> {
        let arm_of = |at: usize| {
            let group_arm = |at: usize| {
                let group = self.groups.iter().position(|group| group.members.contains(&at));
                group.and_then(part_id).map_or(Arm::After, arm)
            };
            let Some(users) = self.shared.get(&at) else { return group_arm(at) };
            // Wanted by one of them: what was added by one that has it, what was removed by one that has not.
            let added = !self.hunks[at].hunk.after.spans.is_empty();
            let wanted = if added { Arm::After } else { Arm::Before };
            let anyone = users.iter().any(|user| group_arm(*user) == wanted);
            if anyone == added { Arm::After } else { Arm::Before }
        };
        let (program, misread) = self.resolve_hunks(&arm_of);
        match misread.first() {
            Some((module, misread)) => Err(Box::new(self.told(*module, misread))),
            None => Ok(program),
        }
    }

    fn told(&self, module: usize, Misread { name, places }: &Misread) -> Diagnostic {
        let module = &self.modules[module];
        let why = match name {
            Some(name) => format!("`{name}` would mean something else"),
            None => "old and new code would run into each other".to_owned(),
        };
        let message =
            format!("with these parts on, {} cannot be written as one source: {why}", module.path);
        let len = name.as_ref().map_or(1, String::len);
        let place = places.iter().find_map(|(side, at)| {
            let at = *at as usize;
            let text = &module.after.as_ref().filter(|_| *side == Side::After)?.text;
            Some(Label::new(&module.path, text, at, at + len, "here"))
        });
        let told = Diagnostic::error("not-one-source", message);
        let told = place.into_iter().fold(told, Diagnostic::at);
        told.help("what runs is right; restore the parts of this module, or take all of them back")
    }

    /// The program in which each hunk is at its arm, and what of it would be misread, with its module.
    pub(super) fn resolve_hunks(
        &self,
        arm_of: &dyn Fn(usize) -> Arm,
    ) -> (Program, Vec<(usize, Misread)>) {
        let (mut texts, mut misread) = (BTreeMap::new(), Vec::new());
        let mut manifest = self.after.clone();
        manifest.modules.clear();
        for (index, module) in self.modules.iter().enumerate() {
            let taken: Vec<&AppHunk> = self
                .hunks
                .iter()
                .enumerate()
                .filter(|(at, own)| own.module == index && arm_of(*at) == Arm::Before)
                .map(|(_, own)| own)
                .collect();
            let resolved = match (&module.before, &module.after) {
                (Some(old), Some(new)) => {
                    let (resolved, wrong) = resolve_module(&self.after, (old, new), module, &taken);
                    misread.extend(wrong.into_iter().map(|wrong| (index, wrong)));
                    Some(resolved)
                }
                (Some(old), None) => (!taken.is_empty()).then(|| old.clone()),
                (None, new) => new.clone().filter(|_| taken.is_empty()),
            };
            let Some(Source { mut entry, text }) = resolved else { continue };
            entry.source = Hash::of(text.as_bytes());
            texts.insert(module.path.clone(), text);
            manifest.modules.push(entry);
        }
        let taken_back = |kind: HunkKind| {
            let mut own = self.hunks.iter().enumerate();
            own.any(|(at, own)| {
                own.module == usize::MAX && own.hunk.kind == kind && arm_of(at) == Arm::Before
            })
        };
        let old = self.before.clone();
        if taken_back(HunkKind::Settings) {
            manifest.functions = old.functions;
            manifest.egress = old.egress;
        }
        let image = if taken_back(HunkKind::Image) {
            manifest.env = old.env;
            manifest.environment = old.environment;
            manifest.transactions = old.transactions;
            &self.before
        } else {
            &self.after
        };
        for (name, spec) in &mut manifest.functions {
            let Some(said) = image.functions.get(name) else { continue };
            if speaks(&said.tags) || speaks(&spec.tags) {
                spec.tags = said.tags.clone();
            }
        }
        ((manifest, texts), misread)
    }
}

/// The new source with some hunks taken back, and what of it would be misread.
fn resolve_module(
    manifest: &AppManifest,
    (old, new): (&Source, &Source),
    module: &WovenModule,
    taken: &[&AppHunk],
) -> (Source, Vec<Misread>) {
    let Some(weave) = module.weave.as_ref().filter(|_| !taken.is_empty()) else {
        return (new.clone(), Vec::new());
    };
    if weave.whole {
        return (old.clone(), Vec::new());
    }
    let both: (&str, &str) = (&old.text, &new.text);
    let comments: Vec<Span> = taken.iter().filter_map(|own| Some(own.hunk.of?.function)).collect();
    let is_said = |text: &str| {
        let Some(both) = &module.remarks else { return true };
        let found = remarks(manifest, (&module.path, new.entry.kind), text);
        found.is_some_and(|found| are_said((both, &found), &|it| comments.contains(&it.span)))
    };
    let taken: BTreeSet<HunkId> = taken.iter().map(|own| own.hunk.id).collect();
    let read_as = (&*module.path, new.entry.kind);
    let all = weave.output.hunks.iter().filter(|hunk| !hunk.is_derived()).count();
    let attempt = |manner| {
        let made = weave.resolve(both, &taken, manner);
        let misread = match taken.len() < all {
            _ if !is_said(&made.text) => vec![Misread::default()],
            true => weave.misread(read_as, both, &made),
            false if same_code(read_as.0, read_as.1, &made.text, &old.text) => Vec::new(),
            false => vec![Misread::default()],
        };
        (made, misread)
    };
    let (mut made, mut misread) = attempt(Manner::Bare);
    if !misread.is_empty() {
        let closed = attempt(Manner::Closed);
        if closed.1.is_empty() {
            (made, misread) = closed;
        }
    }
    if taken.len() == all && !misread.is_empty() {
        return (old.clone(), Vec::new());
    }
    let mut entry = new.entry.clone();
    let missing = old.entry.imports.iter().filter(|edge| !edges_have(&new.entry.imports, edge));
    entry.imports.extend(missing.cloned());
    (Source { entry, text: made.text.into() }, misread)
}
