//! The lists behind a position map: places of printed code, and characters wider than a byte.
//!
//! Both are sorted by compiled place and searched by halving. Numbers inside count from 0.

use super::{MapError, vlq};

/// A place in printed code and the place in the source that it was printed from. All from 0;
/// `column` in bytes, `source_column` in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Segment {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) source_line: u32,
    pub(crate) source_column: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segments(Vec<Segment>);

impl Segments {
    pub(super) fn new(mut segments: Vec<Segment>) -> Self {
        segments.sort_unstable();
        Self(segments)
    }

    /// From 1 to 1. The nearest segment at or before the place, on its line when there is one.
    pub(super) fn original(&self, line: u32, column: u32) -> (u32, u32) {
        let place = (line.saturating_sub(1), column.saturating_sub(1));
        let after = self.0.partition_point(|s| (s.line, s.column) <= place);
        let on_line = self.0[after..].first().filter(|s| s.line == place.0);
        let before = after.checked_sub(1).map(|index| self.0[index]);
        let best = before.filter(|s| s.line == place.0).or(on_line.copied()).or(before);
        best.map_or((1, 1), |s| {
            (s.source_line.saturating_add(1), s.source_column.saturating_add(1))
        })
    }

    pub(super) fn encode(&self) -> String {
        let mut out = String::new();
        let mut last = [0; 4];
        for s in &self.0 {
            let now = [s.line, s.column, s.source_line, s.source_column];
            now.iter().zip(last).for_each(|(&now, before)| vlq::push(&mut out, now, before));
            last = now;
        }
        out
    }

    pub(super) fn decode(text: &str) -> Result<Self, MapError> {
        let segment = |[line, column, source_line, source_column]: [u32; 4]| Segment {
            line,
            column,
            source_line,
            source_column,
        };
        let list: Vec<Segment> = vlq::groups(text)?.into_iter().map(segment).collect();
        Ok(Self::new(list))
    }
}

/// After each character of several bytes: its line, the byte column behind it, and by how much
/// bytes exceed characters up to there. Per line, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WideLines(Vec<[u32; 3]>);

impl WideLines {
    pub(super) fn of(source: &str) -> Self {
        if source.is_ascii() {
            return Self(Vec::new());
        }
        let lines = source.split('\n').enumerate().filter(|(_, line)| !line.is_ascii());
        Self(lines.flat_map(|(number, line)| wide_characters(number, line)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The column in characters of a column in bytes, both from 1.
    pub(super) fn characters(&self, line: u32, column: u32) -> u32 {
        let place = (line.saturating_sub(1), column.saturating_sub(1));
        let after = self.0.partition_point(|[line, end, _]| (*line, *end) <= place);
        let before = after.checked_sub(1).map(|index| self.0[index]);
        let excess = before.filter(|[line, ..]| *line == place.0).map_or(0, |[.., excess]| excess);
        column.saturating_sub(excess).max(1)
    }

    pub(super) fn encode(&self) -> String {
        let mut out = String::new();
        let mut last = [0; 3];
        for entry in &self.0 {
            entry.iter().zip(last).for_each(|(&now, before)| vlq::push(&mut out, now, before));
            last = *entry;
        }
        out
    }

    pub(super) fn decode(text: &str) -> Result<Self, MapError> {
        let mut list = vlq::groups(text)?;
        list.sort_unstable();
        Ok(Self(list))
    }
}

fn wide_characters(number: usize, line: &str) -> impl Iterator<Item = [u32; 3]> {
    let wide = line.char_indices().filter(|(_, c)| c.len_utf8() > 1);
    wide.scan(0, move |excess, (at, c)| {
        *excess += c.len_utf8() - 1;
        Some([short(number), short(at + c.len_utf8()), short(*excess)])
    })
}

fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
