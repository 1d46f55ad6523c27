//! From places in compiled code back to places in the user's own file.
//!
//! A [`PositionMap`] belongs to one module. Compiled positions are as the engine prints them: line
//! from 1, column from 1 in *bytes* of the UTF-8 source. Original positions are what editors and
//! [`belay_model::Label`] count: line from 1, column from 1 in *characters*. On a line of ASCII the
//! two are the same.
//!
//! Serialised form, version 1: `{"v":1,"lines":N,"wide":"…","mappings":"…"}`. `lines` is how many
//! lines the compiled code has before the first line of the source. `mappings` and `wide` are lists
//! of VLQ groups (see `vlq`), absent when empty; woven code has `"woven":{"mappings","verbatim","label"}`
//! instead, whose groups say which version a place came from, or that it calls one of two. A reader
//! refuses any other version. Does not know
//! module paths: [`map_frames`] is given a lookup.

mod frame;
mod segments;
mod vlq;
mod woven;

use serde::{Deserialize, Serialize};

pub use frame::{map_frame, map_frames, map_stack};
pub(crate) use segments::Segment;
use segments::{Segments, WideLines};
pub(crate) use woven::{AFTER, BEFORE, CALLS_ONE_OF_TWO, WovenMap, WovenSegment};

/// Why stored bytes are not a position map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    #[error("a position map of version {found}; this Belay knows version {known}")]
    Version { found: u32, known: u32 },
    #[error("a position map is damaged: {what}")]
    Damaged { what: &'static str },
}

/// Where each place of one module's compiled code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub enum PositionMap {
    /// The code is the source, byte for byte.
    Identity,
    /// The code is the source after this many lines of wrapping.
    LineOffset(u32),
    /// As `LineOffset`, and some lines have characters of several bytes, which makes columns
    /// differ.
    Wide(WideMap),
    /// The code was printed anew; a list of places, as a source map has.
    SourceMap(SourceMap),
    /// The code was woven of two versions.
    Woven(WovenMap),
}

/// See [`PositionMap::Wide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WideMap {
    lines: u32,
    wide: WideLines,
}

/// See [`PositionMap::SourceMap`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMap {
    lines: u32,
    segments: Segments,
}

impl PositionMap {
    const VERSION: u32 = 1;

    /// For `source` passed on unchanged after `lines` lines of wrapping.
    pub(crate) fn verbatim(source: &str, lines: u32) -> Self {
        let wide = WideLines::of(source);
        match (wide.is_empty(), lines) {
            (false, _) => Self::Wide(WideMap { lines, wide }),
            (true, 0) => Self::Identity,
            (true, _) => Self::LineOffset(lines),
        }
    }

    /// For printed code after `lines` lines of wrapping. Segments count lines from 0 at the printed
    /// code's start.
    pub(crate) fn printed(segments: Vec<Segment>, lines: u32) -> Self {
        Self::SourceMap(SourceMap { lines, segments: Segments::new(segments) })
    }

    /// What frames call the version that a place of woven code came from, if it is the one before.
    fn version(&self, line: u32, column: u32) -> Option<&str> {
        match self {
            Self::Woven(map) if map.original(line, column).2 == BEFORE => Some(&map.label),
            _ => None,
        }
    }

    /// Whether a place of woven code calls the one or the other version of a function, and is in neither.
    fn calls_one_of_two(&self, line: u32, column: u32) -> bool {
        matches!(self, Self::Woven(map) if map.original(line, column).2 == CALLS_ONE_OF_TWO)
    }

    /// The place in the source for a place in the compiled code, both from 1. A place in wrapping
    /// maps to line 1.
    pub fn original(&self, line: u32, column: u32) -> (u32, u32) {
        match self {
            Self::Identity => (line, column),
            Self::LineOffset(lines) => unwrap_lines(line, column, *lines),
            Self::Wide(map) => {
                let (line, column) = unwrap_lines(line, column, map.lines);
                (line, map.wide.characters(line, column))
            }
            Self::SourceMap(map) => {
                let (line, column) = unwrap_lines(line, column, map.lines);
                map.segments.original(line, column)
            }
            Self::Woven(map) => {
                let (line, column, _) = map.original(line, column);
                (line, column)
            }
        }
    }
}

fn unwrap_lines(line: u32, column: u32, lines: u32) -> (u32, u32) {
    if line > lines { (line - lines, column) } else { (1, 1) }
}

/// The serialised form; see the module's header.
#[derive(Serialize, Deserialize)]
struct Wire {
    v: u32,
    lines: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wide: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mappings: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    woven: Option<WireWoven>,
}

#[derive(Serialize, Deserialize)]
struct WireWoven {
    mappings: String,
    verbatim: bool,
    label: String,
}

impl From<PositionMap> for Wire {
    fn from(map: PositionMap) -> Self {
        let plain = |lines| Self {
            v: PositionMap::VERSION,
            lines,
            wide: None,
            mappings: None,
            woven: None,
        };
        match map {
            PositionMap::Identity => plain(0),
            PositionMap::LineOffset(lines) => plain(lines),
            PositionMap::Wide(map) => Self { wide: Some(map.wide.encode()), ..plain(map.lines) },
            PositionMap::SourceMap(map) => {
                Self { mappings: Some(map.segments.encode()), ..plain(map.lines) }
            }
            PositionMap::Woven(map) => {
                let mappings = map.encode();
                let woven = WireWoven { mappings, verbatim: map.verbatim, label: map.label };
                Self { woven: Some(woven), ..plain(map.lines) }
            }
        }
    }
}

impl TryFrom<Wire> for PositionMap {
    type Error = MapError;

    fn try_from(wire: Wire) -> Result<Self, MapError> {
        if wire.v != Self::VERSION {
            return Err(MapError::Version { found: wire.v, known: Self::VERSION });
        }
        let lines = wire.lines;
        if let Some(WireWoven { mappings, verbatim, label }) = wire.woven {
            return Ok(Self::Woven(WovenMap::decode(&mappings, lines, verbatim, label)?));
        }
        match (wire.wide, wire.mappings) {
            (None, None) if lines == 0 => Ok(Self::Identity),
            (None, None) => Ok(Self::LineOffset(lines)),
            (Some(wide), None) => {
                Ok(Self::Wide(WideMap { lines, wide: WideLines::decode(&wide)? }))
            }
            (None, Some(text)) => {
                Ok(Self::SourceMap(SourceMap { lines, segments: Segments::decode(&text)? }))
            }
            (Some(_), Some(_)) => Err(MapError::Damaged { what: "two kinds at once" }),
        }
    }
}
