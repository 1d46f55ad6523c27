//! JSDoc comments as tags with their values, each with its place in the source.
//!
//! ```text
//! /**
//!  * What it does.                         a description; not read
//!  * @success result.status === "done" &&  a tag; its value goes on
//!  *   result.total > 0                    … to the next tag, or to an empty line
//!  */
//! ```

use std::ops::Range;

use oxc::span::Span;

/// A tag as it stands in a comment.
#[derive(Debug)]
pub(super) struct Written {
    /// Without the `@`.
    pub(super) name: String,
    /// Of the name, with the `@`.
    pub(super) span: Span,
    pub(super) value: Value,
}

/// What follows the name.
#[derive(Debug, Default)]
pub(super) struct Value {
    /// Its lines, without what frames them in the comment.
    pub(super) text: String,
    /// For each line: where it begins in `text` and in the source.
    lines: Vec<(usize, u32)>,
}

/// The tags of `comment`, which has the form `/** … */` and begins at `start` in the source.
pub(super) fn read(comment: &str, start: u32) -> Vec<Written> {
    let inner = comment.strip_prefix("/**").and_then(|text| text.strip_suffix("*/"));
    let mut reading = Reading { found: Vec::new(), open: false, fenced: false };
    let mut at = start + 3;
    for (number, line) in inner.unwrap_or_default().split_inclusive('\n').enumerate() {
        let text = bare(line, number == 0);
        reading.line(text, at + offset(line.len() - line.trim_end().len(), line.len(), text.len()));
        at += u32::try_from(line.len()).unwrap_or(u32::MAX);
    }
    reading.found
}

/// The line without its frame: white space, and the `*` before it.
fn bare(line: &str, first: bool) -> &str {
    let line = line.trim();
    if first { line } else { line.strip_prefix('*').unwrap_or(line).trim_start() }
}

/// Where a text begins that ends where its line ends, but for white space.
fn offset(space: usize, line: usize, text: usize) -> u32 {
    u32::try_from(line - space - text).unwrap_or(u32::MAX)
}

struct Reading {
    found: Vec<Written>,
    /// Whether the last tag may go on.
    open: bool,
    /// Within a block of example code.
    fenced: bool,
}

impl Reading {
    fn line(&mut self, text: &str, at: u32) {
        if text.starts_with("```") {
            self.fenced = !self.fenced;
            self.open = false;
        } else if self.fenced {
            // Not ours to read.
        } else if let Some(written) = tag(text, at) {
            self.found.push(written);
            self.open = true;
        } else if let Some(last) = self.found.last_mut().filter(|_| self.open) {
            let ends = text.is_empty() && !last.value.text.is_empty();
            self.open = !ends;
            if !text.is_empty() {
                last.value.push(text, at);
            }
        }
    }
}

fn tag(text: &str, at: u32) -> Option<Written> {
    let rest =
        text.strip_prefix('@').filter(|rest| rest.starts_with(|c: char| c.is_alphabetic()))?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')));
    let (name, value) = rest.split_at(end.unwrap_or(rest.len()));
    let span = Span::sized(at, u32::try_from(name.len() + 1).unwrap_or(u32::MAX));
    let mut written = Written { name: name.to_owned(), span, value: Value::default() };
    let text = value.trim_start();
    if !text.is_empty() {
        let skipped = u32::try_from(value.len() - text.len()).unwrap_or(u32::MAX);
        written.value.push(text, span.end + skipped);
    }
    Some(written)
}

impl Value {
    fn push(&mut self, line: &str, at: u32) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.lines.push((self.text.len(), at));
        self.text.push_str(line);
    }

    /// The first line of the text.
    pub(super) fn line(&self) -> &str {
        self.text.split('\n').next().unwrap_or_default()
    }

    /// The place in the source of a range of the text.
    pub(super) fn place(&self, range: Range<usize>) -> Span {
        let place = |offset: usize| {
            let line = self.lines.partition_point(|(start, _)| *start <= offset).wrapping_sub(1);
            let (start, at) = self.lines.get(line).copied().unwrap_or_default();
            at + u32::try_from(offset - start).unwrap_or(u32::MAX)
        };
        let start = place(range.start);
        Span::new(start, place(range.end).max(start))
    }

    /// The place of a part of the text.
    pub(super) fn place_of(&self, part: &str) -> Span {
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        self.place(start..start + part.len())
    }
}
