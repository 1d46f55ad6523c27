//! Tags in the code: JSDoc above statements, functions, classes and their members, read and checked.
//!
//! ```text
//! source ──▶ comment: tags and their values ──▶ tag: whose are they? ──▶ value: what do they say?
//!        ──▶ place: what do they stand above? ─────────────────────────▶ check: does it hold together?
//! belay.toml ──▶ declared: what does it say of this module? ────────────┘  naming: does the code have it?
//! ```
//!
//! Read from the source as its author wrote it, because comments and types are gone from what is compiled. Tags in
//! packages mean nothing: their authors do not know Belay. Nothing here acts on a tag; [`rollback`] tells the weave
//! where each `@rollback` holds, and [`remarks`] where transactions are spoken of.

mod check;
mod comment;
mod declared;
mod naming;
mod place;
mod remarks;
mod rollback;
mod tag;
mod transactions;
mod value;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_model::{
    AppManifest, Diagnostic, FunctionName, Hash, Label, ModuleEntry, ModuleKind, Severity, Tagged,
    TaggedKind, Tags, TransactionName,
};
use oxc::{
    ast::ast::{Comment, CommentContent},
    semantic::Semantic,
    span::Span,
};

use self::{
    comment::Written,
    declared::{Declared, Named},
    naming::Naming,
    place::{Place, places},
    tag::Tag,
    value::{Entry, Problem},
};
pub(crate) use self::{
    remarks::{Remark, may_remark, names_in, of_transaction, remarks},
    rollback::{Rollbacks, Said, holds, rollbacks, strictness},
    transactions::{Body, TaggedTransaction, Way, transactions},
};
use crate::{
    lines::Lines,
    syntax::{exports, is_own_code, with_meaning},
};

/// Most errors, and most warnings, that are told of one file.
const PROBLEMS_MAX: usize = 16;

/// Most tagged places of one file.
const TAGGED_MAX: usize = 5_000;

/// The tags of the module at `path`, in the order of the source, and what is wrong with them.
pub fn tags(path: &str, kind: ModuleKind, source: &str) -> (Vec<Tagged>, Vec<Diagnostic>) {
    read(path, kind, source, &Declared::default()).told()
}

/// The tags of all modules of an app that [`crate::compile`] accepts, where what the manifest says of its functions and
/// transactions counts too. `source` gives a source text by its hash.
pub fn app_tags(
    manifest: &AppManifest,
    source: &dyn Fn(&Hash) -> Option<Arc<str>>,
) -> (Vec<Tagged>, Vec<Diagnostic>) {
    let (mut tags, mut problems, mut naming) = (Vec::new(), Vec::new(), Naming::default());
    for module in manifest.modules.iter().filter(|module| is_own_code(&module.path)) {
        let Some(text) = source(&module.source) else { continue };
        let declared = Declared::of(manifest, &module.path);
        let read = read(&module.path, module.kind, &text, &declared);
        naming.add(&read);
        let told = read.told();
        tags.extend(told.0);
        // What is wrong with settings is told by each module that has the transaction.
        let again = |it: &Diagnostic| it.labels.is_empty() && problems.contains(it);
        let new: Vec<_> = told.1.into_iter().filter(|it| !again(it)).collect();
        problems.extend(new);
    }
    problems.extend(naming.problems(manifest));
    (tags, problems)
}

/// The handlers that promise something of their results (`@success`, or `success` in `belay.toml`): function, module and
/// expression. What is said of a transaction by its id goes before the code, and the code before its function. What does not hold together is left out, as it is refused elsewhere.
pub(crate) fn said_of_success(
    manifest: &AppManifest,
    source: &dyn Fn(&ModuleEntry) -> Option<Arc<str>>,
) -> Vec<(FunctionName, String, String)> {
    let mut found = Vec::new();
    for module in &manifest.modules {
        let declared = Declared::of(manifest, &module.path);
        if declared.functions.is_empty() {
            continue;
        }
        let text = source(module).unwrap_or_default();
        let speaks = text.contains("@success") || declared.promises();
        let reading = speaks.then(|| read(&module.path, module.kind, &text, &declared));
        for (name, spec) in &declared.functions {
            let in_code = reading.as_ref().and_then(|reading| reading.success(&spec.export));
            let said = in_code.or_else(|| spec.tags.success.clone());
            let sound = said.filter(|text| value::criterion_problem(&module.path, text).is_none());
            found.extend(sound.map(|text| ((*name).clone(), module.path.clone(), text)));
        }
    }
    found
}

