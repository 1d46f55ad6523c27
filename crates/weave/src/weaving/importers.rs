//! Imports of names that have two values: each use of one chooses.
//!
//! `import { limit } from "./limits"`, where `limit` is bound twice, also imports the old value, as `$belay_limit`. Who
//! exports the name further exports both. A module that uses the name when it is loaded cannot choose: then the name
//! cannot have two values, and its module is told so. So it is with properties that a module takes when it is loaded.

use std::collections::{BTreeMap, BTreeSet};

use oxc::{ast::AstType, span::Span};

use super::{
    binding::use_element,
    chain::{DEFAULT, index},
    hunk::{Edit, Emit, Exposed, HunkId, Output, Shared, Side},
    module::Reading,
    names::is_name_list,
    nodes::{at_load, source_of},
    readers::reads_at_load,
    weaver::Weaver,
};
use crate::syntax::{Marks, NodeId, Tree};

/// What has two values, by specifier.
pub(crate) type Choices = BTreeMap<String, Choice>;

/// What of one module has two values, by name, and what chooses between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) exports: BTreeMap<String, HunkId>,
    /// Properties of what it exports as a whole.
    pub(crate) properties: BTreeMap<String, HunkId>,
}

/// What a module exports and cannot have two values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Why no export can.
    pub(crate) all: Option<String>,
    /// Why some exports cannot, by their names.
    pub(crate) names: BTreeMap<String, String>,
    /// Why some properties cannot, by their names.
    pub(crate) properties: BTreeMap<String, String>,
}

impl Closed {
    pub(crate) fn why(&self, name: &str) -> Option<&str> {
        self.names.get(name).or(self.all.as_ref()).map(String::as_str)
    }
}

/// An imported name that cannot have two values here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unable {
    pub(crate) specifier: String,
    pub(crate) name: String,
    pub(crate) what: Shared,
    /// In the user's words.
    pub(crate) why: String,
}

/// None of them can.
pub(crate) fn all_unable(choices: &Choices, why: &str) -> BTreeSet<Unable> {
    let names = choices.iter().flat_map(|(specifier, Choice { exports, properties })| {
        let exports = exports.keys().map(|name| (name, Shared::Export));
        let all = exports.chain(properties.keys().map(|name| (name, Shared::Property)));
        all.map(|(name, what)| Unable {
            specifier: specifier.clone(),
            name: name.clone(),
            what,
            why: why.to_owned(),
        })
    });
    names.collect()
}

/// What the imports of one module come to.
#[derive(Default)]
struct Found {
    output: Output,
    /// Statements for old values, each once.
    lines: BTreeSet<String>,
    unable: BTreeSet<Unable>,
}

/// One name that a statement imports or exports further.
struct Link<'l> {
    side: Side,
    specifier: &'l str,
    name: &'l str,
    what: Shared,
    hunk: HunkId,
}

/// A place at which a module takes a property with two values when it is loaded.
struct Taken<'l> {
    link: Link<'l>,
    /// Nothing where it cannot be chosen.
    named: Option<Named>,
}

impl<'t> Weaver<'t> {
    /// Lets uses of imported names choose. Told are those that cannot.
    pub(super) fn choose_imports(&self, output: &mut Output) -> BTreeSet<Unable> {
        let mut found = Found::default();
        if self.reading.imports.is_empty() {
            return found.unable;
        }
        for side in Side::BOTH {
            let tree = self.tree(side);
            for &item in tree.node(NodeId::ROOT).children {
                self.choose_of(side, item, &output.made_of, &mut found);
            }
            let other = self.taken(side.other());
            for taken in self.taken(side) {
                self.choose_taken(&taken, &other, &output.made_of, &mut found);
            }
        }
        if !found.unable.is_empty() {
            // The next weave has fewer choices.
            return found.unable;
        }
        let end = Span::empty(self.after.node(NodeId::ROOT).span.end);
        let lines = found.lines.into_iter().map(|line| Edit { at: end, emit: vec![line.into()] });
        found.output.edits.extend(lines);
        found.output.exposed.sort_by(|a, b| a.name.cmp(&b.name));
        found.output.exposed.dedup();
        output.add(found.output);
        found.unable
    }

