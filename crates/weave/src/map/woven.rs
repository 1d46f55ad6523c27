//! Positions in woven code: each belongs to one of two sources.

use super::{MapError, vlq};

/// It came from the new version.
pub(crate) const AFTER: u32 = 0;
/// It came from the version before.
pub(crate) const BEFORE: u32 = 1;
/// It came from neither: it calls the one or the other version of a function. Its place is that of what is before it.
pub(crate) const CALLS_ONE_OF_TWO: u32 = 2;

/// A place in woven code, and where it came from. Lines and columns from 0; `column` in bytes, `source_column` in
/// characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WovenSegment {
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// [`AFTER`], [`BEFORE`] or [`CALLS_ONE_OF_TWO`].
    pub(crate) before: u32,
    pub(crate) source_line: u32,
    pub(crate) source_column: u32,
}

/// See [`super::PositionMap::Woven`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WovenMap {
    pub(super) lines: u32,
    /// Code between two places was not printed anew: its columns run on.
    pub(super) verbatim: bool,
    /// How frames name the version before, such as `v11`.
    pub(super) label: String,
    segments: Vec<WovenSegment>,
}

impl WovenMap {
    pub(crate) fn new(
        mut segments: Vec<WovenSegment>,
        lines: u32,
        verbatim: bool,
        label: String,
    ) -> Self {
        segments.sort_unstable();
        Self { lines, verbatim, label, segments }
    }

    /// From 1 to 1, and what it came from.
    pub(crate) fn original(&self, line: u32, column: u32) -> (u32, u32, u32) {
        if line <= self.lines {
            return (1, 1, AFTER);
        }
        let place = (line - self.lines - 1, column.saturating_sub(1));
        let after = self.segments.partition_point(|s| (s.line, s.column) <= place);
        let on_line = self.segments.get(after).filter(|s| s.line == place.0);
        let before = after.checked_sub(1).map(|index| &self.segments[index]);
        let best = before.filter(|s| s.line == place.0).or(on_line).or(before);
        best.map_or((1, 1, AFTER), |s| {
            let runs_on = self.verbatim && s.before != CALLS_ONE_OF_TWO;
            let further =
                if runs_on && s.line == place.0 { place.1.saturating_sub(s.column) } else { 0 };
            let column = s.source_column.saturating_add(further).saturating_add(1);
            (s.source_line.saturating_add(1), column, s.before)
        })
    }

    pub(super) fn encode(&self) -> String {
        let mut out = String::new();
        let mut last = [0; 5];
        for s in &self.segments {
            let now = [s.line, s.column, s.before, s.source_line, s.source_column];
            now.iter().zip(last).for_each(|(&now, before)| vlq::push(&mut out, now, before));
            last = now;
        }
        out
    }

    pub(super) fn decode(
        text: &str,
        lines: u32,
        verbatim: bool,
        label: String,
    ) -> Result<Self, MapError> {
        let groups = vlq::groups(text)?;
        let segments = groups.into_iter().map(
            |[line, column, before, source_line, source_column]: [u32; 5]| WovenSegment {
                line,
                column,
                before,
                source_line,
                source_column,
            },
        );
        Ok(Self::new(segments.collect(), lines, verbatim, label))
    }
}
