//! A paused invocation as bytes: what changed against its function image, and what the host keeps beside.
//!
//! The format is documented in `docs/formats/snapshot.md`. The decoder takes bytes from anywhere: it bounds
//! what it allocates by the limits given, and everything is checked before an instance is made.

use std::{collections::BTreeSet, time::Duration};

use belay_model::{CallId, Hash, Limits};

use crate::{
    FunctionImage, Instance, SnapshotError,
    guest::Guest,
    memory::{PAGE, WASM_PAGE},
    pages::{PackedPages, Reader},
    state::{Carried, State},
};

const MAGIC: &[u8; 8] = b"BLYSNAPS";
const FORMAT: u16 = 1;
const COMPRESSION: i32 = 1;
/// Far more than any limit on calls in flight.
const IDS_MAX: u32 = 1 << 20;

/// Everything of a snapshot but its pages.
struct Header {
    engine: Hash,
    image: Hash,
    carried: Carried,
    in_flight: BTreeSet<CallId>,
    memory_len: u64,
}

pub(crate) fn write(image: &FunctionImage, guest: &Guest, in_flight: &BTreeSet<CallId>) -> Vec<u8> {
    let carried = guest.state().carry();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(image.inner.engine.hash().as_bytes());
    bytes.extend(image.hash().as_bytes());
    bytes.extend(carried.seed);
    bytes.extend(carried.random_position.to_le_bytes());
    bytes.extend(nanoseconds(carried.cpu).to_le_bytes());
    bytes.extend(nanoseconds(carried.elapsed).to_le_bytes());
    bytes.extend(carried.log_bytes.to_le_bytes());
    bytes.extend(u32::try_from(in_flight.len()).unwrap_or(u32::MAX).to_le_bytes());
    in_flight.iter().for_each(|id| bytes.extend(id.0.to_le_bytes()));
    bytes.extend((guest.memory_len() as u64).to_le_bytes());
    changed_pages(image, guest).write(&mut bytes);
    let checksum = Hash::of(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The pages that differ from the function image. A slot on another template, as a fork may have, is compared whole.
fn changed_pages(image: &FunctionImage, guest: &Guest) -> PackedPages {
    let slot = guest.slot();
    let Ok(template) = image.template() else {
        unreachable!("an instance exists, so its image has been materialised")
    };
    let candidates: Vec<usize> = if std::sync::Arc::ptr_eq(slot.template(), &template) {
        slot.written().into_iter().flat_map(|range| range.start / PAGE..range.end / PAGE).collect()
    } else {
        (0..slot.len() / PAGE).collect()
    };
    let changed = candidates.into_iter().filter(|&index| slot.page_differs(index, &template));
    let pages = changed.map(|index| (index, slot.page(index)));
    PackedPages::pack(pages, &template, COMPRESSION)
}

/// Makes the instance that `bytes` describe.
pub(crate) fn restore(
    image: &FunctionImage,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Instance, SnapshotError> {
    let (header, pages) = read(bytes)?;
    let own = (image.inner.engine.hash(), image.hash());
    if header.engine != own.0 {
        return Err(SnapshotError::OtherEngine { found: header.engine, own: own.0 });
    }
    if header.image != own.1 {
        return Err(SnapshotError::OtherImage { found: header.image, own: own.1 });
    }
    let len = memory_len(image, &header, limits)?;
    let template = image.template()?;
    let pages = pages.unpack(len, &template).ok_or_else(|| damaged("its pages cannot be read"))?;
    let state = State::resumed(*limits, &header.carried);
    let mut guest = Guest::new(&image.inner.engine.shared, &template, state)?;
    guest.grow_to(len)?;
    pages.iter().for_each(|(index, page)| guest.write_page(index, page));
    Ok(Instance::waiting(image, guest, header.in_flight))
}

fn memory_len(
    image: &FunctionImage,
    header: &Header,
    limits: &Limits,
) -> Result<usize, SnapshotError> {
    let (needed, limit) = (header.memory_len, limits.memory_bytes);
    if needed > limit {
        return Err(SnapshotError::TooLarge { needed, limit });
    }
    let len = usize::try_from(needed).ok();
    let len = len.filter(|len| len.is_multiple_of(WASM_PAGE) && *len >= image.sizes().0);
    len.ok_or_else(|| damaged("its length is out of range"))
}

fn damaged(reason: &str) -> SnapshotError {
    SnapshotError::Damaged { reason: reason.to_owned() }
}

fn read(bytes: &[u8]) -> Result<(Header, PackedPages), SnapshotError> {
    let (content, checksum) =
        bytes.split_last_chunk::<32>().ok_or_else(|| damaged("it is too short"))?;
    if Hash::of(content).as_bytes() != checksum {
        return Err(damaged("its checksum does not match"));
    }
    let mut reader = Reader::new(content);
    if reader.array() != Some(*MAGIC) {
        return Err(damaged("it does not start as one"));
    }
    let found = reader.array().map(u16::from_le_bytes);
    let found = found.ok_or_else(|| damaged("it ends early"))?;
    if found != FORMAT {
        return Err(SnapshotError::Format { found, known: FORMAT });
    }
    decode(reader).ok_or_else(|| damaged("it ends early or has bytes left over"))
}

fn decode(mut reader: Reader<'_>) -> Option<(Header, PackedPages)> {
    let (engine, image) = (Hash::from_bytes(reader.array()?), Hash::from_bytes(reader.array()?));
    let carried = Carried {
        seed: reader.array()?,
        random_position: u128::from_le_bytes(reader.array()?),
        cpu: Duration::from_nanos(u64::from_le_bytes(reader.array()?)),
        elapsed: Duration::from_nanos(u64::from_le_bytes(reader.array()?)),
        log_bytes: u64::from_le_bytes(reader.array()?),
    };
    let count = u32::from_le_bytes(reader.array()?);
    if count > IDS_MAX {
        return None;
    }
    let id = |reader: &mut Reader<'_>| reader.array().map(u32::from_le_bytes).map(CallId);
    let in_flight = (0..count).map(|_| id(&mut reader)).collect::<Option<BTreeSet<_>>>()?;
    let memory_len = u64::from_le_bytes(reader.array()?);
    let pages = PackedPages::read(&mut reader)?;
    reader.is_empty().then_some((Header { engine, image, carried, in_flight, memory_len }, pages))
}

/// Reads a snapshot's bytes without an image at hand; for fuzzing the decoder.
#[doc(hidden)]
pub fn check(bytes: &[u8]) -> Result<(), SnapshotError> {
    let (header, pages) = read(bytes)?;
    let len = usize::try_from(header.memory_len).unwrap_or(usize::MAX).min(64 << 20);
    pages.differences(len).map(|_| ()).ok_or_else(|| damaged("its pages cannot be read"))
}
