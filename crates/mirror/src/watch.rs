//! What is seen of one transaction while it runs, from its begin to its end; [`decision`] is what is to be done about what is foreseen.

mod decision;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use belay_engine::Instance;
use belay_host::{AppHost, Runner, Service, about, code};
use belay_model::{Call, CallId, Outcome, TransactionName};
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    Attempts, Book, Choice, Ended, Foreseen, Heard, Hindsight, Invocation, Sign, Story,
    ahead::{Ahead, Seen},
    book::Learned,
    open::Frame,
    queue::Place,
    story::{Became, Log, millis},
    told,
};

/// The primary waits for its mirror no longer, and no longer than this share of its time.
const WAIT_MAX: Duration = Duration::from_millis(2);
const WAIT_SHARE: u32 = 10;
/// After a pause it waits for its turn so many times as long as an attempt takes.
const TURN_MAX: u32 = 20;
/// Of one attempt.
const TOUCHED_MAX: usize = 100;

/// Of an outermost transaction.
pub(crate) struct Watch<'h> {
    book: &'h Book,
    request: &'h str,
    load: f64,
    since: Instant,
    log: Log,
    /// Calls that are being performed.
    calls: BTreeMap<CallId, Performing>,
    id: Option<TransactionName>,
    /// Its tags say so.
    predicted: bool,
    /// Others are often in the way of those of its name.
    contended: bool,
    /// Of the attempt, what it has read and written: keys of the kv, and statements with their parameters.
    touched: Vec<String>,
    mirror: Option<(Arc<Mutex<Seen>>, Arc<Notify>)>,
    /// Others have come to their end since the mirror has looked, or it ran ahead of another attempt.
    stale: bool,
    foreseen: Option<Foreseen>,
    signs: Vec<Sign>,
    choices: Vec<Choice>,
    saved_ms: f64,
    /// Signs that only its mirror could see, and what these have saved.
    seen: Vec<Sign>,
    earned_ms: f64,
    learned: Option<Learned>,
    consulted: bool,
    /// What was done about it has changed its attempt.
    altered: bool,
    /// The forecast about which something was done first, and how many of a failure that were.
    acted_on: Option<Foreseen>,
    prevented: u32,
    /// How often it has waited for others in its queues, and for what others hold.
    turns: u32,
    anew: u32,
    held_ms: f64,
    /// It has come to a call that cannot be undone.
    asked: bool,
    /// Among those that write the same.
    place: Option<Place<'h>>,
    warnings: Vec<String>,
    /// For others that write the same.
    waited: Duration,
}

struct Performing {
    op: String,
    subject: String,
    begun: Instant,
    service: Option<(Service, Duration)>,
}

impl<'h> Watch<'h> {
    pub(crate) fn new(invocation: Invocation<'h>) -> Self {
        let Invocation { request, book, load } = invocation;
        let since = Instant::now();
        Self {
            book,
            request,
            load,
            since,
            log: Log::new(since),
            calls: BTreeMap::new(),
            id: None,
            predicted: false,
            contended: false,
            touched: Vec::new(),
            mirror: None,
            stale: false,
            foreseen: None,
            signs: Vec::new(),
            choices: Vec::new(),
            saved_ms: 0.0,
            seen: Vec::new(),
            earned_ms: 0.0,
            learned: None,
            consulted: false,
            altered: false,
            acted_on: None,
            prevented: 0,
            turns: 0,
            anew: 0,
            held_ms: 0.0,
            asked: false,
            place: None,
            warnings: Vec::new(),
            waited: Duration::ZERO,
        }
    }

