//! What is to be done about what is foreseen: all that speaks against a transaction, weighed by what each choice is expected to cost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use belay_host::Service;

use super::{Watch, now_ms};
use crate::{
    Action, Adjust, Choice, Class, Forecast, Foreseen, Gate, Options, Sign, book::CONFLICT_MS,
    open::Frame, queue::Place, rules, sql::Blocker, story::millis,
};

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
/// So often a transaction waits for others in its queues, and for what others outside of Belay hold.
const TURNS_MOST: u32 = 10;
const ANEW_MOST: u32 = 3;
/// From this share of conflicts on, those who use a key go one after another.
const HOT: f64 = 0.05;
/// Attempts after the first, where more of them may pass; and the first pause between them at most.
const RETRIES_MOST: u32 = 10;
const PAUSE_MOST_MS: f64 = 100.0;
/// Some that look bad are let go on, so that it is known what they come to.
const EXPLORED: f64 = 0.02;

/// What is known of the services that a transaction asks.
struct Asked {
    signs: Vec<Sign>,
    gate: Gate,
    /// Of which most speaks against it.
    worst: Option<String>,
}

impl Watch<'_> {
    /// Takes its place among those that use `key`, if others are often in its way there. Says how long to wait for its turn,
    /// if somebody is before it and that costs less than to be in each other's way.
    pub(crate) fn queue(
        &mut self,
        frame: &mut Frame,
        key: &str,
        may_wait: bool,
    ) -> Option<Duration> {
        let signs = self.book.signs_of_keys(std::iter::once(key));
        let is_hot = signs.iter().any(|sign| sign.strength > HOT);
        if !self.contended || !is_hot {
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
