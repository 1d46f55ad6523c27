//! Functions that are transactions: where their code is, and the ways to their end.

use belay_model::{Alternative, AppManifest, ModuleKind, Tags};
use oxc::{semantic::Semantic, span::Span};

use super::{
    Reading,
    place::{Code, Place},
    read,
};

/// An async function that is tagged `@transaction`, in the code or in `belay.toml`.
#[derive(Debug)]
pub(crate) struct TaggedTransaction {
    /// Of both, where the code goes first.
    pub(crate) tags: Tags,
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
    let functions = manifest.functions.iter();
    let declared: Vec<_> = functions.filter(|(_, spec)| spec.module == path).collect();
    let declares = declared.iter().any(|(_, spec)| spec.tags.transaction.is_some());
    if !declares && !source.contains("@transaction") {
        return Vec::new();
    }
    read(path, kind, source, &declared).transactions
}

impl Reading<'_> {
    /// Notes what is a transaction and can be one. What is wrong with others is told elsewhere.
    pub(super) fn transaction(&mut self, semantic: &Semantic<'_>, place: &Place, own: &Tags) {
        let mut tags = own.clone();
        for (_, spec) in self.specs(place.export.as_deref()) {
            tags.add(&spec.tags);
        }
        let callable = place.subject.callable.filter(|it| it.is_async && !it.is_generator);
        let (Some(callable), Some(_)) = (callable, &tags.transaction) else { return };
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
        let alternatives = tags.alternatives.iter().map(|alternative| match alternative {
            Alternative::Inline(text) => Way::Inline(text.clone()),
            Alternative::Function(name) => {
                let known = semantic.scoping().find_binding(place.scope, name.as_str().into());
                if known.is_some() { Way::Named(name.clone()) } else { Way::Sibling(name.clone()) }
            }
        });
        let alternatives = alternatives.collect();
        self.transactions.push(TaggedTransaction { tags, name, body, alternatives });
    }
}
