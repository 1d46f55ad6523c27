//! Old values beside the new ones: where their statements go, and how to go back.

use std::collections::{BTreeMap, BTreeSet};

use oxc::{ast::AstType, span::Span};

use super::{
    chain::{Chain, DEFAULT, Tops, declares, is_exported, top_item},
    hunk::{Edit, Emit, Hunk, Output, Place, Refusal, Side},
    list::Lists,
    nodes::at_load,
    property::assigned,
    weaver::Weaver,
};
use crate::syntax::{Marks, NodeId, Tree};

impl Weaver<'_> {
    /// The statement of the new version that continues one of the old version.
    pub(super) fn find_anchors(&self, tops: &Tops, lists: Lists<'_>) -> BTreeMap<NodeId, NodeId> {
        let named = tops[0].iter().filter_map(|(name, b)| Some((*b, *tops[1].get(name)?)));
        let mut anchors: BTreeMap<NodeId, NodeId> = named.collect();
        let mut by_hash: BTreeMap<u64, Vec<NodeId>> = BTreeMap::new();
        for &a in lists.new.iter().rev() {
            by_hash.entry(self.after.hash(a)).or_default().push(a);
        }
        for &b in lists.old.iter().filter(|b| !anchors.contains_key(*b)).collect::<Vec<_>>() {
            let twin = by_hash.get_mut(&self.before.hash(b)).and_then(Vec::pop);
            anchors.extend(twin.map(|a| (b, a)));
        }
        in_order(&anchors)
    }

    /// Puts one statement of the old version beside those of the new one.
    pub(super) fn keep(
        &self,
        item: NodeId,
        chain: &Chain,
        tops: &Tops,
        places: &mut Places<'_>,
        hunk: &mut Hunk,
        output: &mut Output,
    ) -> Result<(), Refusal> {
        let tree = self.before;
        let own = chain.names.iter().filter(|name| tops[0].get(*name) == Some(&item));
        let mut declared: Vec<(&String, NodeId)> =
            own.filter_map(|name| Some((name, declares(tree, item, name)?))).collect();
        declared.sort_by_key(|(_, id)| *id);
        let open = if is_exported(tree, item) { "\n;export " } else { "\n;" };
        if declared.is_empty() {
            return self.keep_statement(item, chain, places, hunk, output);
        }
        let at = self.place_of(item, places)?;
        for (name, id) in declared {
            let twin = tops[1].get(name).and_then(|item| declares(self.after, *item, name));
            let beside = twin.filter(|twin| {
                self.after.ty(*twin) == AstType::VariableDeclarator
                    && tree.ty(id) == AstType::VariableDeclarator
            });
            let beside = beside.map(|twin| (twin, self.after.span(twin).end));
            let beside =
                beside.filter(|(_, end)| places.at <= *end && self.is_next(*end, at, places));
            let hoisted = tree.ty(id) == AstType::Function && name != DEFAULT;
            let (at, open, close) = match beside {
                Some((_, end)) => (end, ", ".to_owned(), ""),
                None if hoisted => (self.first(places), format!("{open}var "), ";\n"),
                None => (at, format!("{open}const "), ";\n"),
            };
            let values = beside.and_then(|(twin, _)| {
                let value = |tree: &Tree<'_>, id| tree.node(id).children.get(1).copied();
                Some((value(tree, id)?, value(self.after, twin)?))
            });
            let table = values.and_then(|values| self.old_table(name, values, chain));
            let value = table.unwrap_or_else(|| called(self.before, id, name, self.kept_value(id)));
            let open = vec![open.into(), format!("$belay_{name} = ").into()];
            let emit = [open, value, vec![close.into()]].concat();
            output.edits.push(Edit { at: Span::empty(at), emit });
        }
        places.at = at;
        Ok(())
    }

    /// Whether no statement begins between two places but what begins at the second one.
    fn is_next(&self, from: u32, to: u32, places: &Places<'_>) -> bool {
        let starts = places.lists.new.iter().map(|item| self.after.span(*item).start);
        from <= to && !starts.into_iter().any(|start| from <= start && start < to)
    }

    /// Where nothing has run yet.
    fn first(&self, places: &Places<'_>) -> u32 {
        places.lists.new.first().map_or(0, |first| self.after.span(*first).start)
    }

    /// The value of a declarator; a class or function without its own name, so that inner uses of it mean the outer
    /// binding.
    fn kept_value(&self, id: NodeId) -> Vec<Emit> {
        let tree = self.before;
        let node = tree.node(id);
        if let (AstType::VariableDeclarator, Some(value)) = (node.ty, node.children.get(1)) {
            return vec![Emit::Code(Side::Before, tree.span(*value))];
        }
        let name = node.children.first().filter(|c| tree.ty(**c) == AstType::BindingIdentifier);
        let Some(name) = name else { return vec![Emit::Code(Side::Before, node.span)] };
        let word = match node.ty {
            AstType::Class => "class",
            _ if node.marks.has(Marks::ASYNC) && node.marks.has(Marks::GENERATOR) => {
                "async function*"
            }
            _ if node.marks.has(Marks::ASYNC) => "async function",
            _ if node.marks.has(Marks::GENERATOR) => "function*",
            _ => "function",
        };
        let body = node.children.last().map_or(node.span, |body| tree.span(*body));
        let inside = Span::new(tree.span(*name).end, node.span.end);
        // Without a name before it, `implements` would be read as one.
        let head = tree.text(Span::new(inside.start, body.start));
        let inside = if head.trim_start().starts_with("implements") { body } else { inside };
        vec![word.into(), " ".into(), Emit::Code(Side::Before, inside)]
    }

    /// A statement that completes a value, or exports it.
    fn keep_statement(
        &self,
        item: NodeId,
        chain: &Chain,
        places: &mut Places<'_>,
        hunk: &mut Hunk,
        output: &mut Output,
    ) -> Result<(), Refusal> {
        let assigned = assigned(self.before, item);
        if assigned.is_some_and(|assigned| !chain.names.contains(assigned.base(self.before))) {
            let twin = places.anchors.get(&item).copied();
            let twin = twin.or_else(|| self.assigned_twin(item, places.lists));
            let Some(twin) = twin else {
                return self.refuse(Side::Before, item, "the other version does not assign it");
            };
            self.chosen_property(item, twin, hunk, output)?;
            places.at = places.at.max(self.after.span(twin).end);
            return Ok(());
        }
        let at = self.place_of(item, places)?;
        let code = Emit::Code(Side::Before, self.before.span(item));
        let emit = vec!["\n;$belay_kept: { ".into(), code, " }\n".into()];
        output.edits.push(Edit { at: Span::empty(at), emit });
        places.at = at;
        Ok(())
    }

    /// Behind what continues it, or what stood before it, and behind all that it uses at once.
    fn place_of(&self, item: NodeId, places: &Places<'_>) -> Result<u32, Refusal> {
        let before = places.lists.old.iter().rev().skip_while(|other| **other != item);
        let twin = before.filter_map(|other| places.anchors.get(other)).next();
        let end = |id: NodeId| {
            let next = places.lists.new.iter().find(|next| **next > id);
            next.map_or(self.after.node(NodeId::ROOT).span.end, |next| self.after.span(*next).start)
        };
        let mut at = twin.map_or_else(|| self.first(places), |twin| end(*twin)).max(places.at);
        for id in self.before.subtree(item) {
            let node = self.before.node(id);
            if node.ty != AstType::IdentifierReference || !at_load(self.before, id) {
                continue;
            }
            let name = self.before.code(id);
            let used = self.top_variable(Side::After, name).map(|v| self.after.variable(v));
            let used = used.filter(|variable| variable.lexical);
            let declared = used.and_then(|variable| variable.declarations.first().copied());
            at = at.max(declared.and_then(|id| top_item(self.after, id)).map_or(0, end));
        }
        Ok(at)
    }

    /// What of the two versions differs, and how to go back.
    pub(super) fn place_binding(
        &self,
        chain: &Chain,
        tops: &Tops,
        places: &Places<'_>,
        hunk: &mut Hunk,
    ) {
        let (mut undo, mut kept) = (Vec::new(), BTreeSet::new());
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let mut last = self.first(places);
        for &b in &chain.items[0] {
            let span = self.before.span(b);
            let named = || tops[1].get(tops[0].iter().find(|(_, item)| **item == b)?.0).copied();
            let twin =
                places.anchors.get(&b).copied().or_else(|| self.assigned_twin(b, places.lists));
            if let Some(a) = twin.or_else(named).filter(|a| chain.items[1].contains(a)) {
                kept.insert(a);
                last = self.after.span(a).end;
                if self.same(b, a) {
                    continue;
                }
                let (b_span, a_span) = self.difference(b, a);
                old.push(b_span);
                new.push(a_span);
                undo.push(Edit { at: a_span, emit: vec![Emit::Code(Side::Before, b_span)] });
            } else {
                old.push(span);
                let emit = vec!["\n".into(), Emit::Code(Side::Before, span)];
                undo.push(Edit { at: Span::empty(last), emit });
            }
        }
        for &a in chain.items[1].difference(&kept) {
            new.push(self.after.span(a));
            undo.push(Edit { at: self.after.span(a), emit: Vec::new() });
        }
        new.sort_by_key(|span| span.start);
        let place =
            |spans: Vec<Span>, at| Place { at: spans.first().map_or(at, |s| s.start), spans };
        (hunk.before, hunk.after) = (place(old, 0), place(new, last));
        hunk.undo = Some(undo);
    }

    /// The values, where two statements differ in nothing else; otherwise the statements.
    fn difference(&self, b: NodeId, a: NodeId) -> (Span, Span) {
        let value = |tree: &Tree<'_>, id: NodeId| {
            let declarators = super::chain::declarators(tree, id);
            let [declarator] = declarators[..] else { return None };
            tree.node(declarator).children.get(1).copied()
        };
        let (old, new) = (self.before.span(b), self.after.span(a));
        let values = value(self.before, b).zip(value(self.after, a));
        let head = |text: &str, span: Span, value: Span| {
            text.get(span.start as usize..value.start as usize).map(str::to_owned)
        };
        match values.map(|(b, a)| (self.before.span(b), self.after.span(a))) {
            Some((b, a)) if head(self.before.code, old, b) == head(self.after.code, new, a) => {
                (b, a)
            }
            _ => (old, new),
        }
    }
}

