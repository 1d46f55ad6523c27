//! Pure host functions: what a well-kept crate does better than JavaScript of our own.
//!
//! The prelude reaches them synchronously, as `native.pure(op, text, bytes)`. They exist for correctness (the URL
//! standard, legacy text encodings) and for speed (digests, base64). Each is a function of its arguments alone, so
//! that a replay needs no record of it and a call at deploy time is allowed.
//!
//! Invariants: no I/O, no clock, no randomness, no state between calls; the size of the input is bounded; no input
//! panics. Not done here: anything that must be awaited (`belay-host`), and UTF-8, which the guest does by itself.
//!
//! | op | text | bytes | result |
//! |---|---|---|---|
//! | `url.parse` | base (or nothing), newline, input | | the eleven components, one a line |
//! | `url.set` | href, newline, component, newline, value | | the eleven components, one a line |
//! | `text.label` | an encoding's label | | the encoding's name, in lower case |
//! | `text.decode` | encoding, space, `fatal` or `replace`, space, `last` or `more` | input | how many trailing bytes were left over (one digit), then the text |
//! | `base64.encode` | | input | base64 |
//! | `base64.decode` | base64, forgiving | | bytes |
//! | `base64.btoa`, `base64.atob` | as the global functions | | as the global functions |
//! | `digest` | `SHA-1`, `SHA-256`, `SHA-384` or `SHA-512` | input | bytes |

mod base64;
mod digest;
mod text;
mod url;

/// Most text that an operation accepts. Bytes.
const TEXT_BYTES_MAX: usize = 64 << 20;
/// Most bytes that an operation accepts.
const BYTES_MAX: usize = 64 << 20;

/// Longest URL: the limits of the function are not looked at while a pure function runs, and a URL takes more time
/// for its length than the others.
const URL_BYTES_MAX: usize = 4 << 20;

/// What a pure function answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PureValue {
    Text(String),
    Bytes(Vec<u8>),
}

/// Which error the guest throws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PureErrorKind {
    TypeError,
    RangeError,
    /// A `DOMException` of this name.
    Dom(&'static str),
}

/// Why a pure function refused its input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct PureError {
    pub(crate) kind: PureErrorKind,
    pub(crate) message: String,
}

impl PureError {
    fn type_error(message: impl Into<String>) -> Self {
        Self { kind: PureErrorKind::TypeError, message: message.into() }
    }

    fn range_error(message: impl Into<String>) -> Self {
        Self { kind: PureErrorKind::RangeError, message: message.into() }
    }

    fn dom(name: &'static str, message: impl Into<String>) -> Self {
        Self { kind: PureErrorKind::Dom(name), message: message.into() }
    }
}

/// Runs one operation of the table above.
pub(crate) fn call(op: &str, text: &str, bytes: &[u8]) -> Result<PureValue, PureError> {
    if text.len() > TEXT_BYTES_MAX || bytes.len() > BYTES_MAX {
        return Err(PureError::range_error(format!("{op}: the input is larger than 64 MiB")));
    }
    if op.starts_with("url.") && text.len() > URL_BYTES_MAX {
        return Err(PureError::type_error("the URL is longer than 4 MiB"));
    }
    match op {
        "url.parse" => url::parse(text).map(PureValue::Text),
        "url.set" => url::set(text).map(PureValue::Text),
        "text.label" => text::label(text).map(PureValue::Text),
        "text.decode" => text::decode(text, bytes).map(PureValue::Text),
        "base64.encode" => Ok(PureValue::Text(base64::encode(bytes))),
        "base64.decode" => base64::decode(text).map(PureValue::Bytes),
        "base64.btoa" => base64::btoa(text).map(PureValue::Text),
        "base64.atob" => base64::atob(text).map(PureValue::Text),
        "digest" => digest::digest(text, bytes).map(PureValue::Bytes),
        _ => Err(PureError::type_error(format!("there is no host function `{op}`"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(op: &str, text: &str, bytes: &[u8]) -> String {
        match call(op, text, bytes) {
            Ok(PureValue::Text(text)) => text,
            other => panic!("{op}: {other:?}"),
        }
    }

    #[test]
    fn an_unknown_operation_is_refused() {
        assert_eq!(call("nope", "", &[]).unwrap_err().kind, PureErrorKind::TypeError);
    }

    #[test]
    fn oversized_input_is_refused() {
        let bytes = vec![0; BYTES_MAX + 1];
        assert_eq!(call("digest", "SHA-1", &bytes).unwrap_err().kind, PureErrorKind::RangeError);
    }

    const OPS: [&str; 9] = [
        "url.parse",
        "url.set",
        "text.label",
        "text.decode",
        "base64.encode",
        "base64.decode",
        "base64.btoa",
        "base64.atob",
        "digest",
    ];
    /// All that have characters of several bytes, except ISO-2022-JP, whose escapes act on all that follows.
    const ENCODINGS: [&str; 8] =
        ["utf-8", "utf-16le", "utf-16be", "gb18030", "big5", "euc-jp", "shift_jis", "euc-kr"];
    const FIELDS: [&str; 9] = [
        "protocol", "username", "password", "host", "hostname", "port", "pathname", "search",
        "hash",
    ];

    proptest! {
        #[test]
        fn no_input_panics(op in 0..OPS.len(), input in ".{0,64}", bytes in any::<Vec<u8>>()) {
            let _ = call(OPS[op], &input, &bytes);
        }

        #[test]
        fn no_url_panics(base in "(https?|file|x)://[a-z./:@\\[\\]%]{0,12}", input in ".{0,32}", field in 0..FIELDS.len()) {
            if let Ok(PureValue::Text(parts)) = call("url.parse", &format!("{base}\n{input}"), &[]) {
                prop_assert_eq!(parts.lines().next().is_some(), true);
                let href = parts.split('\n').next().unwrap_or_default();
                prop_assert_eq!(&text("url.parse", &format!("\n{href}"), &[]), &parts);
                let changed = text("url.set", &format!("{href}\n{}\n{input}", FIELDS[field]), &[]);
                prop_assert_eq!(changed.split('\n').count(), 11);
            }
        }

        #[test]
        fn decoding_in_pieces_is_decoding(
            encoding in 0..ENCODINGS.len(),
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x81u8), Just(0xd8u8), Just(0x1bu8)], 0..24),
            cut in 0..24usize,
        ) {
            let name = ENCODINGS[encoding];
            let whole = text("text.decode", &format!("{name} replace last"), &bytes);
            let cut = cut.min(bytes.len());
            let first = text("text.decode", &format!("{name} replace more"), &bytes[..cut]);
            let left = usize::from(first.as_bytes()[0] - b'0');
            let rest = text("text.decode", &format!("{name} replace last"), &bytes[cut - left..]);
            prop_assert_eq!(&whole[1..], &format!("{}{}", &first[1..], &rest[1..]));
        }

        #[test]
        fn base64_comes_back(bytes in any::<Vec<u8>>()) {
            let encoded = text("base64.encode", "", &bytes);
            prop_assert_eq!(call("base64.decode", &encoded, &[]), Ok(PureValue::Bytes(bytes)));
        }

        #[test]
        fn btoa_comes_back(input in "[\\x00-\\xff]{0,40}") {
            let encoded = text("base64.btoa", &input, &[]);
            prop_assert_eq!(text("base64.atob", &encoded, &[]), input);
        }
    }
}
