//! Whether a candidate did worse on a tape than what was recorded.
//!
//! Worse is: it fails and the recording did not, or fails in another category; or its result is not what the function
//! promises, and was; or it uses more than is tolerated.
//! That it answers or writes something else is told, and judged only where nothing of that is tolerated.
//!
//! Invariant: what a gap of the tape may have brought about is held against nobody.

use std::{collections::BTreeSet, time::Duration};

use belay_engine::Usage;
use belay_model::{Category, Failure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Difference, End, Gap, Json, Tape,
    diff::{fields, shortened},
    scan::MARK,
    success::Violation,
};

/// What came of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", content = "why", rename_all = "snake_case")]
pub enum Verdict {
    Same,
    /// It ends well, with other results or writes: see the differences.
    Changed,
    Worse(Vec<Reason>),
    /// The tape does not say what would have happened: neither pass nor failure.
    Diverged(Divergence),
}

/// What a candidate did worse.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    Failed {
        /// Of the recording; `None` where it did not fail.
        was: Option<Category>,
        now: Category,
        error_type: String,
        message: String,
        stack: Vec<String>,
    },
    /// The result is not what the function promises (`@success`).
    Violated {
        /// The expression.
        criterion: String,
        /// What kept it from being answered; `None` if the answer is no.
        why: Option<String>,
    },
    /// What it answers or writes is not what was recorded, and the tolerance is for none of that.
    Otherwise {
        differences: Vec<Difference>,
    },
    Cpu {
        was_us: u64,
        now_us: u64,
        allowed_us: u64,
    },
    Memory {
        was_bytes: u64,
        now_bytes: u64,
        allowed_bytes: u64,
    },
}

/// Why a tape could not be replayed to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Divergence {
    #[error("{op} {subject}: the recording has no answer to that")]
    Unanswered { op: String, subject: String },
    /// The recorded call was cancelled, or in flight at the end, and the candidate waits longer.
    #[error("{op} {subject}: the recording ended or gave the call up after {after_us} µs")]
    Unfinished { op: String, subject: String, after_us: u64 },
    #[error("{op} {subject}: the answer was too large to be kept")]
    Cut { op: String, subject: String },
    #[error("the tape lacks what the function saw ({})", names(gaps))]
    Gaps { gaps: BTreeSet<Gap> },
    #[error("the candidate made more than {max} calls")]
    Calls { max: usize },
    /// Belay's own fault.
    #[error("{message}")]
    Engine { message: String },
}

fn names(gaps: &BTreeSet<Gap>) -> String {
    let name = |gap: &Gap| match gap {
        Gap::Redacted => "redacted fields",
        Gap::Secret => "secrets",
        Gap::Clock => "readings of the clock",
        Gap::Cut => "large answers",
        Gap::Stopped => "the moment at which it was stopped",
    };
    gaps.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// How much more a candidate may use: a factor and a floor, as little things vary more. And what it may do otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    pub cpu_factor: f64,
    pub cpu_floor_us: u64,
    pub memory_factor: f64,
    pub memory_floor_bytes: u64,
    /// Whether it may answer and write something else.
    pub outputs: bool,
}

impl Default for Tolerance {
    /// CPU time depends on what else the machine does; written pages do not.
    fn default() -> Self {
        Self {
            cpu_factor: 3.0,
            cpu_floor_us: 20_000,
            memory_factor: 1.5,
            memory_floor_bytes: 1 << 20,
            outputs: true,
        }
    }
}

impl Tolerance {
    pub(super) fn cpu_us(&self, was_us: u64) -> u64 {
        scaled(was_us, self.cpu_factor).saturating_add(self.cpu_floor_us)
    }

    fn memory_bytes(&self, was: u64) -> u64 {
        scaled(was, self.memory_factor).saturating_add(self.memory_floor_bytes)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bound need not be exact, and a float saturates"
)]
fn scaled(amount: u64, factor: f64) -> u64 {
    (amount as f64 * factor) as u64
}

/// How a run of the candidate ended.
pub(super) struct Ran {
    pub(super) end: End,
    pub(super) usage: Usage,
    pub(super) violation: Option<Violation>,
    /// A time-out may come of what is tolerated, not of the function's own limits.
    pub(super) stops_early: bool,
}

pub(super) fn judge(
    tape: &Tape,
    ran: &Ran,
    tolerance: &Tolerance,
    differences: &[Difference],
) -> Verdict {
    if let Some(message) = engine_fault(&ran.end) {
        return Verdict::Diverged(Divergence::Engine { message });
    }
    let cpu = cpu(tape, ran, tolerance);
    let stopped = ran.stops_early && cpu.is_some() && category(&ran.end) == Some(Category::Timeout);
    let found = [
        failed(tape, &ran.end).filter(|_| !stopped),
        broken_promise(tape, ran),
        cpu,
        memory(tape, ran, tolerance),
        otherwise(tape, tolerance, differences),
    ];
    let reasons: Vec<_> = found.into_iter().flatten().collect();
    if reasons.is_empty() && differences.is_empty() {
        return Verdict::Same;
    }
    if !tape.gaps.is_empty() && (!tape.proven || reasons.iter().any(tells_of_redaction)) {
        return Verdict::Diverged(Divergence::Gaps { gaps: tape.gaps.clone() });
    }
    if reasons.is_empty() { Verdict::Changed } else { Verdict::Worse(reasons) }
}

