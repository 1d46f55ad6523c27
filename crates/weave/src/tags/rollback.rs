//! Where each `@rollback` of a module holds, and which one counts at a place.
//!
//! The innermost one does: that of a statement before that of the function around it, the code before `belay.toml`.

use belay_model::{AppManifest, Granularity, ModuleEntry, TaggedKind};
use oxc::span::Span;

use super::{declared::Declared, read};
use crate::syntax::is_own_code;

/// All of one source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rollbacks(Vec<Said>);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    /// Of what it speaks of, in the source.
    pub(crate) span: Span,
    pub(crate) kind: TaggedKind,
    pub(crate) granularity: Granularity,
}

/// What a module and `belay.toml` say of the module's code. What is wrong with it was told when it was deployed.
pub(crate) fn rollbacks(manifest: &AppManifest, module: &ModuleEntry, source: &str) -> Rollbacks {
    let declared = Declared::of(manifest, &module.path);
    let in_file = declared.functions.iter().any(|(_, spec)| spec.tags.rollback.is_some());
    if !is_own_code(&module.path) || !(in_file || source.contains("@rollback")) {
        return Rollbacks::default();
    }
    let reading = read(&module.path, module.kind, source, &declared);
    // Of several functions that one export serves, the one that keeps the most together.
    let of_file = |export: Option<&str>| {
        let specs = export.into_iter().flat_map(|export| declared.specs(Some(export)));
        specs.filter_map(|(_, spec)| spec.tags.rollback).max_by_key(|it| strictness(*it))
    };
    let tagged = reading.found.iter().filter_map(|(_, tagged)| {
        let granularity = tagged.tags.rollback.or_else(|| of_file(tagged.export.as_deref()))?;
        let span = Span::new(tagged.span.0, tagged.span.1);
        Some(Said { span, kind: tagged.kind, granularity })
    });
    let bare = reading.bare.iter().filter_map(|(span, kind, export)| {
        let granularity = of_file(Some(export))?;
        Some(Said { span: *span, kind: *kind, granularity })
    });
    Rollbacks(tagged.chain(bare).collect())
}

/// How much a granularity keeps together. What says nothing is between the first two.
pub(crate) fn strictness(granularity: Granularity) -> u8 {
    match granularity {
        Granularity::Fine => 0,
        Granularity::Medium => 2,
        Granularity::Coarse => 3,
        Granularity::Never => 4,
    }
}

impl Rollbacks {
    /// The innermost one around `span`. A place without extent is within what begins before it and ends behind it.
    pub(crate) fn around(&self, span: Span) -> Option<Said> {
        let around = self.0.iter().filter(|said| holds(said.span, span));
        around.copied().min_by_key(|said| said.span.size())
    }

    /// Whether a statement is one that stays.
    pub(crate) fn is_never(&self, statement: Span) -> bool {
        let mut own = self.0.iter().filter(|said| said.span.start == statement.start);
        own.any(|said| said.granularity == Granularity::Never)
    }

    /// Those within `span`, that of all of it aside.
    pub(crate) fn within(&self, span: Span) -> impl Iterator<Item = Said> {
        let inner = move |said: &&Said| said.span != span && holds(span, said.span);
        self.0.iter().filter(inner).copied()
    }
}

/// Whether one place is within another one.
pub(crate) fn holds(outer: Span, inner: Span) -> bool {
    if inner.is_empty() {
        outer.start < inner.start && inner.end < outer.end
    } else {
        outer.start <= inner.start && inner.end <= outer.end
    }
}
