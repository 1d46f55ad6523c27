//! The top level of a module. It runs once, when the image is made, so nothing on it can be chosen per request: what is
//! declared there is kept in both versions, bound twice, or differs between the two images.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::HunkKind;
use oxc::{ast::AstType, span::Span};

use super::{
    align::gaps,
    binding::Taken,
    chain::{DEFAULT, index},
    function::own_name,
    hunk::{Edit, Emit, Hunk, Output, Place, Refusal, Side, Woven},
    list::{Lists, Run, declared},
    module::Reading,
    nodes::{is_export, is_pure, source_of},
    weaver::{ACTS, LOOKED_FOR, Weaver},
};
use crate::syntax::{Marks, NodeId, Tree};

impl Weaver<'_> {
    /// Everything finds a place here: what cannot be woven differs between the images.
    pub(super) fn program(&self, lists: Lists<'_>) -> Output {
        let mut output = Output::default();
        let mut woven = Taken::default();
        for (b, a) in self.function_twins(lists) {
            if let Ok(done) = self.top(b, a) {
                woven[0].insert(b);
                woven[1].insert(a);
                output.add(done);
            }
        }
        let rest = |items: &[NodeId], taken: &BTreeSet<NodeId>| -> Vec<NodeId> {
            items.iter().copied().filter(|item| !taken.contains(item)).collect()
        };
        let (old, new) = (rest(lists.old, &woven[0]), rest(lists.new, &woven[1]));
        let lists = Lists { old: &old, new: &new, ..lists };
        let (bound, taken) = self.bind_names(lists);
        output.add(bound);
        // What is taken stays in the lists, so that what stands before and behind it stays there.
        let top = |b, a| match (taken[0].contains(&b), taken[1].contains(&a)) {
            (true, true) => Ok(Output::default()),
            (false, false) => self.top(b, a),
            _ => self.refuse(Side::After, a, "one of the two is a part of another change"),
        };
        for gap in gaps((self.before, lists.old), (self.after, lists.new)) {
            let (pairs, runs) = self.split(lists, &gap, top);
            pairs.into_iter().for_each(|done| output.add(done));
            for run in runs {
                let (old, new) = (rest(run.old, &taken[0]), rest(run.new, &taken[1]));
                output.add(self.top_run(&Run { old: &old, new: &new, at: run.at }));
            }
        }
        output
    }

    /// Function declarations are hoisted: those of one name continue each other wherever they stand.
    fn function_twins(&self, lists: Lists<'_>) -> Vec<(NodeId, NodeId)> {
        let named = |tree: &Tree<'_>, items: &[NodeId]| -> BTreeMap<String, Vec<NodeId>> {
            let mut names: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
            for &item in items {
                if let Some(name) = hoisted_name(tree, item) {
                    names.entry(name).or_default().push(item);
                }
            }
            names
        };
        let (old, new) = (named(self.before, lists.old), named(self.after, lists.new));
        let twins = old.iter().filter_map(|(name, b)| match (&b[..], new.get(name)?.as_slice()) {
            ([b], [a]) => Some((*b, *a)),
            _ => None,
        });
        twins.collect()
    }

    /// Two statements of the top level that continue each other.
    fn top(&self, b: NodeId, a: NodeId) -> Woven {
        if let Some(message) = self.left_to_images(b, a) {
            return self.refuse(Side::After, a, message).inspect_err(|reason: &Refusal| {
                self.note_refusal((b, a), reason.clone(), reason.clone());
            });
        }
        let reason = match self.node(b, a) {
            Ok(output) => return Ok(output),
            Err(reason) => reason,
        };
        let exports = self.after.ty(a) == AstType::ExpressionStatement;
        let bound = if exports { self.bind_property(b, a, &reason) } else { Err(reason.clone()) };
        bound.inspect_err(|second| {
            if !self.reasons.borrow().contains_key(&(Side::After, a)) {
                self.note_refusal((b, a), reason, second.clone());
            }
        })
    }

    fn top_run(&self, run: &Run<'_>) -> Output {
        let mut output = Output::default();
        let (mut inserted, mut images) = (Vec::new(), [Vec::new(), Vec::new()]);
        let mut reason = None;
        let items =
            |side, items: &[NodeId]| items.iter().map(move |i| (side, *i)).collect::<Vec<_>>();
        let all = [items(Side::Before, run.old), items(Side::After, run.new)].concat();
        for (side, item) in all {
            let span = self.tree(side).span(item);
            match self.additive_names(side, item) {
                Ok(names) if side == Side::Before => {
                    inserted.extend(self.check_property(side, item));
                    inserted.extend(self.statement(side, span));
                    output.hunks.push(self.lone(side, item, run.at, names));
                }
                Ok(names) => {
                    if let Some(check) = self.check_property(side, item) {
                        let at = Span::empty(self.above(span.start));
                        output.edits.push(Edit { at, emit: vec![check] });
                    }
                    output.hunks.push(self.lone(side, item, run.at, names));
                }
                Err(refusal) => {
                    images[usize::from(side == Side::After)].push(span);
                    let known = self.reasons.borrow().get(&(side, item)).cloned();
                    reason.get_or_insert(known.unwrap_or(refusal));
                }
            }
        }
        if let Some(reason) = reason {
            let [old, new] = &images;
            output.add(self.image(old, new, run.at, reason));
        }
        if !inserted.is_empty() {
            let at = Span::empty(self.above(run.at));
            output.edits.push(Edit { at, emit: inserted });
        }
        output
    }

    /// Statements that one image has and the other one has not.
    pub(super) fn image(&self, olds: &[Span], new: &[Span], at: u32, reason: Refusal) -> Output {
        let said = |side, spans: &[Span]| -> Vec<Span> {
            spans.iter().map(|span| self.with_remark(side, *span)).collect()
        };
        let (old, new) = (&said(Side::Before, olds), &said(Side::After, new));
        let place = |spans: &[Span], at| Place {
            at: spans.first().map_or(at, |span| span.start),
            spans: spans.to_vec(),
        };
        let mut hunk = self.hunk(HunkKind::Image, place(old, 0), place(new, self.above(at)));
        hunk.reason = Some(reason);
        let before: Vec<Emit> =
            olds.iter().flat_map(|span| self.statement(Side::Before, *span)).collect();
        let mut edits = vec![Edit {
            at: Span::empty(hunk.after.at),
            emit: vec![Emit::Image { after: Vec::new(), before }],
        }];
        edits.extend(new.iter().map(|span| Edit {
            at: *span,
            emit: vec![Emit::Image {
                after: vec![Emit::Code(Side::After, *span)],
                before: Vec::new(),
            }],
        }));
        Output { edits, hunks: vec![hunk], ..Output::default() }
    }

    /// A statement that ends wherever it stands. A comment speaks of what is below it if it begins a line.
    fn statement(&self, side: Side, bare: Span) -> [Emit; 3] {
        let span = self.with_remark(side, bare);
        let open = if span == bare { "\n;" } else { "\n;\n" };
        [open.into(), Emit::Code(side, span), ";\n".into()]
    }

    fn lone(&self, side: Side, item: NodeId, at: u32, names: Vec<String>) -> Hunk {
        let span = self.with_remark(side, self.tree(side).span(item));
        let mut hunk = match side {
            Side::Before => self.hunk(HunkKind::Additive, span, Place::empty(self.above(at))),
            Side::After => self.hunk(HunkKind::Additive, Place::empty(0), span),
        };
        hunk.names = names;
        hunk.lone = vec![(side, item)];
        hunk
    }

    /// The names that a statement of the top level declares, if it may be there in both versions.
    fn additive_names(&self, side: Side, item: NodeId) -> Result<Vec<String>, Refusal> {
        let tree = self.tree(side);
        let node = tree.node(item);
        if self.acts(side, item) {
            return self.refuse(side, item, ACTS);
        }
        let inner = match (node.ty, node.children.first()) {
            (AstType::ExportDeclaration, Some(inner)) => tree.node(*inner),
            _ => node,
        };
        let harmless = match inner.ty {
            AstType::Function | AstType::ImportDeclaration => true,
            AstType::Class => is_pure_declared(tree, item),
            AstType::VariableDeclaration => {
                !inner.marks.has(Marks::USING)
                    && inner.children.iter().all(|declarator| {
                        tree.node(*declarator)
                            .children
                            .get(1)
                            .is_none_or(|init| is_pure(tree, *init))
                    })
            }
            AstType::ExportNamedDeclaration | AstType::ExportFromDeclaration => {
                return self.additive_exports(side, item);
            }
            AstType::ExpressionStatement => {
                let assigned = self.additive_property(side, item)?;
                return Ok(vec![assigned.name.to_owned()]);
            }
            AstType::TSEnumDeclaration => true,
            _ => false,
        };
        if !harmless {
            return self.refuse(side, item, top_reason(inner.ty));
        }
        let names: Vec<String> =
            declared(tree, item, NodeId::ROOT).map(|v| v.name.to_string()).collect();
        match names.iter().find(|name| self.is_meant(side.other(), NodeId::ROOT, name)) {
            Some(name) => {
                let message = format!("`{name}` means something else in the other version");
                self.refuse(side, item, message)
            }
            None if is_export(node.ty) && self.exports(side.other(), &names) => {
                self.refuse(side, item, "the export is rebound")
            }
            None if is_export(node.ty) && names.iter().any(|it| self.is_looked_for(side, it)) => {
                self.refuse(side, item, LOOKED_FOR)
            }
            None => Ok(names),
        }
    }

    fn additive_exports(&self, side: Side, item: NodeId) -> Result<Vec<String>, Refusal> {
        let names: Vec<String> = specifiers(self.tree(side), item).into_keys().collect();
        if self.exports(side.other(), &names) {
            return self.refuse(side, item, "the export is rebound");
        }
        if names.iter().any(|name| self.is_looked_for(side, name)) {
            return self.refuse(side, item, LOOKED_FOR);
        }
        Ok(names)
    }

    /// Whether an importer of the other version may look whether this is exported.
    pub(super) fn is_looked_for(&self, side: Side, name: &str) -> bool {
        let Reading { module, elsewhere, .. } = self.reading;
        elsewhere.looks_for_export(side.other(), module, name)
    }

    /// Whether a version exports one of these names from a list.
    pub(super) fn exports(&self, side: Side, names: &[String]) -> bool {
        let exported = self.exported[index(side)].get_or_init(|| exported(self.tree(side)));
        names.iter().any(|name| exported.contains(name))
    }

    /// Imports of one module: what is imported in one version only is imported in both.
    pub(super) fn import(&self, b: NodeId, a: NodeId) -> Woven {
        let (old, new) = (imported(self.before, b), imported(self.after, a));
        let clause = |tree: &Tree<'_>, id: NodeId| {
            let mut children = tree.node(id).children.iter();
            children.find(|c| tree.ty(**c) == AstType::WithClause).map(|c| tree.hash(*c))
        };
        let (old_clause, new_clause) = (clause(self.before, b), clause(self.after, a));
        let same_source = source_of(self.before, b) == source_of(self.after, a)
            && old_clause.is_none()
            && new_clause.is_none();
        let rebound = !same_source
            || old.iter().any(|(local, (_, text))| {
                new.get(local).is_some_and(|(_, other)| !self.same(*text, *other))
            });
        if rebound {
            return self.refuse(Side::After, a, "the import is bound to another module");
        }
        for (side, own, other) in [(Side::Before, &old, &new), (Side::After, &new, &old)] {
            let lone = own.keys().filter(|local| !other.contains_key(*local));
            let meant = lone.into_iter().find(|l| self.is_meant(side.other(), NodeId::ROOT, l));
            if let Some(name) = meant {
                let message = format!("`{name}` means something else in the other version");
                return self.refuse(side, if side == Side::Before { b } else { a }, message);
            }
        }
        let source = source_of(self.before, b).unwrap_or_default();
        let quoted = serde_json::Value::from(source).to_string();
        let removed = old.iter().filter(|(local, _)| !new.contains_key(*local));
        let lines = removed.flat_map(|(_, (named, id))| {
            let (open, close) = if *named { ("{ ", " }") } else { ("", "") };
            [
                format!("\n;import {open}").into(),
                Emit::Code(Side::Before, self.before.span(*id)),
                format!("{close} from {quoted};").into(),
            ]
        });
        let (old_span, new_span) = (self.before.span(b), self.after.span(a));
        let mut hunk = self.hunk(HunkKind::Additive, old_span, new_span);
        let differs = |local: &&String| old.contains_key(*local) != new.contains_key(*local);
        hunk.names = old.keys().chain(new.keys()).filter(differs).cloned().collect();
        hunk.lone = self.lone_specifiers(
            old.iter().map(|(n, (_, id))| (n, *id)),
            new.iter().map(|(n, (_, id))| (n, *id)),
        );
        let emit: Vec<Emit> = lines.collect();
        let mut output = Output { hunks: vec![hunk], ..Output::default() };
        if !emit.is_empty() {
            output.edits.push(Edit { at: Span::empty(new_span.end), emit });
        }
        Ok(output)
    }

    /// `export { … }`, with or without `from`: what one version exports only is exported in both.
    pub(super) fn export_list(&self, b: NodeId, a: NodeId) -> Woven {
        let (old, new) = (specifiers(self.before, b), specifiers(self.after, a));
        let source = source_of(self.before, b);
        let rebound = source != source_of(self.after, a)
            || old.iter().any(|(name, id)| new.get(name).is_some_and(|a| !self.same(*id, *a)));
        if rebound || old.is_empty() || new.is_empty() {
            return self.refuse(Side::After, a, "the export is rebound");
        }
        let removed = old.iter().filter(|(name, _)| !new.contains_key(*name));
        let removed: Vec<Emit> = removed
            .flat_map(|(_, id)| [Emit::Code(Side::Before, self.before.span(*id)), ", ".into()])
            .collect();
        let (old_span, new_span) = (self.before.span(b), self.after.span(a));
        let mut hunk = self.hunk(HunkKind::Additive, old_span, new_span);
        let differs = |name: &&String| old.contains_key(*name) != new.contains_key(*name);
        hunk.names = old.keys().chain(new.keys()).filter(differs).cloned().collect();
        hunk.lone = self.lone_specifiers(
            old.iter().map(|(n, id)| (n, *id)),
            new.iter().map(|(n, id)| (n, *id)),
        );
        let mut output = Output { hunks: vec![hunk], ..Output::default() };
        if !removed.is_empty() {
            let from = source.map(|source| serde_json::Value::from(source).to_string());
            let from = from.map_or(String::new(), |source| format!(" from {source}"));
            let line = [vec!["\n;export { ".into()], removed, vec![format!("}}{from};").into()]];
            output.edits.push(Edit { at: Span::empty(new_span.end), emit: line.concat() });
        }
        Ok(output)
    }

    /// Specifiers that only one of two lists has, told by their names.
    fn lone_specifiers<'n>(
        &self,
        old: impl Iterator<Item = (&'n String, NodeId)> + Clone,
        new: impl Iterator<Item = (&'n String, NodeId)> + Clone,
    ) -> Vec<(Side, NodeId)> {
        let [old_names, new_names]: [BTreeSet<&String>; 2] = [
            old.clone().map(|(name, _)| name).collect(),
            new.clone().map(|(name, _)| name).collect(),
        ];
        let removed = old.filter(|(name, _)| !new_names.contains(name));
        let added = new.filter(|(name, _)| !old_names.contains(name));
        let removed = removed.map(|(_, id)| (Side::Before, id));
        removed.chain(added.map(|(_, id)| (Side::After, id))).collect()
    }
}

