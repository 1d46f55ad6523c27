//! The tape and its bytes. The format is documented in `docs/formats/tapes.md`.
//!
//! Invariants: a reader refuses what a newer Belay wrote; whatever bytes come, decoding ends in a tape or an error,
//! and whatever a tape says, replaying it does not panic.

use std::collections::BTreeSet;

use belay_model::{Arm, EffectError, Failure, Hash, Limits};
use serde::{Deserialize, Serialize};

use super::{Json, Redaction};

const FORMAT: u32 = 1;

/// The format that this Belay writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Format(u32);

impl Default for Format {
    fn default() -> Self {
        Self(FORMAT)
    }
}

/// A recorded invocation. Times are microseconds since its start, unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tape {
    pub format: Format,
    /// As the caller of the recorder names it.
    pub function: String,
    pub event: Json,
    /// As it was given to the instance.
    pub context: Json,
    #[serde(with = "hex")]
    pub seed: [u8; 32],
    /// Microseconds since the epoch.
    pub start_us: u64,
    pub limits: Limits,
    /// When the first step began.
    pub began_us: u64,
    /// When the last step began.
    pub ended_us: u64,
    /// When the driver would have ended it.
    pub deadline_us: u64,
    /// In the order of the calls.
    pub effects: Vec<Effect>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<StepReadings>,
    pub end: End,
    pub usage: TapeUsage,
    /// Parts of a woven program that it came by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reached: Vec<(u8, Arm)>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gaps: BTreeSet<Gap>,
    /// A replay of the program that it was recorded of was the same, so that the gaps do not matter to it.
    #[serde(default)]
    pub proven: bool,
    /// What that replay gave is not what the function promises (`@success`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub violated: bool,
    pub redaction: Redaction,
}

/// A call with its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    pub op: String,
    /// Canonical: keys are sorted.
    pub args: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// When the step that made the call began.
    pub called_us: u64,
    /// `None` when it was cancelled, or still in flight at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
    /// When the step that cancelled it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_us: Option<u64>,
}

/// When and how a call was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// When the step that saw the answer began.
    pub at_us: u64,
    /// Numbers all answers in the order in which the function was given them.
    pub order: u32,
    pub with: Answer,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Ok {
        value: Json,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Body>,
    },
    Error(EffectError),
    /// Too large to be kept.
    Cut {
        bytes: u64,
    },
}

/// Bytes beside JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    #[serde(with = "base64_text")]
    Base64(Vec<u8>),
    /// Too many to be kept: enough to tell whether others are the same.
    Hashed { bytes: u64, blake3: Hash },
}

/// What guest code read from its clocks in one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReadings {
    /// When the step began.
    pub at_us: u64,
    /// The wall clock, since `start_us`. It may go back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wall_us: Vec<i64>,
    /// The monotonic clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monotonic_us: Vec<u64>,
}

/// How the invocation ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Result(Json),
    Failure(Failure),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapeUsage {
    pub cpu_us: u64,
    /// Pages written plus growth.
    pub written_bytes: u64,
}

/// Something that the function saw and the tape does not hold, so that a replay may go another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// A field or a header of what came in.
    Redacted,
    /// The value of a secret.
    Secret,
    /// The clocks were read more often than is kept.
    Clock,
    /// An answer that was too large.
    Cut,
    /// Nothing but the moment: a time limit stopped it in the middle of a step, on a machine that was as busy as it
    /// was.
    Stopped,
}

#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    #[error("this is not a tape, or it is damaged: {0}")]
    Damaged(#[source] serde_json::Error),
    #[error("the tape has format {found}; this Belay reads formats up to {FORMAT}")]
    Newer { found: u32 },
    #[error("line {line}: {source}")]
    Line { line: usize, source: Box<TapeError> },
}

impl Tape {
    /// How long the call went on, as far as the tape knows.
    pub(super) fn until_us(&self, effect: &Effect) -> u64 {
        let answered = effect.answered.as_ref().map(|answered| answered.at_us);
        answered.or(effect.cancelled_us).unwrap_or(self.ended_us)
    }
}

/// A tape as one line of JSON.
pub fn encode(tape: &Tape) -> Vec<u8> {
    // Fails only for maps with odd keys, and a tape has none.
    serde_json::to_vec(tape).unwrap_or_default()
}

pub fn decode(bytes: &[u8]) -> Result<Tape, TapeError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let Head { format: found } = serde_json::from_slice(bytes).map_err(TapeError::Damaged)?;
    if found > FORMAT {
        return Err(TapeError::Newer { found });
    }
    serde_json::from_slice(bytes).map_err(TapeError::Damaged)
}

/// Tapes, each a line with a line feed.
pub fn encode_batch<'t>(tapes: impl IntoIterator<Item = &'t Tape>) -> Vec<u8> {
    tapes.into_iter().flat_map(|tape| [encode(tape), b"\n".to_vec()].concat()).collect()
}

pub fn decode_batch(bytes: &[u8]) -> Result<Vec<Tape>, TapeError> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, l)| !l.is_empty());
    let tapes = lines.map(|(index, line)| {
        decode(line).map_err(|source| TapeError::Line { line: index + 1, source: Box::new(source) })
    });
    tapes.collect()
}

mod hex {
    use belay_model::Hash;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(seed: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        Hash::from_bytes(*seed).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        Hash::deserialize(from).map(|hash| *hash.as_bytes())
    }
}

mod base64_text {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}
