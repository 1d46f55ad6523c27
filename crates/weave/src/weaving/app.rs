//! Two versions of an app in one program: its modules woven, their hunks tied to parts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_model::{
    AppManifest, Arm, Diagnostic, EditId, Hash, HunkInfo, HunkKind, ImportEdge, ImportTarget,
    Label, ModuleKind, PartId, PartInfo, Tie,
};
use oxc::span::Span;

use super::{
    facts::{Facts, HunkFacts},
    hunk::{Hunk, HunkId, Place, Refusal, Side},
    modules::{Source, WovenModule, edges_have, weave_modules},
    parts::{Group, Tying},
    places::segments,
    remarks::SAID_OF_TRANSACTIONS,
    settings::{Setting, TRANSACTIONS, differing},
    staying::Staying,
};
use crate::map::WovenSegment;

/// A module's text for one image.
#[derive(Debug)]
pub(crate) struct WovenText {
    pub(crate) path: String,
    pub(crate) kind: ModuleKind,
    pub(crate) text: String,
    pub(crate) edges: Vec<ImportEdge>,
    /// Where the text came from; absent for one that only one version has, or that did not change.
    pub(crate) segments: Option<Vec<WovenSegment>>,
}

/// What differs between the settings of two manifests is one hunk of this module.
const SETTINGS: &str = "belay.toml";

/// Two versions of an app, woven.
#[derive(Debug)]
pub struct Weave {
    pub(super) before: AppManifest,
    pub(super) after: AppManifest,
    pub(super) modules: Vec<WovenModule>,
    pub(super) hunks: Vec<AppHunk>,
    pub(super) groups: Vec<Group>,
    /// Additive code that several parts use: it is there while one of them wants it. Hunks by their places in `hunks`.
    pub(super) shared: BTreeMap<usize, BTreeSet<usize>>,
    /// Edits that are no part of anything: they stay whatever is taken back.
    pub(super) staying: Option<Staying>,
}

#[derive(Debug)]
pub(super) struct AppHunk {
    pub(super) module: usize,
    pub(super) hunk: Hunk,
    pub(super) facts: HunkFacts,
}

/// Weaves the programs that two manifests describe. `source` gives a source text by its hash.
///
/// # Errors The hash of a source that is missing.
pub fn weave(
    before: &AppManifest,
    after: &AppManifest,
    source: &dyn Fn(&Hash) -> Option<Arc<str>>,
    tying: Tying,
) -> Result<Weave, Hash> {
    let plain = Weave::of(before, after, source)?;
    plain.with_staying(source, tying)
}

impl Weave {
    /// Whose hunks are not tied yet.
    pub(super) fn of(
        before: &AppManifest,
        after: &AppManifest,
        source: &dyn Fn(&Hash) -> Option<Arc<str>>,
    ) -> Result<Self, Hash> {
        let mut weave = Self {
            before: before.clone(),
            after: after.clone(),
            modules: weave_modules(before, after, source)?,
            hunks: Vec::new(),
            groups: Vec::new(),
            shared: BTreeMap::new(),
            staying: None,
        };
        weave.collect();
        Ok(weave)
    }

    /// Nothing differs that could be told.
    pub fn is_empty(&self) -> bool {
        self.hunks.is_empty() && self.staying.is_none()
    }

    /// How many parts the change has; their arms are numbered so in guest memory.
    pub fn parts_len(&self) -> usize {
        self.groups.len()
    }

    /// The part whose arms are two images, if there is one.
    pub fn image_part(&self) -> Option<PartId> {
        let frozen = self.groups.iter().position(|group| group.ties.contains(&Tie::Load));
        let frozen = frozen.and_then(part_id);
        frozen.or_else(|| self.part_with(|hunk| hunk.kind == HunkKind::Image))
    }

    /// The part that has what the manifests differ in beside modules.
    pub fn settings_part(&self) -> Option<PartId> {
        self.part_with(|hunk| hunk.kind == HunkKind::Settings)
    }

    fn part_with(&self, is: impl Fn(&Hunk) -> bool) -> Option<PartId> {
        let has = |group: &Group| group.members.iter().any(|at| is(&self.hunks[*at].hunk));
        self.groups.iter().position(has).and_then(part_id)
    }

    /// The two manifests: before and after.
    pub fn manifests(&self) -> (&AppManifest, &AppManifest) {
        (&self.before, &self.after)
    }

