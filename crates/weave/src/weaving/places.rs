//! Where each place of woven text came from, as position maps want it.

use oxc::span::Span;

use super::{hunk::Side, render::Rendered};
use crate::map::{AFTER, BEFORE, CALLS_ONE_OF_TWO, Segment, WovenSegment};

/// What only the text has by which a function calls the one or the other of its versions.
const CALLS: [&str; 2] = ["$belay_f", "...$belay_a"];

/// The beginning of each stretch, of each line in it, and of what follows a character of several bytes.
pub(crate) fn segments(rendered: &Rendered, before: &str, after: &str) -> Vec<WovenSegment> {
    let (mut woven, mut sources) =
        (Cursor::new(&rendered.text), [Cursor::new(before), Cursor::new(after)]);
    let mut segments = Vec::new();
    for (at, origin) in rendered.origins.iter().enumerate() {
        let source = &mut sources[usize::from(origin.side == Side::After)];
        source.go(origin.span.start);
        woven.go(origin.at);
        let end = origin.span.end;
        let mut fresh = true;
        while source.at < end {
            if fresh {
                segments.push(WovenSegment {
                    line: woven.line,
                    column: woven.bytes,
                    before: if origin.side == Side::Before { BEFORE } else { AFTER },
                    source_line: source.line,
                    source_column: source.characters,
                });
            }
            fresh = source.step();
            woven.step();
        }
        let next = rendered.origins.get(at + 1).map_or(rendered.text.len(), |it| it.at as usize);
        let own = rendered.text.get(woven.at as usize..next).unwrap_or_default();
        if CALLS.iter().any(|call| own.contains(call)) {
            segments.push(WovenSegment {
                line: woven.line,
                column: woven.bytes,
                before: CALLS_ONE_OF_TWO,
                source_line: source.line,
                source_column: source.characters,
            });
        }
    }
    segments
}

/// The same for text that was printed from woven text: each printed place at the source it came from.
pub(crate) fn compose(
    printed: &[Segment],
    woven: &[WovenSegment],
    text: &str,
) -> Vec<WovenSegment> {
    let lines: Vec<&str> = text.split('\n').collect();
    let place = |segment: &Segment| {
        let line = lines.get(segment.source_line as usize).copied().unwrap_or_default();
        let bytes = byte_column(line, segment.source_column);
        let after = woven.partition_point(|w| (w.line, w.column) <= (segment.source_line, bytes));
        let found = woven.get(after.checked_sub(1)?)?;
        let further = if found.line == segment.source_line { bytes - found.column } else { 0 };
        Some(WovenSegment {
            line: segment.line,
            column: segment.column,
            source_column: if found.before == CALLS_ONE_OF_TWO {
                found.source_column
            } else {
                found.source_column + further
            },
            ..*found
        })
    };
    printed.iter().filter_map(place).collect()
}

/// A text with more in it.
pub(crate) struct Inserted {
    pub(crate) text: String,
    pub(crate) segments: Vec<WovenSegment>,
}

/// `text` with `added`, in the order of their places. `segments` say where `text` came from; without them it is a source.
pub(crate) fn insert(
    text: &str,
    segments: Option<&[WovenSegment]>,
    added: &[(u32, String)],
) -> Inserted {
    let mut out = Rendered::default();
    let mut at = 0;
    for (place, more) in added {
        out.push(Side::After, Span::new(at, *place), text);
        out.text.push_str(more);
        at = *place;
    }
    out.push(Side::After, Span::new(at, u32::try_from(text.len()).unwrap_or(u32::MAX)), text);
    let own = self::segments(&out, "", text);
    let segments = match segments {
        None => own,
        Some(woven) => composed(&own, woven, text),
    };
    Inserted { text: out.text, segments }
}

/// Places of a text at the places of the sources that it was woven of.
fn composed(own: &[WovenSegment], woven: &[WovenSegment], text: &str) -> Vec<WovenSegment> {
    let plain = |stretch: &WovenSegment| Segment {
        line: stretch.line,
        column: stretch.column,
        source_line: stretch.source_line,
        source_column: stretch.source_column,
    };
    let mut all = compose(&own.iter().map(plain).collect::<Vec<_>>(), woven, text);
    let lines: Vec<&str> = text.split('\n').collect();
    for (at, stretch) in own.iter().enumerate() {
        let line = lines.get(stretch.source_line as usize).copied().unwrap_or_default();
        let from = byte_column(line, stretch.source_column);
        let next = own.get(at + 1).filter(|next| next.line == stretch.line);
        let to = next.map_or(u32::MAX, |next| from + (next.column - stretch.column));
        // Places of the woven text within the stretch.
        let first = woven.partition_point(|w| (w.line, w.column) <= (stretch.source_line, from));
        let within = woven[first..].iter();
        let within = within.take_while(|w| w.line == stretch.source_line && w.column < to);
        all.extend(within.map(|w| WovenSegment {
            line: stretch.line,
            column: stretch.column + (w.column - from),
            ..*w
        }));
    }
    all
}

/// The column in bytes of a column in characters.
fn byte_column(line: &str, column: u32) -> u32 {
    let bytes: usize = line.chars().take(column as usize).map(char::len_utf8).sum();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A place in a text that moves forward, and back to its beginning.
struct Cursor<'t> {
    text: &'t str,
    at: u32,
    line: u32,
    bytes: u32,
    characters: u32,
}

impl<'t> Cursor<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 0, bytes: 0, characters: 0 }
    }

    fn go(&mut self, to: u32) {
        if to < self.at {
            *self = Self::new(self.text);
        }
        while self.at < to {
            self.step();
        }
    }

    /// Over one character; whether columns run on from the next one on in another way.
    fn step(&mut self) -> bool {
        let rest = self.text.get(self.at as usize..).unwrap_or_default();
        let Some(next) = rest.chars().next() else {
            self.at += 1;
            return false;
        };
        let width = u32::try_from(next.len_utf8()).unwrap_or(1);
        self.at += width;
        if next == '\n' {
            (self.line, self.bytes, self.characters) = (self.line + 1, 0, 0);
            return true;
        }
        self.bytes += width;
        self.characters += 1;
        width > 1
    }
}
