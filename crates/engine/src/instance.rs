//! One invocation: from the image to its result, with pauses while it waits for calls.
//!
//! Between two steps the wasm stack is empty and the guest's memory is the whole state; that is why an
//! instance can be forked, saved and continued elsewhere.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use belay_model::{Arm, Call, CallId, Category, EffectError, Failure, Hash, Limits, Outcome};
use serde_json::json;

use crate::{
    EngineError, FunctionImage, Reached, abi, cells,
    clock::{Clock, Readings, VirtualTime},
    guest::{Guest, Status, Stopped},
    memory::{PAGE, Template},
    snapshot,
    state::{LogLine, SeedBytes, State},
};

/// What a request brings.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// Index of the handler in the program's entries.
    pub entry: usize,
    /// JSON.
    pub event: &'a str,
    /// A JSON object from which the prelude makes the handler's `context`.
    pub context: &'a str,
    pub limits: Limits,
    /// Everything random in the invocation follows from it.
    pub seed: [u8; 32],
    /// Of a woven program: the arms by part, at most [`belay_model::PARTS_MAX`]; before, where it ends early.
    pub arms: &'a [Arm],
}

/// How an invocation stands after a step.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// The result as JSON.
    Done(String),
    Failed(Failure),
    /// It waits. Answer `calls` with [`Instance::resolve`], in any order; forget those in `cancelled`.
    Pending {
        calls: Vec<Call>,
        cancelled: Vec<CallId>,
    },
}

/// The random source of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// The same numbers as the original will draw.
    Keep,
    New([u8; 32]),
}

/// What an invocation used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu: Duration,
    /// Pages written plus growth, in bytes. Known when the invocation has ended.
    pub written_bytes: u64,
    /// The whole memory, the image included, in bytes.
    pub peak_bytes: u64,
}

/// A request, paused or about to run. Dropped, its memory is reset for the next one.
pub struct Instance {
    pub(crate) guest: Guest,
    image: FunctionImage,
    phase: Phase,
    /// Answers that the guest has not seen yet.
    outcomes: Vec<(CallId, Outcome)>,
    in_flight: BTreeSet<CallId>,
    aborted: Option<Failure>,
    /// An immutable copy of the memory as it is now, made by the first fork that needed one.
    frozen: Option<Arc<Template>>,
    written_bytes: u64,
    /// What those reached that ran before it from the same point.
    earlier: Vec<Reached>,
}

enum Phase {
    Fresh(Fresh),
    Waiting,
    Ended,
}

#[derive(Clone)]
struct Fresh {
    entry: usize,
    event: String,
    context: String,
    arms: Vec<Arm>,
}

/// Copying more than this for a fork costs more than freezing once and mapping.
const FORK_COPY_MAX: usize = 4 << 20;

impl Instance {
    pub(crate) fn start(image: &FunctionImage, request: Start<'_>) -> Result<Self, EngineError> {
        cells::check(request.arms)?;
        let state = State::new(request.limits, request.seed);
        let guest = Guest::new(&image.inner.engine.shared, &image.template()?, state)?;
        let (event, context) = (request.event.to_owned(), request.context.to_owned());
        let fresh = Fresh { entry: request.entry, event, context, arms: request.arms.to_vec() };
        Ok(Self::with_guest(image, guest, Phase::Fresh(fresh)))
    }

    fn with_guest(image: &FunctionImage, guest: Guest, phase: Phase) -> Self {
        Self {
            guest,
            image: image.clone(),
            phase,
            outcomes: Vec::new(),
            in_flight: BTreeSet::new(),
            aborted: None,
            frozen: None,
            written_bytes: 0,
            earlier: Vec::new(),
        }
    }

    /// An invocation that waits for `in_flight`, on memory that was put into `guest`.
    pub(crate) fn waiting(
        image: &FunctionImage,
        guest: Guest,
        in_flight: BTreeSet<CallId>,
    ) -> Self {
        let mut instance = Self::with_guest(image, guest, Phase::Waiting);
        instance.in_flight = in_flight;
        instance
    }

    /// The image it started from.
    pub fn image(&self) -> &FunctionImage {
        &self.image
    }

    /// What it may use.
    pub fn limits(&self) -> &Limits {
        &self.guest.state().limits
    }

    /// What it may use from now on. That of the stack stays as it is.
    pub fn set_limits(&mut self, limits: Limits) {
        self.guest.state_mut().limits = limits;
    }

