//! What the code asks for a hunk: the `@rollback` that counts for it.
//!
//! The innermost tag around a hunk counts, and where none is, `[tags]` of the new `belay.toml`. It is looked for in the new
//! source: who adds a tag and changes the code in one deploy means that deploy. What is only in the old source has its
//! own tags there; a deleted statement takes its tag with it. Where those say nothing, the place counts from which it
//! was deleted.
//!
//! A hunk may also be larger than what is tagged: a run of statements, or a function whose parameters changed. Then the
//! strictest of what is around it and of the tagged places in it counts, as far as these differ between the versions.

use belay_model::{Granularity, TaggedKind};
use oxc::span::Span;

use super::{
    app::slice,
    facts::HunkFacts,
    hunk::{Hunk, Place, Side},
    parts::Tying,
};
use crate::tags::{Rollbacks, Said, holds, strictness};

/// The two sources of a module: their texts and their tags, those of the old one first.
#[derive(Clone, Copy)]
pub(super) struct Sources<'s> {
    pub(super) texts: [&'s str; 2],
    pub(super) rollbacks: [&'s Rollbacks; 2],
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) granularity: Option<Granularity>,
    /// In the new source, the function that goes back as a whole where the granularity is `medium`.
    pub(super) function: Option<Span>,
}

impl Asked {
    /// `untagged` is how code is tied that asks for nothing.
    pub(super) fn tying(self, untagged: Tying) -> Tying {
        match self.granularity {
            Some(Granularity::Fine) => Tying::Fine,
            Some(Granularity::Medium) => Tying::Medium,
            Some(Granularity::Coarse) => Tying::Coarse,
            // What could not be left out of the choice is at least no finer than other code.
            None | Some(Granularity::Never) => untagged,
        }
    }
}

/// What the tags of both sources ask for a hunk of theirs.
pub(super) fn asked(
    (hunk, facts): (&Hunk, &HunkFacts),
    sources: Sources<'_>,
    default: Option<Granularity>,
) -> Asked {
    let (old, new) = (&hunk.before, &hunk.after);
    let is_new = !new.spans.is_empty() || hunk.of.is_some();
    let side = if is_new { Side::After } else { Side::Before };
    let own = match hunk.of {
        Some(of) => sources.rollbacks[1].around(of.function),
        None => sources.around(side, hunk.place(side)),
    };
    let around = own.or_else(|| sources.rollbacks[1].around(Span::empty(new.at)));
    let outer = around.map(|said| said.granularity).or(default);
    let inner = sources.changed_within(old, new).max_by_key(|it| strictness(*it));
    let granularity = match (outer, inner) {
        (outer, Some(inner)) if strictness(inner) > rank(outer) => Some(inner),
        (outer, _) => outer,
    };
    // The tag of an old source says nothing about how far it reaches in the new one.
    let reach = around.filter(|_| side == Side::After || own.is_none());
    Asked { granularity, function: function(reach, facts) }
}

impl Sources<'_> {
    /// Of several pieces of a hunk, the strictest counts.
    fn around(self, side: Side, place: &Place) -> Option<Said> {
        let rollbacks = self.rollbacks[usize::from(side == Side::After)];
        let each = place.spans.iter().map(|span| rollbacks.around(*span));
        each.max_by_key(|said| rank(said.map(|said| said.granularity))).flatten()
    }

    /// What is said within a hunk of code that only one version has, or has so.
    fn changed_within(self, old: &Place, new: &Place) -> impl Iterator<Item = Granularity> {
        let [before, after] = [(0, old), (1, new)].map(|(side, place)| {
            let within =
                place.spans.iter().flat_map(move |span| self.rollbacks[side].within(*span));
            let said = within.map(move |said| {
                let words = slice(self.texts[side], said.span).split_whitespace();
                (said.granularity, words.collect::<Vec<_>>())
            });
            said.collect::<Vec<_>>()
        });
        let lone = |these: &[(Granularity, Vec<&str>)], others: &[(Granularity, Vec<&str>)]| {
            let lone = these.iter().filter(|said| !others.contains(said));
            lone.map(|(granularity, _)| *granularity).collect::<Vec<_>>()
        };
        [lone(&before, &after), lone(&after, &before)].into_iter().flatten()
    }
}

/// The function that a tag speaks of; else the outermost one around, of those with a name if there are any.
fn function(said: Option<Said>, facts: &HunkFacts) -> Option<Span> {
    let class = match said {
        Some(Said { span, kind: TaggedKind::Function | TaggedKind::Method, .. }) => {
            return Some(span);
        }
        Some(Said { span, kind: TaggedKind::Class, .. }) => Some(span),
        Some(Said { kind: TaggedKind::Statement, .. }) | None => None,
    };
    let within = |span: Span| class.is_none_or(|class| holds(class, span));
    let mut around = facts.functions.iter().filter(|(span, _)| within(*span));
    let named = around.clone().find(|(_, named)| *named);
    named.or_else(|| around.next()).map(|(span, _)| *span)
}

/// What says nothing is stricter than `fine`, and less so than the others.
fn rank(granularity: Option<Granularity>) -> u8 {
    granularity.map_or(1, strictness)
}
