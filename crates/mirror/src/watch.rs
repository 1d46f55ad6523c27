//! What is seen of one transaction while it runs, and what is to be done about what is foreseen.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use belay_engine::Instance;
use belay_host::{AppHost, Runner, Service, about};
use belay_model::{Call, CallId, Outcome, TransactionName};
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    Action, Attempts, Book, Choice, Class, Foreseen, Gate, Options, Sign, Story,
    ahead::{Ahead, Seen},
    open::Frame,
    story::{Became, Log, millis},
};

/// The primary waits for its mirror no longer, and no longer than this share of its time.
const WAIT_MAX: Duration = Duration::from_millis(2);
const WAIT_SHARE: u32 = 10;
/// What a failure is worth, where nobody says so: as much as so many attempts, and at least this.
const FAILURE_ATTEMPTS: f64 = 10.0;
const FAILURE_MS: f64 = 100.0;
/// What another way is worth less than the first one, as a share of a failure.
const OTHER_WAY: f64 = 0.2;
/// That another way fails.
const OTHER_FAILS: f64 = 0.05;
/// Some that look bad are let go on, so that it is known what they come to.
const EXPLORED: f64 = 0.02;

/// Of an outermost transaction.
pub(crate) struct Watch<'h> {
    book: &'h Book,
    request: &'h str,
    since: Instant,
    log: Log,
    /// Calls that are being performed.
    calls: BTreeMap<CallId, Performing>,
    id: Option<TransactionName>,
    mirror: Option<(Arc<Mutex<Seen>>, Arc<Notify>)>,
    foreseen: Option<Foreseen>,
    signs: Vec<Sign>,
    choices: Vec<Choice>,
    saved_ms: f64,
    /// What the first attempt came to, and how long after the forecast.
    learned: Option<(bool, f64)>,
    consulted: bool,
}

struct Performing {
    op: String,
    subject: String,
    begun: Instant,
    service: Option<(Service, Duration)>,
}