    /// Goes on in the place of `ended`, which is another fork of the same invocation: what that has logged, used and
    /// reached counts as this one's.
    pub fn succeed(&mut self, mut ended: Self) {
        let mut logs = ended.take_logs();
        let (cpu, log_bytes) = (ended.guest.state().cpu.total(), ended.guest.state().log_bytes);
        self.earlier = cells::both(ended.reached(), &self.earlier);
        let state = self.guest.state_mut();
        logs.append(&mut state.logs);
        state.logs = logs;
        state.log_bytes = log_bytes;
        state.cpu.succeed(cpu);
    }

    /// Address of the memory as it is now; equal to the image's for a request that has not run.
    pub fn memory_hash(&self) -> Hash {
        self.guest.memory_hash()
    }

    /// Calls that were handed out and not answered yet.
    pub fn in_flight(&self) -> impl Iterator<Item = CallId> {
        self.in_flight.iter().copied()
    }

    /// Runs guest code until it ends or waits. To be called on a thread with at least 16 MiB of stack.
    pub fn step(&mut self) -> Step {
        self.thaw();
        if let Some(failure) = self.aborted.take() {
            return self.end(Step::Failed(failure));
        }
        let step = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Fresh(fresh) => self.guest_step(|guest| begin(guest, &fresh)),
            Phase::Waiting => {
                let outcomes = std::mem::take(&mut self.outcomes);
                self.guest_step(|guest| {
                    settle(guest, &outcomes)?;
                    guest.status(|e| &e.pump, ())
                })
            }
            Phase::Ended => {
                let message = "the invocation has already ended";
                Step::Failed(Failure::new(Category::Engine, "Belay.Engine", message))
            }
        };
        match step {
            Step::Pending { .. } => {
                self.phase = Phase::Waiting;
                step
            }
            Step::Done(_) | Step::Failed(_) => self.end(step),
        }
    }

    /// Runs another request on the memory that the last one left, to its end: no isolation between the two. It
    /// exists only as the floor with which the benchmarks compare fresh instances.
    #[doc(hidden)]
    pub fn run_without_isolation(&mut self, entry: usize, event: &str, context: &str) -> Step {
        let (event, context, arms) = (event.to_owned(), context.to_owned(), Vec::new());
        let fresh = Fresh { entry, event, context, arms };
        // What is written from here on is to be undone as well.
        self.guest.slot().reopen();
        self.guest_step(|guest| begin(guest, &fresh))
    }

    /// Answers a call; the guest sees it in the next step. An answer to a call that is not in flight is dropped.
    pub fn resolve(&mut self, id: CallId, outcome: Outcome) {
        if self.in_flight.remove(&id) {
            self.thaw();
            self.outcomes.push((id, outcome));
        }
    }

    /// What was frozen for forks is no longer what a fork would start from.
    fn thaw(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.guest.shared().pool.retire(&frozen);
        }
    }

    /// Keeps what the guest reads from its clocks from now on, at most `readings_max` times; it is told whole
    /// microseconds.
    pub fn record_clock(&mut self, readings_max: usize) {
        self.guest.state_mut().clock = Clock::recording(readings_max);
    }

    /// What the guest has read since the last call, and whether there may have been more than is kept.
    pub fn take_readings(&mut self) -> (Readings, bool) {
        let clock = &mut self.guest.state_mut().clock;
        (clock.take_readings(), clock.is_full())
    }

    /// Tells the time from now on instead of this machine's clocks; to be called before every step. What is
    /// computed in the step counts against the time limit as CPU time.
    pub fn set_time(&mut self, time: VirtualTime) {
        let state = self.guest.state_mut();
        state.clock = Clock::told(time, state.cpu.total());
    }

    /// Time since its start, by this machine's clock.
    pub fn elapsed(&self) -> Duration {
        self.guest.state().started.elapsed()
    }

    /// Ends the invocation: the next step answers with `failure`.
    pub fn abort(&mut self, failure: Failure) {
        self.aborted = Some(failure);
    }

    /// Lines logged since the last call.
    pub fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.guest.state_mut().logs)
    }

    /// The parts of a woven program whose guards ran, ascending; also after a failure, until the instance is dropped.
    pub fn reached(&self) -> Vec<Reached> {
        cells::both(cells::reached(&self.guest), &self.earlier)
    }

    pub fn usage(&self) -> Usage {
        Usage {
            cpu: self.guest.state().cpu.total(),
            written_bytes: self.written_bytes,
            peak_bytes: self.guest.memory_len() as u64,
        }
    }

    /// A second invocation that goes on from the same point. Both wait for the same calls.
    pub fn fork(&mut self, seed: Seed) -> Result<Self, EngineError> {
        match &self.phase {
            Phase::Ended => Err(EngineError::Ended),
            Phase::Fresh(fresh) => self.fork_fresh(&fresh.clone(), seed),
            Phase::Waiting => self.fork_waiting(seed),
        }
    }

    fn fork_fresh(&self, fresh: &Fresh, seed: Seed) -> Result<Self, EngineError> {
        let state = self.guest.state();
        let seed = match seed {
            Seed::Keep => state.seed,
            Seed::New(seed) => seed,
        };
        let Fresh { entry, event, context, arms } = fresh;
        Self::start(
            &self.image,
            Start { entry: *entry, event, context, limits: state.limits, seed, arms },
        )
    }

    fn fork_waiting(&mut self, seed: Seed) -> Result<Self, EngineError> {
        let guest = self.copy_guest()?;
        let mut fork = Self::waiting(&self.image, guest, self.in_flight.clone());
        fork.outcomes.clone_from(&self.outcomes);
        fork.earlier.clone_from(&self.earlier);
        if let Seed::New(seed) = seed {
            fork.reseed(seed)?;
        }
        Ok(fork)
    }

    fn reseed(&mut self, seed: SeedBytes) -> Result<(), EngineError> {
        let word = self.guest.state_mut().reseed(seed);
        let seeded = self.guest.run(|guest| guest.call::<i64, ()>(|e| &e.seed, word));
        seeded.map_err(|Stopped(error)| EngineError::Memory {
            operation: "seeding a fork",
            source: std::io::Error::other(format!("{error:#}")),
        })
    }

    /// A guest with the same memory: written pages are copied when they are few, else frozen once and mapped.
    fn copy_guest(&mut self) -> Result<Guest, EngineError> {
        let (shared, state) = (self.guest.shared().clone(), self.guest.state().forked());
        if let Some(frozen) = &self.frozen {
            return Guest::new(&shared, frozen, state);
        }
        let written = self.guest.slot().written();
        if written.iter().map(ExactSizeIterator::len).sum::<usize>() > FORK_COPY_MAX {
            let frozen = Arc::new(self.guest.freeze()?);
            self.frozen = Some(frozen.clone());
            return Guest::new(&shared, &frozen, state);
        }
        let slot = self.guest.slot();
        let mut copy = Guest::new(&shared, slot.template(), state)?;
        copy.grow_to(slot.len())?;
        for index in written.into_iter().flat_map(|range| range.start / PAGE..range.end / PAGE) {
            copy.write_page(index, slot.page(index));
        }
        Ok(copy)
    }

    /// The paused invocation as bytes. Answers that were given already are part of it.
    pub fn snapshot(&mut self) -> Result<Vec<u8>, EngineError> {
        match self.phase {
            Phase::Waiting if self.aborted.is_none() => {}
            Phase::Waiting | Phase::Ended => return Err(EngineError::Ended),
            Phase::Fresh(_) => return Err(EngineError::NotBegun),
        }
        let outcomes = std::mem::take(&mut self.outcomes);
        let settled = self.guest.run(|guest| settle(guest, &outcomes));
        settled.map_err(|Stopped(error)| {
            // The answers are gone, and a guest that was stopped must not be called again.
            self.phase = Phase::Ended;
            EngineError::Memory {
                operation: "settling calls before a snapshot",
                source: std::io::Error::other(format!("{error:#}")),
            }
        })?;
        Ok(snapshot::write(&self.image, &self.guest, &self.in_flight))
    }

    fn guest_step(&mut self, work: impl FnOnce(&mut Guest) -> Result<Status, Stopped>) -> Step {
        let status = self.guest.run(work);
        let answer = status.and_then(|status| Ok((status, self.answer(status)?)));
        match answer {
            Ok((status, Some(out))) => self.read(status, out),
            Ok((_, None)) => Step::Failed(self.result_too_large()),
            Err(stopped) => Step::Failed(self.guest.failure_of(&stopped)),
        }
    }

    /// The guest's message, or `None` for a result that is too large to be copied.
    fn answer(&self, status: Status) -> Result<Option<Vec<u8>>, Stopped> {
        let out = self.guest.out()?;
        let too_large = out.len() as u64 > self.guest.state().limits.result_bytes;
        Ok(if status == Status::Done && too_large { None } else { Some(out.to_vec()) })
    }

    fn read(&mut self, status: Status, out: Vec<u8>) -> Step {
        match status {
            Status::Done => Step::Done(
                String::from_utf8(out)
                    .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
            ),
            Status::Failed => Step::Failed(self.failure(&out)),
            Status::Pending => self.pending(&out),
            Status::Deadlock => Step::Failed(Failure::new(
                Category::Deadlock,
                "Belay.Deadlock",
                "the handler waits for a promise that nothing in flight can settle",
            )),
            Status::Broken | Status::NoExport | Status::NotFunction => {
                Step::Failed(broken("an unexpected status"))
            }
        }
    }

    /// A call that was cancelled in the step that made it was never made.
    fn pending(&mut self, out: &[u8]) -> Step {
        let abi::Pending { mut calls, mut cancelled } = match abi::decode_pending(out) {
            Ok(pending) => pending,
            Err(error) => return Step::Failed(broken(&error.to_string())),
        };
        if !calls.iter().all(|call| self.in_flight.insert(call.id)) {
            return Step::Failed(broken("a call has the number of another one"));
        }
        let known = cancelled.iter().filter(|id| self.in_flight.remove(id));
        let dropped: BTreeSet<CallId> = known.copied().collect();
        let made: BTreeSet<CallId> = calls.iter().map(|call| call.id).collect();
        calls.retain(|call| !dropped.contains(&call.id));
        cancelled.retain(|id| !made.contains(id));
        Step::Pending { calls, cancelled }
    }

    /// A failure after the host refused memory is the limit's when nothing was left to say so with: QuickJS then
    /// throws `null` instead of an error, and the shim leaves an empty description if even that does not fit.
    fn failure(&mut self, out: &[u8]) -> Failure {
        let described = abi::decode_failure(out);
        let speechless = out.is_empty() || described.error_type == "null";
        let refused = self.guest.state().memory_refused && speechless;
        if refused || described.category == Category::OutOfMemory {
            return Failure { stack: described.stack, ..self.guest.out_of_memory() };
        }
        described
    }

    fn result_too_large(&self) -> Failure {
        let limit = self.guest.state().limits.result_bytes;
        let message = format!("the result is larger than the function's limit of {limit} bytes");
        Failure::new(Category::Exception, "Belay.ResultTooLarge", message)
    }

    fn end(&mut self, step: Step) -> Step {
        self.phase = Phase::Ended;
        self.in_flight.clear();
        self.written_bytes = self.guest.slot().conclude() as u64;
        step
    }
}

