//! What hunks define and use, by which they are tied: names of properties, of globals, and variables.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::Hash;
use belay_model::HunkKind;
use oxc::{ast::AstType, span::Span};
use rustc_hash::FxHashSet;

use super::{
    hunk::{Hunk, Place, Side},
    nodes::{is_function, is_statement},
};
use crate::{
    syntax::{Marks, NodeId, Tree, VariableId},
    tags::holds,
};

/// Of a string literal, at least this many characters and fewer than that many make a name that code may share.
const NAME_CHARACTERS: std::ops::Range<usize> = 3..40;

/// So many places that begin alike are looked at to tell which one an edit is.
const LIKE_MAX: usize = 1_000;

/// What one side of a hunk is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Names of properties, also as strings.
    pub(crate) properties: BTreeSet<String>,
    /// Names of module-level variables and of globals.
    pub(crate) globals: BTreeSet<String>,
    /// Those of `globals` that are declared.
    pub(crate) declared: BTreeSet<String>,
    /// Variables of functions and blocks.
    pub(crate) locals: BTreeSet<VariableId>,
    /// What `locals` are called.
    pub(crate) names: BTreeMap<VariableId, String>,
    /// Those of `locals` that are declared or assigned.
    pub(crate) written_locals: BTreeSet<VariableId>,
    /// Those of `properties` and `globals` that are declared or assigned, or whose value the hunk is a part of.
    pub(crate) written: BTreeSet<String>,
    /// Those of `locals` whose name the other version of the module does not know.
    pub(crate) introduced: BTreeSet<VariableId>,
    /// Paths of the modules that it imports.
    pub(crate) modules: BTreeSet<String>,
}

impl Facts {
    /// What names these and does nothing with them.
    pub(crate) fn naming(names: BTreeSet<String>) -> Self {
        Self { properties: names.clone(), globals: names, ..Self::default() }
    }
}

/// Both sides, and where the hunk is in the new version.
#[derive(Debug, Clone, Default)]
pub(crate) struct HunkFacts {
    pub(crate) before: Facts,
    pub(crate) after: Facts,
    pub(crate) statement: Option<NodeId>,
    /// Functions around it, the outermost first, and whether they have names.
    pub(crate) functions: Vec<(Span, bool)>,
    /// Names of the functions and classes around, outermost first.
    pub(crate) path: String,
    /// What each side says, if anything.
    pub(crate) before_hash: Option<Hash>,
    pub(crate) after_hash: Option<Hash>,
    /// See [`belay_model::EditId`].
    pub(crate) ordinal: u32,
}

impl HunkFacts {
    pub(crate) fn side(&self, side: Side) -> &Facts {
        match side {
            Side::Before => &self.before,
            Side::After => &self.after,
        }
    }

    pub(crate) fn side_mut(&mut self, side: Side) -> &mut Facts {
        match side {
            Side::Before => &mut self.before,
            Side::After => &mut self.after,
        }
    }
}

/// All names of one version of a module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    pub(crate) properties: BTreeSet<String>,
    pub(crate) globals: BTreeSet<String>,
    pub(crate) locals: BTreeSet<String>,
}

pub(crate) fn vocabulary(tree: &Tree<'_>) -> Vocabulary {
    // Each name once, before any of them is copied: most occur often.
    let (mut properties, mut globals) = (FxHashSet::default(), FxHashSet::default());
    for id in tree.subtree(NodeId::ROOT) {
        match meaning(tree, id) {
            Some(Meaning::Property(name)) => drop(properties.insert(name)),
            Some(Meaning::Global(name)) => drop(globals.insert(name)),
            Some(Meaning::Local(_)) | None => {}
        }
    }
    let variables = tree.variables().map(|(_, variable)| variable);
    let locals = variables.filter(|variable| variable.scope != NodeId::ROOT);
    let locals = locals.map(|variable| &*variable.name).collect();
    let owned = |names: FxHashSet<&str>| names.into_iter().map(str::to_owned).collect();
    Vocabulary { properties: owned(properties), globals: owned(globals), locals: owned(locals) }
}

