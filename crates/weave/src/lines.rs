//! Offsets of a text as lines and columns.

/// Where the lines of a text begin.
pub(crate) struct Lines(Vec<u32>);

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        let breaks = text.bytes().zip(1..).filter(|(byte, _)| *byte == b'\n').map(|(_, next)| next);
        Self(std::iter::once(0).chain(breaks).collect())
    }

    /// Line and column from 1, the column in bytes.
    pub(crate) fn place(&self, offset: u32) -> (u32, u32) {
        let line = self.0.partition_point(|start| *start <= offset);
        let start = self.0.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        (u32::try_from(line).unwrap_or(u32::MAX), offset - start + 1)
    }

    /// First and last line of what lies from `start` to before `end`.
    pub(crate) fn range(&self, start: u32, end: u32) -> (u32, u32) {
        (self.place(start).0, self.place(end.saturating_sub(1).max(start)).0)
    }
}
