//! Edits to text.

use std::fmt::Write as _;

use oxc::span::Span;

use super::hunk::{Edit, Emit, HunkId, Output, Side};

/// The new text with edits, for one of the two images.
pub(crate) struct Renderer<'r> {
    pub(crate) before: &'r str,
    pub(crate) after: &'r str,
    pub(crate) output: &'r Output,
    pub(crate) image: Side,
    /// The cell of a hunk's selector.
    pub(crate) cell: &'r dyn Fn(HunkId) -> usize,
}

/// Woven text.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// In order: which bytes came from where.
    pub(crate) origins: Vec<Origin>,
}

/// A stretch that came from one of the sources.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// Where it begins in the woven text.
    pub(crate) at: u32,
    pub(crate) side: Side,
    pub(crate) span: Span,
}

impl Rendered {
    /// One source as it is.
    pub(crate) fn plain(side: Side, text: &str) -> Self {
        let span = Span::new(0, u32::try_from(text.len()).unwrap_or(u32::MAX));
        Self { text: text.to_owned(), origins: vec![Origin { at: 0, side, span }] }
    }

    /// Adds code of one source, if it has that.
    pub(super) fn push(&mut self, side: Side, span: Span, source: &str) {
        let text = source.get(span.start as usize..span.end as usize).unwrap_or_default();
        if !text.is_empty() {
            let at = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
            self.origins.push(Origin { at, side, span });
            self.text.push_str(text);
        }
    }

    /// Where the byte at `at` came from, if from a source.
    pub(crate) fn origin(&self, at: u32) -> Option<(Side, u32)> {
        let after = self.origins.partition_point(|origin| origin.at <= at);
        let origin = self.origins.get(after.checked_sub(1)?)?;
        let offset = at - origin.at;
        (offset < origin.span.size()).then(|| (origin.side, origin.span.start + offset))
    }
}

impl Renderer<'_> {
    /// `None` if edits overlap.
    pub(crate) fn render(&self) -> Option<Rendered> {
        let mut edits: Vec<&Edit> = self.output.edits.iter().collect();
        edits.sort_by_key(|edit| (edit.at.start, edit.at.end, old_place(edit)));
        let mut out = Rendered::default();
        let mut at = 0;
        for edit in edits {
            if edit.at.start < at {
                return None;
            }
            self.code(Side::After, Span::new(at, edit.at.start), &mut out)?;
            edit.emit.iter().try_for_each(|emit| self.emit(emit, &mut out))?;
            at = edit.at.end;
        }
        let end = u32::try_from(self.after.len()).ok()?;
        self.code(Side::After, Span::new(at, end), &mut out)?;
        Some(out)
    }

    fn emit(&self, emit: &Emit, out: &mut Rendered) -> Option<()> {
        match emit {
            Emit::Text(text) => out.text.push_str(text),
            Emit::Code(side, span) => self.code(*side, *span, out)?,
            Emit::Guard(hunk) => {
                let cell = (self.cell)(*hunk);
                // Writing to a string does not fail.
                let _ = write!(out.text, "$belay[{cell}] || $belay_arm({cell})");
            }
            Emit::Enter(hunk) => {
                let _ = write!(out.text, "$belay_enter({}); try ", (self.cell)(*hunk));
            }
            Emit::Leave(hunk) => {
                let _ = write!(out.text, " finally {{ $belay_leave({}); }}", (self.cell)(*hunk));
            }
            Emit::Image { after, before } => {
                let chosen = if self.image == Side::After { after } else { before };
                chosen.iter().try_for_each(|emit| self.emit(emit, out))?;
            }
        }
        Some(())
    }

    /// Code of one source, with references replaced.
    fn code(&self, side: Side, span: Span, out: &mut Rendered) -> Option<()> {
        let mut at = span.start;
        let within = |edit: &&(Side, Edit)| {
            edit.0 == side && edit.1.at.start >= span.start && edit.1.at.end <= span.end
        };
        let mut edits: Vec<&Edit> =
            self.output.references.iter().filter(within).map(|(_, edit)| edit).collect();
        edits.sort_by_key(|edit| edit.at.start);
        for edit in edits {
            self.verbatim(side, Span::new(at, edit.at.start), out)?;
            // Within parentheses of the weave nothing begins a statement, whatever did so in the source.
            let within = out.text.ends_with('(');
            let first = edit.emit.iter().take(1).map(|emit| match emit {
                Emit::Text(text) if within => {
                    Emit::Text(text.trim_start_matches(';').to_owned().into())
                }
                emit => emit.clone(),
            });
            first.collect::<Vec<_>>().iter().try_for_each(|emit| self.emit(emit, out))?;
            edit.emit.iter().skip(1).try_for_each(|emit| self.emit(emit, out))?;
            at = edit.at.end;
        }
        self.verbatim(side, Span::new(at, span.end), out)
    }

    fn verbatim(&self, side: Side, span: Span, out: &mut Rendered) -> Option<()> {
        let source = if side == Side::After { self.after } else { self.before };
        source.get(span.start as usize..span.end as usize)?;
        out.push(side, span, source);
        Some(())
    }
}

/// Where what is inserted stood in the old text: what stands at one place keeps its order.
fn old_place(edit: &Edit) -> Option<u32> {
    edit.emit.iter().find_map(|emit| match emit {
        Emit::Code(Side::Before, span) => Some(span.start),
        Emit::Image { before, .. } => before.iter().find_map(|emit| match emit {
            Emit::Code(Side::Before, span) => Some(span.start),
            _ => None,
        }),
        Emit::Text(_)
        | Emit::Guard(_)
        | Emit::Enter(_)
        | Emit::Leave(_)
        | Emit::Code(Side::After, _) => None,
    })
}