pub(crate) fn facts(
    hunk: &Hunk,
    (before, after): (&Tree<'_>, &Tree<'_>),
    (old, new): (&Vocabulary, &Vocabulary),
) -> HunkFacts {
    let own = [side_facts(before, hunk, Side::Before), side_facts(after, hunk, Side::After)];
    let at = hunk.after.cover().start;
    let around = |wanted: &dyn Fn(AstType) -> bool| {
        let ids = after.touching(Span::empty(at)).filter(|id| {
            let span = after.span(*id);
            wanted(after.ty(*id)) && span.start <= at && at < span.end
        });
        ids.last()
    };
    let unknown = |tree: &Tree<'_>, facts: &Facts, other: &Vocabulary| -> BTreeSet<VariableId> {
        let names = facts.locals.iter().copied();
        let unknown = names.filter(|v| {
            let name = &*tree.variable(*v).name;
            !other.locals.contains(name) && !other.globals.contains(name)
        });
        unknown.collect()
    };
    let [mut before_facts, mut after_facts] = own;
    before_facts.introduced = unknown(before, &before_facts, new);
    after_facts.introduced = unknown(after, &after_facts, old);
    let inline = matches!(hunk.kind, HunkKind::Expression | HunkKind::Property);
    let around_both = match hunk.after.spans.first() {
        Some(span) => path_to(after, span.start),
        None => path_to(before, hunk.before.at),
    };
    HunkFacts {
        path: around_both,
        ordinal: match hunk.before.spans.as_slice() {
            [span] => ordinal(before, *span),
            [] => hunk.after.spans.first().map_or(0, |span| ordinal(after, *span)),
            _ => 0,
        },
        before_hash: says(before, hunk, Side::Before),
        after_hash: says(after, hunk, Side::After),
        before: before_facts,
        after: after_facts,
        statement: around(&|ty| {
            is_statement(ty) && ty != AstType::BlockStatement || ty == AstType::Function
        })
        .filter(|_| inline),
        functions: functions(after, &hunk.after),
    }
}

fn functions(tree: &Tree<'_>, place: &Place) -> Vec<(Span, bool)> {
    let cover = place.cover();
    let around = tree.touching(Span::empty(cover.start));
    let around = around.filter(|id| is_function(tree.ty(*id)) && holds(tree.span(*id), cover));
    around.map(|id| (tree.span(id), name_of(tree, id).is_some())).collect()
}

/// The address of what one side of a hunk says: its tokens, whatever stands between them.
fn says(tree: &Tree<'_>, hunk: &Hunk, side: Side) -> Option<Hash> {
    let spans = &hunk.place(side).spans;
    let words = spans.iter().flat_map(|span| tree.tokens(*span)).map(|token| tree.text(*token));
    let words = ended(words.collect());
    (!words.is_empty()).then(|| Hash::of(words.join(" ").as_bytes()))
}

/// Whether a formatter ended the last statement is nothing that was said.
fn ended(mut words: Vec<&str>) -> Vec<&str> {
    while words.last() == Some(&";") {
        words.pop();
    }
    words
}

/// The names of the functions and classes around a place, outermost first.
pub(super) fn path_to(tree: &Tree<'_>, at: u32) -> String {
    named_around(tree, at).map(|(_, name)| name).collect::<Vec<_>>().join(".")
}

/// The functions and classes around a place, outermost first, with their names.
fn named_around(tree: &Tree<'_>, at: u32) -> impl Iterator<Item = (NodeId, String)> {
    let around = tree.touching(Span::empty(at)).filter(move |id| {
        let span = tree.span(*id);
        span.start < at && at < span.end
    });
    around.filter_map(|id| Some((id, name_of(tree, id)?)))
}

/// Which of the places in its function that say what it says a span is, from 1; 0 if it is the only one.
///
/// Places are counted, not edits, so that an edit has the number that it had when the one beside it is gone.
fn ordinal(tree: &Tree<'_>, span: Span) -> u32 {
    let around = named_around(tree, span.start).last().map_or(NodeId::ROOT, |(id, _)| id);
    let all = tree.tokens(tree.span(around));
    let own = ended(tree.tokens(span).iter().map(|token| tree.text(*token)).collect());
    let first = all.partition_point(|token| token.start < span.start);
    let Some(word) = own.first() else { return 0 };
    let like = (0..all.len()).filter(|at| tree.text(all[*at]) == *word).take(LIKE_MAX);
    let same = like.filter(|at| {
        let there = all[*at..].iter().map(|token| tree.text(*token));
        there.take(own.len()).eq(own.iter().copied())
    });
    let same: Vec<usize> = same.collect();
    let at = same.iter().position(|at| *at == first).filter(|_| same.len() > 1);
    at.map_or(0, |at| u32::try_from(at + 1).unwrap_or(u32::MAX))
}

