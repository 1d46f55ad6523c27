//! What is done with a name where it is referred to: `a()`, `a.b()`, `a.b.c = 1`, …

use oxc::{
    ast::{AstKind, ast::Expression},
    semantic::{AstNodes, NodeId},
    span::{GetSpan, Span},
};

/// Methods that change the object that they are called on.
const MUTATORS: [&str; 13] = [
    "push",
    "pop",
    "shift",
    "unshift",
    "splice",
    "sort",
    "reverse",
    "fill",
    "copyWithin",
    "set",
    "add",
    "delete",
    "clear",
];

/// How something is referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    Call,
    /// Something in it is called.
    CallWithin,
    /// It, or something in it, is changed.
    Write,
    Read,
}

/// The members that are taken of a name, one after the other.
#[derive(Debug)]
pub(super) struct Chain {
    /// Their names, as far as they are written out.
    members: Vec<Option<String>>,
    end: End,
}

/// What is done with the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Called,
    Changed,
    Read,
}

impl Chain {
    pub(super) fn of(nodes: &AstNodes<'_>, reference: NodeId) -> Self {
        let (mut members, mut at) = (Vec::new(), reference);
        loop {
            let span = nodes.kind(at).span();
            match nodes.parent_kind(at) {
                AstKind::StaticMemberExpression(it) if it.object.span() == span => {
                    members.push(Some(it.property.name.to_string()));
                }
                AstKind::ComputedMemberExpression(it) if it.object.span() == span => {
                    members.push(match &it.expression {
                        Expression::StringLiteral(text) => Some(text.value.to_string()),
                        _ => None,
                    });
                }
                AstKind::TSAsExpression(_)
                | AstKind::TSSatisfiesExpression(_)
                | AstKind::TSNonNullExpression(_)
                | AstKind::ChainExpression(_) => {}
                parent => return Self { members, end: end(parent, span) },
            }
            at = nodes.parent_id(at);
        }
    }

    /// The member that is taken first.
    pub(super) fn first(&self) -> Option<&str> {
        self.members.first()?.as_deref()
    }

    /// What is done with what is left after `taken` members.
    pub(super) fn how(&self, taken: usize) -> How {
        let further = self.members.get(taken..).unwrap_or_default();
        let mutates =
            further.last().and_then(Option::as_deref).is_some_and(|name| MUTATORS.contains(&name));
        match self.end {
            End::Read => How::Read,
            End::Changed => How::Write,
            End::Called if further.is_empty() => How::Call,
            End::Called if mutates => How::Write,
            End::Called => How::CallWithin,
        }
    }
}

fn end(parent: AstKind<'_>, span: Span) -> End {
    match parent {
        AstKind::CallExpression(it) if it.callee.span() == span => End::Called,
        AstKind::NewExpression(it) if it.callee.span() == span => End::Called,
        AstKind::TaggedTemplateExpression(it) if it.tag.span() == span => End::Called,
        AstKind::AssignmentExpression(it) if it.left.span() == span => End::Changed,
        AstKind::UpdateExpression(_) => End::Changed,
        AstKind::UnaryExpression(it) if it.operator.is_delete() => End::Changed,
        _ => End::Read,
    }
}
