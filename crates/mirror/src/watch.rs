//! What is seen of one transaction while it runs, and what is to be done about what is foreseen.

use std::{
    collections::BTreeMap,
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
    Action, Adjust, Attempts, Book, Choice, Class, Ended, Forecast, Foreseen, Gate, Heard,
    Hindsight, Invocation, Options, Sign, Story,
    ahead::{Ahead, Seen},
    book::{CONFLICT_MS, Learned},
    open::Frame,
    queue::Place,
    rules,
    sql::Blocker,
    story::{Became, Log, millis},
    told,
};

/// The primary waits for its mirror no longer, and no longer than this share of its time.
const WAIT_MAX: Duration = Duration::from_millis(2);
const WAIT_SHARE: u32 = 10;
/// What a failure is worth, where nobody says so: as much as so many attempts, and at least this.
const FAILURE_ATTEMPTS: f64 = 10.0;
const FAILURE_MS: f64 = 100.0;
/// What another way is worth less than the first one, as a share of a failure.
const OTHER_WAY: f64 = 0.2;
/// What more memory is worth.
const MEMORY_MS: f64 = 1.0;
/// That another way fails.
const OTHER_FAILS: f64 = 0.05;
/// What waiting for one other takes at least, and how much longer than expected it may.
const WAIT_MIN_MS: f64 = 0.5;
const WAIT_FACTOR: f64 = 4.0;
/// Attempts after the first, where more of them may pass; and the first pause between them at most.
const RETRIES_MOST: u32 = 10;
const PAUSE_MOST_MS: f64 = 100.0;
/// Some that look bad are let go on, so that it is known what they come to.
const EXPLORED: f64 = 0.02;

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
    mirror: Option<(Arc<Mutex<Seen>>, Arc<Notify>)>,
    foreseen: Option<Foreseen>,
    signs: Vec<Sign>,
    choices: Vec<Choice>,
    saved_ms: f64,
    learned: Option<Learned>,
    consulted: bool,
    /// What was done about it has changed its attempt.
    altered: bool,
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
            mirror: None,
            foreseen: None,
            signs: Vec::new(),
            choices: Vec::new(),
            saved_ms: 0.0,
            learned: None,
            consulted: false,
            altered: false,
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

    /// Whether it is to wait for its mirror before it begins, as others of its id are often in each other's way.
    pub(crate) fn is_contended(&self) -> bool {
        let Some(id) = self.id.as_ref().filter(|_| self.predicted) else { return false };
        let is_known = self.mirror.is_some() || self.knows_files();
        is_known && self.book.is_contended(id)
    }

    /// Whether what it keeps others from is known without a mirror.
    pub(crate) fn knows_files(&self) -> bool {
        self.id.as_ref().is_some_and(|id| !self.book.files(id).is_empty())
    }

    /// It has written a file.
    pub(crate) fn wrote_file(&self, file: &str) {
        if let Some(id) = &self.id {
            self.book.wrote_file(id, file);
        }
    }

    /// Takes its place among those that write what its mirror has written; says how long to wait for its turn, if that
    /// costs less than to be in each other's way.
    pub(crate) fn queue(&mut self, frame: &mut Frame, waited: Duration) -> Option<Duration> {
        let mut keys = self.book.files(&frame.spec.id);
        // A file is known before; rows are what its mirror has found.
        if let (Some((seen, _)), true) = (&self.mirror, keys.is_empty()) {
            let seen = seen.lock();
            keys.extend(seen.keys.iter().cloned());
            self.book.waited(&frame.spec.id, seen.is_done || !keys.is_empty());
        }
        let place = self.place.insert(self.book.queues.enter(keys.clone()));
        let mut signs = self.book.signs_of_keys(keys.iter().map(String::as_str));
        let mut others = 0;
        if let Some((key, count)) = place.ahead() {
            others = u32::try_from(count).unwrap_or(u32::MAX);
            signs.push(Sign::busy(key, others));
        }
        let (forecast, usual_ms) = self.book.forecast(&frame.spec.id, &signs);
        self.foresee(forecast.clone(), waited);
        self.signs = signs;
        if rand::random::<f64>() < EXPLORED {
            return None;
        }
        let wait_ms = usual_ms.max(WAIT_MIN_MS) * f64::from(others);
        let options = Options {
            wasted_ms: usual_ms + CONFLICT_MS,
            failure_ms: FAILURE_MS.max(FAILURE_ATTEMPTS * usual_ms),
            retries: frame.spec.retries.unwrap_or(crate::RETRIES),
            wait_ms: (others > 0).then_some(wait_ms),
            adjust: persists(frame, &forecast, None),
            ..Options::default()
        };
        let chosen = self.choose(&options, &forecast)?;
        self.choices.push(chosen);
        if chosen.action != Action::Wait {
            self.persist(frame, options.adjust, &[]);
            return None;
        }
        self.altered = true;
        // What those before it take varies.
        Some(Duration::from_secs_f64(wait_ms * WAIT_FACTOR / 1e3))
    }

    /// The turn of its place has come, or was not waited for any longer.
    pub(crate) async fn turn(&mut self, limit: Duration) {
        let begun = Instant::now();
        if let Some(place) = &self.place {
            place.turn(limit).await;
        }
        self.waited += begun.elapsed();
    }

    fn foresee(&mut self, forecast: Forecast, waited: Duration) {
        let (at_ms, waited_ms) = (millis(self.since.elapsed()), millis(waited));
        self.foreseen = Some(Foreseen { at_ms, waited_ms, forecast });
    }

    /// The cheapest of what can be done, if that is not to go on.
    fn choose(&mut self, options: &Options, forecast: &Forecast) -> Option<Choice> {
        let weighed = options.weighed(forecast);
        let chosen = weighed.first().copied().filter(|it| it.action != Action::GoOn)?;
        let as_it_is = weighed.iter().find(|choice| choice.action == Action::GoOn);
        self.saved_ms += as_it_is.map_or(0.0, |it| it.cost_ms - chosen.cost_ms);
        Some(chosen)
    }

    pub(crate) fn pause_ms(&self, id: &TransactionName) -> u64 {
        self.book.pause_ms(id)
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
    pub(crate) fn waits(&self, timeout: Option<Duration>) -> Option<(Arc<Notify>, Duration)> {
        let (seen, done) = self.mirror.as_ref()?;
        if self.consulted || seen.lock().is_done {
            return None;
        }
        let share = timeout.map_or(WAIT_MAX, |timeout| timeout / WAIT_SHARE);
        Some((done.clone(), share.min(WAIT_MAX)))
    }

    /// Looks ahead, before the first call that cannot be undone: what is the cheapest thing to do. `own` are the numbers of
    /// its own transactions in databases; `performed`: something was done already that cannot be undone.
    pub(crate) fn consult(
        &mut self,
        frame: &mut Frame,
        service: Option<(&Service, Duration)>,
        (waited, left): (Duration, Duration),
        (own, performed): (&[u64], bool),
    ) -> Option<Choice> {
        if !frame.spec.predict || self.consulted {
            return None;
        }
        (self.consulted, self.asked) = (true, true);
        let deadline = frame.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let own_left = deadline.map_or(left, |it| it.min(left));
        let mut signs = self.of_mirror(frame, own_left, own);
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
        let ways = !performed && frame.spec.ways.len() > frame.attempts.way() + 1;
        let time = self.more_time(frame, service, (left, !ways));
        let options = Options {
            wasted_ms,
            failure_ms,
            retries: frame.spec.retries.unwrap_or(crate::RETRIES),
            adjust: persists(frame, &forecast, time),
            allocate_ms: self.allocated(frame),
            divert: ways.then_some((OTHER_WAY * failure_ms, OTHER_FAILS)),
            ..Options::default()
        };
        let main = forecast.reasons.first().map(|(sign, _)| sign.rule.class());
        self.foresee(forecast.clone(), waited);
        self.signs = signs;
        // Of a service that is left alone, these are the probes.
        let explores = gate != Gate::Shut && rand::random::<f64>() < EXPLORED;
        if gate == Gate::Probe || explores {
            return None;
        }
        let shut = ways && gate == Gate::Shut;
        let chosen = match self.choose(&options, &forecast) {
            Some(chosen) => chosen,
            // Whatever forecasts are worth, a service that was found to fail is left alone.
            None if shut => Choice { action: Action::Divert, cost_ms: OTHER_WAY * failure_ms },
            None => return None,
        };
        let external = main == Some(Class::External);
        if let (Action::Divert, Some((service, _)), true) = (chosen.action, service, external) {
            self.book.shun(&frame.spec.id, &service.name, now_ms());
        }
        self.choices.push(chosen);
        if chosen.action == Action::Adjust {
            self.persist(frame, options.adjust, own);
        }
        let is_same = chosen.action == Action::Adjust && time.is_none();
        self.altered |= !is_same;
        Some(chosen).filter(|_| !is_same)
    }

    /// Has more attempts follow, in between which those may end who are in the way.
    fn persist(&self, frame: &mut Frame, adjust: Option<Adjust>, own: &[u64]) {
        let Some(Adjust { retries, .. }) = adjust else { return };
        let held_ms = self.mirror.iter().flat_map(|(seen, _)| {
            let seen = seen.lock();
            foreign(&seen.blockers, own).map(|blocker| blocker.age_ms).max_by(f64::total_cmp)
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let held_ms = held_ms.fold(0.0, f64::max).clamp(0.0, PAUSE_MOST_MS) as u64;
        let pause_ms = self.pause_ms(&frame.spec.id).max(held_ms);
        frame.attempts.persist(retries, pause_ms);
    }

    /// What more memory costs, where the mirror had too little of what its tags allow, and the app allows more.
    fn allocated(&self, frame: &Frame) -> Option<f64> {
        let (seen, _) = self.mirror.as_ref()?;
        let memory_bytes = frame.spec.memory_bytes?;
        let helps = seen.lock().out_of_memory && memory_bytes < frame.limits.memory_bytes;
        helps.then_some(MEMORY_MS)
    }

    /// More time for its calls, where it is the transaction that has too little and the invocation that has more: what they
    /// take then, and the probability that it is not enough.
    fn more_time(
        &self,
        frame: &Frame,
        service: Option<(&Service, Duration)>,
        (left, at_last): (Duration, bool),
    ) -> Option<(f64, f64)> {
        let ((service, allowed), more) = (service?, left / 2);
        frame.spec.timeout_ms.filter(|_| more > allowed && service.timeout > allowed)?;
        let (late, usual_ms) = self.book.late(&service.name, millis(more), at_last)?;
        Some((usual_ms, late))
    }

    /// What speaks against it by what its mirror has seen.
    fn of_mirror(&self, frame: &Frame, left: Duration, own: &[u64]) -> Vec<Sign> {
        let load = Sign::load(self.load);
        let mut signs: Vec<Sign> = Some(load).into_iter().filter(|it| it.strength > 0.0).collect();
        // It ran ahead of the first attempt alone.
        let mirror = self.mirror.as_ref().filter(|_| frame.attempts.number() == 1);
        let Some((seen, _)) = mirror else { return signs };
        let seen = seen.lock();
        signs.extend(seen.signs.iter().cloned());
        // Whose turn it is meets nobody.
        if self.place.as_ref().is_none_or(|place| place.ahead().is_some()) {
            signs.extend(self.book.signs_of_keys(seen.keys.iter().map(String::as_str)));
        }
        signs.extend(blocked(&seen.blockers, left, own));
        if seen.done.calls > 1 && seen.expected_ms > millis(left) {
            signs.push(Sign::late("what it asks for", 1.0, seen.expected_ms, millis(left)));
        }
        if seen.mirrored.ended.is_some() {
            let distance = self.book.distance(&frame.spec.id, &seen.mirrored.effects);
            signs.extend((distance > 0.0).then(|| Sign::unusual(distance)));
        }
        let own = rules::signs(&frame.spec.rules, seen.done, self.load, &signs);
        signs.extend(own);
        signs
    }

    /// Why it is diverted, for people.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let reasons = self.foreseen.iter().flat_map(|it| &it.forecast.reasons);
        reasons.map(|(sign, _)| sign.text.clone()).collect()
    }

    /// An attempt has ended, for good (`None`) or not; `keys` are what it wrote to the kv.
    pub(crate) fn learn(&mut self, attempts: &Attempts, ended: Option<&Ended>, keys: &[String]) {
        let conflict = matches!(ended, Some(Ended::Conflict { .. }));
        if let Some(id) = self.id.as_ref().filter(|_| attempts.number() == 1) {
            self.book.attempted(id, conflict);
        }
        let rows: Vec<String> = match &self.mirror {
            Some((seen, _)) => seen.lock().keys.iter().cloned().collect(),
            None => Vec::new(),
        };
        let all = keys.iter().filter(|key| !rows.contains(key)).chain(&rows);
        self.book.wrote(all.map(String::as_str), conflict);
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

    /// The next attempt is looked at anew.
    pub(crate) fn again(&mut self) {
        self.log.clear();
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
            forecast: self.foreseen.take(),
            choices: std::mem::take(&mut self.choices),
            saved_ms: self.saved_ms,
            warnings: std::mem::take(&mut self.warnings),
        };
        self.book.end(story, self.learned.take(), self.asked);
    }
}

/// More time, and more attempts where these may pass.
fn persists(frame: &Frame, forecast: &Forecast, time: Option<(f64, f64)>) -> Option<Adjust> {
    let given = frame.spec.retries.unwrap_or(crate::RETRIES);
    let contended = forecast.reasons.iter().any(|(sign, _)| sign.rule.class() == Class::Contention);
    let retries = if contended { RETRIES_MOST.max(given) } else { given };
    (time.is_some() || retries > given).then_some(Adjust { time, retries })
}

/// Others that hold what it writes, a sign for each table.
fn blocked(blockers: &[Blocker], left: Duration, own: &[u64]) -> Vec<Sign> {
    let mut by_table: BTreeMap<&str, (u32, f64)> = BTreeMap::new();
    for blocker in foreign(blockers, own) {
        let (count, age_ms) = by_table.entry(&blocker.what).or_default();
        // What goes on for long goes on for as long again, as far as anybody knows.
        (*count, *age_ms) = (*count + 1, age_ms.max(blocker.age_ms));
    }
    let signs = by_table.into_iter();
    signs
        .map(|(table, (count, age_ms))| Sign::blocked(table, count, age_ms, millis(left)))
        .collect()
}

/// Those that are not its own transactions.
fn foreign<'b>(blockers: &'b [Blocker], own: &[u64]) -> impl Iterator<Item = &'b Blocker> {
    // The server tells the lower half of a number.
    let is_own =
        |blocker: &&Blocker| own.iter().any(|it| (it & 0xffff_ffff).to_string() == blocker.number);
    blockers.iter().filter(move |blocker| !is_own(blocker))
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
