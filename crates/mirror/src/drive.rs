//! Drives an invocation with its transactions.
//!
//! ```text
//! host::Driving ──tx.begin──▶ snapshot ──▶ answer it ──▶ step ──▶ perform what it asks, hold back the rest ──┐
//!      ▲                         ▲                        ▲───────────────────────────────────────────────┤
//!      │                         │ again, or another way                                                  │ tx.end
//!      └──── committed, or failed ┴◀──────────────────────── attempts ◀────────────────────────────────────┘
//! ```
//! Without transactions it is [`belay_host::drive`]. Retried is what may be cured by that ([`Attempts`]): the snapshot goes on
//! in the place of the instance, so nothing before the transaction runs again.
//!
//! [`foresight`] is what is looked at before something is done, and [`ending`] how attempts end.
//!
//! Invariant: whatever ends the invocation, what was not committed is undone.

mod ending;
mod foresight;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use belay_engine::Instance;
use belay_host::{
    AppHost, Asked, Begun, Driving, Finished, Landed, Recorder, Runner, Stepped, Trace, Turn,
    begin, classify, code,
    transaction::{BEGIN, END, Spec},
};
use belay_model::{Call, CallId, Category, EffectClass, EffectError, Failure, Outcome};
use futures_util::FutureExt as _;
use tokio::sync::Mutex;

use crate::{
    Book, Ended, External, Verdict,
    open::{End, Frame},
    resources::{Resources, Savepoint},
    told,
    watch::Watch,
};

/// Of which invocation the transactions are.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// The same for each try of an event; it names the invocation to the services that it calls.
    pub request: &'a str,
    /// Of its app.
    pub book: &'a Book,
    /// Of what can be done at a time where it runs, the share that is being done. 0 to 1.
    pub load: f64,
}

/// Drives `instance` to its end, as [`belay_host::drive_recorded`], with its transactions.
pub async fn drive<'h>(
    (instance, host, trace): (Instance, &'h AppHost, Option<Trace<'h>>),
    runner: &'h impl Runner,
    deadline: Instant,
    recorder: Option<&mut Recorder>,
    invocation: Invocation<'h>,
) -> Finished {
    match begin((instance, host, trace), runner, deadline, recorder).await {
        Begun::Finished(finished) => finished,
        Begun::Driving(driving, asked) => {
            let session = Session { driving, runner, deadline, invocation, begun: 0 };
            // Boxed, so that the future of a function without calls stays small.
            Box::pin(session.run(asked)).await
        }
    }
}

/// Half of what another writer of the file waits.
const LOCKED_MAX: Duration = Duration::from_millis(2_500);

struct Session<'h, 'r, R> {
    driving: Box<Driving<'h, 'r>>,
    runner: &'h R,
    deadline: Instant,
    invocation: Invocation<'h>,
    /// Transactions so far.
    begun: u32,
}

impl<R: Runner> Session<'_, '_, R> {
    async fn run(mut self, mut asked: Asked) -> Finished {
        loop {
            let turn = self.driving.run(asked, self.runner, self.deadline, |call| call.op == BEGIN);
            match turn.await {
                Turn::Finished(finished) => return finished,
                Turn::Asked(special) => match self.transaction(special).await {
                    Stepped::Asked(more) => asked = more,
                    Stepped::Ended(result) => return self.driving.finish(result),
                },
            }
        }
    }

    /// From the first `tx.begin` until none is open.
    async fn transaction(&mut self, asked: Asked) -> Stepped {
        let prefix = format!("{}-{}", self.invocation.request, self.begun);
        self.begun += 1;
        let host = self.driving.flight.host();
        // That of the outermost one holds.
        let begin = asked.calls.iter().find(|call| call.op == BEGIN);
        let spec = begin.and_then(|call| serde_json::from_str::<Spec>(&call.args).ok());
        let isolation = spec.as_ref().and_then(|spec| spec.isolation);
        let timeout_ms = spec.as_ref().and_then(|spec| spec.timeout_ms);
        let lock_timeout = timeout_ms.map(|ms| Duration::from_millis(ms) / 2);
        let mut open = Open {
            watch: Watch::new(self.invocation),
            session: self,
            locked: None,
            frames: Vec::new(),
            resources: Arc::new(Mutex::new(Resources::new(host, isolation, lock_timeout))),
            external: External::new(prefix),
            using: BTreeSet::new(),
            early: Vec::new(),
            ordinals: HashMap::new(),
            released: Asked::default(),
        };
        match open.run(asked).await {
            Ok(asked) => Stepped::Asked(asked),
            Err(ended) => {
                open.abandoned();
                ended
            }
        }
    }
}

