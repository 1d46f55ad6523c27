//! What is said of functions that are transactions, and where: of two versions in one program, each image says what its own
//! version does.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{Alternative, AppManifest, FunctionSpec, ModuleKind, Tags};
use oxc::{ast::ast::CommentContent, semantic::Semantic, span::Span};

use super::{
    comment,
    declared::Declared,
    place::{Place, places},
    tag::Tag,
    value::Entry,
};
use crate::syntax::{exports, is_own_code, with_meaning};

/// What speaks of transactions, and of little else.
const SPEAKING: [Tag; 7] = [
    Tag::Transaction,
    Tag::Predict,
    Tag::Alternative,
    Tag::Resources,
    Tag::Success,
    Tag::Isolation,
    Tag::Retry,
];

/// A function, and what is said of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Remark {
    /// With the names of the functions and classes around; in brackets, if it has no name that is written down.
    pub(crate) name: String,
    pub(crate) span: Span,
    /// The comments above it, from the first JSDoc one to behind the last one, up to what comes next. Empty, where it
    /// begins, if there is none.
    pub(crate) above: Span,
    /// What these say of a transaction.
    pub(crate) said: Tags,
    /// What it is by all that is said of it, here or in `belay.toml`: nothing if it is no transaction.
    pub(crate) is: Option<String>,
    /// It stands at the top of its module, or is a member of a class there: nothing else has its name.
    pub(crate) at_top: bool,
}

/// Of all functions of a module.
///
/// Nothing if the source cannot be read.
pub(crate) fn remarks(
    manifest: &AppManifest,
    (path, kind): (&str, ModuleKind),
    source: &str,
) -> Option<Vec<Remark>> {
    let declared = Declared::of(manifest, path);
    with_meaning(path, kind, source, |semantic| {
        let exports = exports(semantic.nodes().program());
        let mut comments = comments(path, source, semantic);
        let places = places(semantic, &exports, |_, _, _| true);
        let functions = places.into_values().filter(|place| is_own(place, semantic));
        let remarks = functions.map(|place| {
            let own = comments.remove(&place.span.start);
            let none = || (Span::empty(place.span.start), Tags::default());
            let (above, said) = own.unwrap_or_else(none);
            let (tags, settings) = declared.settled(&place, &said);
            let can_be = place.subject.callable.is_some_and(|it| it.is_async && !it.is_generator);
            let rules = settings.map(|settings| &settings.rules);
            let is = (can_be && tags.transaction.is_some()).then(|| {
                serde_json::to_string(&(of_transaction(&tags), rules)).unwrap_or_default()
            });
            let at_top = place.subject.name.is_some() && place.is_at_top(semantic.nodes());
            let (name, span) = (named(&place, semantic), place.span);
            Remark { name, span, above, said, is, at_top }
        });
        remarks.collect()
    })
}

/// Whether a module may have transactions.
pub(crate) fn may_remark(manifest: &AppManifest, path: &str, source: &str) -> bool {
    let declared = Declared::of(manifest, path);
    let of_function = |spec: &FunctionSpec| spec.tags.transaction.is_some();
    is_own_code(path)
        && (source.contains("@transaction")
            || declared.names_any()
            || declared.functions.iter().any(|(_, spec)| of_function(spec)))
}

/// What `tags` say of a transaction.
pub(crate) fn of_transaction(tags: &Tags) -> Tags {
    Tags { rollback: None, depends: Vec::new(), notape: false, ..tags.clone() }
}

/// Names that the code has to have for what is said: of other ways, and in expressions.
pub(crate) fn names_in(said: &Tags) -> BTreeSet<String> {
    let alternatives = said.alternatives.iter().map(|alternative| match alternative {
        Alternative::Function(text) | Alternative::Inline(text) => text,
    });
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let texts = alternatives.chain(&said.success);
    let words = texts.flat_map(|text| text.split(move |c: char| !is_part(c)));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A function, but for one that the statement around it exports, which is a place of its own.
fn is_own(place: &Place, semantic: &Semantic<'_>) -> bool {
    let is_function = place.subject.callable.is_some() && !place.subject.erased;
    is_function && !place.is_exported_by_another(semantic.nodes())
}

fn named(place: &Place, semantic: &Semantic<'_>) -> String {
    let name = place.subject.name.as_deref().unwrap_or("[computed]");
    let around = place.within(semantic.nodes()).map(|around| format!("{around}."));
    format!("{}{}{name}", around.unwrap_or_default(), place.manner(semantic.nodes()))
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
        let rest = source.get(end as usize..).unwrap_or_default();
        let space = u32::try_from(rest.len() - rest.trim_start().len()).unwrap_or_default();
        let fresh = || (comment.span, Tags::default());
        let (span, tags) = found.entry(comment.attached_to).or_insert_with(fresh);
        span.end = end + space;
        for written in comment::read(text, start) {
            let Some(tag) = Tag::named(&written.name).filter(|tag| SPEAKING.contains(tag)) else {
                continue;
            };
            // What is wrong with it was told when it was deployed.
            let _ = Entry { tag, span: written.span, value: &written.value, path }.add_to(tags);
        }
    }
    for (_, said) in found.values_mut() {
        // Where lines end in an expression says nothing.
        let bare = |text: &String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        said.success = said.success.as_ref().map(bare);
    }
    found
}