/// An expression with the name that it would have been given where it was.
fn called(tree: &Tree<'_>, id: NodeId, name: &str, code: Vec<Emit>) -> Vec<Emit> {
    let node = tree.node(id);
    let value = node.children.get(1).filter(|_| node.ty == AstType::VariableDeclarator);
    let nameless = matches!(
        tree.ty(*value.unwrap_or(&id)),
        AstType::NumericLiteral
            | AstType::StringLiteral
            | AstType::BooleanLiteral
            | AstType::NullLiteral
            | AstType::BigIntLiteral
            | AstType::RegExpLiteral
            | AstType::TemplateLiteral
            | AstType::ObjectExpression
            | AstType::ArrayExpression
            | AstType::IdentifierReference
            | AstType::StaticMemberExpression
            | AstType::CallExpression
            | AstType::NewExpression
    );
    if nameless {
        return code;
    }
    [vec![format!("{{ {name}: ").into()], code, vec![format!(" }}.{name}").into()]].concat()
}

/// Where kept statements go: never before one that went ahead of them.
pub(super) struct Places<'l> {
    pub(super) at: u32,
    pub(super) anchors: &'l BTreeMap<NodeId, NodeId>,
    pub(super) lists: Lists<'l>,
}

/// Of pairs, as many as stand in the same order on both sides.
fn in_order(pairs: &BTreeMap<NodeId, NodeId>) -> BTreeMap<NodeId, NodeId> {
    let pairs: Vec<(NodeId, NodeId)> = pairs.iter().map(|(b, a)| (*b, *a)).collect();
    // Of the rows of each length, the one that ends lowest: its last pair. And the pair before each.
    let (mut ends, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for (at, (_, a)) in pairs.iter().enumerate() {
        let len = ends.partition_point(|end| pairs[*end].1 < *a);
        before.push(len.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(len) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut last = ends.last().copied();
    let mut ordered = BTreeMap::new();
    while let Some(at) = last {
        ordered.insert(pairs[at].0, pairs[at].1);
        last = before[at];
    }
    ordered
}
