//! Dual binding: both values of a module-level name are kept, and each place that uses it chooses.
//!
//! `const limit = 10` that was `const limit = 5` becomes `const limit = 10, $belay_limit = 5;`, and a use of it
//! `(selector ? limit : $belay_limit)`. What is made of it at load is made twice (see [`super::chain`]). An ES module
//! exports both, and its importers choose; an export of CommonJS becomes a property that chooses when it is read.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::HunkKind;
use oxc::{ast::AstType, span::Span};

use super::{
    chain::{Chain, DEFAULT, Tops, declares, is_exported, tops},
    hunk::{Edit, Emit, Exposed, Hunk, HunkId, Output, Place, Refusal, Shared, Side, Woven},
    keeping::Places,
    list::Lists,
    nodes::at_load,
    property::assigned,
    weaver::{ACTS, Weaver},
};
use crate::syntax::{Marks, NodeId, Tree};

/// Statements of the two versions that need no further weaving.
pub(super) type Taken = [BTreeSet<NodeId>; 2];

/// Two statements that continue each other and cannot be woven in another way.
struct Hanging {
    pair: (NodeId, NodeId),
    /// A name of theirs that differs.
    name: String,
    /// Why they cannot be woven in another way.
    reason: Refusal,
    /// What hangs together by the name. `None` where that is a part of what hangs together by another one: nearly always
    /// both are bound at once, and it need not be known.
    chain: Option<Result<Chain, Refusal>>,
    /// It has at most so many names.
    len: usize,
}

impl Hanging {
    fn new(
        pair: (NodeId, NodeId),
        chain: Result<Chain, Refusal>,
        name: String,
        reason: Refusal,
    ) -> Self {
        let len = chain.as_ref().map_or(0, |chain| chain.names.len());
        Self { pair, name, reason, chain: Some(chain), len }
    }
}

fn put_in_order(all: &mut Vec<Hanging>, hanging: Hanging) {
    let at = all.partition_point(|other| other.len <= hanging.len);
    all.insert(at, hanging);
}

