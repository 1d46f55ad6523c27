//! Notes what a driven instance does, and makes a tape of it.
//!
//! Every time on a tape is the beginning of a step: of the one that made a call, and of the one that saw its answer.
//! So a replay in which a call takes as long as it took gives the function the same answers in the same steps, and
//! in the same order within a step. What the host answers by itself (`TOO_MANY_CALLS`, `TOO_MANY_BYTES`) is noted as
//! any other answer: whether it comes depends on when others returned, which nobody could work out again.
//!
//! Invariants: without a recorder, [`crate::drive`] does nothing of this; with one, the function runs as it would
//! without, but that its clocks tell whole microseconds. Nothing leaves a recorder unredacted.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use belay_engine::{Instance, Readings};
use belay_model::{Call, CallId, Category, Failure, Limits, Outcome};

use super::{
    Answer, Answered, Body, Effect, End, Format, Gap, Json, Redaction, StepReadings, Tape,
    TapeUsage,
    redact::{Kind, Literals, Redactor, secret_mark},
};
use crate::{Finished, flight::Landed, secret};

/// A longer body that goes out is kept as its hash.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What is recorded, and how much.
#[derive(Debug, Clone)]
pub struct RecorderOptions {
    pub redaction: Redaction,
    /// Bytes of arguments, answers and bodies of one invocation. An answer past it is cut.
    pub bytes_max: usize,
    pub calls_max: usize,
    pub readings_max: usize,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            redaction: Redaction::default(),
            bytes_max: 1 << 20,
            calls_max: 2_000,
            readings_max: 4_000,
        }
    }
}

/// What is recorded of an invocation before it starts: what its instance was started with.
#[derive(Debug, Clone, Copy)]
pub struct Invoked<'a> {
    pub function: &'a str,
    pub event: &'a str,
    pub context: &'a str,
    pub seed: [u8; 32],
}

/// Why a recording did not become a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    #[error("the invocation made more than {max} calls")]
    Calls { max: usize },
    #[error("event, context, arguments and bodies have more than {max} bytes")]
    Bytes { max: usize },
    #[error("the event, the context, a call or the result is not JSON")]
    NotJson,
    #[error("the invocation was not driven")]
    NotDriven,
}

/// The notes of one invocation. Given to [`crate::drive_recorded`], then made a tape with [`Recorder::finish`].
#[derive(Debug)]
pub struct Recorder {
    options: RecorderOptions,
    function: String,
    event: String,
    context: String,
    seed: [u8; 32],
    begun: Option<Begun>,
    step_us: u64,
    noted: Vec<Noted>,
    in_flight: HashMap<CallId, usize>,
    answers: u32,
    bytes: usize,
    readings: Vec<StepReadings>,
    refused: Option<NotKept>,
    cut: bool,
    clock_full: bool,
    /// The driver ended it, at its deadline.
    late: bool,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    start_us: u64,
    began_us: u64,
    deadline_us: u64,
    limits: Limits,
}

/// A call as it was made.
#[derive(Debug)]
struct Noted {
    call: Call,
    called_us: u64,
    cancelled_us: Option<u64>,
    answered: Option<(u64, u32, Heard)>,
}

#[derive(Debug)]
enum Heard {
    Whole(Outcome),
    Cut { bytes: u64 },
}

/// Where a recording stood.
#[derive(Debug, Clone)]
pub struct Mark {
    noted: Vec<bool>,
    readings: usize,
    in_flight: HashMap<CallId, usize>,
    answers: u32,
    bytes: usize,
    cut: bool,
}

impl Recorder {
    pub fn new(invoked: Invoked<'_>, options: RecorderOptions) -> Self {
        let (event, context) = (invoked.event.to_owned(), invoked.context.to_owned());
        Self {
            function: invoked.function.to_owned(),
            seed: invoked.seed,
            bytes: event.len() + context.len(),
            event,
            context,
            options,
            begun: None,
            step_us: 0,
            noted: Vec::new(),
            in_flight: HashMap::new(),
            answers: 0,
            readings: Vec::new(),
            refused: None,
            cut: false,
            clock_full: false,
            late: false,
        }
    }

