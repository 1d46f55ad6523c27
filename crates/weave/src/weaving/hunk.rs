//! What a weave is made of: hunks, and the edits that put them into the new text.

use std::{borrow::Cow, collections::BTreeSet};

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

/// A hunk: the place of its module in the list of them, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HunkId {
    pub(crate) module: usize,
    pub(crate) number: u32,
}

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
    /// Hunks of other modules that it is made of, by what they export.
    pub(crate) follows: Vec<HunkId>,
    /// The function that it speaks of, if it is a comment.
    pub(crate) of: Option<Of>,
}

/// A function of which something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Of {
    /// In the new source.
    pub(crate) function: Span,
    /// What is in the function was written for what is said.
    pub(crate) binds: bool,
}

impl Hunk {
    /// Nothing differs here but what is made of imports.
    pub(crate) fn is_derived(&self) -> bool {
        !self.follows.is_empty() && self.before.spans.is_empty() && self.after.spans.is_empty()
    }

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
    /// Before a block that is timed.
    Enter(HunkId),
    /// Behind it.
    Leave(HunkId),
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

/// Something of a module that has two values, and that importers choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exposed {
    pub(crate) name: String,
    pub(crate) what: Shared,
    pub(crate) hunk: HunkId,
}

/// By what importers have something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shared {
    /// An export of an ES module: the old value is exported with `$belay_` before its name.
    Export,
    /// A property of the default export, or of what a CommonJS module exports: it is read by a function that has both values
    /// in its own property `$belay`.
    Property,
}

/// The weave of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output {
    pub(crate) edits: Vec<Edit>,
    pub(crate) hunks: Vec<Hunk>,
    /// What takes the place of references, wherever code of that side is emitted.
    pub(crate) references: Vec<(Side, Edit)>,
    pub(crate) exposed: Vec<Exposed>,
    /// Imported names whose uses at load are made twice.
    pub(crate) made_of: BTreeSet<String>,
}

impl Output {
    pub(crate) fn of(edit: Edit, hunk: Hunk) -> Self {
        Self { edits: vec![edit], hunks: vec![hunk], ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty()
            && self.hunks.is_empty()
            && self.references.is_empty()
            && self.exposed.is_empty()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.edits.extend(other.edits);
        self.hunks.extend(other.hunks);
        self.references.extend(other.references);
        self.exposed.extend(other.exposed);
        self.made_of.extend(other.made_of);
    }
}

pub(crate) type Woven = Result<Output, Refusal>;