impl Weaver<'_> {
    /// Keeps both values of the names of the top level that cannot be woven in another way.
    pub(super) fn bind_names(&self, lists: Lists<'_>) -> (Output, Taken) {
        let names: Tops = [tops(self.before, lists.old), tops(self.after, lists.new)];
        let (mut output, mut taken) = (Output::default(), Taken::default());
        self.bind_made(&names, lists, &mut output, &mut taken);
        let mut hanging = self.hanging(&names);
        while let Some(Hanging { pair, name, reason, chain, .. }) = hanging.pop() {
            if taken[0].contains(&pair.0) || taken[1].contains(&pair.1) {
                continue;
            }
            let Some(chain) = chain else {
                let chain = self.chain(&name, &names);
                put_in_order(&mut hanging, Hanging::new(pair, chain, name, reason));
                continue;
            };
            let bound = chain.and_then(|chain| {
                self.bind_chain(chain, &names, lists, &reason, (&mut output, &mut taken))
            });
            if let Err(second) = bound {
                self.note_refusal(pair, reason, second);
            }
        }
        (output, taken)
    }

    /// The statements that cannot be woven in another way, those last by which most hangs together: that holds the rest.
    fn hanging(&self, names: &Tops) -> Vec<Hanging> {
        let mut all: Vec<Hanging> = Vec::new();
        // Of each pair of statements, what its first name showed.
        let mut first: BTreeMap<(NodeId, NodeId), Option<usize>> = BTreeMap::new();
        // Of each name that hangs together with others, how many they are at most.
        let mut within: BTreeMap<String, usize> = BTreeMap::new();
        for (name, &b) in &names[0] {
            let Some(&a) = names[1].get(name) else { continue };
            if self.left_to_images(b, a).is_some() || !self.differ(name, b, a) {
                continue;
            }
            let known = first.get(&(b, a)).map(|at| at.map(|at| &all[at]));
            let reason = match known {
                Some(None) => continue,
                // All names of a statement that differ hang together.
                Some(Some(Hanging { chain: Some(Ok(chain)), .. }))
                    if chain.names.contains(name) =>
                {
                    continue;
                }
                Some(Some(known)) => known.reason.clone(),
                None => match self.node(b, a) {
                    Err(reason) => reason,
                    Ok(_) => {
                        first.insert((b, a), None);
                        continue;
                    }
                },
            };
            first.entry((b, a)).or_insert(Some(all.len()));
            let (pair, name) = ((b, a), name.clone());
            all.push(match within.get(&name) {
                Some(&len) => Hanging { pair, name, reason, chain: None, len },
                None => {
                    let hanging = Hanging::new(pair, self.chain(&name, names), name, reason);
                    for name in hanging.chain.iter().flatten().flat_map(|chain| &chain.names) {
                        let len = within.entry(name.clone()).or_default();
                        *len = hanging.len.max(*len);
                    }
                    hanging
                }
            });
        }
        all.reverse();
        all.sort_by_key(|hanging| (hanging.len, hanging.chain.is_some()));
        all
    }

    fn bind_chain(
        &self,
        chain: Chain,
        names: &Tops,
        lists: Lists<'_>,
        reason: &Refusal,
        (output, taken): (&mut Output, &mut Taken),
    ) -> Result<(), Refusal> {
        if chain.items.iter().zip(&*taken).any(|(items, taken)| !items.is_disjoint(taken)) {
            let at = self.after.node(NodeId::ROOT).children.first().copied();
            let message = "it is a part of two changes";
            return self.refuse(Side::After, at.unwrap_or(NodeId::ROOT), message);
        }
        for (side, items) in Side::BOTH.into_iter().zip(&chain.items) {
            if let Some(item) = items.iter().find(|item| self.acts(side, **item)) {
                return self.refuse(side, *item, ACTS);
            }
        }
        output.add(self.bind(&chain, names, lists, reason)?);
        taken.iter_mut().zip(chain.items).for_each(|(taken, items)| taken.extend(items));
        Ok(())
    }

    /// Keeps both values of what is made, at load, of names that are imported with two values.
    fn bind_made(&self, names: &Tops, lists: Lists<'_>, output: &mut Output, taken: &mut Taken) {
        let message = "it is made of what is imported";
        let at = self.after.node(NodeId::ROOT).span;
        let reason = Refusal { message: message.into(), side: Side::After, at };
        for local in self.imported_names() {
            if output.made_of.contains(&local) || !self.is_used_at_load(&local) {
                continue;
            }
            // What cannot be bound is told by `choose_imports`.
            if let Ok(chain) = self.chain(&local, names) {
                let _ = self.bind_chain(chain, names, lists, &reason, (output, taken));
            }
        }
    }

    /// Whether what two statements declare by a name differs.
    fn differ(&self, name: &str, b: NodeId, a: NodeId) -> bool {
        match (declares(self.before, b, name), declares(self.after, a, name)) {
            (Some(b), Some(a)) => !self.same(b, a),
            _ => !self.same(b, a),
        }
    }

    /// The reason that is told for two statements: of two, the one that says more.
    pub(super) fn note_refusal(&self, (b, a): (NodeId, NodeId), first: Refusal, second: Refusal) {
        let vague = first.message.contains("module is loaded")
            || first.message == "no selector can stand here"
            || first.message == "the export is rebound";
        let reason = if vague { second } else { first };
        let mut reasons = self.reasons.borrow_mut();
        reasons.insert((Side::Before, b), reason.clone());
        reasons.insert((Side::After, a), reason);
    }

    /// Old values under other names, and a choice at each use.
    fn bind(&self, chain: &Chain, tops: &Tops, lists: Lists<'_>, reason: &Refusal) -> Woven {
        let mut hunk = self.hunk(HunkKind::Binding, Place::empty(0), Place::empty(0));
        let own = |name: &&String| *name != DEFAULT && !chain.imports.contains_key(*name);
        hunk.names = chain.names.iter().filter(own).cloned().collect();
        hunk.reason = Some(reason.clone());
        hunk.follows = chain.imports.values().copied().collect();
        hunk.follows.sort();
        hunk.follows.dedup();
        let mut output = Output::default();
        output.made_of.extend(chain.imports.keys().cloned());
        let anchors = self.anchors.get_or_init(|| self.find_anchors(tops, lists));
        let mut places = Places { at: 0, anchors, lists };
        for &item in &chain.items[0] {
            self.keep(item, chain, tops, &mut places, &mut hunk, &mut output)?;
        }
        self.leave_out(chain, tops, &mut hunk);
        for name in &chain.names {
            if chain.imports.contains_key(name) {
                self.bind_made_of(name, &mut output);
            } else {
                self.bind_uses(name, tops, &hunk, &mut output);
                self.expose(name, tops, &hunk, &mut output);
            }
        }
        self.place_binding(chain, tops, &places, &mut hunk);
        output.hunks.push(hunk);
        let mut exports = output.exposed.iter().filter(|it| it.what == Shared::Export);
        let closed = exports.find_map(|exposed| {
            let why = self.reading.exports.why(&exposed.name)?;
            Some(format!("`{}` is exported, and {why}", exposed.name))
        });
        if let Some(message) = closed {
            let at = self.after.node(NodeId::ROOT).children.first().copied();
            return self.refuse(Side::After, at.unwrap_or(NodeId::ROOT), message);
        }
        Ok(output)
    }

    /// What of the new version is not there in the old one.
    fn leave_out(&self, chain: &Chain, tops: &Tops, hunk: &mut Hunk) {
        for &item in &chain.items[1] {
            let names = chain.names.iter().filter(|name| tops[1].get(*name) == Some(&item));
            let mut any = false;
            for name in names.filter(|name| tops[0].contains_key(*name)) {
                any = true;
                let declared = declares(self.after, item, name).filter(|_| name != DEFAULT);
                hunk.lone.push((Side::After, declared.unwrap_or(item)));
            }
            let foreign = assigned(self.after, item)
                .is_some_and(|assigned| !chain.names.contains(assigned.base(self.after)));
            if !any && !foreign {
                hunk.lone.push((Side::After, item));
            }
        }
    }

    fn bind_uses(&self, name: &str, tops: &Tops, hunk: &Hunk, output: &mut Output) {
        for side in Side::BOTH {
            let Some(variable) = self.top_variable(side, name) else { continue };
            let both = tops.iter().all(|tops| tops.contains_key(name));
            let tree = self.tree(side);
            for &reference in &tree.variable(variable).references {
                let parent = tree.node(reference).parent.map(|parent| tree.ty(parent));
                let edit = match (at_load(tree, reference), side) {
                    _ if parent == Some(AstType::ExportSpecifier) => continue,
                    (true, Side::After) => continue,
                    (false, Side::After) if !both => continue,
                    (false, _) if both => self.use_of(side, reference, name, hunk.id),
                    (_, _) => self.old_use(reference, name),
                };
                output.references.push((side, edit));
            }
        }
    }

    /// What is kept is made of the old value of an import.
    fn bind_made_of(&self, local: &str, output: &mut Output) {
        let Some(variable) = self.top_variable(Side::Before, local) else { return };
        for &reference in &self.before.variable(variable).references {
            let parent = self.before.node(reference).parent.map(|parent| self.before.ty(parent));
            if at_load(self.before, reference) && parent != Some(AstType::ExportSpecifier) {
                output.references.push((Side::Before, self.old_use(reference, local)));
            }
        }
    }

    /// The old value, in code that only the old version has.
    fn old_use(&self, reference: NodeId, name: &str) -> Edit {
        let key =
            if is_shorthand(self.before, reference) { format!("{name}: ") } else { String::new() };
        let emit = vec![format!("{key}$belay_{name}").into()];
        Edit { at: self.before.span(reference), emit }
    }

    /// The choice between the two values of a name.
    pub(super) fn use_of(&self, side: Side, reference: NodeId, name: &str, hunk: HunkId) -> Edit {
        let tree = self.tree(side);
        let open = if is_shorthand(tree, reference) {
            format!("{name}: (")
        } else if self.begins_statement(side, reference) {
            ";(".to_owned()
        } else {
            "(".to_owned()
        };
        let close = format!(" ? {name} : $belay_{name})");
        Edit { at: tree.span(reference), emit: vec![open.into(), Emit::Guard(hunk), close.into()] }
    }

    /// An export of both values; importers choose.
    fn expose(&self, name: &str, tops: &Tops, hunk: &Hunk, output: &mut Output) {
        let [Some(&b), Some(&a)] = tops.each_ref().map(|tops| tops.get(name)) else { return };
        if is_exported(self.after, a) && is_exported(self.before, b) {
            output.exposed.push(export(name.to_owned(), hunk.id));
        }
        let [old, new] = [(Side::Before, self.before), (Side::After, self.after)]
            .map(|(side, tree)| self.listed_exports(side, tree, name));
        for exported in new.intersection(&old) {
            let emit = format!("\n;export {{ $belay_{name} as $belay_{exported} }};\n").into();
            let at = self.after.node(NodeId::ROOT).span.end;
            output.edits.push(Edit { at: Span::empty(at), emit: vec![emit] });
            output.exposed.push(export(exported.clone(), hunk.id));
        }
    }

    /// By what names `export { name as … }` exports a variable.
    pub(super) fn listed_exports(
        &self,
        side: Side,
        tree: &Tree<'_>,
        name: &str,
    ) -> BTreeSet<String> {
        let variable = self.top_variable(side, name).map(|variable| tree.variable(variable));
        let references = variable.iter().flat_map(|variable| &variable.references);
        let exported = references.filter_map(|reference| {
            let parent = tree.node(*reference).parent?;
            let last = tree.node(parent).children.last()?;
            (tree.ty(parent) == AstType::ExportSpecifier).then(|| tree.code(*last).to_owned())
        });
        exported.collect()
    }
}

fn export(name: String, hunk: HunkId) -> Exposed {
    Exposed { name, what: Shared::Export, hunk }
}

/// Whether a name is that of an element, where no expression can stand.
pub(super) fn use_element(tree: &Tree<'_>, reference: NodeId) -> bool {
    let parent = tree.node(reference).parent.map_or(AstType::Program, |parent| tree.ty(parent));
    matches!(
        parent,
        AstType::JSXOpeningElement | AstType::JSXClosingElement | AstType::JSXMemberExpression
    )
}

fn is_shorthand(tree: &Tree<'_>, reference: NodeId) -> bool {
    let parent = tree.node(reference).parent.map(|parent| tree.node(parent));
    parent.is_some_and(|parent| {
        parent.ty == AstType::ObjectProperty && parent.marks.has(Marks::SHORTHAND)
    })
}
