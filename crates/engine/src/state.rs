//! What the host keeps beside an instance's memory while it lives: limits, logs, randomness, answers to
//! synchronous imports.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use belay_model::{Category, Failure, Limits};
use rand_chacha::{
    ChaCha12Rng,
    rand_core::{RngCore, SeedableRng},
};
use wasmtime::ResourceLimiter;

use crate::{build::Note, clock::Clock};

/// Severity of a log line, as `console` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

impl LogLevel {
    pub(crate) fn from_guest(level: u32) -> Self {
        match level {
            0 => Self::Debug,
            1 => Self::Info,
            2 => Self::Warn,
            _ => Self::Error,
        }
    }

    /// The name used in JSON and on terminals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// One call of `console` or `log`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    pub level: LogLevel,
    /// Milliseconds since the epoch.
    pub time_ms: f64,
    pub text: String,
}

/// Seed of everything random in an invocation: `Math.random` and `crypto`.
pub(crate) type SeedBytes = [u8; 32];

/// The part of [`State`] that goes with an invocation when it is forked or saved.
pub(crate) struct Carried {
    pub(crate) seed: SeedBytes,
    /// Words drawn from the random source.
    pub(crate) random_position: u128,
    pub(crate) cpu: Duration,
    /// Wall-clock time since the start.
    pub(crate) elapsed: Duration,
    pub(crate) log_bytes: u64,
}

/// The store data of an instance.
pub(crate) struct State {
    pub(crate) limits: Limits,
    pub(crate) seed: SeedBytes,
    pub(crate) random: ChaCha12Rng,
    pub(crate) started: Instant,
    pub(crate) cpu: CpuMeter,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) log_bytes: u64,
    /// Why the guest was stopped by the host, if it was.
    pub(crate) stopped: Option<Failure>,
    /// The limiter refused memory at least once.
    pub(crate) memory_refused: bool,
    /// What `take` copies out next.
    pub(crate) answer: Vec<u8>,
    /// Only while a function image is built.
    pub(crate) building: Option<Building>,
    pub(crate) clock: Clock,
}

pub(crate) struct Building {
    /// What the shim's `module` import answers, by path.
    pub(crate) sources: HashMap<String, Vec<u8>>,
    pub(crate) notes: Vec<Note>,
    /// The first effect that top-level code tried: operation and stack.
    pub(crate) refused: Option<(String, Vec<String>)>,
}

impl Building {
    /// It may try again and again; once is enough to tell.
    pub(crate) fn refuse(&mut self, op: &str, stack: Vec<String>) {
        self.refused.get_or_insert_with(|| (op.to_owned(), stack));
    }

    /// Keeps a note once; a loop that reads the clock is one finding.
    pub(crate) fn note(&mut self, note: Note) {
        if self.notes.len() < NOTES_MAX && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

const NOTES_MAX: usize = 32;

impl State {
    pub(crate) fn new(limits: Limits, seed: SeedBytes) -> Self {
        Self {
            limits,
            seed,
            random: ChaCha12Rng::from_seed(seed),
            started: Instant::now(),
            cpu: CpuMeter::default(),
            logs: Vec::new(),
            log_bytes: 0,
            stopped: None,
            memory_refused: false,
            answer: Vec::new(),
            building: None,
            clock: Clock::default(),
        }
    }

    /// What a fork or a snapshot takes along.
    pub(crate) fn carry(&self) -> Carried {
        Carried {
            seed: self.seed,
            random_position: self.random.get_word_pos(),
            cpu: self.cpu.total(),
            elapsed: self.started.elapsed(),
            log_bytes: self.log_bytes,
        }
    }

    /// The other side of [`State::carry`].
    pub(crate) fn resumed(limits: Limits, carried: &Carried) -> Self {
        let mut state = Self::new(limits, carried.seed);
        state.random.set_word_pos(carried.random_position);
        state.cpu = CpuMeter { before: carried.cpu, since: None };
        state.started = state.started.checked_sub(carried.elapsed).unwrap_or(state.started);
        state.log_bytes = carried.log_bytes;
        state
    }

    /// The state of a fork. Its logs start empty: what was logged belongs to the original.
    pub(crate) fn forked(&self) -> Self {
        let mut state = Self::resumed(self.limits, &self.carry());
        state.memory_refused = self.memory_refused;
        state
    }

    /// Starts the random source anew; its first word, which is returned, seeds `Math.random` in the guest.
    pub(crate) fn reseed(&mut self, seed: SeedBytes) -> i64 {
        self.seed = seed;
        self.random = ChaCha12Rng::from_seed(seed);
        self.random.next_u64().cast_signed()
    }

    pub(crate) fn wall_clock_ms(&mut self) -> f64 {
        self.clock.wall_ms()
    }

    pub(crate) fn monotonic_ms(&mut self) -> f64 {
        self.clock.monotonic_ms(self.started)
    }

    pub(crate) fn log(&mut self, level: u32, text: String) -> Result<(), Failure> {
        self.log_bytes = self.log_bytes.saturating_add(text.len() as u64 + 1);
        if self.log_bytes > self.limits.log_bytes {
            let limit = self.limits.log_bytes;
            let message = format!("the function logged more than its limit of {limit} bytes");
            return Err(Failure::new(Category::Exception, "Belay.LogLimit", message));
        }
        let time_ms = self.clock.log_ms();
        self.logs.push(LogLine { level: LogLevel::from_guest(level), time_ms, text });
        Ok(())
    }

    /// Asked at every tick while guest code runs.
    pub(crate) fn past_limit(&self) -> Option<Failure> {
        let cpu = self.cpu.total();
        let wall = self.clock.elapsed(self.started, cpu);
        let limits = &self.limits;
        let failure = |what: &str, ms: u64| {
            let message = format!("the function ran past its {what} limit of {ms} ms");
            Some(Failure::new(Category::Timeout, "Belay.Timeout", message))
        };
        if cpu > Duration::from_millis(limits.cpu_ms) {
            return failure("CPU", limits.cpu_ms);
        }
        if wall > Duration::from_millis(limits.timeout_ms) {
            failure("time", limits.timeout_ms)
        } else {
            None
        }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired as u64 <= self.limits.memory_bytes;
        self.memory_refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // An engine image has a table of functions from the start, and never grows it.
        Ok(current == 0)
    }
}

/// CPU time of the threads that ran the instance, while they ran it.
#[derive(Default)]
pub(crate) struct CpuMeter {
    before: Duration,
    since: Option<Duration>,
}

impl CpuMeter {
    pub(crate) fn start(&mut self) {
        self.since = Some(thread_cpu());
    }

    pub(crate) fn stop(&mut self) {
        self.before = self.total();
        self.since = None;
    }

    /// Goes on from what another one has counted.
    pub(crate) fn succeed(&mut self, counted: Duration) {
        self.before = self.before.max(counted);
    }

    pub(crate) fn total(&self) -> Duration {
        let running = self.since.map(|since| thread_cpu().saturating_sub(since));
        self.before + running.unwrap_or_default()
    }
}

fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}