    /// The mirror of the outermost transaction, if there is to be one.
    pub(crate) fn begin<R: Runner>(
        &mut self,
        frame: &mut Frame,
        host: &'h AppHost,
        runner: &'h R,
    ) -> Option<BoxFuture<'h, ()>> {
        self.id = Some(frame.spec.id.clone());
        self.predicted = frame.spec.predict;
        self.contended = self.predicted && self.book.is_contended(&frame.spec.id);
        // What an app's own rules look at is what mirrors do.
        let random = if frame.spec.rules.is_empty() { rand::random() } else { 0.0 };
        if !self.book.begin(&frame.spec.id, frame.spec.predict, random) {
            return None;
        }
        // Without memory for it, it goes without.
        let mut fork: Instance = frame.snapshot.fork(belay_engine::Seed::Keep).ok()?;
        frame.limit(&mut fork);
        let memory_bytes = frame.spec.memory_bytes;
        let (seen, done) = (Arc::<Mutex<Seen>>::default(), Arc::new(Notify::new()));
        self.mirror = Some((seen.clone(), done.clone()));
        let (book, since, turn) = (self.book, self.since, frame.turn());
        let run = async move {
            let ahead = Ahead { host, book, seen: seen.clone(), since, memory_bytes };
            // Whatever goes wrong in it is no matter of its original.
            let run = AssertUnwindSafe(ahead.run(fork, turn, runner)).catch_unwind();
            if run.await.is_err() {
                let mut seen = seen.lock();
                seen.mirrored.unmodelled = Some("an error of Belay's own".to_owned());
                seen.is_done = true;
            }
            done.notify_one();
        };
        Some(run.boxed())
    }

    /// The turn of its place has come, or was not waited for any longer.
    pub(crate) async fn turn(&mut self, limit: Duration) {
        let begun = Instant::now();
        if let Some(place) = &mut self.place {
            place.turn(limit).await;
        }
        self.waited += begun.elapsed();
        self.turns += 1;
        self.stale = true;
    }

    /// Others may go while it makes a pause; how long it then waits for its turn, if it has a place.
    pub(crate) fn step_aside(&mut self) -> Option<Duration> {
        let usual_ms = self.pause_ms(self.id.as_ref()?);
        let place = self.place.as_mut()?;
        place.step_aside();
        Some(Duration::from_millis(usual_ms.max(1)) * TURN_MAX)
    }

    pub(crate) fn pause_ms(&self, id: &TransactionName) -> u64 {
        self.book.pause_ms(id)
    }

    /// The mirror of the attempt that goes on.
    fn ahead(&self) -> Option<&(Arc<Mutex<Seen>>, Arc<Notify>)> {
        self.mirror.as_ref().filter(|_| !self.stale)
    }

    /// For how long others hold what it is about to write, as far as is known.
    pub(crate) fn held_ms(&self) -> f64 {
        self.held_ms
    }

    /// Whether it may be tried again for what a service or a database did.
    pub(crate) fn may_repeat(&self) -> bool {
        self.id.as_ref().is_none_or(|id| self.book.draw(id, now_ms()))
    }

    /// Tells its author something, once.
    pub(crate) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Whether a service is being asked.
    pub(crate) fn asks_outside(&self) -> bool {
        self.calls.values().any(|call| call.service.is_some())
    }

    /// It is about to read or write this.
    pub(crate) fn touch(&mut self, key: String) {
        if self.touched.len() < TOUCHED_MAX && !self.touched.contains(&key) {
            self.touched.push(key);
        }
    }

    /// Whether nothing of the attempt has been read or written yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.touched.is_empty()
    }

    /// A call of the transaction begins.
    pub(crate) fn called(&mut self, call: &Call, allowed: Duration) {
        let Ok(about) = about(call) else { return };
        let service = about.service.map(|service| {
            let allowed = service.timeout.min(allowed);
            (service, allowed)
        });
        let (op, subject, begun) = (call.op.clone(), about.subject, Instant::now());
        self.calls.insert(call.id, Performing { op, subject, begun, service });
    }

    /// A call was given up by the code that made it: that says nothing of anybody.
    pub(crate) fn forget(&mut self, id: CallId) {
        self.calls.remove(&id);
    }

    /// A call has been answered.
    pub(crate) fn landed(&mut self, id: CallId, outcome: &Outcome) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.log.note((&call.op, &call.subject), call.begun, outcome);
        let Some((service, allowed)) = call.service else { return };
        let took = call.begun.elapsed();
        let heard = match outcome {
            Outcome::Err(error) if told::never_left(&error.code) => return,
            Outcome::Ok { value, .. } if is_answer(status(value)) => Heard::Answered,
            Outcome::Err(error) if error.code == code::HTTP_TIMEOUT => Heard::Nothing,
            Outcome::Ok { .. } | Outcome::Err(_) => Heard::Failed,
        };
        let bad = heard != Heard::Answered || took > allowed;
        if let Some(id) = &self.id {
            self.book.called((id, &service.name), (millis(took), heard), bad, now_ms());
        }
        if heard == Heard::Answered {
            self.book.note_answer(&service.name, &call.subject, outcome);
        }
    }

    /// An attempt is over: what it still waits for was too late.
    pub(crate) fn given_up(&mut self) {
        for call in std::mem::take(&mut self.calls).into_values() {
            let Some((service, allowed)) = call.service else { continue };
            let took = call.begun.elapsed();
            if let Some(id) = self.id.as_ref().filter(|_| took >= allowed) {
                let heard = (millis(took), Heard::Nothing);
                self.book.called((id, &service.name), heard, true, now_ms());
            }
        }
    }

    /// What to wait for before a decision, and how long.
    pub(crate) fn waits(&self, timeout: Duration) -> Option<(Arc<Notify>, Duration)> {
        let (seen, done) = self.ahead()?;
        if self.consulted || seen.lock().is_done {
            return None;
        }
        Some((done.clone(), wait_most(timeout)))
    }

    /// It has waited for what others hold, and begins anew.
    pub(crate) fn has_waited(&mut self, since: Instant) {
        self.waited += since.elapsed();
        self.anew += 1;
        self.stale = true;
    }

    /// Why it is diverted, for people.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let reasons = self.foreseen.iter().flat_map(|it| &it.forecast.reasons);
        reasons.map(|(sign, _)| sign.text.clone()).collect()
    }

    /// An attempt has ended, for good (`None`) or not; `keys` are what it wrote to the kv.
    pub(crate) fn learn(&mut self, attempts: &Attempts, ended: Option<&Ended>, keys: &[String]) {
        let conflict = matches!(ended, Some(Ended::Conflict { .. }));
        // That nothing came of it where others were about says nothing.
        let met = self.place.as_ref().is_some_and(Place::has_met);
        if let Some(id) = self.id.as_ref().filter(|_| attempts.number() == 1 && (conflict || !met))
        {
            self.book.attempted(id, conflict);
        }
        self.fought_over(keys, ended);
        let failed = ended.is_some();
        let Some(foreseen) = &self.foreseen else { return };
        // What it would have come to if nothing had been done about it, nobody knows.
        if attempts.number() == 1 && self.learned.is_none() && !self.altered {
            let lead_ms = (millis(self.since.elapsed()) - foreseen.at_ms).max(0.0);
            let said = foreseen.forecast.probability;
            let hindsight = Hindsight { said, failed, lead_ms };
            self.learned = Some(Learned { signs: self.signs.clone(), hindsight });
        }
    }

    /// What others wrote meanwhile was one of these; which, is said or not.
    fn fought_over(&self, keys: &[String], ended: Option<&Ended>) {
        let rows: Vec<String> = match &self.mirror {
            Some((seen, _)) => seen.lock().keys.iter().cloned().collect(),
            None => Vec::new(),
        };
        let all: BTreeSet<&str> =
            keys.iter().chain(&rows).chain(&self.touched).map(String::as_str).collect();
        let Some(Ended::Conflict { what }) = ended else {
            if !self.place.as_ref().is_some_and(Place::has_met) {
                self.book.wrote(all.into_iter(), false);
            }
            return;
        };
        let is_said = |key: &&&str| what.contains(&format!("\"{key}\""));
        let said: Vec<&str> = all.iter().filter(is_said).copied().collect();
        match said.is_empty() {
            true => self.book.wrote(all.into_iter(), true),
            false => self.book.wrote(said.into_iter(), true),
        }
    }

    /// The next attempt is looked at anew.
    pub(crate) fn again(&mut self, attempt: u32) {
        self.touched.clear();
        self.log.again(attempt);
        self.stale = true;
        self.consulted = false;
    }

    /// The outermost one is over.
    pub(crate) fn end(&mut self, frame: &Frame, became: Became) {
        let way = frame.spec.ways.get(frame.attempts.way()).cloned().unwrap_or_default();
        let mirror = self.mirror.take().map(|(seen, _)| seen.lock().mirrored.clone());
        self.place = None;
        let story = Story {
            id: frame.spec.id.clone(),
            request: self.request.to_owned(),
            way,
            became,
            took_ms: millis(self.since.elapsed()),
            waited_ms: millis(self.waited),
            attempts: frame.attempts.history().to_vec(),
            effects: self.log.effects(),
            mirror,
            forecast: self.acted_on.take().or(self.foreseen.take()),
            choices: std::mem::take(&mut self.choices),
            saved_ms: self.saved_ms,
            earned_ms: self.earned_ms,
            warnings: std::mem::take(&mut self.warnings),
        };
        self.book.end(story, (self.learned.take(), self.prevented), self.asked);
    }
}

/// What an attempt that may take `timeout` waits for its mirror.
fn wait_most(timeout: Duration) -> Duration {
    (timeout / WAIT_SHARE).min(WAIT_MAX)
}

/// A service that is not able to, or asked too often, has not answered.
fn is_answer(status: u64) -> bool {
    status < 500 && status != 429
}

fn status(value: &str) -> u64 {
    let answer: serde_json::Value = serde_json::from_str(value).unwrap_or_default();
    answer["status"].as_u64().unwrap_or_default()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_waited_for_a_tenth_of_the_time_and_no_longer_than_two_milliseconds() {
        let millis = Duration::from_millis;
        assert_eq!(wait_most(millis(5)), Duration::from_micros(500));
        assert_eq!(wait_most(millis(20)), millis(2));
        assert_eq!(wait_most(millis(30_000)), millis(2));
    }
}