    pub(crate) fn begin(&mut self, instance: &mut Instance, deadline: Instant) {
        let elapsed = instance.elapsed();
        let left = deadline.saturating_duration_since(Instant::now());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.step_us = us(elapsed);
        self.begun = Some(Begun {
            start_us: us(now.saturating_sub(elapsed)),
            began_us: self.step_us,
            deadline_us: us(elapsed + left),
            limits: *instance.limits(),
        });
        instance.record_clock(self.options.readings_max);
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            noted: self.noted.iter().map(|noted| noted.answered.is_some()).collect(),
            readings: self.readings.len(),
            in_flight: self.in_flight.clone(),
            answers: self.answers,
            bytes: self.bytes,
            cut: self.cut,
        }
    }

    /// What came after the mark has never been. The time that it took stays.
    pub(crate) fn rewind(&mut self, mark: &Mark, instance: &mut Instance) {
        self.noted.truncate(mark.noted.len());
        for (noted, answered) in self.noted.iter_mut().zip(&mark.noted) {
            if !answered {
                (noted.answered, noted.cancelled_us) = (None, None);
            }
        }
        self.readings.truncate(mark.readings);
        self.in_flight.clone_from(&mark.in_flight);
        (self.answers, self.bytes, self.cut) = (mark.answers, mark.bytes, mark.cut);
        instance.record_clock(self.options.readings_max);
    }

    /// The instance has made a step.
    pub(crate) fn stepped(&mut self, instance: &mut Instance) {
        let (Readings { wall_us, monotonic_us }, full) = instance.take_readings();
        self.clock_full |= full;
        if wall_us.is_empty() && monotonic_us.is_empty() {
            return;
        }
        let start_us = self.begun.map_or(0, |begun| begun.start_us);
        let wall_us = wall_us.into_iter().map(|us| us.cast_signed() - start_us.cast_signed());
        let wall_us = wall_us.collect();
        self.readings.push(StepReadings { at_us: self.step_us, wall_us, monotonic_us });
    }

    /// The step asks for these.
    pub(crate) fn asked(&mut self, calls: &[Call], cancelled: &[CallId]) {
        for id in cancelled {
            if let Some(index) = self.in_flight.remove(id) {
                self.noted[index].cancelled_us = Some(self.step_us);
            }
        }
        calls.iter().for_each(|call| self.made(call));
    }

    fn made(&mut self, call: &Call) {
        if self.noted.len() >= self.options.calls_max {
            self.refused = Some(NotKept::Calls { max: self.options.calls_max });
            return;
        }
        self.bytes += call.args.len() + call.body.as_ref().map_or(0, Vec::len);
        self.in_flight.insert(call.id, self.noted.len());
        let (call, called_us) = (call.clone(), self.step_us);
        self.noted.push(Noted { call, called_us, cancelled_us: None, answered: None });
    }

    /// A step begins, with what has landed.
    pub(crate) fn step_begins(&mut self, instance: &Instance, landed: &Landed) {
        // Later than the last one, so that no two steps are taken for one.
        self.step_us = us(instance.elapsed()).max(self.step_us + 1);
        self.late = matches!(landed, Landed::Late);
        for (id, outcome) in landed.answers() {
            if let Some(index) = self.in_flight.remove(id) {
                let heard = self.heard(outcome);
                self.noted[index].answered = Some((self.step_us, self.answers, heard));
                self.answers += 1;
            }
        }
    }

    fn heard(&mut self, outcome: &Outcome) -> Heard {
        let bytes = match outcome {
            Outcome::Ok { value, body } => value.len() + body.as_ref().map_or(0, Vec::len),
            Outcome::Err(error) => error.message.len(),
        };
        if self.bytes + bytes > self.options.bytes_max {
            self.cut = true;
            return Heard::Cut { bytes: bytes as u64 };
        }
        self.bytes += bytes;
        Heard::Whole(outcome.clone())
    }

    /// Whether the time limit came in the middle of a step.
    fn stopped(&self, finished: &Finished) -> bool {
        let timeout = |failure: &Failure| failure.category == Category::Timeout;
        !self.late && finished.result.as_ref().is_err_and(timeout)
    }

    /// The tape of what was driven to this end.
    pub fn finish(self, finished: &Finished) -> Result<Tape, NotKept> {
        let begun = self.begun.ok_or(NotKept::NotDriven)?;
        let max = self.options.bytes_max;
        match self.refused {
            Some(reason) => Err(reason),
            None if self.bytes > max => Err(NotKept::Bytes { max }),
            None => Taker::new(&self, finished).tape(&begun, finished).ok_or(NotKept::NotJson),
        }
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Takes what was noted onto a tape, without what must not be kept.
struct Taker<'r> {
    notes: &'r Recorder,
    rules: Redactor,
    literals: Literals,
    gaps: BTreeSet<Gap>,
}

