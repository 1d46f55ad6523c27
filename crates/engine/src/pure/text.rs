//! Legacy text encodings, over `encoding_rs`.
//!
//! The guest keeps the state of a stream: a call decodes a piece and says how many bytes at its end belong to a
//! character that is not complete; the guest puts them in front of the next piece. That is enough for every
//! encoding of the standard except ISO-2022-JP, whose escape sequences act on all that follows; of it the guest
//! collects the whole stream first.

use encoding_rs::{DecoderResult, Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

use super::PureError;

/// No encoding of the standard keeps more bytes than this waiting for the rest of a character.
const TAIL_BYTES_MAX: usize = 3;

pub(super) fn label(text: &str) -> Result<String, PureError> {
    match Encoding::for_label(text.as_bytes()) {
        Some(encoding) if encoding != REPLACEMENT => Ok(encoding.name().to_ascii_lowercase()),
        _ => Err(PureError::range_error(format!("`{text}` is not the label of an encoding"))),
    }
}

/// `text` is `<encoding> fatal|replace last|more`. The first character of the answer says how many trailing bytes
/// were not decoded yet. A byte order mark is kept.
pub(super) fn decode(text: &str, bytes: &[u8]) -> Result<String, PureError> {
    let mut words = text.split(' ');
    let (name, mode, last) = (words.next(), words.next(), words.next());
    let encoding = Encoding::for_label(name.unwrap_or("utf-8").as_bytes()).unwrap_or(UTF_8);
    let fatal = mode == Some("fatal");
    let tail = if last == Some("more") { incomplete_tail(encoding, bytes) } else { 0 };
    let digit = ["0", "1", "2", "3"].get(tail).copied().unwrap_or("0");
    let mut out = String::from(digit);
    decode_into(encoding, &bytes[..bytes.len().saturating_sub(tail)], fatal, &mut out)?;
    Ok(out)
}

fn decode_into(
    encoding: &'static Encoding,
    bytes: &[u8],
    fatal: bool,
    out: &mut String,
) -> Result<(), PureError> {
    if fatal {
        let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
        let malformed =
            || PureError::type_error(format!("The data is not valid {}", encoding.name()));
        out.push_str(&text.ok_or_else(malformed)?);
    } else {
        out.push_str(&encoding.decode_without_bom_handling(bytes).0);
    }
    Ok(())
}

/// How many trailing bytes belong to a character that is not complete.
fn incomplete_tail(encoding: &'static Encoding, bytes: &[u8]) -> usize {
    if encoding == UTF_8 {
        incomplete_utf8(bytes)
    } else if encoding == UTF_16LE {
        incomplete_utf16(bytes, u16::from_le_bytes)
    } else if encoding == UTF_16BE {
        incomplete_utf16(bytes, u16::from_be_bytes)
    } else {
        incomplete_legacy(encoding, bytes)
    }
}

fn incomplete_utf8(bytes: &[u8]) -> usize {
    let begins_a_character = |tail: &usize| {
        let error = std::str::from_utf8(&bytes[bytes.len() - tail..]).err();
        error.is_some_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
    };
    (1..=TAIL_BYTES_MAX.min(bytes.len())).find(begins_a_character).unwrap_or(0)
}

/// Half a unit, and a unit that waits for the other one of its pair.
fn incomplete_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> usize {
    let (units, half) = bytes.as_chunks::<2>();
    let waits = units.last().is_some_and(|last| (0xd800..0xdc00).contains(&unit(*last)));
    half.len() + if waits { 2 } else { 0 }
}

/// In the double-byte encodings a character begins only where the decoder waits for nothing, so the tail is the
/// fewest bytes whose removal leads back to such a place.
fn incomplete_legacy(encoding: &'static Encoding, bytes: &[u8]) -> usize {
    let most = TAIL_BYTES_MAX.min(bytes.len());
    (0..=most).find(|tail| is_complete(encoding, &bytes[..bytes.len() - tail])).unwrap_or(0)
}

/// Whether a decoder that has read `bytes` waits for nothing more: ending there adds no error.
fn is_complete(encoding: &'static Encoding, bytes: &[u8]) -> bool {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut sink = [0u16; 256];
    let mut rest = bytes;
    loop {
        let (result, read, _) = decoder.decode_to_utf16_without_replacement(rest, &mut sink, false);
        rest = &rest[read..];
        if result == DecoderResult::InputEmpty {
            break;
        }
    }
    let (end, _, _) = decoder.decode_to_utf16_without_replacement(&[], &mut sink, true);
    end == DecoderResult::InputEmpty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_names() {
        assert_eq!(label(" UTF8 ").as_deref(), Ok("utf-8"));
        assert_eq!(label("latin1").as_deref(), Ok("windows-1252"));
        assert_eq!(label("ucs-2").as_deref(), Ok("utf-16le"));
        assert!(label("utf-7").is_err());
        assert!(label("iso-2022-kr").is_err());
    }

    #[test]
    fn decoding_replaces_or_refuses() {
        assert_eq!(decode("shift_jis replace last", b"\x82\xa0").as_deref(), Ok("0あ"));
        assert_eq!(decode("utf-8 replace last", b"a\xff").as_deref(), Ok("0a\u{fffd}"));
        assert!(decode("utf-8 fatal last", b"a\xff").is_err());
        assert_eq!(decode("utf-16le replace last", b"\xff\xfea\0").as_deref(), Ok("0\u{feff}a"));
    }

    #[test]
    fn an_incomplete_character_is_left_over() {
        assert_eq!(
            decode("utf-8 fatal more", "a€".as_bytes().get(..3).unwrap()).as_deref(),
            Ok("2a")
        );
        assert_eq!(decode("utf-16le replace more", b"a\0\x3d\xd8\0").as_deref(), Ok("3a"));
        // The first half of a pair is malformed, the second one waits for its other half.
        let (lone, text) = (b"\xd8\x00\xd8\x00\0", "3\u{fffd}");
        assert_eq!(decode("utf-16be replace more", lone).as_deref(), Ok(text));
        assert_eq!(decode("utf-8 replace more", b"\xe2\x82\xe2").as_deref(), Ok("1\u{fffd}"));
        assert_eq!(decode("gb18030 replace more", b"a\x81\x30\x81").as_deref(), Ok("3a"));
    }
}
