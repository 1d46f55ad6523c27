//! Does what is said of one place hold together, in the code and in `belay.toml`?
//!
//! Tags in the code go before those of functions in `belay.toml`, and settings of transactions before both. What both say of
//! a function must not differ silently.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{
    Alternative, Diagnostic, FunctionName, FunctionSpec, Resources, Severity, TaggedKind, Tags,
    TransactionName, TransactionSettings,
};
use oxc::{
    ast::{
        AstKind,
        ast::{ClassElement, ObjectPropertyKind},
    },
    semantic::Semantic,
    span::Span,
};

use super::{
    Reading,
    declared::Named,
    place::Place,
    tag::Tag,
    value::{Problem, criterion_problem},
};
use crate::{
    linking::nearest,
    syntax::{ExpressionKind, key, read_expression},
};

/// Names that are candidates for what a wrong one was meant to be.
const CANDIDATES_MAX: usize = 1_000;

/// The tags of one place, from both sources.
struct Check<'c> {
    semantic: &'c Semantic<'c>,
    source: &'c str,
    place: &'c Place,
    tags: &'c Tags,
    /// What holds: of the code, and of what `belay.toml` says of the function and of the transaction.
    settled: &'c Tags,
    /// Where the code says it.
    seen: &'c BTreeMap<Tag, Span>,
    declared: Vec<(&'c FunctionName, &'c FunctionSpec)>,
}

impl Reading<'_> {
    /// What `belay.toml` says of functions that only the compiler can read: expressions.
    pub(super) fn declared_values(&mut self) {
        for (name, spec) in &self.declared.functions {
            let Tags { success, alternatives, .. } = &spec.tags;
            let told = |key: &str| format!("`{key}` of function `{name}`");
            self.values(("success", success), ("alternative", alternatives), told);
        }
    }

    /// The same of a transaction, in the dialect of the module that has it.
    fn settings_values(&mut self, id: &TransactionName, settings: &TransactionSettings) {
        let alternatives = settings.alternatives.as_deref().unwrap_or_default();
        let told = |key: &str| format!("[transactions.{id}]: `{key}`");
        self.values(("success", &settings.success), ("alternatives", alternatives), told);
    }

    fn values(
        &mut self,
        (success, criterion): (&str, &Option<String>),
        (alternatives, ways): (&str, &[Alternative]),
        told: impl Fn(&str) -> String,
    ) {
        let criterion = criterion.iter().map(|text| (success, text, false));
        let inline = ways.iter().filter_map(|alternative| match alternative {
            Alternative::Inline(text) => Some((alternatives, text, true)),
            Alternative::Function(_) => None,
        });
        for (key, text, arrow) in criterion.chain(inline) {
            let read = read_expression(self.path, text);
            let problem = match read {
                Ok(ExpressionKind::Other) if arrow => "it is no arrow function".to_owned(),
                Ok(_) if arrow => continue,
                Ok(_) => match criterion_problem(self.path, text) {
                    Some(problem) => problem,
                    None => continue,
                },
                Err((_, problem)) => problem,
            };
            let message = format!("{} does not parse: {text:?}", told(key));
            self.tell(Severity::Error, |_| {
                Diagnostic::error("bad-tag", message).help(format!("belay.toml: {problem}"))
            });
        }
    }

    pub(super) fn contradictions(
        &mut self,
        semantic: &Semantic<'_>,
        place: &Place,
        tags: &Tags,
        seen: &BTreeMap<Tag, Span>,
    ) {
        let declared = self.declared.specs(place.export.as_deref()).collect();
        let (settled, settings) = self.declared.settled(place, tags);
        // A tag that the settings replace is not what is wrong.
        let replaced = |tag: &Tag| settings.is_some_and(|settings| says(settings, *tag));
        let seen = seen.iter().filter(|(tag, _)| !replaced(tag));
        let seen = &seen.map(|(tag, span)| (*tag, *span)).collect();
        let source = self.source;
        let check = Check { semantic, source, place, tags, settled: &settled, seen, declared };
        let misplaced = check.misplaced();
        let fits = misplaced.is_empty();
        misplaced.into_iter().for_each(|problem| self.refuse("misplaced-tag", problem));
        if !fits {
            return;
        }
        let other =
            self.declared.named(place).find(|it| Some(it.id) != settled.transaction.as_ref());
        let other = other.and_then(|named| check.other_name(named));
        other.into_iter().for_each(|problem| self.refuse("contradictory-tags", problem));
        if let (Some(id), Some(settings)) = (&settled.transaction, settings)
            && !self.ids.contains(id)
        {
            self.settings_values(id, settings);
        }
        check
            .unknown_functions()
            .into_iter()
            .for_each(|problem| self.refuse("unknown-function", problem));
        let contradictory = [check.callable(), check.lonely(), check.resources()];
        contradictory
            .into_iter()
            .flatten()
            .for_each(|problem| self.refuse("contradictory-tags", problem));
        let overridden = check.overridden();
        overridden.into_iter().for_each(|problem| self.warn("contradictory-tags", problem, ""));
    }
}