    fn choose_of(&self, side: Side, item: NodeId, made_of: &BTreeSet<String>, found: &mut Found) {
        let tree = self.tree(side);
        let Some(specifier) = source_of(tree, item) else { return };
        let Some((specifier, choice)) = self.reading.imports.get_key_value(&specifier) else {
            return;
        };
        let (names, what) = (&choice.exports, Shared::Export);
        let link = |(name, hunk)| Link { side, specifier, name, what, hunk };
        let all = names.iter().map(|(name, hunk)| link((name.as_str(), *hunk)));
        let children = tree.node(item).children;
        let ty = tree.ty(item);
        if children.iter().any(|child| tree.ty(*child) == AstType::WithClause) {
            return all.for_each(|link| found.refuse(&link, "imports it with attributes"));
        }
        if ty == AstType::ExportAllDeclaration {
            let namespace = children.iter().any(|child| tree.ty(*child) != AstType::StringLiteral);
            return all.filter(|link| namespace || link.name != DEFAULT).for_each(|link| {
                if namespace {
                    found.refuse(&link, "exports it as a property of a namespace");
                } else if !self.exports_itself(side, link.name) {
                    self.expose_further(&link, link.name, found);
                }
            });
        }
        for &child in children {
            let node = tree.node(child);
            let (first, last) = (node.children.first(), node.children.last());
            let text = |id: &NodeId| tree.node(*id).text.unwrap_or(tree.code(*id));
            let (Some(first), Some(&last)) = (first, last) else { continue };
            if node.ty == AstType::ImportNamespaceSpecifier {
                self.choose_members(side, (specifier, names), last, found);
                continue;
            }
            let name = match node.ty {
                AstType::ImportDefaultSpecifier => DEFAULT,
                AstType::ImportSpecifier | AstType::ExportSpecifier => text(first),
                _ => continue,
            };
            let Some((name, &hunk)) = names.get_key_value(name) else { continue };
            let link = link((name.as_str(), hunk));
            if !is_word(name) || !is_word(text(&last)) {
                found.refuse(&link, "calls it by a name that is no word");
            } else if node.ty == AstType::ExportSpecifier {
                let further = text(&last);
                self.expose_further(&link, further, found);
                let from = serde_json::Value::from(specifier.as_str());
                let line = format!("export {{ $belay_{name} as $belay_{further} }} from {from}");
                found.lines.insert(format!("\n;{line};\n"));
            } else {
                if self.choose_uses(&link, last, made_of, found) {
                    let from = serde_json::Value::from(specifier.as_str());
                    let local = tree.code(last);
                    let line = format!("import {{ $belay_{name} as $belay_{local} }} from {from}");
                    found.lines.insert(format!("\n;{line};\n"));
                }
            }
        }
    }