/// Transactions that are open, the outermost first.
struct Open<'o, 'h, 'r, R> {
    session: &'o mut Session<'h, 'r, R>,
    frames: Vec<Frame>,
    /// Calls of one transaction use it one after another, in their order.
    resources: Arc<Mutex<Resources<'h>>>,
    external: External,
    /// Calls of the resources that are being performed.
    using: BTreeSet<CallId>,
    /// Answers that came while one was about to begin.
    early: Answers,
    /// External calls that are being performed.
    ordinals: HashMap<CallId, usize>,
    /// What was held back and need not be any more.
    released: Asked,
    watch: Watch<'h>,
    /// Until when it may hold the write lock of an SQLite file over a request, and which that is.
    locked: Option<(Instant, String)>,
}

type Answers = Vec<(CallId, Outcome)>;

/// With what the instance goes on; or how the invocation has ended.
type Next<T = Answers> = Result<T, Stepped>;

impl<'h, R: Runner> Open<'_, 'h, '_, R> {
    /// Until none is open, or the invocation has ended.
    async fn run(&mut self, mut asked: Asked) -> Next<Asked> {
        loop {
            let Some(answers) = self.turn(asked).await? else { return Ok(Asked::default()) };
            asked = self.go_on(answers).await?;
            if self.frames.is_empty() {
                return Ok(asked);
            }
        }
    }

    /// Gives the instance answers until it waits: what it asks for then, and what was held back until now.
    async fn go_on(&mut self, mut answers: Answers) -> Next<Asked> {
        loop {
            let mut asked = std::mem::take(&mut self.released);
            let landed = Landed::Some(answers);
            let stepped = self.session.driving.step(landed, self.session.runner).await;
            match stepped {
                Stepped::Ended(result) => answers = self.cut_short(result).await?,
                Stepped::Asked(more) => {
                    asked.calls.extend(more.calls);
                    asked.cancelled.extend(more.cancelled);
                    return Ok(asked);
                }
            }
        }
    }

    /// Performs what is asked, until there is something to go on with; nothing where none has begun.
    async fn turn(&mut self, asked: Asked) -> Next<Option<Answers>> {
        match self.ask(asked).await? {
            Some(answers) => Ok(Some(answers)),
            None if self.frames.is_empty() => Ok(None),
            None => self.wait().await.map(Some),
        }
    }