    /// What a version says in a module, where it has it.
    pub(crate) fn source_of(&self, path: &str, version: Arm) -> Option<Arc<str>> {
        let module = self.modules.iter().find(|module| module.path == path)?;
        let source = match version {
            Arm::Before => &module.before,
            Arm::After => &module.after,
        };
        source.as_ref().map(|source| source.text.clone())
    }

    /// Hunks of all modules, and what is not of a module.
    fn collect(&mut self) {
        for (index, module) in self.modules.iter().enumerate() {
            match (&module.weave, &module.before, &module.after) {
                (_, Some(only), None) => self.hunks.push(lone(index, Side::Before, only)),
                (_, None, Some(only)) => self.hunks.push(lone(index, Side::After, only)),
                (Some(weave), ..) => {
                    let hunks = weave.output.hunks.iter().zip(&weave.facts);
                    let own = hunks.filter(|(hunk, _)| !hunk.is_derived());
                    self.hunks.extend(own.map(|(hunk, facts)| AppHunk {
                        module: index,
                        hunk: hunk.clone(),
                        facts: facts.clone(),
                    }));
                }
                (None, ..) => {}
            }
        }
        for own in &mut self.hunks {
            note_imports(own, &self.modules[own.module]);
        }
        let settings = differing(&self.before, &self.after).into_iter().map(setting_hunk);
        self.hunks.extend(settings);
        self.tell_apart();
    }

    /// All modules as they are in one of the two images.
    pub(crate) fn texts(&self, image: Arm) -> Vec<WovenText> {
        let image = if image == Arm::After { Side::After } else { Side::Before };
        (0..self.modules.len()).filter_map(|index| self.text(index, image)).collect()
    }

    fn text(&self, index: usize, image: Side) -> Option<WovenText> {
        let module = &self.modules[index];
        let plain = |source: &Source| WovenText {
            path: module.path.clone(),
            kind: source.entry.kind,
            text: source.text.to_string(),
            edges: source.entry.imports.clone(),
            segments: None,
        };
        let (old, new) = module.sources()?;
        let Some(weave) = &module.weave else { return Some(plain(new)) };
        if weave.whole {
            return Some(plain(if image == Side::After { new } else { old }));
        }
        let cell = |hunk: HunkId| self.part_of(hunk);
        let rendered = weave.render((&old.text, &new.text), image, &cell);
        let segments = segments(&rendered, &old.text, &new.text);
        let mut edges = new.entry.imports.clone();
        edges.extend(
            old.entry.imports.iter().filter(|edge| !edges_have(&new.entry.imports, edge)).cloned(),
        );
        Some(WovenText {
            edges,
            segments: Some(self.in_old_version(&module.path, segments)),
            text: rendered.text,
            ..plain(new)
        })
    }

    /// What the parts hold, for people.
    pub fn parts(&self) -> Vec<PartInfo> {
        let parts = self.groups.iter().enumerate().filter_map(|(index, group)| {
            let shared = self.shared.iter().filter(|(_, users)| !users.is_disjoint(&group.members));
            let members = group.members.iter().chain(shared.map(|(at, _)| at));
            let hunks = members.map(|at| self.info(&self.hunks[*at]));
            let image = group.members.iter().any(|at| self.hunks[*at].hunk.kind == HunkKind::Image);
            Some(PartInfo {
                id: part_id(index)?,
                hunks: hunks.collect(),
                ties: group.ties.iter().cloned().collect(),
                image: image || group.ties.contains(&Tie::Load),
            })
        });
        parts.collect()
    }

    fn edit(&self, AppHunk { module, facts, .. }: &AppHunk) -> EditId {
        EditId {
            module: self.modules.get(*module).map_or(SETTINGS, |module| &module.path).to_owned(),
            function: facts.path.clone(),
            before: facts.before_hash,
            after: facts.after_hash,
            ordinal: facts.ordinal,
        }
    }

    /// No two edits are the same one, also where their places could not be told apart.
    fn tell_apart(&mut self) {
        let mut known = BTreeSet::new();
        for at in 0..self.hunks.len() {
            while !known.insert(self.edit(&self.hunks[at])) {
                self.hunks[at].facts.ordinal += 1;
            }
        }
    }