/// Whether two sources of a module, which say the same otherwise ([`crate::same_code`]), have the same tags at the same
/// places: then the warnings about the second one. A source whose tags are wrong is like no other.
pub fn same_tags(
    manifest: &AppManifest,
    module: &ModuleEntry,
    before: &str,
    after: &str,
) -> Option<Vec<Diagnostic>> {
    let declared = Declared::of(manifest, &module.path);
    let before = read(&module.path, module.kind, before, &declared);
    let after = read(&module.path, module.kind, after, &declared);
    let wrong = |problem: &Diagnostic| problem.severity == Severity::Error;
    let wrong = before.problems.iter().chain(&after.problems).any(wrong);
    (!wrong && before.said() == after.said()).then(|| after.told().1)
}

fn read<'m>(
    path: &'m str,
    kind: ModuleKind,
    source: &'m str,
    declared: &'m Declared<'m>,
) -> Reading<'m> {
    let mut reading = Reading {
        path,
        source,
        declared,
        found: Vec::new(),
        bare: Vec::new(),
        transactions: Vec::new(),
        ids: BTreeSet::new(),
        named: Vec::new(),
        candidates: BTreeSet::new(),
        problems: Vec::new(),
    };
    let speaks = source.contains('@') || declared.speaks();
    if kind != ModuleKind::Json && is_own_code(path) && speaks {
        reading.declared_values();
        with_meaning(path, kind, source, |semantic| reading.module(semantic));
    }
    reading
}

/// One module while it is read.
struct Reading<'m> {
    path: &'m str,
    source: &'m str,
    declared: &'m Declared<'m>,
    /// With the number of places before each.
    found: Vec<(usize, Tagged)>,
    /// Where only `belay.toml` speaks: what is exported, and under which name.
    bare: Vec<(Span, TaggedKind, String)>,
    /// Those that hold together.
    transactions: Vec<TaggedTransaction>,
    /// Of all of them.
    ids: BTreeSet<TransactionName>,
    /// What `belay.toml` names as transactions, and whether it is a function that can be one.
    named: Vec<(Named<'m>, bool)>,
    /// What it could name, if it names anything.
    candidates: BTreeSet<String>,
    problems: Vec<Diagnostic>,
}

/// Tags that stand above one place.
#[derive(Default)]
struct Above {
    own: Vec<(Tag, Written)>,
}

impl<'m> Reading<'m> {
    fn told(mut self) -> (Vec<Tagged>, Vec<Diagnostic>) {
        let place = |problem: &Diagnostic| problem.labels.first().map(|at| (at.line, at.column));
        self.problems.sort_by_key(place);
        (self.found.into_iter().map(|(_, tagged)| tagged).collect(), self.problems)
    }

    /// The tags, each with its place in the code, whatever the formatting.
    fn said(&self) -> Vec<(usize, &Tags)> {
        self.found.iter().map(|(ordinal, tagged)| (*ordinal, &tagged.tags)).collect()
    }

    fn module(&mut self, semantic: &Semantic<'_>) {
        let mut comments: BTreeMap<u32, Above> = BTreeMap::new();
        for comment in semantic.comments() {
            self.comment(comment, &mut comments);
        }
        let exports = exports(semantic.nodes().program());
        let wanted = |start: u32, name: Option<&str>, export: Option<&str>| {
            comments.contains_key(&start) || self.declared.speaks_of(name, export)
        };
        let mut places = places(semantic, &exports, wanted);
        let lines = Lines::of(self.source);
        for (start, above) in comments {
            match places.remove(&start).filter(|place| !place.subject.erased) {
                Some(place) => self.place(semantic, &lines, &place, above),
                None => self.nowhere(&above),
            }
        }
        if self.declared.names_any() {
            let scoping = semantic.scoping();
            let tops = scoping.get_bindings(scoping.root_scope_id()).iter();
            self.candidates.extend(tops.map(|(name, _)| name.to_string()));
            self.candidates.extend(exports.names.keys().cloned());
        }
        for place in places.values().filter(|place| !place.subject.erased) {
            self.contradictions(semantic, place, &Tags::default(), &BTreeMap::new());
            self.transaction(semantic, place, &Tags::default());
            let export = place.export.iter();
            self.bare.extend(export.map(|it| (place.span, place.subject.kind, it.clone())));
        }
    }

    /// Sorts the tags of a comment by the place that they stand above.
    fn comment(&mut self, comment: &Comment, comments: &mut BTreeMap<u32, Above>) {
        let Span { start, end, .. } = comment.span;
        let text = self.source.get(start as usize..end as usize).unwrap_or_default();
        let is_jsdoc =
            matches!(comment.content, CommentContent::Jsdoc | CommentContent::JsdocLegal);
        if !is_jsdoc {
            return self.no_jsdoc(comment, text);
        }
        // Behind code, on its line, a comment is above nothing.
        let place = if comment.is_leading() { comment.attached_to } else { u32::MAX };
        for written in comment::read(text, start) {
            if let Some(tag) = Tag::named(&written.name) {
                comments.entry(place).or_default().own.push((tag, written));
            } else if let Some(meant) = Tag::meant(&written.name) {
                let message = format!("`@{}` is no tag", written.name);
                let mark = format!("did you mean `@{}`?", meant.name());
                let help = "Belay reads the tags of docs/tags.md, and leaves those of JSDoc alone";
                self.warn("unknown-tag", Problem::new(written.span, message, help), &mark);
            }
        }
    }