    async fn ask(&mut self, asked: Asked) -> Next<Option<Answers>> {
        self.cancel(asked.cancelled);
        let mut calls = asked.calls.into_iter();
        while let Some(call) = calls.next() {
            self.session.driving.note_asked(std::slice::from_ref(&call), &[]);
            match call.op.as_str() {
                BEGIN => {
                    if let Some(frame) = self.begin(&call).await? {
                        let turn = frame.turn();
                        // Whatever was asked together with it has to wait.
                        frame.held.calls.extend(calls);
                        return Ok(Some(vec![turn]));
                    }
                }
                END => self.note_end(&call),
                _ => {
                    let turn = match self.look_ahead(&call).await {
                        None => self.give_way(&call).await,
                        turn => turn,
                    };
                    match turn {
                        Some(foresight::Turn::Ended(ended)) => {
                            return self.ended(0, ended, None).await.map(Some);
                        }
                        Some(foresight::Turn::Anew(until)) => {
                            return self.anew(until).await.map(Some);
                        }
                        None => {}
                    }
                    self.note_lock(&call);
                    if let Some(diverged) = self.start(call) {
                        let at = self.frames.len() - 1;
                        return self.ended(at, diverged, None).await.map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Its own calls are given up at once; those of others only when it is sure to go on.
    fn cancel(&mut self, cancelled: Vec<CallId>) {
        for id in cancelled {
            let frame = self.frames.last_mut().filter(|frame| frame.held.is_of_others(id));
            match frame {
                Some(frame) => frame.held.cancelled.push(id),
                None => {
                    self.using.remove(&id);
                    self.ordinals.remove(&id);
                    self.watch.forget(id);
                    self.session.driving.note_asked(&[], &[id]);
                    self.session.driving.flight.cancel(&[id]);
                }
            }
        }
    }

    /// Opens one, unless that is refused.
    async fn begin(&mut self, call: &Call) -> Next<Option<&mut Frame>> {
        self.settle().await;
        let (spec, savepoint) = match self.beginning(call).await {
            Ok(beginning) => beginning,
            Err(error) => {
                let refused = std::future::ready(Outcome::Err(error));
                self.session.driving.flight.start_as(call, refused.boxed());
                return Ok(None);
            }
        };
        let mark = self.session.driving.mark();
        let instance = self.session.driving.instance().ok_or_else(gone)?;
        let made = self.external.made();
        let pause_ms = self.watch.pause_ms(&spec.id);
        let frame = Frame::open((spec, call.id), instance, (mark, savepoint, made), pause_ms);
        let mut frame = frame.map_err(|error| engine(&error))?;
        frame.limit(instance);
        if self.frames.is_empty() {
            let (flight, runner) = (&mut self.session.driving.flight, self.session.runner);
            if let Some(mirror) = self.watch.begin(&mut frame, flight.host(), runner) {
                flight.accompany(mirror);
            }
        }
        frame.held.answers = std::mem::take(&mut self.early);
        self.frames.push(frame);
        Ok(self.frames.last_mut())
    }

    /// What the one around has written is not to be undone with the one that begins: it is waited for.
    async fn settle(&mut self) {
        while !self.using.is_empty() {
            let deadline = self.deadline().0;
            match self.session.driving.flight.land(deadline).await {
                Landed::Some(answers) => {
                    let own = self.landed(answers);
                    self.early.extend(own);
                }
                // Then it is for the one around to say so.
                Landed::Late | Landed::Nothing => return,
            }
        }
    }

    async fn beginning(&mut self, call: &Call) -> Result<(Spec, Savepoint), EffectError> {
        let spec = serde_json::from_str(&call.args).map_err(|error| EffectError {
            code: code::BAD_ARGUMENTS.to_owned(),
            message: format!("{BEGIN}: {error}"),
        })?;
        let resources = Arc::clone(&self.resources);
        let saving = async { resources.lock().await.savepoint().await };
        let saving = tokio::time::timeout_at(self.deadline().0.into(), saving);
        let saved = self.session.driving.flight.beside(saving).await;
        let savepoint = saved.map_err(|_| EffectError {
            code: code::SQL_TIMEOUT.to_owned(),
            message: "what the transaction around it has asked for was not answered in time"
                .to_owned(),
        })??;
        Ok((spec, savepoint))
    }

    fn note_end(&mut self, call: &Call) {
        let Some(frame) = self.frames.last_mut() else { return };
        frame.end = Some(End::read(call));
    }

    /// Performs a call; says so if it cannot be, as another one was before.
    fn start(&mut self, call: Call) -> Option<Ended> {
        let within = !self.frames.is_empty();
        let allowed = self.allowed();
        let flight = &mut self.session.driving.flight;
        let (host, trace) = (flight.host(), flight.trace());
        if within && Resources::take(&call) {
            let (resources, own) = (Arc::clone(&self.resources), call.clone());
            let performing = async move { resources.lock().await.perform(&own).await };
            flight.start_as(&call, performing.boxed());
            self.using.insert(call.id);
            self.watch.called(&call, allowed);
            return None;
        }
        let external = matches!(classify(&call), Ok(EffectClass::External { safe: false }));
        if !external || !within {
            let own = call.clone();
            let performing = async move { host.perform_for(&own, trace).await };
            flight.start_as(&call, performing.boxed());
            if within {
                self.watch.called(&call, allowed);
            }
            return None;
        }
        match self.external.ask(&call) {
            Verdict::Perform { ordinal, key } | Verdict::Repeat { ordinal, key } => {
                self.ordinals.insert(call.id, ordinal);
                let own = call.clone();
                let performing = async move { host.perform_once(&own, trace, &key).await };
                flight.start_as(&call, performing.boxed());
                self.watch.called(&call, allowed);
                None
            }
            // Nobody is asked.
            Verdict::Known(outcome) => {
                flight.start_as(&call, std::future::ready(outcome).boxed());
                None
            }
            Verdict::Diverged { was, now } => Some(Ended::Diverged { was, now }),
        }
    }

    /// Until the innermost one has something to go on with.
    async fn wait(&mut self) -> Next {
        if !self.early.is_empty() {
            return Ok(std::mem::take(&mut self.early));
        }
        loop {
            let driving = &mut self.session.driving;
            let instance = driving.instance().ok_or_else(gone)?;
            let Some(frame) = self.frames.last_mut() else { return Err(gone()) };
            let own = frame.own(instance);
            // What it has asked and not waited for is part of it, but for timers.
            let busy = own.iter().any(|id| driving.flight.performs(*id));
            if let Some(end) = frame.end.take_if(|_| !busy) {
                return self.end(end).await;
            }
            if own.is_empty() {
                let stuck = Ended::Failed(told::deadlock(&frame.spec));
                return self.ended(self.frames.len() - 1, stuck, None).await;
            }
            let (deadline, at) = self.deadline();
            match self.session.driving.flight.land(deadline).await {
                Landed::Some(answers) => {
                    let own = self.landed(answers);
                    if !own.is_empty() {
                        return Ok(own);
                    }
                }
                Landed::Late | Landed::Nothing => match at {
                    Some(at) => {
                        let late = match &self.locked {
                            Some((until, database)) if *until <= deadline => told::locked(database),
                            _ => told::late(&self.frames[at].spec),
                        };
                        let late = Ended::Failed(late);
                        return self.ended(at, late, None).await;
                    }
                    None => return Err(self.late().await),
                },
            }
        }
    }

    /// The next one, and of which transaction it is.
    fn deadline(&self) -> (Instant, Option<usize>) {
        let of_frames = self.frames.iter().enumerate();
        let of_frames = of_frames.filter_map(|(at, frame)| Some((frame.deadline()?, Some(at))));
        let locked = self.locked.iter().map(|(until, _)| (*until, Some(0)));
        let all = of_frames.chain(locked).chain([(self.session.deadline, None)]);
        // Of two at one time that of the invocation counts, then that of the outer one.
        all.min_by_key(|(deadline, at)| (*deadline, at.map_or(0, |at| at + 1)))
            .unwrap_or((self.session.deadline, None))
    }

    /// The answers that the innermost one may have now.
    fn landed(&mut self, answers: Answers) -> Answers {
        for (id, outcome) in &answers {
            self.watch.landed(*id, outcome);
            self.using.remove(id);
            if let Some(ordinal) = self.ordinals.remove(id) {
                note_external(&mut self.external, ordinal, outcome);
            }
        }
        self.locked.take_if(|_| !self.watch.asks_outside());
        let Some(frame) = self.frames.last_mut() else { return answers };
        let (held, own): (Answers, Answers) =
            answers.into_iter().partition(|(id, _)| frame.held.is_of_others(*id));
        frame.held.answers.extend(held);
        if frame.end.is_some() {
            frame.settled.extend(own);
            return Vec::new();
        }
        own
    }

    /// What is asked of its resources; nothing while one of them is being used, which may be for long.
    fn glimpse<T: Default>(&self, ask: impl FnOnce(&Resources<'h>) -> T) -> T {
        self.resources.try_lock().map(|resources| ask(&resources)).unwrap_or_default()
    }
}

/// What a service has answered is known from then on. That it was not able to, or was not reached, says nothing of whether
/// it has done something; that the call never left, does.
fn note_external(external: &mut External, ordinal: usize, outcome: &Outcome) {
    match outcome {
        Outcome::Ok { value, .. } => {
            let answer: serde_json::Value = serde_json::from_str(value).unwrap_or_default();
            let status = answer["status"].as_u64().unwrap_or_default();
            if status < 500 && status != 429 {
                external.note(ordinal, outcome);
            }
        }
        Outcome::Err(error) if told::never_left(&error.code) => external.refused(ordinal),
        Outcome::Err(_) => {}
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn engine(error: &dyn std::fmt::Display) -> Stepped {
    let failure = Failure::new(Category::Engine, "Belay.Engine", error.to_string());
    Stepped::Ended(Err(failure))
}

fn gone() -> Stepped {
    engine(&"the invocation was given up in a step")
}