impl<'r> Taker<'r> {
    fn new(notes: &'r Recorder, finished: &Finished) -> Self {
        let rules = Redactor::new(&notes.options.redaction);
        let mut literals = Literals::default();
        for text in [&notes.event, &notes.context] {
            if let Some(json) = Json::parse(text) {
                rules.collect(Kind::Document, &json, &mut literals);
            }
        }
        let mut gaps = BTreeSet::new();
        gaps.extend(notes.cut.then_some(Gap::Cut));
        gaps.extend(notes.clock_full.then_some(Gap::Clock));
        gaps.extend(notes.stopped(finished).then_some(Gap::Stopped));
        notes.noted.iter().for_each(|noted| collect_answer(&rules, noted, &mut literals));
        Self { notes, rules, literals, gaps }
    }

    fn tape(mut self, begun: &Begun, finished: &Finished) -> Option<Tape> {
        let event = self.came_in(Kind::Document, &Json::parse(&self.notes.event)?);
        let context = self.came_in(Kind::Document, &Json::parse(&self.notes.context)?);
        let noted = self.notes.noted.iter();
        let effects = noted.map(|noted| self.effect(noted)).collect::<Option<Vec<_>>>()?;
        // An answer that a step has seen did come before the deadline, however close it was.
        let seen = effects.iter().filter_map(|effect| effect.answered.as_ref());
        let last_us = seen.map(|answered| answered.at_us.saturating_add(1)).max();
        Some(Tape {
            format: Format::default(),
            function: self.notes.function.clone(),
            event,
            context,
            seed: self.notes.seed,
            start_us: begun.start_us,
            limits: begun.limits,
            began_us: begun.began_us,
            ended_us: self.notes.step_us,
            deadline_us: begun.deadline_us.max(last_us.unwrap_or(0)),
            effects,
            readings: self.notes.readings.clone(),
            end: self.end(finished)?,
            usage: TapeUsage {
                cpu_us: us(finished.usage.cpu),
                written_bytes: finished.usage.written_bytes,
            },
            reached: finished.reached.iter().map(|reached| (reached.part, reached.arm)).collect(),
            gaps: self.gaps,
            proven: false,
            violated: false,
            redaction: self.notes.options.redaction.clone(),
        })
    }

    /// Something that the function has seen.
    fn came_in(&mut self, kind: Kind, json: &Json) -> Json {
        match self.rules.json(kind, json, &self.literals) {
            Some(redacted) => {
                self.gaps.insert(Gap::Redacted);
                redacted
            }
            None => json.clone(),
        }
    }

