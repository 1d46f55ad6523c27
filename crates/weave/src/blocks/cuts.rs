//! Where a source is cut into pieces, so that what two versions of it have in common can be stored once.
//!
//! ```text
//! import … ; function a … ; function b … ; class C { one() … ; two() … ; } f();
//!                         ^ piece        ^                   ^                    cut where statements and blocks end
//! ```
//!
//! Pieces one after another are the source, to the byte. A node that is long is cut within, between its children; so is
//! a bundle that is one line. Each place has a number, a hash of the text right before it, and the source is cut at those
//! whose number is the lowest far around. So whether a place is taken depends on its surroundings alone, never on how far
//! it is from the start: an edit changes the piece that it is in, at most some beside it, and shifts none.

use belay_model::{Hash, ModuleKind};

use crate::syntax::ends_in_long_nodes;

/// How far around a place has to be the lowest, in bytes. So no piece is shorter, and on average one is twice as long:
/// each is a file, and file systems give out space by about as much.
const PIECE_MIN: usize = 4 << 10;
/// A piece as long as this ends where the next node does. Only text that says the same again and again has such.
const PIECE_LONG: usize = 32 << 10;
/// Nodes that are longer are cut within.
const NODE_LONG: u32 = 1 << 10;
/// Text that makes the number of a place. Less would be the same at many places, such as in a table of numbers.
const CONTEXT: usize = 64;

/// The offsets at which the source of the module at `path` is cut, ascending; none for one that is short, is JSON, or does
/// not parse.
pub fn cuts(path: &str, kind: ModuleKind, source: &str) -> Vec<usize> {
    if !may_be_cut(source.len() as u64) || kind == ModuleKind::Json {
        return Vec::new();
    }
    let ends = ends_in_long_nodes(path, kind, source, NODE_LONG).unwrap_or_default();
    let places = ends.into_iter().map(|end| Place::new(source, end as usize));
    let places: Vec<_> = places.collect();
    chosen(&places, &lowest(&places), source.len())
}

/// Whether a source of so many bytes may be cut at all.
pub fn may_be_cut(bytes: u64) -> bool {
    bytes >= 2 * PIECE_MIN as u64
}

/// Where a source may be cut.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    number: u64,
}

impl Place {
    fn new(source: &str, at: usize) -> Self {
        let before = source.as_bytes().get(at.saturating_sub(CONTEXT)..at).unwrap_or_default();
        let [a, b, c, d, e, f, g, h, ..] = *Hash::of(before).as_bytes();
        Self { at, number: u64::from_le_bytes([a, b, c, d, e, f, g, h]) }
    }
}

/// The places without a lower one near; of equal ones the first.
fn lowest(places: &[Place]) -> Vec<bool> {
    let mut lowest = vec![true; places.len()];
    // Those behind which no lower one has come yet, their numbers ascending.
    let mut open: Vec<usize> = Vec::new();
    for (this, place) in places.iter().enumerate() {
        let near = |other: usize| place.at - places[other].at < PIECE_MIN;
        while let Some(other) = open.pop_if(|other| places[*other].number > place.number) {
            lowest[other] &= !near(other);
        }
        lowest[this] = open.last().is_none_or(|other| !near(*other));
        open.push(this);
    }
    lowest
}

/// No piece is short, also none at the ends, and where that can be none is very long.
fn chosen(places: &[Place], lowest: &[bool], length: usize) -> Vec<usize> {
    let natural =
        places.iter().zip(lowest).filter(|(_, lowest)| **lowest).map(|(place, _)| place.at);
    let natural = natural.filter(|at| (PIECE_MIN..=length - PIECE_MIN).contains(at));
    let mut cuts = Vec::new();
    let mut next = places.iter().map(|place| place.at).peekable();
    for end in natural.chain([length]) {
        let mut start = cuts.last().copied().unwrap_or(0);
        while let Some(at) = next.next_if(|at| *at < end) {
            if at - start >= PIECE_LONG && end - at >= PIECE_MIN {
                cuts.push(at);
                start = at;
            }
        }
        cuts.extend(Some(end).filter(|end| *end < length));
    }
    cuts
}