fn broken(reason: &str) -> Failure {
    Failure::new(
        Category::Engine,
        "Belay.Engine",
        format!("the guest broke the protocol: {reason}"),
    )
}

fn begin(guest: &mut Guest, fresh: &Fresh) -> Result<Status, Stopped> {
    let Fresh { entry, event, context, arms } = fresh;
    let len = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
    let (event_len, context_len) = (len(event), len(context));
    let (seed, stack) = (guest.state().seed, guest.state().limits.stack_bytes);
    let entry = u32::try_from(*entry).unwrap_or(u32::MAX);
    let word = guest.state_mut().reseed(seed);
    if !arms.is_empty() {
        cells::write_arms(guest, arms)?;
    }
    guest.with_parts([event.as_bytes(), context.as_bytes()], |guest, [event, context]| {
        let (event, context) = ((event, event_len), (context, context_len));
        guest.status(|e| &e.start, (entry, event.0, event.1, context.0, context.1, stack, word))
    })
}

fn settle(guest: &mut Guest, outcomes: &[(CallId, Outcome)]) -> Result<(), Stopped> {
    outcomes.iter().try_for_each(|(id, outcome)| settle_one(guest, *id, outcome))
}

fn settle_one(guest: &mut Guest, id: CallId, outcome: &Outcome) -> Result<(), Stopped> {
    let rejected;
    let (is_error, value, body) = match outcome {
        Outcome::Ok { value, body } => (0, value, body.as_deref()),
        Outcome::Err(EffectError { code, message }) => {
            rejected = json!({ "code": code, "message": message }).to_string();
            (1, &rejected, None)
        }
    };
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (value_len, body_len) = (len(value.as_bytes()), len(body.unwrap_or_default()));
    guest.with_parts([value.as_bytes(), body.unwrap_or_default()], |guest, [value, bytes]| {
        // A null address says that there are no bytes, not even none.
        let bytes = if body.is_some() { bytes } else { 0 };
        guest.status(|e| &e.resolve, (id.0, is_error, value, value_len, bytes, body_len))
    })?;
    Ok(())
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.thaw();
    }
}
