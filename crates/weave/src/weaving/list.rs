//! Lists of statements: the body of a program, a function, a block, a case.

use std::{collections::BTreeSet, ops::Range};

use belay_model::HunkKind;
use oxc::{ast::AstType, span::Span};

use super::{
    align::{Gap, gaps},
    apart::Pairs,
    hunk::{Edit, Emit, Output, Refusal, Side, Woven},
    nodes::{at_load, is_expression},
    weaver::Weaver,
};
use crate::syntax::{Marks, NodeId, Tree, Variable};

/// Items of the two lists.
#[derive(Clone, Copy)]
pub(super) struct Lists<'l> {
    pub(super) b: NodeId,
    pub(super) a: NodeId,
    pub(super) old: &'l [NodeId],
    pub(super) new: &'l [NodeId],
}

/// Consecutive items of the old list, and those of the new one in their place. `at`: where text goes if the new one has
/// none.
pub(super) struct Run<'l> {
    pub(super) old: &'l [NodeId],
    pub(super) new: &'l [NodeId],
    pub(super) at: u32,
}

impl Weaver<'_> {
    pub(super) fn list(&self, b: NodeId, a: NodeId) -> Woven {
        let (old, old_head) = items(self.before, b);
        let (new, new_head) = items(self.after, a);
        let same_head = old_head.len() == new_head.len()
            && old_head.iter().zip(&new_head).all(|(b, a)| self.same(*b, *a));
        if !same_head {
            let (side, head) = match new_head.first().or(old_head.first()) {
                Some(head) if !new_head.is_empty() => (Side::After, *head),
                Some(head) => (Side::Before, *head),
                None => (Side::After, a),
            };
            let message = if self.after.ty(a) == AstType::SwitchCase {
                "the test of the case changed"
            } else {
                "a directive such as \"use strict\" holds for the whole scope"
            };
            return self.refuse(side, head, message);
        }
        let lists = Lists { b, a, old: &old, new: &new };
        if self.after.ty(a) == AstType::Program {
            return Ok(self.program(lists));
        }
        self.gaps(lists).or_else(|reason| self.whole_list(lists, reason))
    }

    fn gaps(&self, lists: Lists<'_>) -> Woven {
        let mut output = Output::default();
        for gap in gaps((self.before, lists.old), (self.after, lists.new)) {
            let (pairs, runs) = self.split(lists, &gap, |b, a| self.pair(b, a));
            pairs.into_iter().for_each(|woven| output.add(woven));
            for run in runs {
                output.add(self.run(lists, &run)?);
            }
        }
        Ok(output)
    }

    /// What can be woven pair by pair, and the runs between.
    pub(super) fn split<'l>(
        &self,
        lists: Lists<'l>,
        gap: &Gap,
        weave: impl Fn(NodeId, NodeId) -> Woven,
    ) -> (Vec<Output>, Vec<Run<'l>>) {
        let (old, new) = (&lists.old[gap.before.clone()], &lists.new[gap.after.clone()]);
        let (mut woven, mut runs) = (Vec::new(), Vec::new());
        let (mut b, mut a) = (0, 0);
        let mut close = |b: Range<usize>, a: Range<usize>| {
            if b.is_empty() && a.is_empty() {
                return;
            }
            for (b, a) in self.apart(&Pairs { old, new, pairs: &gap.pairs }, (b, a)) {
                let at = self.insertion(lists, gap.after.start + a.start);
                runs.push(Run { old: &old[b], new: &new[a], at });
            }
        };
        for &(row, column) in &gap.pairs {
            if let Ok(output) = weave(old[row], new[column]) {
                close(b..row, a..column);
                woven.push(output);
                (b, a) = (row + 1, column + 1);
            }
        }
        close(b..old.len(), a..new.len());
        (woven, runs)
    }

    /// Where text goes that is to stand before the new list's item at `index`.
    fn insertion(&self, lists: Lists<'_>, index: usize) -> u32 {
        if let Some(next) = lists.new.get(index) {
            return self.after.span(*next).start;
        }
        let list = self.after.node(lists.a);
        match (lists.new.last(), list.ty) {
            (Some(last), _) => self.after.span(*last).end,
            (None, AstType::SwitchCase | AstType::Program) => list.span.end,
            (None, _) => list.span.end.saturating_sub(1),
        }
    }

    /// Statements without lists of their own are guarded as a whole, which reads and runs better than a choice within.
    fn pair(&self, b: NodeId, a: NodeId) -> Woven {
        let ty = self.after.ty(a);
        let plain = matches!(
            ty,
            AstType::ExpressionStatement | AstType::ReturnStatement | AstType::ThrowStatement
        );
        if plain && !has_list(self.before, b) && !has_list(self.after, a) {
            return self.refuse(Side::After, a, "the statement is guarded as a whole");
        }
        self.node(b, a)
    }

    /// All old statements of a body behind the selector of all new ones.
    fn whole_list(&self, lists: Lists<'_>, reason: Refusal) -> Woven {
        let ty = self.after.ty(lists.a);
        if ty == AstType::SwitchCase || at_load(self.after, lists.a) {
            return Err(reason);
        }
        if let Some(name) = self.captured_by_var(lists) {
            let message =
                format!("the variable `{name}` would mean another one in the other version");
            return self.refuse(Side::After, lists.a, message);
        }
        let (old, new) = (cover(self.before, lists.old), cover(self.after, lists.new));
        let mut hunk = self.hunk(
            HunkKind::Statements,
            old.unwrap_or_else(|| inner(self.before, lists.b)),
            new.unwrap_or_else(|| inner(self.after, lists.a)),
        );
        hunk.reason = Some(reason);
        let mut emit = vec!["if (".into(), Emit::Guard(hunk.id), ") {\n".into()];
        emit.extend(new.map(|span| Emit::Code(Side::After, span)));
        emit.push("\n} else {\n".into());
        emit.extend(old.map(|span| Emit::Code(Side::Before, span)));
        emit.push("\n}".into());
        let emit = self.timed_arms(hunk.id, [lists.old, lists.new], emit);
        Ok(Output::of(Edit { at: hunk.after.cover(), emit }, hunk))
    }

    /// A `var` of one list reaches the whole function: the other list must not mean something else by its name.
    fn captured_by_var(&self, lists: Lists<'_>) -> Option<String> {
        Side::BOTH.into_iter().find_map(|side| {
            let (tree, list, other) = match side {
                Side::Before => (self.before, lists.b, lists.a),
                Side::After => (self.after, lists.a, lists.b),
            };
            let foreign = self.tree(side.other());
            let vars = tree.variables().map(|(_, variable)| variable).filter(|variable| {
                !variable.lexical
                    && !variable.function
                    && variable
                        .declarations
                        .iter()
                        .any(|d| tree.contains(list, *d) && is_var(tree, *d))
            });
            let mut vars = vars.filter(|var| means_another(foreign, other, &var.name));
            vars.next().map(|variable| variable.name.to_string())
        })
    }

    pub(super) fn single_body(
        &self,
        (b, b_child): (NodeId, NodeId),
        (a, a_child): (NodeId, NodeId),
    ) -> Woven {
        let (old, new) = ([b_child], [a_child]);
        let lists = Lists { b, a, old: &old, new: &new };
        let run = Run { old: &old, new: &new, at: self.after.span(a_child).start };
        let mut output = self.run(lists, &run)?;
        for edit in &mut output.edits {
            edit.emit.insert(0, "{ ".into());
            edit.emit.push(" }".into());
        }
        Ok(output)
    }
}

