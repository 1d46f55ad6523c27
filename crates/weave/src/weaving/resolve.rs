//! The new source with some of its hunks taken back, as a person would have done it.

use std::collections::BTreeSet;

use oxc::span::Span;

use super::{
    hunk::{Edit, Emit, Hunk, HunkId, Place, Side},
    module::ModuleWeave,
};

impl ModuleWeave {
    /// Old code in the place of the new one, for the hunks of `taken`.
    pub(crate) fn resolve(
        &self,
        (before, after): (&str, &str),
        taken: &BTreeSet<HunkId>,
    ) -> String {
        let mut edits: Vec<(Span, String)> = Vec::new();
        for hunk in self.output.hunks.iter().filter(|hunk| taken.contains(&hunk.id)) {
            match &hunk.undo {
                Some(undo) => edits.extend(undo.iter().map(|Edit { at, emit }| {
                    let at = if emit.is_empty() { whole_lines(after, *at) } else { *at };
                    (at, plain(emit, before, after))
                })),
                None => edits.extend(undo(hunk, before, after)),
            }
        }
        edits.sort_by_key(|(span, _)| (span.start, span.end));
        let (mut out, mut at) = (String::new(), 0);
        for (span, text) in edits.iter().filter(|(span, _)| span.end as usize <= after.len()) {
            if span.start < at {
                continue;
            }
            out.push_str(slice(after, Span::new(at, span.start)));
            out.push_str(text);
            at = span.end;
        }
        out.push_str(after.get(at as usize..).unwrap_or_default());
        out
    }
}

fn undo(hunk: &Hunk, before: &str, after: &str) -> Vec<(Span, String)> {
    let old: Vec<&str> = hunk.before.spans.iter().map(|span| slice(before, *span)).collect();
    let mut new = hunk.after.spans.iter();
    let Some(first) = new.next() else {
        return insertion(&hunk.before, &hunk.after, before, after).into_iter().collect();
    };
    let mut edits = Vec::new();
    if old.is_empty() {
        edits.push((whole_lines(after, *first), String::new()));
    } else {
        edits.push((*first, old.join("\n")));
    }
    edits.extend(new.map(|span| (whole_lines(after, *span), String::new())));
    edits
}

/// Old code that the new source has nothing for: on lines of its own, with the comments above it.
fn insertion(old: &Place, new: &Place, before: &str, after: &str) -> Option<(Span, String)> {
    let (first, last) = (old.spans.first()?, old.spans.last()?);
    let span = whole_lines(before, Span::new(first.start, last.end));
    let text = slice(before, span);
    let own_lines = text.ends_with('\n') || span.end as usize == before.len();
    let line = slice(after, Span::new(0, new.at)).rfind('\n').map_or(0, |at| at + 1);
    let indent_only = after.get(line..new.at as usize).is_some_and(|s| s.trim().is_empty());
    if own_lines && indent_only {
        let at = u32::try_from(line).unwrap_or(u32::MAX);
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        return Some((Span::empty(at), format!("{text}{newline}")));
    }
    if own_lines {
        return Some((Span::empty(new.at), format!("\n{}", text.trim_end())));
    }
    Some((Span::empty(new.at), format!(" {} ", slice(before, Span::new(first.start, last.end)))))
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

fn plain(emit: &[Emit], before: &str, after: &str) -> String {
    let text = emit.iter().map(|emit| match emit {
        Emit::Text(text) => text.to_string(),
        Emit::Code(Side::Before, span) => slice(before, *span).to_owned(),
        Emit::Code(Side::After, span) => slice(after, *span).to_owned(),
        Emit::Guard(_) | Emit::Enter(_) | Emit::Leave(_) | Emit::Image { .. } => String::new(),
    });
    text.collect()
}

fn slice(text: &str, span: Span) -> &str {
    text.get(span.start as usize..span.end as usize).unwrap_or_default()
}
