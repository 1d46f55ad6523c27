//! A set of memory pages as bytes: the common part of function images and snapshots.
//!
//! Layout (little-endian): page count u32, length of the compressed body u32, body. The body, compressed with
//! zstd, is for each page its index u32 and its 4,096 bytes, in ascending order of the index. The bytes are
//! exclusive-ored with the page of the memory below (zero where it has none): most of a changed page is as it was
//! there, and compresses to nothing.

use std::collections::BTreeMap;

use crate::memory::{PAGE, Template};

const RECORD: usize = 4 + PAGE;

/// Pages, compressed.
pub(crate) struct PackedPages {
    count: u32,
    body: Vec<u8>,
}

/// Pages by index, unpacked.
pub(crate) struct Pages {
    bytes: Vec<u8>,
    offsets: BTreeMap<usize, usize>,
}

impl PackedPages {
    pub(crate) fn pack<'a>(
        pages: impl Iterator<Item = (usize, &'a [u8])>,
        below: &Template,
        level: i32,
    ) -> Self {
        let mut raw = Vec::new();
        for (index, bytes) in pages {
            raw.extend(u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes());
            let start = raw.len();
            raw.extend(bytes);
            exclusive_or(&mut raw[start..], below.page(index));
        }
        let count = u32::try_from(raw.len() / RECORD).unwrap_or(u32::MAX);
        // Compressing into a vector only fails on a level that zstd does not have.
        let mut body = zstd::bulk::compress(&raw, level).unwrap_or_default();
        // The vector was made for the worst case, and an image is kept for as long as it is deployed.
        body.shrink_to_fit();
        Self { count, body }
    }

    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        into.extend(self.count.to_le_bytes());
        into.extend(u32::try_from(self.body.len()).unwrap_or(u32::MAX).to_le_bytes());
        into.extend(&self.body);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let count = u32::from_le_bytes(reader.array()?);
        let len = u32::from_le_bytes(reader.array()?);
        Some(Self { count, body: reader.take(len as usize)?.to_vec() })
    }

    /// The pages, if they are as announced, ascending, and inside of a memory of `len` bytes.
    pub(crate) fn unpack(&self, len: usize, below: &Template) -> Option<Pages> {
        let mut pages = self.differences(len)?;
        for (&index, &at) in &pages.offsets {
            exclusive_or(&mut pages.bytes[at..at + PAGE], below.page(index));
        }
        Some(pages)
    }

    /// What there is without the memory below: where the pages differ from it.
    pub(crate) fn differences(&self, len: usize) -> Option<Pages> {
        let pages = self.count as usize;
        if pages > len / PAGE {
            return None;
        }
        let bytes = zstd::bulk::decompress(&self.body, pages * RECORD).ok()?;
        if bytes.len() != pages * RECORD {
            return None;
        }
        let index = |at: usize| {
            let index = bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)? as usize;
            (index < len / PAGE).then_some((index, at + 4))
        };
        let found = (0..pages).map(|i| index(i * RECORD)).collect::<Option<Vec<_>>>()?;
        if !found.is_sorted_by(|a, b| a.0 < b.0) {
            return None;
        }
        Some(Pages { bytes, offsets: found.into_iter().collect() })
    }
}

fn exclusive_or(page: &mut [u8], below: Option<&[u8]>) {
    page.iter_mut().zip(below.unwrap_or_default()).for_each(|(byte, below)| *byte ^= below);
}

impl Pages {
    pub(crate) fn get(&self, index: &usize) -> Option<&[u8]> {
        self.offsets.get(index).map(|&at| &self.bytes[at..at + PAGE])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.offsets.iter().map(|(&index, &at)| (index, &self.bytes[at..at + PAGE]))
    }
}

/// Reads fields off the front of a byte string.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
