//! Functions that are transactions: where their code is, and the ways to their end.

use belay_model::{Alternative, AppManifest, FunctionSpec, ModuleKind, RuleSpec, TaggedKind, Tags};
use oxc::{semantic::Semantic, span::Span};

use super::{
    Reading,
    declared::Declared,
    place::{Code, Place},
    read,
    value::criterion_problem,
};
use crate::syntax::{ExpressionKind, read_expression};

/// An async function that is tagged `@transaction`, in the code or in `belay.toml`.
#[derive(Debug)]
pub(crate) struct TaggedTransaction {
    /// Of both.
    pub(crate) tags: Tags,
    /// By which it is foreseen that it fails.
    pub(crate) rules: Vec<RuleSpec>,
    /// The name under which its module exports it.
    pub(crate) export: Option<String>,
    /// What the function is called.
    pub(crate) name: String,
    pub(crate) body: Body,
    /// After the function itself, in order.
    pub(crate) alternatives: Vec<Way>,
}

/// Bytes of the source.
#[derive(Debug)]
pub(crate) enum Body {
    /// The whole of an arrow function.
    Arrow(Span),
    /// What is between the braces of any other, behind its directives; and parameters that it declares once more, with `var`.
    Block(Span, Vec<String>),
}

/// Another way to the end of a transaction.
#[derive(Debug)]
pub(crate) enum Way {
    /// A name that its code can see.
    Named(String),
    /// A method beside it.
    Sibling(String),
    /// The source of an arrow function.
    Inline(String),
}

/// The transactions of a module of `manifest` whose tags hold together.
pub(crate) fn transactions(
    manifest: &AppManifest,
    (path, kind): (&str, ModuleKind),
    source: &str,
) -> Vec<TaggedTransaction> {
    let declared = Declared::of(manifest, path);
    let of_function = |(_, spec): &(_, &FunctionSpec)| spec.tags.transaction.is_some();
    let declares = declared.names_any() || declared.functions.iter().any(of_function);
    if !declares && !source.contains("@transaction") {
        return Vec::new();
    }
    read(path, kind, source, &declared).transactions
}

impl Reading<'_> {
    /// Notes what is a transaction and can be one. What is wrong with others is told elsewhere.
    pub(super) fn transaction(&mut self, semantic: &Semantic<'_>, place: &Place, own: &Tags) {
        let (tags, settings) = self.declared.settled(place, own);
        let known = self.declared.named(place);
        self.named.extend(known.map(|named| (named, place.subject.callable.is_some())));
        self.ids.extend(tags.transaction.clone());
        let callable = place.subject.callable.filter(|it| it.is_async && !it.is_generator);
        let (Some(callable), Some(_)) = (callable, &tags.transaction) else { return };
        let tags = self.sound(tags);
        let rules = settings.map(|settings| settings.rules.clone()).unwrap_or_default();
        let name = place.subject.name.clone().unwrap_or_default();
        let body = match callable.code {
            Code::Arrow(span) => Body::Arrow(span),
            Code::Body { scope, parameters, inside } => {
                let scoping = semantic.scoping();
                let own = scope.into_iter().flat_map(|scope| scoping.get_bindings(scope).iter());
                let twice = own.filter(|(_, symbol)| {
                    parameters.contains_inclusive(scoping.symbol_span(**symbol))
                        && !scoping.symbol_redeclarations(**symbol).is_empty()
                });
                let mut twice: Vec<_> = twice.map(|(name, _)| name.to_string()).collect();
                twice.sort();
                Body::Block(inside, twice)
            }
        };
        let alternatives = tags.alternatives.iter().filter_map(|alternative| match alternative {
            Alternative::Inline(text) => Some(Way::Inline(text.clone())),
            Alternative::Function(name) => {
                let known = semantic.scoping().find_binding(place.scope, name.as_str().into());
                let is_method = place.subject.kind == TaggedKind::Method;
                match known {
                    Some(_) => Some(Way::Named(name.clone())),
                    // Of two versions in one program the older need not have what the newer one's settings name.
                    None => is_method.then(|| Way::Sibling(name.clone())),
                }
            }
        });
        let alternatives = alternatives.collect();
        let export = place.export.clone();
        let transaction = TaggedTransaction { tags, rules, export, name, body, alternatives };
        self.transactions.push(transaction);
    }

    /// Without what does not parse: nothing can be compiled of it.
    fn sound(&self, mut tags: Tags) -> Tags {
        tags.success = tags.success.filter(|text| criterion_problem(self.path, text).is_none());
        tags.alternatives.retain(|alternative| match alternative {
            Alternative::Function(_) => true,
            Alternative::Inline(text) => {
                matches!(read_expression(self.path, text), Ok(ExpressionKind::Arrow))
            }
        });
        tags
    }
}