    /// The places at which a version takes properties with two values when it is loaded.
    fn taken(&self, side: Side) -> Vec<Taken<'_>> {
        let (tree, mut taken) = (self.tree(side), Vec::new());
        for (specifier, choice) in self.reading.imports {
            if choice.properties.is_empty() {
                continue;
            }
            let Reading { module, elsewhere, .. } = self.reading;
            let common_js = elsewhere.loads_common_js(side, module, specifier);
            let reads = reads_at_load(tree, specifier, common_js);
            for (name, &hunk) in &choice.properties {
                taken.extend(reads.of(name).map(|read| {
                    let link = Link { side, specifier, name, what: Shared::Property, hunk };
                    Taken { link, named: read.direct.then(|| named(tree, read.at)).flatten() }
                }));
            }
        }
        taken
    }

    /// `const { name } = loaded` takes both values. `other`: what the other version takes.
    fn choose_taken(
        &self,
        Taken { link, named }: &Taken<'_>,
        other: &[Taken<'_>],
        made_of: &BTreeSet<String>,
        found: &mut Found,
    ) {
        let tree = self.tree(link.side);
        // A name that is not the same one in both versions is not chosen by one selector.
        let foreign = self.tree(link.side.other());
        let is_twin = |named: &Named| {
            other.iter().any(|taken| {
                let local = taken.named.map(|named| foreign.code(named.local));
                let same = (taken.link.specifier, taken.link.name) == (link.specifier, link.name);
                same && local == Some(tree.code(named.local))
            })
        };
        let Some(named) = named.as_ref().filter(|named| is_twin(named)) else {
            return found.refuse(link, &format!("reads `{}` when it is loaded", link.name));
        };
        self.choose_uses(link, named.local, made_of, found);
        let (local, object) = (tree.code(named.local), tree.code(named.object));
        let both = both_values(object, link.name, local);
        let edit = Edit { at: tree.span(named.property), emit: vec![both.join(", ").into()] };
        found.output.references.push((link.side, edit));
    }

    /// By their names here: the names that one version imports with two values, from a namespace apart.
    fn locals(&self, side: Side) -> &BTreeMap<&'t str, HunkId> {
        self.locals[index(side)].get_or_init(|| self.find_locals(side))
    }

    fn find_locals(&self, side: Side) -> BTreeMap<&'t str, HunkId> {
        let tree = self.tree(side);
        let taken = self.taken(side).into_iter();
        let taken = taken.filter_map(|it| Some((tree.code(it.named?.local), it.link.hunk)));
        let mut locals: BTreeMap<&str, HunkId> = taken.collect();
        for &item in tree.node(NodeId::ROOT).children {
            let import = tree.ty(item) == AstType::ImportDeclaration;
            let source = source_of(tree, item).filter(|_| import);
            let Some(choice) = source.and_then(|source| self.reading.imports.get(&source)) else {
                continue;
            };
            for &child in tree.node(item).children {
                let node = tree.node(child);
                let (Some(&first), Some(&last)) = (node.children.first(), node.children.last())
                else {
                    continue;
                };
                let name = match node.ty {
                    AstType::ImportDefaultSpecifier => DEFAULT,
                    AstType::ImportSpecifier => tree.node(first).text.unwrap_or(tree.code(first)),
                    _ => continue,
                };
                locals.extend(choice.exports.get(name).map(|hunk| (tree.code(last), *hunk)));
            }
        }
        locals
    }

    /// What chooses between the two values of a name, if it is imported with two.
    pub(super) fn imported(&self, side: Side, local: &str) -> Option<HunkId> {
        if self.reading.imports.is_empty() {
            return None;
        }
        self.locals(side).get(local).copied()
    }

    /// Names that either version imports with two values.
    pub(super) fn imported_names(&self) -> BTreeSet<String> {
        if self.reading.imports.is_empty() {
            return BTreeSet::new();
        }
        let names = Side::BOTH.into_iter().flat_map(|side| self.locals(side).keys());
        names.map(|name| (*name).to_owned()).collect()
    }

    pub(super) fn is_used_at_load(&self, local: &str) -> bool {
        Side::BOTH.into_iter().any(|side| {
            let tree = self.tree(side);
            let variable = self.top_variable(side, local).map(|variable| tree.variable(variable));
            variable.is_some_and(|variable| {
                variable.references.iter().any(|id| {
                    let parent = tree.node(*id).parent.map(|parent| tree.ty(parent));
                    at_load(tree, *id) && parent != Some(AstType::ExportSpecifier)
                })
            })
        })
    }

    /// The uses of one imported name; whether there are any.
    fn choose_uses(
        &self,
        link: &Link<'_>,
        local: NodeId,
        made_of: &BTreeSet<String>,
        found: &mut Found,
    ) -> bool {
        let tree = self.tree(link.side);
        let Some(variable) = tree.node(local).variable else { return false };
        let local = tree.code(local);
        let mut used = false;
        for &reference in &tree.variable(variable).references {
            let parent = tree.node(reference).parent.unwrap_or(NodeId::ROOT);
            if tree.ty(parent) == AstType::ExportSpecifier {
                let last = tree.node(parent).children.last().map_or("", |last| tree.code(*last));
                self.expose_further(link, last, found);
                found.lines.insert(format!("\n;export {{ $belay_{local} as $belay_{last} }};\n"));
            } else if use_element(tree, reference) {
                found.refuse(link, "uses it as the name of an element");
            } else if at_load(tree, reference) {
                if !made_of.contains(local) {
                    found.refuse(link, "uses it when it is loaded");
                }
            } else {
                let edit = self.use_of(link.side, reference, local, link.hunk);
                found.output.references.push((link.side, edit));
            }
            used = true;
        }
        used
    }

    /// `namespace.name` becomes `namespace[selector ? "name" : "$belay_name"]`, which calls with the same `this`.
    fn choose_members(
        &self,
        side: Side,
        (specifier, names): (&str, &BTreeMap<String, HunkId>),
        local: NodeId,
        found: &mut Found,
    ) {
        let tree = self.tree(side);
        let Some(variable) = tree.node(local).variable else { return };
        for &reference in &tree.variable(variable).references {
            let parent = tree.node(reference).parent.unwrap_or(NodeId::ROOT);
            let property = match tree.node(parent).children[..] {
                [object, property]
                    if object == reference
                        && tree.ty(parent) == AstType::StaticMemberExpression =>
                {
                    Some(property)
                }
                _ => None,
            };
            let Some(property) = property else {
                for (name, &hunk) in names {
                    let link = Link { side, specifier, name, what: Shared::Export, hunk };
                    found.refuse(&link, "reads it from a namespace that it uses as a value");
                }
                continue;
            };
            let name = tree.code(property);
            let Some(&hunk) = names.get(name) else { continue };
            let link = Link { side, specifier, name, what: Shared::Export, hunk };
            let at = Span::new(tree.span(reference).end, tree.span(property).end);
            if at_load(tree, reference) {
                found.refuse(&link, "uses it when it is loaded");
            } else if !tree.text(at).trim_start().starts_with('.') || written(tree, parent) {
                found.refuse(&link, "does more than read it");
            } else {
                let close = format!(" ? \"{name}\" : \"$belay_{name}\"]");
                let emit = vec!["[".into(), Emit::Guard(hunk), close.into()];
                found.output.references.push((side, Edit { at, emit }));
            }
        }
    }

    fn expose_further(&self, link: &Link<'_>, name: &str, found: &mut Found) {
        match self.reading.exports.why(name) {
            Some(why) => found.refuse(link, &format!("exports it further, and {why}")),
            None => found.output.exposed.push(Exposed {
                name: name.to_owned(),
                what: Shared::Export,
                hunk: link.hunk,
            }),
        }
    }

    /// Whether a module exports a name by more than a star, which goes before what a star exports.
    fn exports_itself(&self, side: Side, name: &str) -> bool {
        self.exports(side, &[name.to_owned()])
    }
}