    pub(super) fn info(&self, own: &AppHunk) -> HunkInfo {
        let AppHunk { module, hunk, .. } = own;
        let module = self.modules.get(*module);
        let path = module.map_or(SETTINGS, |module| &module.path);
        let text = |side: Side| -> &str {
            let source = module.and_then(|module| match side {
                Side::Before => module.before.as_ref(),
                Side::After => module.after.as_ref(),
            });
            source.map_or("", |source| &source.text)
        };
        let part = |side: Side| slice(text(side), hunk.place(side).cover());
        HunkInfo {
            kind: hunk.kind,
            edit: self.edit(own),
            before_lines: lines(text(Side::Before), hunk.place(Side::Before))
                .map(|lines| self.old_lines(path, lines)),
            after_lines: lines(text(Side::After), hunk.place(Side::After)),
            before_text: part(Side::Before).to_owned(),
            after_text: part(Side::After).to_owned(),
            reason: hunk.reason.as_ref().map(|refusal| {
                let Refusal { message, side, at } = refusal;
                Diagnostic::warning("not-finer", message.clone().into_owned()).at(Label::new(
                    path,
                    text(*side),
                    at.start as usize,
                    at.end as usize,
                    "",
                ))
            }),
        }
    }
}

/// Notes the modules that a hunk imports.
fn note_imports(own: &mut AppHunk, module: &WovenModule) {
    for (side, source) in [(Side::Before, &module.before), (Side::After, &module.after)] {
        let Some(source) = source else { continue };
        let code = own.hunk.place(side).spans.iter().map(|span| slice(&source.text, *span));
        let code: Vec<&str> = code.collect();
        for edge in &source.entry.imports {
            let quoted = |quote: char| format!("{quote}{}{quote}", edge.specifier);
            let says = |code: &&str| code.contains(&quoted('"')) || code.contains(&quoted('\''));
            if let ImportTarget::Module(path) = &edge.target
                && code.iter().any(says)
            {
                own.facts.side_mut(side).modules.insert(path.clone());
            }
        }
    }
}

fn lone(module: usize, side: Side, source: &Source) -> AppHunk {
    let span = Span::new(0, u32::try_from(source.text.len()).unwrap_or(u32::MAX));
    let hash = Some(Hash::of(source.text.as_bytes()));
    let (mut hunk, mut facts) = (bare_hunk(HunkKind::Additive, span, span), HunkFacts::default());
    match side {
        Side::Before => {
            hunk.after = Place::empty(0);
            facts.before_hash = hash;
        }
        Side::After => {
            hunk.before = Place::empty(0);
            facts.after_hash = hash;
        }
    }
    AppHunk { module, hunk, facts }
}

fn setting_hunk(setting: Setting) -> AppHunk {
    let mut hunk = bare_hunk(setting.kind, Span::empty(0), Span::empty(0));
    if setting.kind == HunkKind::Image {
        let message = match setting.name.starts_with("functions.") {
            true => "a function was removed, or is another export now",
            false if setting.name.starts_with(TRANSACTIONS) => SAID_OF_TRANSACTIONS,
            false => "variables of the environment are a part of the image",
        };
        let (message, at) = (message.into(), Span::empty(0));
        hunk.reason = Some(Refusal { message, side: Side::After, at });
    }
    let [before, after] = setting.names.map(Facts::naming);
    let facts = HunkFacts {
        path: setting.name,
        before_hash: setting.before,
        after_hash: setting.after,
        before,
        after,
        ..HunkFacts::default()
    };
    AppHunk { module: usize::MAX, hunk, facts }
}

fn bare_hunk(kind: HunkKind, before: Span, after: Span) -> Hunk {
    Hunk {
        id: HunkId { module: usize::MAX, number: u32::MAX },
        kind,
        before: before.into(),
        after: after.into(),
        lone: Vec::new(),
        names: Vec::new(),
        reason: None,
        undo: None,
        follows: Vec::new(),
        of: None,
    }
}

pub(super) fn part_id(index: usize) -> Option<PartId> {
    u8::try_from(index).ok().map(PartId)
}

pub(super) fn slice(text: &str, span: Span) -> &str {
    text.get(span.start as usize..span.end as usize).unwrap_or_default()
}

fn lines(text: &str, place: &Place) -> Option<(u32, u32)> {
    let line = |at: u32| {
        let before = text.get(..at as usize).unwrap_or_default();
        u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX)
    };
    let span = place.cover();
    (!place.spans.is_empty())
        .then(|| (line(span.start), line(span.end.saturating_sub(1).max(span.start))))
}
