//! What is seen of one transaction while it runs, and what is to be done about what is foreseen.

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
const FAILURE_MS: f64 = 1_000.0;
/// What another way is worth less than the first one, as a share of a failure.
const OTHER_WAY: f64 = 0.2;
/// What more memory is worth.
const MEMORY_MS: f64 = 1.0;
/// That another way fails.
const OTHER_FAILS: f64 = 0.05;
/// What waiting for one other takes at least, and how much longer than expected it may.
const WAIT_MIN_MS: f64 = 0.5;
const WAIT_FACTOR: f64 = 4.0;
/// After a pause it waits for its turn so many times as long as an attempt takes.
const TURN_MAX: u32 = 20;
/// So often a transaction waits for others in its queues, and for what others outside of Belay hold.
const TURNS_MOST: u32 = 10;
const ANEW_MOST: u32 = 3;
/// From this share of conflicts on, those who use a key go one after another.
const HOT: f64 = 0.05;
/// Of one attempt.
const TOUCHED_MAX: usize = 100;
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

/// What is known of the services that a transaction asks.
struct Asked {
    signs: Vec<Sign>,
    gate: Gate,
    /// Of which most speaks against it.
    worst: Option<String>,
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

    /// Files that it is going to write, if others are often in its way: whoever writes one keeps all others out.
    pub(crate) fn files(&self) -> Vec<String> {
        let id = self.id.as_ref().filter(|_| self.contended);
        id.map(|id| self.book.files(id)).unwrap_or_default()
    }

    /// It has written a file.
    pub(crate) fn wrote_file(&self, file: &str) {
        if let Some(id) = &self.id {
            self.book.wrote_file(id, file);
        }
    }

