//! Snapshots, which may come from anywhere.
//!
//! Arbitrary bytes hardly ever have the right checksum, so some inputs get one, and some are built field by field; of
//! those it is known whether they must be accepted.

#![no_main]

use arbitrary::Arbitrary;
use belay_engine::snapshot::check;
use belay_model::Hash;
use libfuzzer_sys::fuzz_target;

const PAGE: usize = 4096;
/// What `check` takes for the largest memory.
const MEMORY_MAX: u64 = 64 << 20;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Bytes(&'a [u8]),
    /// Everything behind magic and version and before the checksum.
    Sealed(&'a [u8]),
    Built(Built),
}

#[derive(Debug, Arbitrary)]
struct Built {
    hashes: [[u8; 32]; 3],
    numbers: [u64; 5],
    in_flight: Vec<u32>,
    /// In pages.
    memory: u16,
    /// The page count that the snapshot announces is off by this.
    off: i8,
    /// Of the pages.
    indices: Vec<u16>,
    left_over: bool,
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Bytes(bytes) => drop(check(bytes)),
    Input::Sealed(content) => drop(check(&seal(content))),
    Input::Built(built) => {
        let (accepted, expected) = (check(&seal(&built.content())), built.is_sound());
        assert_eq!(accepted.is_ok(), expected, "{accepted:?}");
    }
});

fn seal(content: &[u8]) -> Vec<u8> {
    let mut bytes = [b"BLYSNAPS", &1_u16.to_le_bytes()[..], content].concat();
    let checksum = Hash::of(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes
}

impl Built {
    fn content(&self) -> Vec<u8> {
        let mut bytes = self.hashes.concat();
        self.numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend((self.in_flight.len() as u32).to_le_bytes());
        self.in_flight.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
        bytes.extend(self.memory_bytes().to_le_bytes());
        let body = zstd::bulk::compress(&self.pages(), 1).expect("compression into a vector");
        bytes.extend(self.announced().to_le_bytes());
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
        bytes.extend(self.left_over.then_some(0));
        bytes
    }

    fn pages(&self) -> Vec<u8> {
        let page = |index: &u16| [&u32::from(*index).to_le_bytes()[..], &[7; PAGE]].concat();
        self.indices.iter().flat_map(page).collect()
    }

    fn memory_bytes(&self) -> u64 {
        u64::from(self.memory) * PAGE as u64
    }

    fn announced(&self) -> u32 {
        (self.indices.len() as u32).saturating_add_signed(i32::from(self.off))
    }

    fn is_sound(&self) -> bool {
        let pages = (self.memory_bytes().min(MEMORY_MAX) / PAGE as u64) as usize;
        let in_order = self.indices.is_sorted_by(|a, b| a < b);
        let inside = self.indices.iter().all(|index| usize::from(*index) < pages);
        let counted = self.announced() as usize == self.indices.len();
        in_order && inside && counted && !self.left_over
    }
}
