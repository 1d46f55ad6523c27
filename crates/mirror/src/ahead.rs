//! The mirror: a fork of a transaction that runs ahead of it, reads for real and changes nothing.
//!
//! It pays for nothing that takes long: services are not called but answered for by what they answered last, after what they usually
//! take; and that time, as that of timers, is over as soon as there is nothing else to go on with. What it writes is seen by itself alone.
//!
//! Invariants: no effect leaves it but reads. What it cannot do without doing it, it does not guess: there it stops.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use belay_engine::{Instance, Step};
use belay_host::{
    AppHost, KvTransaction, Runner, Service, about,
    transaction::{self, BEGIN, END, How},
};
use belay_model::{Call, CallId, Category, EffectClass, Outcome};
use parking_lot::Mutex;

use crate::{
    Book, Ended, Sign,
    open::End,
    rules::Done,
    sql::{Blocker, Performed, Point, SqlAhead, Unmodelled},
    story::{Log, Mirrored, millis},
    told,
};

/// Calls of one mirror.
const CALLS_MAX: usize = 2_000;
/// Services that it asks and that are looked at.
const SERVICES_MAX: usize = 20;

/// What it has seen so far. The transaction looks at it when it has to decide.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) signs: Vec<Sign>,
    /// Keys and rows that it writes.
    pub(crate) keys: BTreeSet<String>,
    /// Others that are in the way of that.
    pub(crate) blockers: Vec<Blocker>,
    pub(crate) mirrored: Mirrored,
    pub(crate) done: Done,
    /// Services that it asks.
    pub(crate) services: Vec<Service>,
    /// What its requests usually take, together.
    pub(crate) expected_ms: f64,
    /// It had too little memory.
    pub(crate) out_of_memory: bool,
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
    /// That its tags allow.
    pub(crate) memory_bytes: Option<u64>,
}