/// The statements of a list, and what stands before them: directives, the test of a case.
fn items(tree: &Tree<'_>, list: NodeId) -> (Vec<NodeId>, Vec<NodeId>) {
    let node = tree.node(list);
    let case = node.ty == AstType::SwitchCase;
    node.children.iter().filter(|child| tree.ty(**child) != AstType::EmptyStatement).partition(
        |child| {
            let child = tree.node(**child);
            let declaration = matches!(child.ty, AstType::Function | AstType::Class)
                && child.marks.has(Marks::DECLARATION);
            let test = case && is_expression(child.ty) && !declaration;
            !matches!(child.ty, AstType::Directive | AstType::Hashbang) && !test
        },
    )
}

pub(super) fn cover(tree: &Tree<'_>, items: &[NodeId]) -> Option<Span> {
    let (first, last) = (items.first()?, items.last()?);
    Some(Span::new(tree.span(*first).start, tree.span(*last).end))
}

/// The place within the braces of an empty list.
fn inner(tree: &Tree<'_>, list: NodeId) -> Span {
    let end = tree.span(list).end.saturating_sub(1);
    Span::new(end, end)
}

fn has_list(tree: &Tree<'_>, id: NodeId) -> bool {
    tree.subtree(id).any(|inner| {
        matches!(
            tree.ty(inner),
            AstType::FunctionBody
                | AstType::BlockStatement
                | AstType::ClassBody
                | AstType::SwitchCase
                | AstType::IfStatement
                | AstType::ForStatement
                | AstType::WhileStatement
        )
    })
}

pub(super) fn is_var(tree: &Tree<'_>, identifier: NodeId) -> bool {
    let declaration =
        tree.ancestors(identifier).find(|outer| tree.ty(*outer) == AstType::VariableDeclaration);
    declaration.is_some_and(|id| tree.node(id).marks.has(Marks::VAR))
}

/// Whether `name`, used below `list`, means something outside of the function around.
fn means_another(tree: &Tree<'_>, list: NodeId, name: &str) -> bool {
    let function = function_around(tree, list);
    tree.subtree(list).any(|id| {
        let node = tree.node(id);
        node.ty == AstType::IdentifierReference
            && tree.code(id) == name
            && node.variable.is_none_or(|v| !tree.contains(function, tree.variable(v).scope))
    })
}

pub(super) fn function_around(tree: &Tree<'_>, id: NodeId) -> NodeId {
    let mut around = tree.ancestors(id);
    around
        .find(|outer| {
            matches!(
                tree.ty(*outer),
                AstType::Function | AstType::ArrowFunctionExpression | AstType::StaticBlock
            )
        })
        .unwrap_or(NodeId::ROOT)
}

/// The node that is the scope of what a list declares.
pub(super) fn scope_of(tree: &Tree<'_>, list: NodeId) -> NodeId {
    match (tree.ty(list), tree.node(list).parent) {
        (AstType::FunctionBody | AstType::SwitchCase, Some(parent)) => parent,
        _ => list,
    }
}

/// Variables that an item of a list declares, and that are visible in the list.
pub(super) fn declared<'t>(
    tree: &'t Tree<'_>,
    item: NodeId,
    scope: NodeId,
) -> impl Iterator<Item = &'t Variable> {
    let declared = tree.declared_in(item).into_iter().map(|id| tree.variable(id));
    declared.filter(move |variable| tree.contains(variable.scope, scope))
}

/// Names in order, without repetition.
pub(super) type Names = BTreeSet<String>;