    fn effect(&mut self, noted: &Noted) -> Option<Effect> {
        let call = &noted.call;
        let args = Json::parse(&call.args)?.canonical();
        let args = self.rules.json(Kind::Effect, &args, &self.literals).unwrap_or(args);
        let body = call.body.as_ref().map(|body| {
            let redacted = self.rules.body(body, &self.literals);
            bounded(redacted.as_ref().unwrap_or(body))
        });
        let answered = match &noted.answered {
            Some((at_us, order, heard)) => {
                let with = self.answer(call, heard)?;
                Some(Answered { at_us: *at_us, order: *order, with })
            }
            None => None,
        };
        let (called_us, cancelled_us) = (noted.called_us, noted.cancelled_us);
        Some(Effect { op: call.op.clone(), args, body, called_us, answered, cancelled_us })
    }

    fn answer(&mut self, call: &Call, heard: &Heard) -> Option<Answer> {
        Some(match heard {
            Heard::Cut { bytes } => Answer::Cut { bytes: *bytes },
            Heard::Whole(Outcome::Err(error)) => {
                let mut error = error.clone();
                self.scrub(&mut error.message);
                Answer::Error(error)
            }
            Heard::Whole(Outcome::Ok { .. }) if call.op == secret::GET => {
                self.gaps.insert(Gap::Secret);
                Answer::Ok { value: placeholder(call)?, body: None }
            }
            Heard::Whole(Outcome::Ok { value, body }) => {
                let value = self.came_in(Kind::Effect, &Json::parse(value)?);
                Answer::Ok { value, body: body.as_ref().map(|body| self.body_came_in(body)) }
            }
        })
    }

    fn body_came_in(&mut self, body: &[u8]) -> Body {
        let redacted = self.rules.body(body, &self.literals);
        let same = redacted.as_ref().is_none_or(|redacted| redacted == body);
        self.gaps.extend((!same).then_some(Gap::Redacted));
        Body::Base64(redacted.unwrap_or_else(|| body.to_vec()))
    }

    fn end(&self, finished: &Finished) -> Option<End> {
        Some(match &finished.result {
            Ok(result) => {
                let json = Json::parse(result)?;
                let redacted = self.rules.json(Kind::Document, &json, &self.literals);
                End::Result(redacted.unwrap_or(json))
            }
            Err(failure) => {
                let mut failure = failure.clone();
                self.scrub(&mut failure.message);
                failure.stack.iter_mut().for_each(|line| self.scrub(line));
                End::Failure(failure)
            }
        })
    }

    fn scrub(&self, text: &mut String) {
        if let Some(replaced) = self.literals.replace(text) {
            *text = replaced;
        }
    }
}

fn collect_answer(rules: &Redactor, noted: &Noted, into: &mut Literals) {
    let Some((_, _, Heard::Whole(Outcome::Ok { value, body }))) = &noted.answered else { return };
    let Some(json) = Json::parse(value) else { return };
    if let Some((name, value)) = secret_of(&noted.call, &json) {
        return into.add_secret(&name, &value);
    }
    rules.collect(Kind::Effect, &json, into);
    if let Some(body) = body {
        rules.collect_body(body, into);
    }
}

/// Name and value of the secret that a call has brought.
fn secret_of(call: &Call, value: &Json) -> Option<(String, String)> {
    let name = secret_name(call)?;
    Some((name, value.value().get("value")?.as_str()?.to_owned()))
}

fn secret_name(call: &Call) -> Option<String> {
    let args: serde_json::Value = serde_json::from_str(&call.args).ok()?;
    let name = args.get("name").filter(|_| call.op == secret::GET)?;
    Some(name.as_str()?.to_owned())
}

fn placeholder(call: &Call) -> Option<Json> {
    let value = secret_mark(&secret_name(call)?);
    Json::parse(&serde_json::json!({ "value": value }).to_string())
}

/// A body as it is kept, and compared.
pub(super) fn bounded(body: &[u8]) -> Body {
    if body.len() <= BODY_BYTES_MAX {
        return Body::Base64(body.to_vec());
    }
    Body::Hashed { bytes: body.len() as u64, blake3: belay_model::Hash::of(body) }
}
