//! The ids of one invocation: a request id (UUID v4) and a W3C trace context
//! (<https://www.w3.org/TR/trace-context/>), read from and written to `traceparent`.
//!
//! Not here: `tracestate` and `baggage`, which Belay neither reads nor changes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Names one invocation; what AWS calls `awsRequestId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub Uuid);

/// Names the trace to which an invocation belongs. Never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// What `traceparent` says: the trace, the caller's or our own span, and whether it is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: TraceId,
    /// Never all zero.
    pub span: [u8; 8],
    /// The flags; bit 0 is *sampled*.
    pub flags: u8,
}

/// Not a `traceparent` of version 00, nor one of a later version that starts like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct TraceError;

const SAMPLED: u8 = 1;

impl RequestId {
    /// From 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl TraceContext {
    /// Our span in the trace of `parent`, or in a new one.
    pub fn continued(parent: Option<&str>, random: [u8; 24]) -> Self {
        let [a @ .., _, _, _, _, _, _, _, _] = random;
        let mut span = [0; 8];
        span.copy_from_slice(&random[16..]);
        // An id of zeros is invalid; one bit makes sure.
        span[7] |= 1;
        match parent.and_then(|text| text.parse::<Self>().ok()) {
            Some(parent) => Self { span, ..parent },
            None => {
                let mut trace: [u8; 16] = a;
                trace[15] |= 1;
                Self { trace: TraceId(trace), span, flags: SAMPLED }
            }
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = u64::from_be_bytes(self.span);
        write!(f, "00-{}-{span:016x}-{:02x}", self.trace, self.flags)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for TraceContext {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        let mut parts = text.trim().split('-');
        let mut next = || parts.next().ok_or(TraceError);
        let [version] = hex::<1>(next()?)?;
        let trace = hex::<16>(next()?)?;
        let span = hex::<8>(next()?)?;
        let [flags] = hex::<1>(next()?)?;
        let too_long = version == 0 && parts.next().is_some();
        if version == 0xff || too_long || trace == [0; 16] || span == [0; 8] {
            return Err(TraceError);
        }
        // Of a later version only the bit that version 00 knows may be passed on.
        let flags = if version == 0 { flags } else { flags & SAMPLED };
        Ok(Self { trace: TraceId(trace), span, flags })
    }
}

/// Exactly `N` bytes of lower-case hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Result<[u8; N], TraceError> {
    let digits = text.as_bytes();
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return Err(TraceError);
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

fn digit(c: u8) -> Result<u8, TraceError> {
    match c {
        b'0'..=b'9' => Ok(c - b'0'),
        b'a'..=b'f' => Ok(c - b'a' + 10),
        _ => Err(TraceError),
    }
}

impl FromStr for TraceId {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        hex(text).map(Self)
    }
}

impl FromStr for RequestId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(RequestId);
as_text!(TraceId);
as_text!(TraceContext);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_parent_keeps_its_trace() {
        let ours = TraceContext::continued(Some(VALID), [7; 24]);
        assert_eq!(ours.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(ours.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-01");
    }

    #[test]
    fn invalid_parents_start_a_new_trace() {
        let zero_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let zero_span = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        let upper = "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01";
        let long = format!("{VALID}-extra");
        let version = VALID.replacen("00", "ff", 1);
        for text in ["", "00", zero_trace, zero_span, upper, &long, &version] {
            assert_eq!(text.parse::<TraceContext>(), Err(TraceError), "{text}");
            let ours = TraceContext::continued(Some(text), [0; 24]);
            assert_eq!(ours.to_string(), "00-00000000000000000000000000000001-0000000000000001-01");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("{}-what-else", VALID.replacen("00", "cc", 1));
        assert_eq!(later.parse::<TraceContext>().unwrap().to_string(), VALID);
    }

    proptest! {
        #[test]
        fn round_trips(random in any::<[u8; 24]>(), flags in any::<u8>()) {
            let context = TraceContext { flags, ..TraceContext::continued(None, random) };
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,80}|[0-9a-f]{2}-[0-9a-f]{31,33}-[0-9a-f]{16}-[0-9a-f]{2}") {
            let _ = text.parse::<TraceContext>();
        }

        #[test]
        fn request_ids_are_version_4(random in any::<[u8; 16]>()) {
            let id = RequestId::from_random(random);
            prop_assert_eq!(id.0.get_version_num(), 4);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }
}