impl<'h> Watch<'h> {
    pub(crate) fn new(book: &'h Book, request: &'h str) -> Self {
        let since = Instant::now();
        Self {
            book,
            request,
            since,
            log: Log::new(since),
            calls: BTreeMap::new(),
            id: None,
            mirror: None,
            foreseen: None,
            signs: Vec::new(),
            choices: Vec::new(),
            saved_ms: 0.0,
            learned: None,
            consulted: false,
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
        if !self.book.begin(&frame.spec.id, frame.spec.predict, rand::random()) {
            return None;
        }
        // Without memory for it, it goes without.
        let fork: Instance = frame.snapshot.fork(belay_engine::Seed::Keep).ok()?;
        let (seen, done) = (Arc::<Mutex<Seen>>::default(), Arc::new(Notify::new()));
        self.mirror = Some((seen.clone(), done.clone()));
        let (book, since, turn) = (self.book, self.since, frame.turn());
        let run = async move {
            Ahead { host, book, seen, since }.run(fork, turn, runner).await;
            done.notify_one();
        };
        Some(run.boxed())
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

    /// A call has been answered.
    pub(crate) fn landed(&mut self, id: CallId, outcome: &Outcome) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.log.note((&call.op, &call.subject), call.begun, outcome);
        let Some((service, allowed)) = call.service else { return };
        let took = call.begun.elapsed();
        let failed = match outcome {
            Outcome::Ok { value, .. } => status(value) >= 500,
            Outcome::Err(_) => true,
        };
        let bad = failed || took > allowed;
        if let Some(id) = &self.id {
            self.book.called((id, &service.name), millis(took), (failed, bad), now_ms());
        }
        if !failed {
            self.book.note_answer(&service.name, &call.subject, outcome);
        }
    }

    /// An attempt is over: what it still waits for was too late.
    pub(crate) fn given_up(&mut self) {
        for call in std::mem::take(&mut self.calls).into_values() {
            let Some((service, allowed)) = call.service else { continue };
            let took = call.begun.elapsed();
            if let Some(id) = self.id.as_ref().filter(|_| took >= allowed) {
                self.book.called((id, &service.name), millis(took), (false, true), now_ms());
            }
        }
    }

    /// What to wait for before a decision, and how long.
    pub(crate) fn waits(&self, timeout: Option<Duration>) -> Option<(Arc<Notify>, Duration)> {
        let (seen, done) = self.mirror.as_ref()?;
        if self.consulted || seen.lock().is_done {
            return None;
        }
        let share = timeout.map_or(WAIT_MAX, |timeout| timeout / WAIT_SHARE);
        Some((done.clone(), share.min(WAIT_MAX)))
    }

    /// Looks ahead, before the first call that cannot be undone: what is the cheapest thing to do.
    pub(crate) fn consult(
        &mut self,
        frame: &Frame,
        service: Option<(&Service, Duration)>,
        (waited, left): (Duration, Duration),
    ) -> Option<Choice> {
        if !frame.spec.predict || self.consulted {
            return None;
        }
        self.consulted = true;
        let mut signs = self.of_mirror(frame);
        let allowed_ms = service.map(|(_, allowed)| millis(allowed));
        let mut gate = Gate::Free;
        if let (Some((service, _)), Some(allowed_ms)) = (service, allowed_ms) {
            signs.extend(self.book.signs_of_call(&service.name, allowed_ms));
            gate = self.book.gate(&frame.spec.id, &service.name, now_ms());
            signs.extend((gate == Gate::Shut).then(|| Sign::shut(&service.name)));
        }
        let (forecast, usual_ms) = self.book.forecast(&frame.spec.id, &signs);
        let wasted_ms = allowed_ms.unwrap_or(usual_ms).max(usual_ms);
        let failure_ms = FAILURE_MS.max(FAILURE_ATTEMPTS * wasted_ms);
        let ways = frame.spec.ways.len() > frame.attempts.way() + 1;
        let options = Options {
            wasted_ms,
            failure_ms,
            retries: frame.spec.retries.unwrap_or(crate::RETRIES),
            adjust: self.adjusted(frame, service, left),
            divert: ways.then_some((OTHER_WAY * failure_ms, OTHER_FAILS)),
            ..Options::default()
        };
        let weighed = options.weighed(&forecast);
        let main = forecast.reasons.first().map(|(sign, _)| sign.rule.class());
        let external = main == Some(Class::External);
        let (at_ms, waited_ms) = (millis(self.since.elapsed()), millis(waited));
        self.foreseen = Some(Foreseen { at_ms, waited_ms, forecast });
        self.signs = signs;
        let explores = gate == Gate::Probe || rand::random::<f64>() < EXPLORED;
        let chosen = weighed.first().copied().filter(|_| !explores)?;
        if chosen.action == Action::GoOn {
            return None;
        }
        let as_it_is = weighed.iter().find(|choice| choice.action == Action::GoOn);
        if let (Action::Divert, Some((service, _)), true) = (chosen.action, service, external) {
            self.book.shun(&frame.spec.id, &service.name, now_ms());
        }
        self.saved_ms += as_it_is.map_or(0.0, |it| it.cost_ms - chosen.cost_ms);
        self.choices.push(chosen);
        Some(chosen)
    }

    /// More time for its calls, where it is the transaction that has too little and the invocation that has more: what they
    /// take then, and the probability that it is not enough.
    fn adjusted(
        &self,
        frame: &Frame,
        service: Option<(&Service, Duration)>,
        left: Duration,
    ) -> Option<(f64, f64)> {
        let ((service, allowed), more) = (service?, left / 2);
        frame.spec.timeout_ms.filter(|_| more > allowed && service.timeout > allowed)?;
        let (late, usual_ms) = self.book.late(&service.name, millis(more))?;
        Some((usual_ms, late))
    }

    /// What speaks against it by what its mirror has seen.
    fn of_mirror(&self, frame: &Frame) -> Vec<Sign> {
        let Some((seen, _)) = &self.mirror else { return Vec::new() };
        let seen = seen.lock();
        let mut signs = seen.signs.clone();
        signs.extend(self.book.signs_of_keys(seen.keys.iter().map(String::as_str)));
        if seen.mirrored.ended.is_some() {
            let distance = self.book.distance(&frame.spec.id, &seen.mirrored.effects);
            signs.extend((distance > 0.0).then(|| Sign::unusual(distance)));
        }
        signs
    }

    /// Why it is diverted, for people.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let reasons = self.foreseen.iter().flat_map(|it| &it.forecast.reasons);
        reasons.map(|(sign, _)| sign.text.clone()).collect()
    }

    /// The first attempt has ended, for good or not.
    pub(crate) fn learn(&mut self, attempts: &Attempts, failed: bool) {
        let Some(foreseen) = &self.foreseen else { return };
        if attempts.number() == 1 && self.learned.is_none() {
            let lead_ms = (millis(self.since.elapsed()) - foreseen.at_ms).max(0.0);
            self.learned = Some((failed, lead_ms));
        }
    }

    /// The next attempt is looked at anew.
    pub(crate) fn again(&mut self) {
        self.log.clear();
        self.consulted = false;
    }

    /// The outermost one is over.
    pub(crate) fn end(&mut self, frame: &Frame, became: Became) {
        let way = frame.spec.ways.get(frame.attempts.way()).cloned().unwrap_or_default();
        let mirror = self.mirror.take().map(|(seen, _)| seen.lock().mirrored.clone());
        let story = Story {
            id: frame.spec.id.clone(),
            request: self.request.to_owned(),
            way,
            became,
            took_ms: millis(self.since.elapsed()),
            attempts: frame.attempts.history().to_vec(),
            effects: self.log.effects(),
            mirror,
            forecast: self.foreseen.take(),
            choices: std::mem::take(&mut self.choices),
            saved_ms: self.saved_ms,
        };
        self.book.end(story, &std::mem::take(&mut self.signs), self.learned.take());
    }
}

fn status(value: &str) -> u64 {
    let answer: serde_json::Value = serde_json::from_str(value).unwrap_or_default();
    answer["status"].as_u64().unwrap_or_default()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