impl Check<'_> {
    /// Where the code says it; if only `belay.toml` does, the first line of what it speaks of.
    fn span(&self, tag: Tag) -> Span {
        self.seen.get(&tag).copied().unwrap_or_else(|| {
            let Span { start, end, .. } = self.place.span;
            let text = self.source.get(start as usize..end as usize).unwrap_or_default();
            let line = text.lines().next().unwrap_or_default();
            Span::sized(start, u32::try_from(line.len()).unwrap_or(u32::MAX))
        })
    }

    /// A mistake in what is said with `tag`.
    fn problem(&self, tag: Tag, message: &str, help: &str) -> Problem {
        let place = if self.seen.contains_key(&tag) { "" } else { "belay.toml: " };
        Problem::new(self.span(tag), format!("{place}{message}"), help)
    }

    /// Of a whole run, and what they stand above is none.
    fn misplaced(&self) -> Vec<Problem> {
        let subject = &self.place.subject;
        let holder = match subject.kind {
            TaggedKind::Class => "this is a class: put it above one of its methods",
            TaggedKind::Statement if subject.name.is_some() => {
                "what is assigned here is no function that can be seen into: put it above the function itself"
            }
            TaggedKind::Statement | TaggedKind::Function | TaggedKind::Method => {
                "this is a statement: put it above the function around it, or make a function of it"
            }
        };
        let wrong = self.seen.iter().filter(|(tag, _)| tag.needs_function());
        let wrong = wrong.filter(|_| subject.callable.is_none());
        let problem = |(tag, span): (&Tag, &Span)| {
            Problem::new(*span, format!("`@{}` is for functions", tag.name()), holder)
        };
        wrong.map(problem).collect()
    }

    fn is_transaction(&self) -> bool {
        self.settled.transaction.is_some()
    }

    /// A function is one transaction.
    fn other_name(&self, Named { id, text }: Named<'_>) -> Option<Problem> {
        let own = self.settled.transaction.as_ref()?;
        let message =
            format!("[transactions.{id}] names `{text}`, which is the transaction `{own}`");
        Some(self.problem(
            Tag::Transaction,
            &message,
            "a function is one transaction: keep one of the two",
        ))
    }

    /// A transaction has to be able to wait, once.
    fn callable(&self) -> Option<Problem> {
        let callable = self.place.subject.callable.filter(|_| self.is_transaction())?;
        let name = self.place.subject.name.as_deref().unwrap_or("this function");
        let problem = match (callable.is_async, callable.is_generator) {
            (true, false) => return None,
            (_, true) => "is a generator",
            (false, false) => "is not async",
        };
        let message = format!("`{name}` is a transaction, but it {problem}");
        let help = "write `async function`: a transaction waits for its effects, and is run again from its start";
        Some(self.problem(Tag::Transaction, &message, help))
    }

    /// Tags of a transaction without one.
    fn lonely(&self) -> Option<Problem> {
        if self.is_transaction() {
            return None;
        }
        let declares = |tag: &Tag| self.declared.iter().any(|(_, spec)| has(&spec.tags, *tag));
        // What a handler promises counts for whoever tries a change of it.
        let means_something = |tag: &Tag| *tag == Tag::Success && !self.declared.is_empty();
        let all =
            Tag::ALL.into_iter().filter(|tag| tag.is_of_transaction() && !means_something(tag));
        let tag = all
            .clone()
            .find(|tag| self.seen.contains_key(tag))
            .or_else(|| all.clone().find(declares))?;
        if tag == Tag::Success {
            let message = "`@success` is of handlers and of transactions, and this is neither";
            let help =
                "put it above the function that belay.toml names, or add `@transaction NAME`";
            return Some(self.problem(tag, message, help));
        }
        let message = format!("`@{}` says how a transaction is run, and this is none", tag.name());
        let help = "add `@transaction NAME`, or remove it";
        Some(self.problem(tag, &message, help))
    }

    /// What is needed must be allowed.
    fn resources(&self) -> Option<Problem> {
        let needs = self.settled.resources?;
        let problem = |(name, spec): &(&FunctionName, &FunctionSpec)| {
            let what = match spec.limits {
                limits if needs.memory_bytes > Some(limits.memory_bytes) => "memory",
                limits if needs.timeout_ms > Some(limits.timeout_ms) => "time",
                _ => return None,
            };
            let message = format!("this needs more {what} than function `{name}` may use");
            let help = "lower it, or raise the limit of the function in belay.toml";
            Some(self.problem(Tag::Resources, &message, help))
        };
        self.declared.iter().find_map(problem)
    }

    /// Said in the code and, otherwise, in `belay.toml`.
    fn overridden(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for (name, spec) in &self.declared {
            let (code, file) = (self.tags, &spec.tags);
            let differ = [
                (Tag::Rollback, differ(code.rollback.as_ref(), file.rollback.as_ref())),
                (Tag::Transaction, differ(code.transaction.as_ref(), file.transaction.as_ref())),
                (Tag::Success, differ(code.success.as_ref(), file.success.as_ref())),
                (Tag::Isolation, differ(code.isolation.as_ref(), file.isolation.as_ref())),
            ];
            for (tag, _) in differ.into_iter().filter(|(_, differ)| *differ) {
                let message =
                    format!("belay.toml says otherwise of function `{name}`: `{}`", tag.name());
                let help = "the tag in the code counts; remove one of the two";
                found.push(Problem::new(self.span(tag), message, help));
            }
        }
        found
    }

    fn unknown_functions(&self) -> Vec<Problem> {
        let names = self.settled.alternatives.iter().filter_map(|it| match it {
            Alternative::Function(name) => Some(name.as_str()),
            Alternative::Inline(_) => None,
        });
        let scoping = self.semantic.scoping();
        let is_known = |name: &str| {
            scoping.find_binding(self.place.scope, name.into()).is_some() || self.is_sibling(name)
        };
        names.filter(|name| !is_known(name)).map(|name| self.unknown_function(name)).collect()
    }

    fn unknown_function(&self, name: &str) -> Problem {
        let scoping = self.semantic.scoping();
        let scopes = scoping.scope_ancestors(self.place.scope);
        let visible = scopes.flat_map(|scope| scoping.get_bindings(scope).iter());
        let visible = visible.map(|(name, _)| name.as_str()).take(CANDIDATES_MAX);
        // In an order of their own, as bindings have none.
        let visible: BTreeSet<&str> = visible.collect();
        let help = match nearest(name, visible) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "name a function that this one could call, or write an arrow function".to_owned()
            }
        };
        self.problem(Tag::Alternative, &format!("there is no `{name}` here"), &help)
    }

    /// Whether a method has a sibling of that name.
    fn is_sibling(&self, name: &str) -> bool {
        match self.semantic.nodes().parent_kind(self.place.node) {
            AstKind::ClassBody(body) => {
                let keys =
                    body.body.iter().take(CANDIDATES_MAX).filter_map(ClassElement::property_key);
                keys.filter_map(key).any(|key| key == name)
            }
            AstKind::ObjectExpression(object) => {
                let own = object.properties.iter().take(CANDIDATES_MAX);
                let own = own.filter_map(ObjectPropertyKind::as_property);
                own.filter_map(|property| key(&property.key)).any(|key| key == name)
            }
            _ => false,
        }
    }
}

fn differ<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

/// Whether settings take the place of a tag.
fn says(settings: &TransactionSettings, tag: Tag) -> bool {
    match tag {
        Tag::Predict => settings.predict.is_some(),
        Tag::Alternative => settings.alternatives.is_some(),
        Tag::Resources => settings.resources != Resources::default(),
        Tag::Success => settings.success.is_some(),
        Tag::Isolation => settings.isolation.is_some(),
        Tag::Retry => settings.retry.is_some(),
        Tag::Rollback | Tag::Transaction | Tag::Depends | Tag::Notape => false,
    }
}

fn has(tags: &Tags, tag: Tag) -> bool {
    match tag {
        Tag::Rollback => tags.rollback.is_some(),
        Tag::Transaction => tags.transaction.is_some(),
        Tag::Predict => tags.predict,
        Tag::Alternative => !tags.alternatives.is_empty(),
        Tag::Resources => tags.resources.is_some(),
        Tag::Success => tags.success.is_some(),
        Tag::Isolation => tags.isolation.is_some(),
        Tag::Retry => !tags.retry.is_empty(),
        Tag::Depends => !tags.depends.is_empty(),
        Tag::Notape => tags.notape,
    }
}
