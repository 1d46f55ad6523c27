//! What a user is told about a mistake: where, what, and what to do next.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Warning,
    /// The deploy is refused.
    Error,
}

/// One message, to be rendered as a compiler would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable, kebab-case, such as `missing-import`.
    pub code: String,
    pub message: String,
    /// Where; the first one is the main place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// How the place is reached: module paths from an entry to the culprit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// A marked range of a source text, with the lines around it, so that it can be shown far from the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Label {
    /// Path relative to the app's root.
    pub path: String,
    /// Line of the range's start, from 1.
    pub line: u32,
    /// Column of the range's start in characters, from 1.
    pub column: u32,
    /// The lines around the range, line breaks kept.
    pub snippet: String,
    /// Line number of the snippet's first line, from 1.
    pub snippet_line: u32,
    /// The range within `snippet`: byte offsets, start and end.
    pub span: (u32, u32),
    /// What to write at the mark; may be empty.
    #[serde(default)]
    pub text: String,
}

impl Diagnostic {
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: &str, message: String) -> Self {
        Self {
            severity,
            code: code.to_owned(),
            message,
            labels: Vec::new(),
            chain: Vec::new(),
            help: None,
        }
    }

    #[must_use]
    pub fn at(mut self, label: Label) -> Self {
        self.labels.push(label);
        self
    }

    #[must_use]
    pub fn via(mut self, chain: Vec<String>) -> Self {
        self.chain = chain;
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Label {
    const CONTEXT_LINES: usize = 2;
    /// Most bytes of context on each side. Minified code has lines of megabytes, and a label travels.
    const CONTEXT_BYTES: usize = 400;
    /// Most bytes that are marked; a longer range is marked up to there.
    const MARKED_BYTES: usize = 2_000;

    /// Marks `start..end` (byte offsets, clamped to `source` and to character boundaries).
    pub fn new(
        path: &str,
        source: &str,
        start: usize,
        end: usize,
        text: impl Into<String>,
    ) -> Self {
        let start = floor_char(source, start);
        let end = floor_char(source, end.min(start.saturating_add(Self::MARKED_BYTES))).max(start);
        let first = source[..start].matches('\n').count();
        let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
        let nearest = floor_char(source, start.saturating_sub(Self::CONTEXT_BYTES));
        let farthest = floor_char(source, end.saturating_add(Self::CONTEXT_BYTES));
        let from = back_lines(source, line_start, Self::CONTEXT_LINES).max(nearest);
        let until = forward_lines(source, end, Self::CONTEXT_LINES).min(farthest);
        let skipped = source[from..start].matches('\n').count();
        Self {
            path: path.to_owned(),
            line: clamp(first + 1),
            column: clamp(source[line_start..start].chars().count() + 1),
            snippet: source[from..until].to_owned(),
            snippet_line: clamp(first - skipped + 1),
            span: (clamp(start - from), clamp(end - from)),
            text: text.into(),
        }
    }

    /// Marks the word that starts at `line` and `column` (from 1, in characters), as stack frames name a place.
    pub fn at_line(
        path: &str,
        source: &str,
        line: u32,
        column: u32,
        text: impl Into<String>,
    ) -> Self {
        let line_start = source
            .split_inclusive('\n')
            .take(line.saturating_sub(1) as usize)
            .map(str::len)
            .sum::<usize>();
        let rest = source[line_start..].split('\n').next().unwrap_or_default();
        let offset = rest
            .char_indices()
            .nth(column.saturating_sub(1) as usize)
            .map_or(rest.len(), |(at, _)| at);
        let word =
            rest[offset..].find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '.')));
        let width = word.unwrap_or(rest.len() - offset).max(usize::from(offset < rest.len()));
        let start = line_start + offset;
        Self::new(path, source, start, start + width, text)
    }
}

fn clamp(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn floor_char(source: &str, at: usize) -> usize {
    (0..=at.min(source.len())).rev().find(|&at| source.is_char_boundary(at)).unwrap_or(0)
}

fn back_lines(source: &str, line_start: usize, lines: usize) -> usize {
    (0..lines).fold(line_start, |at, _| {
        source[..at.saturating_sub(1)].rfind('\n').map_or(0, |found| found + 1)
    })
}

fn forward_lines(source: &str, end: usize, lines: usize) -> usize {
    (0..=lines)
        .fold(end, |at, _| source[at..].find('\n').map_or(source.len(), |found| at + found + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_label_shows_the_lines_around_it() {
        let source = "one\ntwo\nthree\nfour\nfive\nsix\n";
        let label = Label::new("a.js", source, 14, 18, "here");
        assert_eq!((label.line, label.column, label.snippet_line), (4, 1, 2));
        assert_eq!(label.snippet, "two\nthree\nfour\nfive\nsix\n");
        assert_eq!(label.span, (10, 14));
    }

    #[test]
    fn a_label_in_minified_code_stays_small() {
        let line = "é".repeat(1 << 20);
        let source = format!("first\n{line}\nlast\n");
        let at = 6 + (1 << 20);
        let label = Label::new("a.js", &source, at, at + (1 << 19), "");
        assert!(label.snippet.len() <= 3_000, "{}", label.snippet.len());
        assert_eq!((label.line, label.snippet_line), (2, 2));
        assert_eq!(label.column, (1 << 19) + 1);
    }

    proptest! {
        #[test]
        fn a_label_is_well_formed(source in "[aé\n]{0,80}", start in 0_usize..200, end in 0_usize..200) {
            let label = Label::new("a.js", &source, start, end, "");
            let (from, to) = (label.span.0 as usize, label.span.1 as usize);
            prop_assert!(from <= to && label.snippet.get(from..to).is_some());
            let marked = label.snippet[..from].matches('\n').count();
            prop_assert_eq!(label.snippet_line as usize + marked, label.line as usize);
            let nowhere = Label::at_line("a.js", &source, clamp(start), clamp(end), "");
            prop_assert!(nowhere.snippet.get(nowhere.span.0 as usize..nowhere.span.1 as usize).is_some());
        }
    }
}