/// What a function, class or method is called, by itself or by where it is put.
pub(super) fn name_of(tree: &Tree<'_>, id: NodeId) -> Option<String> {
    let node = tree.node(id);
    let named = is_function(node.ty) || node.ty == AstType::Class;
    let own = node.children.first().filter(|c| tree.ty(**c) == AstType::BindingIdentifier);
    let given = || {
        let parent = tree.node(node.parent?);
        let key = parent.children.first().filter(|key| **key != id)?;
        let fits = assigns(parent.ty) || parent.ty == AstType::MethodDefinition;
        fits.then_some(*key)
    };
    let name = own.copied().or_else(given).filter(|_| named)?;
    Some(tree.code(name).split_whitespace().collect())
}

enum Meaning<'t> {
    Property(&'t str),
    Global(&'t str),
    Local(VariableId),
}

fn meaning<'t>(tree: &'t Tree<'_>, id: NodeId) -> Option<Meaning<'t>> {
    let node = tree.node(id);
    match node.ty {
        AstType::IdentifierName | AstType::PrivateIdentifier => {
            Some(Meaning::Property(tree.code(id)))
        }
        AstType::StringLiteral => {
            let text = node.text.unwrap_or_default();
            NAME_CHARACTERS.contains(&text.len()).then_some(Meaning::Property(text))
        }
        AstType::BindingIdentifier | AstType::IdentifierReference => {
            let local = node.variable.filter(|v| tree.variable(*v).scope != NodeId::ROOT);
            Some(local.map_or(Meaning::Global(tree.code(id)), Meaning::Local))
        }
        _ => None,
    }
}

fn side_facts(tree: &Tree<'_>, hunk: &Hunk, side: Side) -> Facts {
    let mut facts = Facts::default();
    for span in &hunk.place(side).spans {
        for id in tree.touching(*span) {
            let own = tree.span(id);
            if own.start >= span.start && own.end <= span.end {
                note(tree, id, &mut facts);
            }
            if tree.node(id).children.len() > 1 && (within(own, *span) || is_value(tree, id, *span))
            {
                note_write(tree, id, &mut facts);
            }
        }
    }
    let name = |variable: &VariableId| (*variable, tree.variable(*variable).name.to_string());
    facts.names = facts.locals.iter().map(name).collect();
    facts
}

fn within(inner: Span, outer: Span) -> bool {
    inner.start >= outer.start && inner.end <= outer.end
}

fn note(tree: &Tree<'_>, id: NodeId, facts: &mut Facts) {
    let node = tree.node(id);
    match meaning(tree, id) {
        Some(Meaning::Property(name)) => {
            facts.properties.insert(name.to_owned());
        }
        Some(Meaning::Global(name)) => {
            facts.globals.insert(name.to_owned());
            if node.ty == AstType::BindingIdentifier {
                facts.declared.insert(name.to_owned());
            }
        }
        Some(Meaning::Local(variable)) => {
            facts.locals.insert(variable);
            if node.ty == AstType::BindingIdentifier || node.marks.has(Marks::WRITTEN) {
                facts.written_locals.insert(variable);
            }
        }
        None => {}
    }
}

/// Whether `span` is a part of what a node assigns, with no function between.
fn is_value(tree: &Tree<'_>, id: NodeId, span: Span) -> bool {
    let Some(value) = tree.node(id).children.get(1).filter(|_| assigns(tree.ty(id))) else {
        return false;
    };
    let around = tree.span(*value);
    around.start <= span.start
        && span.end <= around.end
        && !tree.subtree(*value).any(|inner| {
            let body = tree.span(inner);
            tree.ty(inner) == AstType::FunctionBody
                && body.start < span.start
                && span.end <= body.end
        })
}

fn assigns(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::VariableDeclarator
            | AstType::AssignmentExpression
            | AstType::ObjectProperty
            | AstType::PropertyDefinition
    )
}

fn note_write(tree: &Tree<'_>, id: NodeId, facts: &mut Facts) {
    let Some(target) = tree.node(id).children.first().filter(|_| assigns(tree.ty(id))) else {
        return;
    };
    let end = tree.span(*target).end;
    let plain = tree.ty(*target) == AstType::IdentifierReference;
    for inner in tree.subtree(*target) {
        let identifier = match tree.ty(inner) {
            AstType::BindingIdentifier => true,
            AstType::IdentifierReference => plain,
            AstType::IdentifierName if tree.span(inner).end == end => {
                facts.written.insert(tree.code(inner).to_owned());
                false
            }
            _ => false,
        };
        match meaning(tree, inner).filter(|_| identifier) {
            Some(Meaning::Local(variable)) => {
                facts.locals.insert(variable);
                facts.written_locals.insert(variable);
            }
            Some(Meaning::Global(name)) => {
                facts.globals.insert(name.to_owned());
                facts.written.insert(name.to_owned());
            }
            Some(Meaning::Property(_)) | None => {}
        }
    }
}
