//! Tapes: recorded invocations, on which other code is tried before it gets any traffic.
//!
//! - [`record`] notes what a driven instance does, [`redact`] and [`scan`] take out what must not be kept;
//! - [`format`] is the tape and its bytes (`docs/formats/tapes.md`); [`json`] is JSON that stays as it was written;
//! - [`keep`] keeps a bounded choice of them in memory;
//! - [`replay`] runs a candidate on a tape: [`player`] answers its calls from [`recorded`] and from [`overlay`], what
//!   the candidate itself has written; [`compare`], [`diff`] and [`verdict`] say what came of it, and [`success`]
//!   whether the function keeps what it promises.
//!
//! Invariants: a replay performs nothing and waits for nothing: time is virtual, and a call is answered from the
//! tape or not at all. The same code on its own tape gives the same, always; the exceptions are written on the
//! tape ([`Gap`]), and then nothing is held against anyone until [`prove`] has shown that they do not matter.

mod compare;
mod diff;
mod format;
mod json;
mod keep;
mod overlay;
mod player;
mod record;
mod recorded;
mod redact;
mod replay;
mod scan;
mod success;
mod verdict;

pub use diff::{Difference, Field};
pub use format::{
    Answer, Answered, Body, Effect, End, Format, Gap, StepReadings, Tape, TapeError, TapeUsage,
    decode, decode_batch, encode, encode_batch,
};
pub use json::Json;
pub use keep::{KeepOptions, Sampler, Shape, Shelf};
pub use record::{Invoked, Mark, NotKept, Recorder, RecorderOptions};
pub(crate) use recorded::subject;
pub use redact::Redaction;
pub use replay::{Candidate, Replayed, prove, replay};
pub use success::{Criteria, Criterion};
pub use verdict::{Divergence, Reason, Tolerance, Verdict, category_of};
