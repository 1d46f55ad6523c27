//! The blocks of a module, as [`crate::blocks`] cuts them: runs of statements, loops and branches.

use std::collections::HashMap;

use belay_model::NodeKind;
use oxc::{
    ast::AstKind,
    semantic::{AstNodes, NodeId},
    span::{GetSpan, Span},
};

use super::units::{UnitId, Units};

/// A block of a module, by its place in [`Sections::list`].
pub(super) type SectionId = usize;

#[derive(Debug)]
pub(super) struct Section {
    /// Loop, branch or run.
    pub(super) kind: NodeKind,
    pub(super) span: Span,
    /// The unit that it is of; nothing for the top level of the module.
    pub(super) unit: Option<UnitId>,
    /// The block of the same unit that it is in; it stands before this one in the list.
    pub(super) within: Option<SectionId>,
    /// Which of those of the unit it is, from 1: each before those in it.
    pub(super) number: usize,
}

#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) list: Vec<Section>,
    /// For each node, the innermost block around it.
    around: Vec<Option<SectionId>>,
}

/// What has been counted while the nodes are read.
#[derive(Default)]
struct Counted {
    /// Blocks of each unit.
    inner: HashMap<Option<UnitId>, usize>,
    /// Runs that the next statement of a list belongs to.
    open: HashMap<NodeId, SectionId>,
}

impl Sections {
    pub(super) fn of(nodes: &AstNodes<'_>, units: &Units) -> Self {
        let (mut sections, mut counted) = (Self::default(), Counted::default());
        // Parents come before their children, and children in their order.
        for node in nodes.iter() {
            let id = node.id();
            let parent = nodes.parent_id(id);
            let around = match sections.around.is_empty() {
                true => None,
                false => sections.around[parent.index()],
            };
            let section = if !sections.around.is_empty() && units.begins(nodes, id) {
                counted.open.remove(&parent);
                None
            } else {
                sections.begins(nodes, id, around, units.owner(id), &mut counted).or(around)
            };
            sections.around.push(section);
        }
        sections
    }

    pub(super) fn around(&self, node: NodeId) -> Option<SectionId> {
        self.around[node.index()]
    }

    /// The block that a node is, or is a statement of.
    fn begins(
        &mut self,
        nodes: &AstNodes<'_>,
        id: NodeId,
        within: Option<SectionId>,
        unit: Option<UnitId>,
        counted: &mut Counted,
    ) -> Option<SectionId> {
        let (kind, parent) = (nodes.kind(id), nodes.parent_id(id));
        let own = kind_of(kind)?;
        let Some(own) = own else {
            // Neither a block nor in one: the next statement begins another run.
            counted.open.remove(&parent);
            return None;
        };
        if own == NodeKind::Run {
            if !is_list(nodes.kind(parent)) {
                return None;
            }
            if let Some(run) = counted.open.get(&parent) {
                self.list[*run].span.end = kind.span().end;
                return Some(*run);
            }
        } else {
            counted.open.remove(&parent);
        }
        let number = counted.inner.entry(unit).or_default();
        *number += 1;
        let section = self.list.len();
        self.list.push(Section { kind: own, span: kind.span(), unit, within, number: *number });
        if own == NodeKind::Run {
            counted.open.insert(parent, section);
        }
        Some(section)
    }
}

/// What a statement is: a block, or at least the end of a run. Nothing for what is no statement, or only a type.
fn kind_of(kind: AstKind<'_>) -> Option<Option<NodeKind>> {
    match kind {
        AstKind::ForStatement(_)
        | AstKind::ForInStatement(_)
        | AstKind::ForOfStatement(_)
        | AstKind::WhileStatement(_)
        | AstKind::DoWhileStatement(_) => Some(Some(NodeKind::Loop)),
        AstKind::IfStatement(_) | AstKind::SwitchStatement(_) | AstKind::TryStatement(_) => {
            Some(Some(NodeKind::Branch))
        }
        AstKind::VariableDeclaration(_)
        | AstKind::ExpressionStatement(_)
        | AstKind::ReturnStatement(_)
        | AstKind::ThrowStatement(_)
        | AstKind::BreakStatement(_)
        | AstKind::ContinueStatement(_)
        | AstKind::DebuggerStatement(_) => Some(Some(NodeKind::Run)),
        AstKind::ImportDeclaration(_)
        | AstKind::ExportDeclaration(_)
        | AstKind::ExportDefaultDeclaration(_)
        | AstKind::Function(_)
        | AstKind::Class(_)
        | AstKind::BlockStatement(_)
        | AstKind::LabeledStatement(_) => Some(None),
        _ => None,
    }
}

fn is_list(kind: AstKind<'_>) -> bool {
    matches!(
        kind,
        AstKind::Program(_)
            | AstKind::FunctionBody(_)
            | AstKind::BlockStatement(_)
            | AstKind::StaticBlock(_)
            | AstKind::SwitchCase(_)
    )
}