    /// A tag where JSDoc has none is not read, which its author should know.
    fn no_jsdoc(&mut self, comment: &Comment, text: &str) {
        let inner = text.trim_start_matches(['/', '*']).trim_start();
        let name = inner.strip_prefix('@').and_then(|rest| rest.split_whitespace().next());
        if let Some(tag) = name.and_then(Tag::named) {
            let message = format!("`@{}` is not read here", tag.name());
            let help = "tags stand in JSDoc comments: `/** … */`";
            self.warn("misplaced-tag", Problem::new(comment.span, message, help), "");
        }
    }

    fn nowhere(&mut self, above: &Above) {
        if let Some((tag, written)) = above.own.first() {
            let message = format!("`@{}` stands above nothing that runs", tag.name());
            let help = "put it directly above a statement, a function, a class or a member of one";
            self.warn("misplaced-tag", Problem::new(written.span, message, help), "");
        }
    }

    fn place(&mut self, semantic: &Semantic<'_>, lines: &Lines, place: &Place, above: Above) {
        if self.found.len() == TAGGED_MAX {
            let message = format!("{} has tags at more than {TAGGED_MAX} places", self.path);
            self.tell(Severity::Error, |_| Diagnostic::error("too-large", message));
            return;
        }
        let (mut tags, mut seen) = (Tags::default(), BTreeMap::new());
        for (tag, written) in &above.own {
            let entry =
                Entry { tag: *tag, span: written.span, value: &written.value, path: self.path };
            match seen.insert(*tag, written.span).filter(|_| !tag.is_list()) {
                Some(first) => self.twice(*tag, first, written.span),
                None => entry
                    .add_to(&mut tags)
                    .unwrap_or_else(|problem| self.refuse("bad-tag", problem)),
            }
        }
        self.contradictions(semantic, place, &tags, &seen);
        self.transaction(semantic, place, &tags);
        let tagged = Tagged {
            module: self.path.to_owned(),
            kind: place.subject.kind,
            name: place.subject.name.clone(),
            export: place.export.clone(),
            within: place.within(semantic.nodes()),
            lines: lines.range(place.span.start, place.span.end),
            span: (place.span.start, place.span.end),
            tags,
        };
        self.found.push((place.ordinal, tagged));
    }

    fn twice(&mut self, tag: Tag, first: Span, second: Span) {
        self.tell(Severity::Error, |reading| {
            let message = format!("`@{}` is said twice of the same thing", tag.name());
            Diagnostic::error("contradictory-tags", message)
                .at(reading.label(second, "again"))
                .at(reading.label(first, "first here"))
                .help("keep one of them")
        });
    }

    /// What a handler's code, or what is said of the transaction that it is, promises of its results.
    fn success(&self, export: &str) -> Option<String> {
        let own = |other: Option<&str>| other == Some(export);
        let transaction = self.transactions.iter().find(|it| own(it.export.as_deref()));
        let id = transaction.and_then(|it| it.tags.transaction.as_ref());
        let settings = id.and_then(|id| self.declared.settings(id));
        let tagged = || self.found.iter().map(|(_, it)| it).find(|it| own(it.export.as_deref()));
        let promised = settings.and_then(|settings| settings.success.clone());
        promised.or_else(|| tagged()?.tags.success.clone())
    }

    fn label(&self, span: Span, text: impl Into<String>) -> Label {
        Label::new(self.path, self.source, span.start as usize, span.end as usize, text)
    }

    fn refuse(&mut self, code: &str, Problem { span, message, help }: Problem) {
        self.tell(Severity::Error, |reading| {
            Diagnostic::error(code, message).at(reading.label(span, "")).help(help)
        });
    }

    fn warn(&mut self, code: &str, Problem { span, message, help }: Problem, mark: &str) {
        self.tell(Severity::Warning, |reading| {
            Diagnostic::warning(code, message).at(reading.label(span, mark)).help(help)
        });
    }

    /// Nobody reads a hundred of them, and each takes a walk through the source.
    fn tell(&mut self, severity: Severity, make: impl FnOnce(&Self) -> Diagnostic) {
        let alike = self.problems.iter().filter(|known| known.severity == severity);
        if alike.count() < PROBLEMS_MAX {
            let diagnostic = make(self);
            self.problems.push(diagnostic);
        }
    }
}
