//! What comments say of functions that are transactions, and where: of two versions in one program, each image says what
//! its own does.

use std::collections::BTreeMap;

use belay_model::{AppManifest, ModuleEntry, TaggedKind, Tags};
use oxc::{ast::ast::CommentContent, semantic::Semantic, span::Span};

use super::{
    comment,
    declared::Declared,
    place::{Place, places},
    tag::Tag,
    value::Entry,
};
use crate::syntax::{exports, is_own_code, with_meaning};

/// What speaks of transactions, and of nothing else where a function is one.
const SPEAKING: [Tag; 7] = [
    Tag::Transaction,
    Tag::Predict,
    Tag::Alternative,
    Tag::Resources,
    Tag::Success,
    Tag::Isolation,
    Tag::Retry,
];

/// A function, and the comment above it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Remark {
    /// By which the other version's is found.
    pub(crate) of: Function,
    /// Where the function begins.
    pub(crate) at: u32,
    /// From the first JSDoc comment above it to the last one.
    pub(crate) comment: Option<Span>,
    /// What these say; nothing of what others ask for.
    pub(crate) said: Tags,
    /// By all that is said of it, here or in `belay.toml`.
    pub(crate) is_transaction: bool,
}

/// How the functions of a module are told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Function {
    /// With the names of the functions and classes around.
    pub(crate) name: String,
    is_method: bool,
    /// Among those of that name, from 0.
    number: usize,
}

/// Of all functions of a module with a name, where any comment could speak of a transaction in either of two versions.
pub(crate) fn remarks(manifest: &AppManifest, module: &ModuleEntry, source: &str) -> Vec<Remark> {
    if !is_own_code(&module.path) {
        return Vec::new();
    }
    let declared = Declared::of(manifest, &module.path);
    let read = |semantic: &Semantic<'_>| {
        let exports = exports(semantic.nodes().program());
        let mut comments = comments(&module.path, source, semantic);
        let places = places(semantic, &exports, |_, _, _| true);
        let mut numbers: BTreeMap<(String, bool), usize> = BTreeMap::new();
        let functions = places
            .into_values()
            .filter(|place| place.subject.callable.is_some() && !place.subject.erased);
        let remarks = functions.filter_map(|place| {
            let own = comments.remove(&place.span.start);
            let (comment, said) = own.map_or((None, Tags::default()), |(at, it)| (Some(at), it));
            let (tags, _) = declared.settled(&place, &said);
            let (name, is_method) = named(&place, semantic)?;
            let number = numbers.entry((name.clone(), is_method)).or_default();
            let of = Function { name, is_method, number: *number };
            *number += 1;
            let (at, is_transaction) = (place.span.start, tags.transaction.is_some());
            Some(Remark { of, at, comment, said, is_transaction })
        });
        remarks.collect()
    };
    with_meaning(&module.path, module.kind, source, read).unwrap_or_default()
}

/// Whether a source may say that a function is a transaction, or its settings do.
pub(crate) fn may_remark(manifest: &AppManifest, module: &ModuleEntry, source: &str) -> bool {
    let declared = Declared::of(manifest, &module.path);
    let of_function = |spec: &belay_model::FunctionSpec| spec.tags.transaction.is_some();
    source.contains("@transaction")
        || declared.names_any()
        || declared.functions.iter().any(|(_, spec)| of_function(spec))
}

fn named(place: &Place, semantic: &Semantic<'_>) -> Option<(String, bool)> {
    let name = place.subject.name.as_ref()?;
    let name = match place.within(semantic.nodes()) {
        Some(around) => format!("{around}.{name}"),
        None => name.clone(),
    };
    Some((name, place.subject.kind == TaggedKind::Method))
}

/// The comments above all that has some, and what they say of transactions.
fn comments(path: &str, source: &str, semantic: &Semantic<'_>) -> BTreeMap<u32, (Span, Tags)> {
    let mut found: BTreeMap<u32, (Span, Tags)> = BTreeMap::new();
    for comment in semantic.comments() {
        let is_jsdoc =
            matches!(comment.content, CommentContent::Jsdoc | CommentContent::JsdocLegal);
        if !is_jsdoc || !comment.is_leading() {
            continue;
        }
        let Span { start, end, .. } = comment.span;
        let text = source.get(start as usize..end as usize).unwrap_or_default();
        let fresh = || (comment.span, Tags::default());
        let (span, tags) = found.entry(comment.attached_to).or_insert_with(fresh);
        span.end = end;
        for written in comment::read(text, start) {
            let Some(tag) = Tag::named(&written.name).filter(|tag| SPEAKING.contains(tag)) else {
                continue;
            };
            // What is wrong with it was told when it was deployed.
            let _ = Entry { tag, span: written.span, value: &written.value, path }.add_to(tags);
        }
    }
    found
}