fn engine_fault(end: &End) -> Option<String> {
    match end {
        End::Failure(failure) if failure.category == Category::Engine => Some(failure.to_string()),
        End::Failure(_) | End::Result(_) => None,
    }
}

/// A failure that names what stands for a redacted value comes from it.
fn tells_of_redaction(reason: &Reason) -> bool {
    let tells = |text: &String| text.contains(MARK) || text.contains("belay-secret-");
    match reason {
        Reason::Failed { message, .. } => tells(message),
        Reason::Violated { why, .. } => why.as_ref().is_some_and(tells),
        Reason::Otherwise { .. } | Reason::Cpu { .. } | Reason::Memory { .. } => false,
    }
}

/// The caller's fault, `invalid_input`, is a changed result and nothing worse.
fn failed(tape: &Tape, end: &End) -> Option<Reason> {
    let (was, now) = (category(&tape.end), category(end));
    let now = now.filter(|now| *now != Category::InvalidInput && was != Some(*now))?;
    let answered = || Failure::new(now, "statusCode", "a result with statusCode 500 or more");
    let failure = match end {
        End::Failure(failure) => failure.clone(),
        End::Result(_) => answered(),
    };
    let Failure { error_type, message, stack, .. } = failure;
    Some(Reason::Failed { was, now, error_type, message, stack })
}

/// One that was not kept before either is nobody's fault here.
fn broken_promise(tape: &Tape, ran: &Ran) -> Option<Reason> {
    let Violation { criterion, why } = ran.violation.clone().filter(|_| !tape.violated)?;
    Some(Reason::Violated { criterion, why })
}

fn cpu(tape: &Tape, ran: &Ran, tolerance: &Tolerance) -> Option<Reason> {
    let was_us = tape.usage.cpu_us;
    let now_us = us(ran.usage.cpu);
    let allowed_us = tolerance.cpu_us(was_us);
    (now_us > allowed_us).then_some(Reason::Cpu { was_us, now_us, allowed_us })
}

fn memory(tape: &Tape, ran: &Ran, tolerance: &Tolerance) -> Option<Reason> {
    let (was_bytes, now_bytes) = (tape.usage.written_bytes, ran.usage.written_bytes);
    let allowed_bytes = tolerance.memory_bytes(was_bytes);
    (now_bytes > allowed_bytes).then_some(Reason::Memory { was_bytes, now_bytes, allowed_bytes })
}

/// What a failed request would have answered and written is not known: whoever cures it is free.
fn otherwise(tape: &Tape, tolerance: &Tolerance, differences: &[Difference]) -> Option<Reason> {
    let judged = !tolerance.outputs && !differences.is_empty() && category(&tape.end).is_none();
    judged.then(|| Reason::Otherwise { differences: differences.to_vec() })
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What an end counts as; `None` for a success.
pub(super) fn category(end: &End) -> Option<Category> {
    match end {
        End::Result(result) => category_of(result.as_str()),
        End::Failure(failure) => Some(failure.category),
    }
}

/// What a result (a JSON text) counts as by its `statusCode`; `None` for a success.
pub fn category_of(result: &str) -> Option<Category> {
    let may = result.starts_with('{') && result.contains("\"statusCode\"");
    let value: Value = may.then(|| serde_json::from_str(result).ok()).flatten()?;
    let status = match value.get("statusCode")? {
        Value::String(text) => text.parse().ok()?,
        status => status.as_f64()?,
    };
    match status {
        500.0..=65535.0 => Some(Category::Exception),
        400.0..500.0 => Some(Category::InvalidInput),
        _ => None,
    }
}

/// How two ends differ, if they do.
pub(super) fn end_differs(was: &End, now: &End) -> Option<Difference> {
    match (was, now) {
        (End::Result(was), End::Result(now)) => result_differs(was, now),
        (End::Failure(was), End::Failure(now)) if is_like(was, now) => None,
        _ => Some(Difference::Ending { was: told(was), now: told(now) }),
    }
}

fn result_differs(was: &Json, now: &Json) -> Option<Difference> {
    if was == now {
        return None;
    }
    let fields = fields("result", &was.value(), &now.value());
    (!fields.is_empty()).then_some(Difference::Result { fields })
}

/// Where a limit stopped a function depends on the moment, and its message on the limit.
fn is_like(was: &Failure, now: &Failure) -> bool {
    let kind = |failure: &Failure| (failure.category, failure.error_type.clone());
    let by_limit = was.error_type.starts_with("Belay.");
    kind(was) == kind(now) && (by_limit || was.message == now.message)
}

fn told(end: &End) -> String {
    match end {
        End::Result(result) => shortened(result.as_str()),
        End::Failure(failure) => shortened(&format!("{}: {failure}", failure.category)),
    }
}
