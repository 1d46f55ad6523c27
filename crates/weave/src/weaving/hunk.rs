//! What a weave is made of: hunks, and the edits that put them into the new text.

use std::borrow::Cow;

use belay_model::HunkKind;
use oxc::span::Span;

use crate::syntax::NodeId;

/// Which of the two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Side {
    Before,
    After,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Before, Self::After];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
        }
    }
}

/// A hunk of one module: its place in the list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HunkId(pub(crate) u32);

/// Where one side of a hunk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where it would be, if it is nowhere.
    pub(crate) at: u32,
    /// In order.
    pub(crate) spans: Vec<Span>,
}

impl Place {
    pub(crate) fn empty(at: u32) -> Self {
        Self { at, spans: Vec::new() }
    }

    /// From the first to the last.
    pub(crate) fn cover(&self) -> Span {
        match (self.spans.first(), self.spans.last()) {
            (Some(first), Some(last)) => Span::new(first.start, last.end),
            _ => Span::new(self.at, self.at),
        }
    }
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Self { at: span.start, spans: if span.is_empty() { Vec::new() } else { vec![span] } }
    }
}

/// One difference between two versions of a module.
#[derive(Debug, Clone)]
pub(crate) struct Hunk {
    pub(crate) id: HunkId,
    pub(crate) kind: HunkKind,
    /// What differs, in each version's own text.
    pub(crate) before: Place,
    pub(crate) after: Place,
    /// Nodes that only one side has and that stand unguarded in both.
    pub(crate) lone: Vec<(Side, NodeId)>,
    /// Names of what an additive hunk adds or removes, and of a function whose parameters changed.
    pub(crate) names: Vec<String>,
    /// Why it is not finer.
    pub(crate) reason: Option<Refusal>,
    /// How to go back in the new text, where that is not to put the old spans in the place of the new ones.
    pub(crate) undo: Option<Vec<Edit>>,
}

impl Hunk {
    pub(crate) fn place(&self, side: Side) -> &Place {
        match side {
            Side::Before => &self.before,
            Side::After => &self.after,
        }
    }
}

/// Why something cannot be woven as finely as one would like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Completes "it …" or stands by itself, in the user's words.
    pub(crate) message: Cow<'static, str>,
    pub(crate) side: Side,
    pub(crate) at: Span,
}

/// A piece of woven text.
#[derive(Debug, Clone)]
pub(crate) enum Emit {
    Text(Cow<'static, str>),
    Code(Side, Span),
    /// The expression that is true in the arm *after*, and notes that it was reached.
    Guard(HunkId),
    /// What differs between the two images.
    Image {
        after: Vec<Emit>,
        before: Vec<Emit>,
    },
}

impl From<&'static str> for Emit {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Emit {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// A replacement in the new text.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) at: Span,
    pub(crate) emit: Vec<Emit>,
}

/// An export of an ES module that has two values: the old one is exported with `$belay_` before its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exposed {
    pub(crate) name: String,
    pub(crate) hunk: HunkId,
}

/// The weave of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output {
    pub(crate) edits: Vec<Edit>,
    pub(crate) hunks: Vec<Hunk>,
    /// What takes the place of references, wherever code of that side is emitted.
    pub(crate) references: Vec<(Side, Edit)>,
    pub(crate) exposed: Vec<Exposed>,
}

impl Output {
    pub(crate) fn of(edit: Edit, hunk: Hunk) -> Self {
        Self { edits: vec![edit], hunks: vec![hunk], ..Self::default() }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.edits.extend(other.edits);
        self.hunks.extend(other.hunks);
        self.references.extend(other.references);
        self.exposed.extend(other.exposed);
    }
}

pub(crate) type Woven = Result<Output, Refusal>;