    /// Takes its place among those that use `key`, if others are often in its way there. Says how long to wait for its turn,
    /// if somebody is before it and that costs less than to be in each other's way.
    pub(crate) fn queue(
        &mut self,
        frame: &mut Frame,
        key: &str,
        may_wait: bool,
    ) -> Option<Duration> {
        let signs = self.book.signs_of_keys(std::iter::once(key));
        let is_file = self.book.files(&frame.spec.id).iter().any(|file| file == key);
        let is_hot = signs.iter().any(|sign| sign.strength > HOT);
        if !self.contended || !(is_hot || is_file) {
            return None;
        }
        let place = self.place.get_or_insert_with(|| self.book.queues.enter());
        let others = u32::try_from(place.join(key)).unwrap_or(u32::MAX);
        // After it has looked ahead, that is what is told.
        if others == 0 || !may_wait || self.turns >= TURNS_MOST || self.consulted {
            return None;
        }
        let busy = Sign::busy(key, others);
        let signs: Vec<Sign> = signs.into_iter().chain([busy]).collect();
        let (forecast, usual_ms) = self.book.forecast(&frame.spec.id, &signs);
        self.foresee(forecast.clone(), signs, Duration::ZERO);
        if rand::random::<f64>() < EXPLORED {
            return None;
        }
        let wait_ms = usual_ms.max(WAIT_MIN_MS) * f64::from(others);
        let options = Options {
            wasted_ms: usual_ms + CONFLICT_MS,
            failure_ms: FAILURE_MS.max(FAILURE_ATTEMPTS * usual_ms),
            retries: frame.spec.retries.unwrap_or(crate::RETRIES),
            wait_ms: Some(wait_ms),
            adjust: persists(frame, &forecast, None),
            ..Options::default()
        };
        let chosen = self.choose(&options, &forecast)?;
        self.act(chosen, chosen.action == Action::Wait);
        if chosen.action != Action::Wait {
            self.persist(frame, options.adjust, &[]);
            return None;
        }
        // What those before it take varies.
        Some(Duration::from_secs_f64(wait_ms * WAIT_FACTOR / 1e3))
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

    fn foresee(&mut self, forecast: Forecast, signs: Vec<Sign>, waited: Duration) {
        let (at_ms, waited_ms) = (millis(self.since.elapsed()), millis(waited));
        self.foreseen = Some(Foreseen { at_ms, waited_ms, forecast });
        self.signs = signs;
    }

    /// Notes what is done about the forecast. If that alters the attempt, nobody knows what would have come of it; after a wait, it
    /// is looked at anew.
    fn act(&mut self, chosen: Choice, alters: bool) {
        self.choices.push(chosen);
        if !alters {
            return;
        }
        let called = self.foreseen.as_ref().is_some_and(|it| it.forecast.is_called());
        self.prevented += u32::from(called);
        if self.acted_on.is_none() {
            self.acted_on = self.foreseen.clone();
        }
        match chosen.action {
            Action::Wait => self.foreseen = None,
            Action::GoOn | Action::Adjust | Action::Allocate | Action::Divert => {
                self.altered = true
            }
        }
    }

    /// The cheapest of what can be done, if that is not to go on.
    fn choose(&mut self, options: &Options, forecast: &Forecast) -> Option<Choice> {
        let weighed = options.weighed(forecast);
        let chosen = weighed.first().copied().filter(|it| it.action != Action::GoOn)?;
        let as_it_is = weighed.iter().find(|choice| choice.action == Action::GoOn);
        let saved_ms = as_it_is.map_or(0.0, |it| it.cost_ms - chosen.cost_ms);
        self.saved_ms += saved_ms;
        let seen = forecast.reasons.iter().filter(|(sign, _)| self.seen.contains(sign));
        self.earned_ms += saved_ms * seen.map(|(_, share)| share).sum::<f64>();
        Some(chosen)
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
    pub(crate) fn waits(&self, timeout: Option<Duration>) -> Option<(Arc<Notify>, Duration)> {
        let (seen, done) = self.ahead()?;
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
        self.seen = self.of_mirror(frame, own_left, own);
        let load = Sign::load(self.load);
        let load = Some(load).filter(|sign| sign.strength > 0.0);
        let mut signs: Vec<Sign> = self.seen.iter().cloned().chain(load).collect();
        let Asked { signs: of_services, gate, worst } = self.of_services(frame, service, own_left);
        signs.extend(of_services);
        let allowed_ms = service.map(|(_, allowed)| millis(allowed));
        let (forecast, usual_ms) = self.book.forecast(&frame.spec.id, &signs);
        let wasted_ms = allowed_ms.unwrap_or(usual_ms).max(usual_ms);
        let failure_ms = FAILURE_MS.max(FAILURE_ATTEMPTS * wasted_ms);
        let ways = !performed && frame.spec.ways.len() > frame.attempts.way() + 1;
        // More time for it is more for all who wait for it.
        let followers = self.place.as_ref().map_or(0, Place::followers);
        let each = 1.0 + f64::from(u32::try_from(followers).unwrap_or(u32::MAX));
        let time = self.more_time(frame, service, (left, !ways));
        let time = time.map(|(takes_ms, still)| (takes_ms * each, still));
        let held = self.clears(own).filter(|_| !performed && self.anew < ANEW_MOST);
        self.held_ms = held.unwrap_or_default();
        let options = Options {
            wasted_ms,
            failure_ms,
            retries: frame.spec.retries.unwrap_or(crate::RETRIES),
            adjust: persists(frame, &forecast, time),
            allocate_ms: self.allocated(frame),
            wait_ms: held,
            divert: ways.then_some((OTHER_WAY * failure_ms, OTHER_FAILS)),
        };
        let main = forecast.reasons.first().map(|(sign, _)| sign.rule.class());
        self.foresee(forecast.clone(), signs, waited);
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
        if let (Action::Divert, Some(service), true) = (chosen.action, worst, external) {
            self.book.shun(&frame.spec.id, &service, now_ms());
        }
        let alters = chosen.action != Action::Adjust || time.is_some();
        self.act(chosen, alters);
        if chosen.action == Action::Adjust {
            self.persist(frame, options.adjust, own);
        }
        Some(chosen).filter(|_| alters)
    }

    /// What speaks against the service that it is about to call, and those that its mirror has come to.
    fn of_services(
        &mut self,
        frame: &Frame,
        service: Option<(&Service, Duration)>,
        left: Duration,
    ) -> Asked {
        let mut all: Vec<(Service, Duration)> = Vec::new();
        all.extend(service.map(|(service, allowed)| (service.clone(), allowed)));
        if let Some((seen, _)) = self.ahead() {
            let seen = seen.lock();
            let others =
                seen.services.iter().filter(|it| all.iter().all(|(own, _)| own.name != it.name));
            let others: Vec<_> =
                others.map(|other| (other.clone(), other.timeout.min(left))).collect();
            all.extend(others);
        }
        let mut asked = Asked { signs: Vec::new(), gate: Gate::Free, worst: None };
        let mut most = 0.0;
        // What is turned away because of one service is no probe of another.
        let (id, now_ms) = (&frame.spec.id, now_ms());
        let free = all.iter().all(|(service, _)| self.book.may_call(id, &service.name, now_ms));
        for (at, (service, allowed)) in all.into_iter().enumerate() {
            let mut signs = self.book.signs_of_call(&service.name, millis(allowed));
            let gate = match free || !self.book.may_call(id, &service.name, now_ms) {
                true => self.book.gate(id, &service.name, now_ms),
                false => Gate::Free,
            };
            signs.extend((gate == Gate::Shut).then(|| Sign::shut(&service.name)));
            let weight = signs.iter().map(|sign| sign.strength).sum::<f64>();
            if weight > most {
                (most, asked.worst) = (weight, Some(service.name));
            }
            if at > 0 {
                self.seen.extend(signs.iter().cloned());
            }
            asked.signs.extend(signs);
            asked.gate = match (asked.gate, gate) {
                (Gate::Shut, _) | (_, Gate::Shut) => Gate::Shut,
                (Gate::Probe, _) | (_, Gate::Probe) => Gate::Probe,
                (Gate::Free, Gate::Free) => Gate::Free,
            };
        }
        asked
    }

    /// Has more attempts follow, in between which those may end who are in the way.
    fn persist(&self, frame: &mut Frame, adjust: Option<Adjust>, own: &[u64]) {
        let Some(Adjust { retries, .. }) = adjust else { return };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let held_ms = self.clears(own).unwrap_or_default().clamp(0.0, PAUSE_MOST_MS) as u64;
        let pause_ms = self.pause_ms(&frame.spec.id).max(held_ms);
        frame.attempts.persist(retries, pause_ms);
        frame.spec.retries = Some(retries);
    }

    /// When those will have ended that hold what its mirror has found to be held, and those that wait for them, as far as anybody
    /// knows. Milliseconds; nothing where nobody does.
    fn clears(&self, own: &[u64]) -> Option<f64> {
        let (seen, _) = self.ahead()?;
        let seen = seen.lock();
        foreign(&seen.blockers, own).map(Blocker::lasts_ms).max_by(f64::total_cmp)
    }

    /// It has waited for what others hold, and begins anew.
    pub(crate) fn has_waited(&mut self, since: Instant) {
        self.waited += since.elapsed();
        self.anew += 1;
        self.stale = true;
    }

    /// What more memory costs, where the mirror had too little of what its tags allow, and the app allows more.
    fn allocated(&self, frame: &Frame) -> Option<f64> {
        let (seen, _) = self.ahead()?;
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
        let times = (millis(allowed), millis(more));
        self.book.later(&service.name, times, at_last)
    }

    /// What speaks against it by what its mirror has seen.
    fn of_mirror(&self, frame: &Frame, left: Duration, own: &[u64]) -> Vec<Sign> {
        let mut signs = Vec::new();
        let Some((seen, _)) = self.ahead() else { return signs };
        let seen = seen.lock();
        signs.extend(seen.signs.iter().cloned());
        // Whose turn it is meets nobody.
        if self.place.as_ref().is_none_or(Place::is_shared) {
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
    pub(crate) fn again(&mut self) {
        self.touched.clear();
        self.log.clear();
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
        (*count, *age_ms) = (*count + 1, age_ms.max(blocker.lasts_ms()));
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
