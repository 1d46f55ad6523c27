//! Variable-length numbers in text: base64 digits, 5 bits each, as source maps write them
//! (<https://tc39.es/ecma426/>), for lists of numbers that differ little from their predecessors.
//!
//! A decoder for untrusted text: whatever does not decode is an error, and nothing overflows.

use super::MapError;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const CONTINUES: u64 = 32;
const DAMAGED: MapError = MapError::Damaged { what: "not a list of variable-length numbers" };

/// Appends the difference of two numbers.
pub(super) fn push(out: &mut String, now: u32, before: u32) {
    let difference = i64::from(now) - i64::from(before);
    let mut rest = (difference.unsigned_abs() << 1) | u64::from(difference < 0);
    loop {
        let more = if rest > 31 { CONTINUES } else { 0 };
        out.push(letter((rest & 31) | more));
        rest >>= 5;
        if more == 0 {
            return;
        }
    }
}

fn letter(digit: u64) -> char {
    let index = usize::try_from(digit).unwrap_or_default();
    DIGITS.get(index).copied().map_or('A', char::from)
}

/// Reads groups of `N` numbers, each a difference to the same number of the group before, and gives
/// the sums.
pub(super) fn groups<const N: usize>(text: &str) -> Result<Vec<[u32; N]>, MapError> {
    let mut bytes = text.bytes();
    let mut sums = [0_u32; N];
    let mut out = Vec::new();
    while let Some(first) = bytes.next() {
        let mut start = Some(first);
        for sum in &mut sums {
            let first = start.take().or_else(|| bytes.next()).ok_or(DAMAGED)?;
            let next = i64::from(*sum).checked_add(read(first, &mut bytes)?).ok_or(DAMAGED)?;
            *sum = u32::try_from(next).map_err(|_| DAMAGED)?;
        }
        out.push(sums);
    }
    Ok(out)
}

fn read(first: u8, bytes: &mut impl Iterator<Item = u8>) -> Result<i64, MapError> {
    let (mut value, mut shift, mut byte) = (0_u64, 0_u32, first);
    loop {
        let digit = digit(byte)?;
        value |= (digit & 31) << shift;
        if digit & CONTINUES == 0 {
            break;
        }
        shift += 5;
        byte = bytes.next().filter(|_| shift <= 35).ok_or(DAMAGED)?;
    }
    let magnitude = i64::try_from(value >> 1).map_err(|_| DAMAGED)?;
    Ok(if value & 1 == 1 { -magnitude } else { magnitude })
}

fn digit(byte: u8) -> Result<u64, MapError> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return Err(DAMAGED),
    };
    Ok(u64::from(value))
}
