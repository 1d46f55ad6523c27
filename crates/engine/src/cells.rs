//! The cells of woven code: which arm holds for each part, which parts were reached, and how long they took.
//!
//! They lie in the shim's control block (`docs/formats/guest-abi.md`). The host writes the arms before a request
//! starts and reads the rest when it has ended; neither calls into the guest, so that it works after any failure.
//! The guest is not trusted: whatever it leaves in its cells, what is read here is well-formed.

use belay_model::{Arm, PARTS_MAX};

use crate::{
    EngineError,
    guest::{Guest, Stopped},
};

/// A part whose guard ran.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached {
    pub part: u8,
    pub arm: Arm,
    /// Milliseconds spent inside, waiting included. Finite and not negative.
    pub time_ms: f64,
}

/// Offset in the control block: two buffers come first.
const CELLS: u32 = 24;
/// Arms and what was reached, a byte each; times, an `f64` each.
const LEN: u32 = 256 + 256 + 256 * 8;
const _: () = assert!(LEN as usize == PARTS_MAX * 10);

/// Whether there are cells for so many arms.
pub(crate) fn check(arms: &[Arm]) -> Result<(), EngineError> {
    let given = arms.len();
    if given > PARTS_MAX { Err(EngineError::TooManyArms { given }) } else { Ok(()) }
}

/// Parts beyond those of `arms` keep what they have: before, in a fresh instance.
pub(crate) fn write_arms(guest: &mut Guest, arms: &[Arm]) -> Result<(), Stopped> {
    let cells = guest.control_mut(CELLS, LEN)?;
    for (cell, arm) in cells[..PARTS_MAX].iter_mut().zip(arms) {
        *cell = match arm {
            Arm::Before => 0,
            Arm::After => 1,
        };
    }
    Ok(())
}

/// The parts whose guards ran, ascending.
pub(crate) fn reached(guest: &Guest) -> Vec<Reached> {
    let Ok(cells) = guest.control(CELLS, LEN) else { return Vec::new() };
    let (reached, times) = cells[PARTS_MAX..].split_at(PARTS_MAX);
    let parts = (0..=u8::MAX).zip(reached).filter_map(|(part, cell)| Some((part, arm(*cell)?)));
    parts.map(|(part, arm)| Reached { part, arm, time_ms: time_ms(times, part) }).collect()
}

/// What two invocations have reached, by part.
pub(crate) fn both(mut one: Vec<Reached>, other: &[Reached]) -> Vec<Reached> {
    for more in other {
        match one.iter_mut().find(|reached| reached.part == more.part) {
            Some(known) => known.time_ms += more.time_ms,
            None => one.push(*more),
        }
    }
    one.sort_unstable_by_key(|reached| reached.part);
    one
}

fn arm(cell: u8) -> Option<Arm> {
    match cell {
        0 => Some(Arm::Before),
        1 => Some(Arm::After),
        _ => None,
    }
}

fn time_ms(times: &[u8], part: u8) -> f64 {
    let cell = times.chunks_exact(8).nth(usize::from(part)).and_then(|cell| cell.try_into().ok());
    let time = cell.map_or(0.0, f64::from_le_bytes);
    if time.is_finite() { time.max(0.0) } else { 0.0 }
}