impl Found {
    fn refuse(&mut self, link: &Link<'_>, why: &str) {
        self.unable.insert(Unable {
            specifier: link.specifier.to_owned(),
            name: link.name.to_owned(),
            what: link.what,
            why: why.to_owned(),
        });
    }
}

/// A property in a pattern that only names what it takes, for names that keep what they get.
#[derive(Clone, Copy)]
struct Named {
    property: NodeId,
    /// Its name here.
    local: NodeId,
    /// What it is taken of: a name, or a call of `require`.
    object: NodeId,
}

fn named(tree: &Tree<'_>, property: NodeId) -> Option<Named> {
    let node = tree.node(property);
    let (key, local) = (*node.children.first()?, *node.children.last()?);
    let pattern = node.parent.filter(|pattern| is_name_list(tree, *pattern))?;
    let object = *tree.node(tree.node(pattern).parent?).children.get(1)?;
    let simple = matches!(tree.ty(object), AstType::IdentifierReference | AstType::CallExpression);
    let plain = node.marks.has(Marks::SHORTHAND) || tree.code(key) != tree.code(local);
    let variable = tree.variable(tree.node(local).variable?);
    let written = variable.references.iter().any(|id| tree.node(*id).marks.has(Marks::WRITTEN));
    let once = variable.declarations.len() == 1 && is_word(tree.code(key));
    (simple && plain && !written && once).then_some(Named { property, local, object })
}

/// What takes both values of a property in a pattern: by a name that no object has, so that what follows it counts. Where the
/// property is not the one that has two values (another object, one that was assigned again), both are what it gives.
pub(super) fn both_values(object: &str, name: &str, local: &str) -> [String; 2] {
    let values = format!("Object.getOwnPropertyDescriptor({object}, \"{name}\")?.get?.$belay");
    [
        format!("$belay${name}: {local} = ({values} ?? [0, {object}.{name}])[1]"),
        format!("$belay_{name}: $belay_{local} = ({values} ?? [{local}])[0]"),
    ]
}

pub(super) fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
}

/// Whether a member is not read but written or deleted.
fn written(tree: &Tree<'_>, member: NodeId) -> bool {
    let node = tree.node(member);
    let parent = node.parent.map_or(AstType::Program, |parent| tree.ty(parent));
    node.marks.has(Marks::WRITTEN)
        || parent == AstType::UpdateExpression
        || parent == AstType::UnaryExpression
            && node.parent.is_some_and(|parent| tree.code(parent).starts_with("delete"))
}
