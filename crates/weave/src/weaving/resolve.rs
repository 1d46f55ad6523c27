//! The new source with some of its hunks taken back, as a person would have done it.

use std::collections::BTreeSet;

use belay_model::HunkKind;
use oxc::span::Span;

use super::{
    hunk::{Edit, Emit, Hunk, HunkId, Place, Side},
    module::ModuleWeave,
    render::Rendered,
};

/// What takes the place of a span of the new source.
type Change = (Span, Vec<Emit>);

/// How old code is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As it was written.
    Bare,
    /// With parentheses and semicolons around it, for where it would join what is beside it.
    Closed,
}

impl ModuleWeave {
    /// Old code in the place of the new one, for the hunks of `taken`.
    pub(super) fn resolve(
        &self,
        (before, after): (&str, &str),
        taken: &BTreeSet<HunkId>,
        manner: Manner,
    ) -> Rendered {
        let mut edits: Vec<Change> = Vec::new();
        for hunk in self.output.hunks.iter().filter(|hunk| taken.contains(&hunk.id)) {
            match &hunk.undo {
                Some(undo) => edits.extend(undo.iter().map(|Edit { at, emit }| {
                    let at = if emit.is_empty() { whole_lines(after, *at) } else { *at };
                    (at, emit.clone())
                })),
                None => edits.extend(undo(hunk, (before, after), manner)),
            }
        }
        edits.sort_by_key(|(span, _)| (span.start, span.end));
        let (mut out, mut at) = (Rendered::default(), 0);
        for (span, emit) in edits.iter().filter(|(span, _)| span.end as usize <= after.len()) {
            if span.start < at {
                continue;
            }
            out.push(Side::After, Span::new(at, span.start), after);
            emit.iter().for_each(|emit| plain(emit, (before, after), &mut out));
            at = span.end;
        }
        let end = u32::try_from(after.len()).unwrap_or(u32::MAX);
        out.push(Side::After, Span::new(at, end), after);
        out
    }
}

fn undo(hunk: &Hunk, (before, after): (&str, &str), manner: Manner) -> Vec<Change> {
    let old = hunk.before.spans.iter().map(|span| Emit::Code(Side::Before, *span));
    let old: Vec<Emit> = old.flat_map(|code| ["\n".into(), code]).skip(1).collect();
    let Some((first, rest)) = hunk.after.spans.split_first() else {
        let inserted = insertion(&hunk.before, &hunk.after, before, after);
        return inserted
            .into_iter()
            .map(|(at, old)| (at, closed(hunk.kind, old, manner)))
            .collect();
    };
    let at = if old.is_empty() { whole_lines(after, *first) } else { *first };
    let removed = rest.iter().map(|span| (whole_lines(after, *span), Vec::new()));
    std::iter::once((at, closed(hunk.kind, old, manner))).chain(removed).collect()
}

fn closed(kind: HunkKind, old: Vec<Emit>, manner: Manner) -> Vec<Emit> {
    let (open, close) = match kind {
        _ if manner == Manner::Bare || old.is_empty() => return old,
        HunkKind::Expression => ("(", ")"),
        HunkKind::Statements | HunkKind::Image => (";", ";"),
        _ => return old,
    };
    [vec![open.into()], old, vec![close.into()]].concat()
}

/// Old code that the new source has nothing for: on lines of its own, with the comments above it.
fn insertion(old: &Place, new: &Place, before: &str, after: &str) -> Option<Change> {
    let (first, last) = (old.spans.first()?, old.spans.last()?);
    let span = whole_lines(before, Span::new(first.start, last.end));
    let text = slice(before, span);
    let own_lines = text.ends_with('\n') || span.end as usize == before.len();
    let line = slice(after, Span::new(0, new.at)).rfind('\n').map_or(0, |at| at + 1);
    let indent_only = after.get(line..new.at as usize).is_some_and(|s| s.trim().is_empty());
    if own_lines && indent_only {
        let at = u32::try_from(line).unwrap_or(u32::MAX);
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        return Some((Span::empty(at), vec![Emit::Code(Side::Before, span), newline.into()]));
    }
    if own_lines {
        let end = span.start as usize + text.trim_end().len();
        let code = Span::new(span.start, u32::try_from(end).unwrap_or(span.end));
        return Some((Span::empty(new.at), vec!["\n".into(), Emit::Code(Side::Before, code)]));
    }
    let code = Emit::Code(Side::Before, Span::new(first.start, last.end));
    Some((Span::empty(new.at), vec![" ".into(), code, " ".into()]))
}

/// A span with the whole of its lines and the comments directly above, if nothing else is on them.
fn whole_lines(text: &str, span: Span) -> Span {
    let (start, end) = (span.start as usize, span.end as usize);
    let line = text.get(..start).and_then(|s| s.rfind('\n')).map_or(0, |at| at + 1);
    let rest = text.get(end..).unwrap_or_default();
    let stop = rest.find('\n').map_or(text.len(), |at| end + at + 1);
    let alone = text.get(line..start).is_some_and(|s| s.trim().is_empty())
        && text.get(end..stop).is_some_and(|s| {
            let s = s.trim();
            s.is_empty() || s.starts_with("//") || s == ";"
        });
    if !alone {
        return span;
    }
    let mut from = line;
    while let Some(above) = previous_line(text, from) {
        let words = text.get(above..from).unwrap_or_default().trim();
        let comment = words.starts_with("//")
            || words.starts_with("/*")
            || words.starts_with('*')
            || words.ends_with("*/");
        if !comment {
            break;
        }
        from = above;
    }
    let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span::new(short(from), short(stop))
}

fn previous_line(text: &str, line: usize) -> Option<usize> {
    let end = line.checked_sub(1)?;
    Some(text.get(..end)?.rfind('\n').map_or(0, |at| at + 1))
}

fn plain(emit: &Emit, (before, after): (&str, &str), out: &mut Rendered) {
    match emit {
        Emit::Text(text) => out.text.push_str(text),
        Emit::Code(Side::Before, span) => out.push(Side::Before, *span, before),
        Emit::Code(Side::After, span) => out.push(Side::After, *span, after),
        Emit::Guard(_) | Emit::Enter(_) | Emit::Leave(_) | Emit::Image { .. } => {}
    }
}

fn slice(text: &str, span: Span) -> &str {
    text.get(span.start as usize..span.end as usize).unwrap_or_default()
}