fn top_reason(ty: AstType) -> &'static str {
    match ty {
        AstType::Class => "making the class runs code when the module is loaded",
        AstType::VariableDeclaration => {
            "its value is made by code that runs when the module is loaded"
        }
        AstType::ExportDefaultDeclaration | AstType::ExportAllDeclaration => {
            "the export is rebound"
        }
        _ => "it runs when the module is loaded",
    }
}

fn is_pure_declared(tree: &Tree<'_>, item: NodeId) -> bool {
    tree.subtree(item).find(|id| tree.ty(*id) == AstType::Class).is_some_and(|c| is_pure(tree, c))
}

/// The name of a function declaration, with `export` before it or not.
fn hoisted_name(tree: &Tree<'_>, item: NodeId) -> Option<String> {
    let node = tree.node(item);
    let (prefix, function) = match (node.ty, node.children.first()) {
        (AstType::ExportDeclaration, Some(inner)) => ("export ", *inner),
        _ => ("", item),
    };
    let declared =
        tree.ty(function) == AstType::Function && tree.node(function).marks.has(Marks::DECLARATION);
    let name = own_name(tree, function).filter(|_| declared)?;
    Some(format!("{prefix}{name}"))
}

/// The names that a module exports, but for those of `export *`.
fn exported(tree: &Tree<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for &item in tree.node(NodeId::ROOT).children {
        match tree.ty(item) {
            AstType::ExportDeclaration => {
                names.extend(declared(tree, item, NodeId::ROOT).map(|v| v.name.to_string()));
            }
            AstType::ExportDefaultDeclaration => drop(names.insert(DEFAULT.to_owned())),
            _ => names.extend(specifiers(tree, item).into_keys()),
        }
    }
    names
}

/// By local name: whether it is in braces, and the specifier.
fn imported(tree: &Tree<'_>, id: NodeId) -> BTreeMap<String, (bool, NodeId)> {
    let specifiers = tree.node(id).children.iter().filter_map(|child| {
        let node = tree.node(*child);
        let named = match node.ty {
            AstType::ImportSpecifier => true,
            AstType::ImportDefaultSpecifier | AstType::ImportNamespaceSpecifier => false,
            _ => return None,
        };
        let local = node.children.last()?;
        Some((tree.code(*local).to_owned(), (named, *child)))
    });
    specifiers.collect()
}

/// By exported name: the specifier.
fn specifiers(tree: &Tree<'_>, id: NodeId) -> BTreeMap<String, NodeId> {
    let children = tree.node(id).children.iter();
    let specifiers = children.filter(|child| tree.ty(**child) == AstType::ExportSpecifier);
    let named = specifiers.filter_map(|child| {
        let exported = tree.node(*child).children.last()?;
        Some((tree.code(*exported).to_owned(), *child))
    });
    named.collect()
}
