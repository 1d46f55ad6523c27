//! Base64 as the WHATWG `atob` and `btoa` define it (infra.spec.whatwg.org, "forgiving-base64").

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::PureError;

/// Padding is taken off before, and stray bits at the end are ignored, as the standard says.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

pub(super) fn encode(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(super) fn decode(text: &str) -> Result<Vec<u8>, PureError> {
    let refused = || PureError::dom("InvalidCharacterError", "The string is not valid base64");
    let mut digits: Vec<u8> = text.bytes().filter(|b| !is_space(*b)).collect();
    if digits.len().is_multiple_of(4) {
        let padding = digits.iter().rev().take(2).take_while(|b| **b == b'=').count();
        digits.truncate(digits.len() - padding);
    }
    FORGIVING.decode(digits).map_err(|_| refused())
}

/// Each character of `text` is one byte.
pub(super) fn btoa(text: &str) -> Result<String, PureError> {
    let refused = |_| {
        PureError::dom(
            "InvalidCharacterError",
            "The string contains a character above U+00FF, which btoa cannot encode",
        )
    };
    let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
    Ok(encode(&bytes.map_err(refused)?))
}

/// Each byte becomes one character.
pub(super) fn atob(text: &str) -> Result<String, PureError> {
    Ok(decode(text)?.into_iter().map(char::from).collect())
}

/// ASCII whitespace as the standard lists it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgiving_decoding_follows_the_standard() {
        for (input, expected) in [
            ("", Some("")),
            ("abcd", Some("i\u{b7}\u{1d}")),
            (" a b c d ", Some("i\u{b7}\u{1d}")),
            ("ab", Some("i")),
            ("ab==", Some("i")),
            ("abc=", Some("i\u{b7}")),
            ("ab=", None),
            ("a", None),
            ("====", None),
            ("abcd====", None),
            ("ab\u{b}cd", None),
            ("ab-_", None),
            ("YR", Some("a")),
        ] {
            assert_eq!(atob(input).ok().as_deref(), expected, "{input:?}");
        }
    }

    #[test]
    fn btoa_refuses_wide_characters() {
        assert_eq!(btoa("\u{ff}\0a").as_deref(), Ok("/wBh"));
        assert!(btoa("\u{100}").is_err());
    }
}
