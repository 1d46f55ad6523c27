//! The mirror: a fork of a transaction that runs ahead of it, reads for real and changes nothing.
//!
//! It pays for nothing that takes long: timers are over at once, and services are not called but answered for by what they
//! answered last. What it writes is seen by itself alone.
//!
//! Invariants: no effect leaves it but reads. What it cannot do without doing it, it does not guess: there it stops.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use belay_engine::{Instance, Step};
use belay_host::{
    AppHost, KvTransaction, Runner, about,
    transaction::{self, BEGIN, END, How},
};
use belay_model::{Call, CallId, EffectClass, Outcome};
use parking_lot::Mutex;

use crate::{
    Book, Ended, Sign,
    open::End,
    story::{Log, Mirrored, millis},
    told,
};

/// Calls of one mirror.
const CALLS_MAX: usize = 2_000;

/// What it has seen so far. The transaction looks at it when it has to decide.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) signs: Vec<Sign>,
    /// Keys that it writes.
    pub(crate) keys: BTreeSet<String>,
    pub(crate) mirrored: Mirrored,
    /// Nothing more will come.
    pub(crate) is_done: bool,
}

/// A mirror that is about to run.
pub(crate) struct Ahead<'h> {
    pub(crate) host: &'h AppHost,
    pub(crate) book: &'h Book,
    pub(crate) seen: Arc<Mutex<Seen>>,
    /// When its transaction began.
    pub(crate) since: Instant,
}

/// One that runs.
struct Running<'a, 'h> {
    ahead: &'a Ahead<'h>,
    kv: KvTransaction,
    log: Log,
    /// Transactions within it that are open.
    depth: u32,
    calls: usize,
    /// A service was answered for.
    guessed: bool,
}

/// Why it goes no further.
enum Stop {
    /// The transaction ends so.
    Ended(Box<Option<Ended>>),
    /// Something that cannot be done without doing it.
    Unmodelled(String),
    /// It waits for what only its original can be given.
    Waits,
}

impl Ahead<'_> {
    /// Runs `instance`, a fork that waits for its turn, as far as it gets.
    pub(crate) async fn run(
        &self,
        mut instance: Instance,
        turn: (CallId, Outcome),
        runner: &impl Runner,
    ) {
        let before = instance.usage().cpu;
        let (kv, log) = (self.host.begin_kv(), Log::new(self.since));
        let mut running = Running { ahead: self, kv, log, depth: 0, calls: 0, guessed: false };
        instance.resolve(turn.0, turn.1);
        let stop = loop {
            let (stepped, step) = runner.run(instance).await;
            instance = stepped;
            let stop = match step {
                Step::Done(_) => Err(Stop::Waits),
                Step::Failed(failure) => Err(Stop::Ended(Box::new(Some(Ended::Failed(failure))))),
                Step::Pending { calls, .. } => running.answer(calls, &mut instance).await,
            };
            running.tell(instance.usage().cpu.saturating_sub(before));
            if let Err(stop) = stop {
                break stop;
            }
        };
        running.stop(&stop);
    }
}

impl Running<'_, '_> {
    async fn answer(&mut self, calls: Vec<Call>, instance: &mut Instance) -> Result<(), Stop> {
        if calls.is_empty() {
            return Err(Stop::Waits);
        }
        for call in calls {
            self.calls += 1;
            if self.calls > CALLS_MAX {
                return Err(Stop::Unmodelled(format!("more than {CALLS_MAX} calls")));
            }
            let outcome = self.perform(&call).await?;
            instance.resolve(call.id, outcome);
        }
        Ok(())
    }

    async fn perform(&mut self, call: &Call) -> Result<Outcome, Stop> {
        match call.op.as_str() {
            BEGIN => {
                self.depth += 1;
                return Ok(transaction::only_attempt(call));
            }
            END => return self.end(call),
            "timer" => return Ok(Outcome::json("null")),
            _ => {}
        }
        let begun = Instant::now();
        let about = match about(call) {
            Ok(about) => about,
            Err(error) => return Ok(Outcome::Err(error)),
        };
        let outcome = match (about.class, &about.service) {
            (EffectClass::External { .. }, Some(service)) => {
                let answered = self.ahead.book.answered(&service.name, &about.subject);
                self.log.note((&call.op, &about.subject), begun, &Outcome::json("null"));
                self.guessed = true;
                let unknown = || Stop::Unmodelled(format!("what {} answers", service.name));
                answered.ok_or_else(unknown)?
            }
            (EffectClass::External { .. }, None) => {
                return Err(Stop::Unmodelled(call.op.clone()));
            }
            (EffectClass::Write, _) if call.op.starts_with("kv.") => {
                let outcome = self.kv.perform(call).await;
                self.ahead.seen.lock().keys.extend(self.kv.keys().map(str::to_owned));
                outcome
            }
            (EffectClass::Read, _) if call.op.starts_with("kv.") => self.kv.perform(call).await,
            (EffectClass::Read, _) if call.op == "secret.get" => {
                self.ahead.host.perform(call).await
            }
            // A statement that only reads may still do harm.
            (EffectClass::Read | EffectClass::Write, _) => {
                return Err(Stop::Unmodelled(call.op.clone()));
            }
        };
        if !matches!(about.class, EffectClass::External { .. }) {
            self.log.note((&call.op, &about.subject), begun, &outcome);
        }
        Ok(outcome)
    }

    fn end(&mut self, call: &Call) -> Result<Outcome, Stop> {
        if self.depth > 0 {
            self.depth -= 1;
            return Ok(transaction::only_attempt(call));
        }
        let end = End::read(call);
        let ended = match end.how {
            How::Done => None,
            How::Failed => Some(end.ended.unwrap_or_else(told::unreadable)),
            How::Unmet => Some(Ended::Unmet { criterion: "its criterion".to_owned() }),
        };
        Err(Stop::Ended(Box::new(ended)))
    }

    /// What is known by now.
    fn tell(&self, cpu: Duration) {
        let mut seen = self.ahead.seen.lock();
        seen.mirrored.effects = self.log.effects();
        seen.mirrored.cpu_ms = millis(cpu);
        seen.mirrored.at_ms = millis(self.ahead.since.elapsed());
    }

    fn stop(&self, stop: &Stop) {
        let mut seen = self.ahead.seen.lock();
        match stop {
            Stop::Waits => {}
            Stop::Unmodelled(what) => seen.mirrored.unmodelled = Some(what.clone()),
            Stop::Ended(ended) => match &**ended {
                None => seen.mirrored.ended = Some("done".to_owned()),
                Some(ended) => {
                    let what = told::what(ended);
                    // What a service will answer is a guess.
                    let strength = if self.guessed { 0.5 } else { 1.0 };
                    seen.signs.push(Sign::foreseen(&what, strength));
                    seen.mirrored.ended = Some(what);
                }
            },
        }
        seen.is_done = true;
    }
}