/// One that runs.
struct Running<'a, 'h> {
    ahead: &'a Ahead<'h>,
    kv: KvTransaction,
    sql: SqlAhead<'h>,
    log: Log,
    /// Where transactions within it that are open have begun.
    inner: Vec<(KvTransaction, Point)>,
    calls: usize,
    /// Timers and answers of services, and when they are due on a clock of its own.
    due: Vec<(f64, CallId, Outcome)>,
    now_ms: f64,
    /// What the answer that was just given will take.
    takes_ms: Option<f64>,
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
        let (kv, sql) = (self.host.begin_kv(), SqlAhead::new(self.host, &self.book.catalog));
        let log = Log::new(self.since);
        let mut running = Running {
            ahead: self,
            kv,
            sql,
            log,
            inner: Vec::new(),
            calls: 0,
            due: Vec::new(),
            now_ms: 0.0,
            takes_ms: None,
            guessed: false,
        };
        instance.resolve(turn.0, turn.1);
        let stop = loop {
            let (stepped, step) = runner.run_first(instance).await;
            instance = stepped;
            let stop = match step {
                Step::Done(_) => Err(Stop::Waits),
                Step::Failed(failure) => Err(Stop::Ended(Box::new(Some(Ended::Failed(failure))))),
                Step::Pending { calls, cancelled } => {
                    running.due.retain(|(_, id, _)| !cancelled.contains(id));
                    running.answer(calls, &mut instance).await
                }
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
        let (timers, calls): (Vec<Call>, Vec<Call>) =
            calls.into_iter().partition(|call| call.op == "timer");
        for timer in timers {
            let args: serde_json::Value = serde_json::from_str(&timer.args).unwrap_or_default();
            let ms = args["ms"].as_f64().unwrap_or_default().max(0.0);
            self.due.push((self.now_ms + ms, timer.id, Outcome::json("null")));
        }
        // What is asked together with it would be held back.
        if calls.len() > 1 && calls.iter().any(|call| call.op == BEGIN) {
            return Err(Stop::Unmodelled("transactions at the same time".to_owned()));
        }
        let mut goes_on = false;
        for call in calls {
            self.count_call()?;
            let outcome = self.perform(&call).await?;
            match self.takes_ms.take() {
                Some(takes_ms) => self.due.push((self.now_ms + takes_ms, call.id, outcome)),
                None => {
                    goes_on = true;
                    instance.resolve(call.id, outcome);
                }
            }
        }
        if goes_on { Ok(()) } else { self.pass_time(instance) }
    }

    fn count_call(&mut self) -> Result<(), Stop> {
        self.calls += 1;
        match self.calls > CALLS_MAX {
            true => Err(Stop::Unmodelled(format!("more than {CALLS_MAX} calls"))),
            false => Ok(()),
        }
    }

    /// Time goes on where there is nothing else to go on with: to what is due first.
    fn pass_time(&mut self, instance: &mut Instance) -> Result<(), Stop> {
        let first =
            self.due.iter().enumerate().min_by(|(_, one), (_, other)| one.0.total_cmp(&other.0));
        let Some(at) = first.map(|(at, _)| at) else { return Err(Stop::Waits) };
        let (due_ms, id, outcome) = self.due.remove(at);
        self.count_call()?;
        self.now_ms = due_ms;
        instance.resolve(id, outcome);
        Ok(())
    }

    async fn perform(&mut self, call: &Call) -> Result<Outcome, Stop> {
        match call.op.as_str() {
            BEGIN => {
                self.inner.push((self.kv.clone(), self.sql.point()));
                return Ok(transaction::only_attempt(call));
            }
            END => return self.end(call),
            _ => {}
        }
        let begun = Instant::now();
        let about = match about(call) {
            Ok(about) => about,
            Err(error) => return Ok(Outcome::Err(error)),
        };
        self.count(about.class);
        let outcome = match (about.class, &about.service) {
            (EffectClass::External { .. }, Some(service)) => {
                let answered = self.ahead.book.answered(&service.name, &about.subject);
                self.log.note((&call.op, &about.subject), begun, &Outcome::json("null"));
                let usual_ms = self.ahead.book.usual_of(&service.name);
                self.asks(service, usual_ms);
                self.guessed = true;
                self.takes_ms = Some(usual_ms.unwrap_or_default());
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
            (EffectClass::Read | EffectClass::Write, _) if call.op == "sql.query" => {
                let performed = self.sql.perform(call).await;
                self.statement(performed.map_err(|Unmodelled(what)| Stop::Unmodelled(what))?)
            }
            (EffectClass::Read | EffectClass::Write, _) => {
                return Err(Stop::Unmodelled(call.op.clone()));
            }
        };
        if !matches!(about.class, EffectClass::External { .. }) {
            self.log.note((&call.op, &about.subject), begun, &outcome);
        }
        Ok(outcome)
    }

    fn asks(&self, service: &Service, usual_ms: Option<f64>) {
        let mut seen = self.ahead.seen.lock();
        seen.expected_ms += usual_ms.unwrap_or_default();
        if seen.services.len() < SERVICES_MAX
            && seen.services.iter().all(|it| it.name != service.name)
        {
            seen.services.push(service.clone());
        }
    }

    fn count(&self, class: EffectClass) {
        let mut seen = self.ahead.seen.lock();
        let Done { reads, writes, calls, .. } = &mut seen.done;
        let count = match class {
            EffectClass::Read => reads,
            EffectClass::Write => writes,
            EffectClass::External { .. } => calls,
        };
        *count += 1;
    }

    fn statement(&self, performed: Performed) -> Outcome {
        let mut seen = self.ahead.seen.lock();
        seen.keys.extend(performed.keys);
        seen.done.rows = seen.done.rows.saturating_add(rows(&performed.outcome));
        seen.blockers.extend(performed.blockers);
        if let Some((constraint, table)) = performed.violated {
            seen.signs.push(Sign::violation(&constraint, &table));
        }
        performed.outcome
    }

    fn end(&mut self, call: &Call) -> Result<Outcome, Stop> {
        let end = End::read(call);
        if let Some((kv, point)) = self.inner.pop() {
            if end.how != How::Done {
                self.kv = kv;
                self.sql.go_back(&point).map_err(|Unmodelled(what)| Stop::Unmodelled(what))?;
            }
            return Ok(transaction::only_attempt(call));
        }
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
                    seen.out_of_memory = matches!(ended, Ended::Failed(failure) if failure.category == Category::OutOfMemory);
                    // What a service will answer is a guess.
                    let strength = if self.guessed { 0.5 } else { 1.0 };
                    let sign = match (seen.out_of_memory, self.ahead.memory_bytes) {
                        (true, Some(bytes)) => Sign::memory(bytes),
                        _ => Sign::foreseen(&what, strength),
                    };
                    seen.signs.push(sign);
                    seen.mirrored.ended = Some(what);
                }
            },
        }
        seen.is_done = true;
    }
}

/// Rows that a statement has answered, or changed.
fn rows(outcome: &Outcome) -> u32 {
    let Outcome::Ok { value, .. } = outcome else { return 0 };
    let answer: serde_json::Value = serde_json::from_str(value).unwrap_or_default();
    let answered = answer["rows"].as_array().map_or(0, Vec::len) as u64;
    let changed = answer["changed"].as_u64().unwrap_or_default();
    u32::try_from(answered.max(changed)).unwrap_or(u32::MAX)
}
