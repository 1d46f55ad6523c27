//! What is known of the transactions of one app: how each id fares, which services it calls, what its keys are fought over,
//! and what became of the last ones.
//!
//! It is in memory: a new process begins with what experience says in general ([`crate::Class`]).

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use belay_model::{Outcome, TransactionName};
use parking_lot::Mutex;

use crate::{
    Action, Breaker, BreakerState, Dependency, Forecast, Forecaster, Heard, Hindsight, PAUSE_MS,
    RetryBudget, Sign,
    queue::Queues,
    sql::Catalog,
    story::{Became, Effect, Story},
    usual::Usual,
};

/// Stories that are kept, of all ids together.
const STORIES_MAX: usize = 1_000;
const IN_DOUBT_MAX: usize = 1_000;
const SERVICES_MAX: usize = 1_000;
const KEYS_MAX: usize = 10_000;
/// Answers of one service, and bytes of one.
const ANSWERS_MAX: usize = 64;
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// After so many one counts half.
const HALF_LIFE: f64 = 50.0;
/// What a conflict costs besides the attempt, about half of the pause after it.
pub(crate) const CONFLICT_MS: f64 = 5.0;
/// Where fewer ask for something that cannot be undone, there is little to be gained.
const RARELY: f64 = 0.05;
/// After so many it is known whether they do.
const SOON: f64 = 10.0;
/// The share of first attempts with conflicts from which on it is looked who else writes the same.
const CONTENDED: f64 = 0.02;
/// The share that is mirrored whatever comes of it.
const EXPLORED: f64 = 0.05;
/// By how much it becomes more, or less, each time that mirrors are worth it, or not.
const MORE: f64 = 1.5;
const FEWER: f64 = 0.85;

/// See the module's header.
#[derive(Debug, Default)]
pub struct Book {
    pages: Mutex<Pages>,
    pub(crate) queues: Queues,
    pub(crate) catalog: Catalog,
}

#[derive(Debug, Default)]
struct Pages {
    ids: BTreeMap<TransactionName, Known>,
    services: HashMap<String, Service>,
    /// By key of the kv, or row of a table: how often a writer met another one.
    keys: HashMap<String, Contended>,
    stories: VecDeque<Arc<Story>>,
    /// Requests of which it is not known whether a transaction was committed, and nobody has asked.
    in_doubt: VecDeque<String>,
}

/// What is known of one id.
#[derive(Debug, Clone)]
pub struct Known {
    pub forecaster: Forecaster,
    pub counts: Counts,
    /// The share that is mirrored.
    pub sampled: f64,
    /// Milliseconds that what is done about forecasts saves where there is a mirror, on average; the part that is known by mirrors
    /// alone; and what a mirror costs.
    pub saved_ms: f64,
    earned_ms: f64,
    pub cost_ms: f64,
    /// What an attempt takes.
    pub usual_ms: f64,
    /// The share of first attempts that meet a conflict.
    pub conflicts: f64,
    /// The share that asks for something that cannot be undone: only there is anything gained by knowing before.
    pub external: f64,
    usual: Usual,
    budget: RetryBudget,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            forecaster: Forecaster::default(),
            counts: Counts::default(),
            sampled: 1.0,
            saved_ms: 0.0,
            earned_ms: 0.0,
            cost_ms: 0.0,
            usual_ms: 0.0,
            conflicts: 0.0,
            external: 1.0,
            usual: Usual::default(),
            budget: RetryBudget::default(),
        }
    }
}

/// Transactions since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub begun: u64,
    pub committed: u64,
    pub failed: u64,
    /// Attempts beyond the first one of each.
    pub retried: u64,
    pub diverted: u64,
    pub waited: u64,
    pub adjusted: u64,
    pub mirrored: u64,
    /// Mirrors that came upon something that is not modelled.
    pub unmodelled: u64,
    /// Mirrors that came to another end than what they ran ahead of.
    pub diverged: u64,
    /// Forecasts of a failure.
    pub called: u64,
}

#[derive(Debug, Clone, Default)]
struct Service {
    dependency: Dependency,
    /// By who calls it: what is too slow for one is not for another.
    breakers: BTreeMap<TransactionName, Breaker>,
    /// What it answered last, by what it was asked.
    answers: VecDeque<(String, Outcome)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Contended {
    writes: f64,
    conflicts: f64,
}

/// What the first attempt came to, of a transaction that was let go on.
#[derive(Debug, Clone)]
pub(crate) struct Learned {
    pub(crate) signs: Vec<Sign>,
    pub(crate) hindsight: Hindsight,
}

/// Whether a service may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Free,
    /// It is left alone, and this call is to find out whether it is better.
    Probe,
    Shut,
}

impl Book {
    /// Whether the next transaction of this id, which may be predicted, is to be mirrored. `random`: 0 to 1.
    pub fn begin(&self, id: &TransactionName, predicted: bool, random: f64) -> bool {
        let mut pages = self.pages.lock();
        let known = pages.ids.entry(id.clone()).or_default();
        known.counts.begun += 1;
        known.budget.deposit();
        let share = if known.external > RARELY { known.sampled } else { EXPLORED };
        let mirrored = predicted && random < share;
        known.counts.mirrored += u64::from(mirrored);
        mirrored
    }

    /// What speaks against a call of `service` that may take `allowed_ms`.
    pub fn signs_of_call(&self, service: &str, allowed_ms: f64) -> Vec<Sign> {
        let pages = self.pages.lock();
        let Some(Service { dependency, .. }) = pages.services.get(service) else {
            return Vec::new();
        };
        let (late, failing) = (dependency.is_late(allowed_ms), dependency.failing());
        let usual = dependency.usual_ms().unwrap_or_default();
        let mut signs = Vec::new();
        if late > 0.0 {
            signs.push(Sign::late(service, late, usual, allowed_ms));
        }
        if failing > 0.0 {
            signs.push(Sign::failing(service, failing));
        }
        signs
    }

    /// What half of the calls of `service` take at most, and the probability that one that takes longer than `allowed_ms` takes
    /// longer than `more_ms`, too. `at_last`: there is nothing better than to wait.
    pub(crate) fn later(
        &self,
        service: &str,
        (allowed_ms, more_ms): (f64, f64),
        at_last: bool,
    ) -> Option<(f64, f64)> {
        let pages = self.pages.lock();
        let dependency = &pages.services.get(service)?.dependency;
        let late = dependency.is_late(allowed_ms);
        let later = match at_last {
            true => dependency.is_late_at_last(more_ms),
            false => dependency.is_late(more_ms),
        };
        let still = if late > 0.0 { (later / late).min(1.0) } else { 1.0 };
        Some((dependency.usual_ms()?, still))
    }

    /// Whether conflicts are frequent enough among transactions of this id to look who else writes the same.
    pub fn is_contended(&self, id: &TransactionName) -> bool {
        self.pages.lock().ids.get(id).is_some_and(Known::is_contended)
    }

    /// What speaks against writing these keys: that others often do.
    pub fn signs_of_keys<'k>(&self, keys: impl Iterator<Item = &'k str>) -> Vec<Sign> {
        let pages = self.pages.lock();
        let rates = keys.filter_map(|key| {
            let it = pages.keys.get(key)?;
            Some((key, it.conflicts / (it.writes + 1.0)))
        });
        // The worst one stands for all.
        let worst = rates.max_by(|(_, one), (_, other)| one.total_cmp(other));
        worst
            .filter(|(_, rate)| *rate > 0.0)
            .map(|(key, rate)| Sign::conflicts(key, rate))
            .into_iter()
            .collect()
    }

    /// What to wait at most before a first retry: about what an attempt takes. Milliseconds.
    pub(crate) fn pause_ms(&self, id: &TransactionName) -> u64 {
        let usual_ms = self.pages.lock().ids.get(id).map_or(0.0, |known| known.usual_ms);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let usual_ms = usual_ms.clamp(0.0, 1e6).ceil() as u64;
        if usual_ms == 0 { PAUSE_MS } else { usual_ms.min(PAUSE_MS) }
    }

    /// What came of writing these keys.
    pub fn wrote<'k>(&self, keys: impl Iterator<Item = &'k str>, conflict: bool) {
        let mut pages = self.pages.lock();
        for key in keys {
            if pages.keys.len() >= KEYS_MAX && !pages.keys.contains_key(key) {
                pages.keys.retain(|_, it| it.conflicts > 0.5);
                if pages.keys.len() >= KEYS_MAX {
                    return;
                }
            }
            // Those that nobody fights over need no memory.
            if !conflict && !pages.keys.contains_key(key) {
                continue;
            }
            let it = pages.keys.entry(key.to_owned()).or_default();
            let kept = (-HALF_LIFE.recip()).exp2();
            it.writes = it.writes * kept + 1.0;
            it.conflicts = it.conflicts * kept + f64::from(u8::from(conflict));
        }
    }

    /// What a first attempt of this id came to.
    pub fn attempted(&self, id: &TransactionName, conflict: bool) {
        let mut pages = self.pages.lock();
        let known = pages.ids.entry(id.clone()).or_default();
        let kept = (-HALF_LIFE.recip()).exp2();
        let came = f64::from(u8::from(conflict));
        known.conflicts = known.conflicts * kept + came * (1.0 - kept);
    }

    /// Whether another attempt of a transaction of this id is within its [`RetryBudget`].
    pub(crate) fn draw(&self, id: &TransactionName, now_ms: u64) -> bool {
        self.pages.lock().ids.entry(id.clone()).or_default().budget.draw(now_ms)
    }

    /// Whether [`Self::gate`] would let a call of `service` through.
    pub(crate) fn may_call(&self, id: &TransactionName, service: &str, now_ms: u64) -> bool {
        let pages = self.pages.lock();
        let breaker = pages.services.get(service).and_then(|it| it.breakers.get(id));
        breaker.is_none_or(|breaker| breaker.clone().admit(now_ms))
    }

    /// Whether `service` may be called now by transactions of this id.
    pub fn gate(&self, id: &TransactionName, service: &str, now_ms: u64) -> Gate {
        let mut pages = self.pages.lock();
        let found = pages.services.get_mut(service);
        let Some(breaker) = found.and_then(|it| it.breakers.get_mut(id)) else {
            return Gate::Free;
        };
        match (breaker.admit(now_ms), breaker.state()) {
            (false, _) => Gate::Shut,
            (true, BreakerState::Closed) => Gate::Free,
            (true, BreakerState::Open | BreakerState::HalfOpen) => Gate::Probe,
        }
    }

    /// Transactions of this id go another way rather than call `service`, until some that try it find it better.
    pub fn shun(&self, id: &TransactionName, service: &str, now_ms: u64) {
        let mut pages = self.pages.lock();
        if let Some(it) = pages.services.get_mut(service) {
            it.breakers.entry(id.clone()).or_default().trip(now_ms);
        }
    }

    /// A call of `service` has ended. `bad`: it failed, or took longer than it may.
    pub fn called(
        &self,
        (id, service): (&TransactionName, &str),
        (took_ms, heard): (f64, Heard),
        bad: bool,
        now_ms: u64,
    ) {
        let mut pages = self.pages.lock();
        if pages.services.len() >= SERVICES_MAX && !pages.services.contains_key(service) {
            return;
        }
        let it = pages.services.entry(service.to_owned()).or_default();
        let breaker = it.breakers.entry(id.clone()).or_default();
        let before = breaker.state();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let made_ms = now_ms.saturating_sub(took_ms.clamp(0.0, 1e12) as u64);
        breaker.note(bad, made_ms, now_ms);
        if before == BreakerState::HalfOpen && breaker.state() == BreakerState::Closed {
            // What it was like before says nothing any more.
            it.dependency = Dependency::default();
        }
        it.dependency.note(took_ms, heard);
    }

    /// What `service` answered to the last call that was about `subject`.
    pub fn answered(&self, service: &str, subject: &str) -> Option<Outcome> {
        let pages = self.pages.lock();
        let answers = &pages.services.get(service)?.answers;
        answers.iter().find(|(known, _)| known == subject).map(|(_, answer)| answer.clone())
    }

    /// `service` has answered a call that was about `subject`.
    pub fn note_answer(&self, service: &str, subject: &str, outcome: &Outcome) {
        let Outcome::Ok { value, body } = outcome else { return };
        let bytes = value.len() + body.as_ref().map_or(0, Vec::len);
        let mut pages = self.pages.lock();
        let Some(it) = pages.services.get_mut(service) else { return };
        if bytes > ANSWER_BYTES_MAX {
            return;
        }
        it.answers.retain(|(known, _)| known != subject);
        if it.answers.len() >= ANSWERS_MAX {
            it.answers.pop_front();
        }
        it.answers.push_back((subject.to_owned(), outcome.clone()));
    }

    /// What half of the calls of `service` take.
    pub(crate) fn usual_of(&self, service: &str) -> Option<f64> {
        self.pages.lock().services.get(service)?.dependency.usual_ms()
    }

    /// Services that were called: what half of the calls take, the share that fails, and whether they are left alone.
    pub fn services(&self) -> Vec<(String, Option<f64>, f64, BreakerState)> {
        let pages = self.pages.lock();
        let services = pages.services.iter().map(|(name, it)| {
            let Service { dependency, breakers, .. } = it;
            let states = breakers.values().map(Breaker::state);
            let left_alone = states.max_by_key(|state| match state {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            });
            let state = left_alone.unwrap_or(BreakerState::Closed);
            (name.clone(), dependency.usual_ms(), dependency.failing(), state)
        });
        let mut all: Vec<_> = services.collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    /// How far what a mirror did is from what transactions of this id usually do.
    pub(crate) fn distance(&self, id: &TransactionName, effects: &[Effect]) -> f64 {
        let pages = self.pages.lock();
        let ops = effects.iter().map(|effect| effect.op.as_str());
        pages.ids.get(id).map_or(0.0, |known| known.usual.distance(ops))
    }

    /// What is expected of a transaction of this id with these signs, and what an attempt usually takes.
    pub fn forecast(&self, id: &TransactionName, signs: &[Sign]) -> (Forecast, f64) {
        let mut pages = self.pages.lock();
        let known = pages.ids.entry(id.clone()).or_default();
        (known.forecaster.forecast(signs), known.usual_ms)
    }

    /// What became of a transaction. `external`: it has come to something that cannot be undone.
    /// `prevented`: forecasts of a failure about which something was done.
    pub(crate) fn end(
        &self,
        story: Story,
        (learned, prevented): (Option<Learned>, u32),
        external: bool,
    ) {
        let mut pages = self.pages.lock();
        let known = pages.ids.entry(story.id.clone()).or_default();
        (0..prevented).for_each(|_| known.forecaster.prevented());
        if let Some(Learned { signs, hindsight }) = learned {
            known.forecaster.learn(&signs, hindsight);
        }
        known.note(&story, external);
        let kept = (-SOON.recip()).exp2();
        known.external = known.external * kept + f64::from(u8::from(external)) * (1.0 - kept);
        if story.became == Became::Unknown {
            if pages.in_doubt.len() == IN_DOUBT_MAX {
                pages.in_doubt.pop_front();
            }
            pages.in_doubt.push_back(story.request.clone());
        }
        if pages.stories.len() == STORIES_MAX {
            pages.stories.pop_front();
        }
        pages.stories.push_back(Arc::new(story));
    }

    /// Whether it is not known of a transaction of a request if it was committed, since this was asked for the last time.
    pub fn was_in_doubt(&self, request: &str) -> bool {
        let mut pages = self.pages.lock();
        let before = pages.in_doubt.len();
        pages.in_doubt.retain(|known| known != request);
        pages.in_doubt.len() < before
    }

    pub fn ids(&self) -> Vec<(TransactionName, Known)> {
        let pages = self.pages.lock();
        pages.ids.iter().map(|(id, known)| (id.clone(), known.clone())).collect()
    }

    /// The last ones, the newest first.
    pub fn stories(&self, wanted: impl Fn(&Story) -> bool, limit: usize) -> Vec<Arc<Story>> {
        let pages = self.pages.lock();
        let all = pages.stories.iter().rev().filter(|story| wanted(story));
        all.take(limit).cloned().collect()
    }
}

impl Known {
    /// Whether others are often enough in its way to look who they are.
    fn is_contended(&self) -> bool {
        self.conflicts > CONTENDED
    }

    fn note(&mut self, story: &Story, external: bool) {
        let counts = &mut self.counts;
        match story.became {
            Became::Committed => counts.committed += 1,
            Became::Failed | Became::Unknown | Became::Abandoned => counts.failed += 1,
        }
        // Attempts that are told are those that failed.
        let failed = story.attempts.len() as u64;
        let last = u64::from(story.became != Became::Committed);
        counts.retried += failed.saturating_sub(last);
        for choice in &story.choices {
            match choice.action {
                Action::Divert => counts.diverted += 1,
                Action::Wait => counts.waited += 1,
                Action::Adjust | Action::Allocate => counts.adjusted += 1,
                Action::GoOn => {}
            }
        }
        let kept = (-HALF_LIFE.recip()).exp2();
        let mean = |old: &mut f64, new: f64| *old = *old * kept + new * (1.0 - kept);
        if story.became == Became::Committed && story.attempts.is_empty() {
            let took = (story.took_ms - story.waited_ms).max(0.0);
            if self.usual_ms == 0.0 {
                self.usual_ms = took
            } else {
                mean(&mut self.usual_ms, took)
            }
            self.usual.note(story.effects.iter().map(|effect| effect.op.as_str()));
        }
        let called = story.forecast.as_ref().is_some_and(|it| it.forecast.is_called());
        counts.called += u64::from(called);
        let in_vain = external && story.was_refused();
        let Some(mirror) = &story.mirror else {
            // Whether a mirror would have seen it coming is worth to be known.
            if in_vain {
                self.sampled = (self.sampled * MORE).min(1.0);
            }
            return;
        };
        counts.unmodelled += u64::from(mirror.unmodelled.is_some());
        counts.diverged += u64::from(story.has_diverged());
        mean(&mut self.cost_ms, mirror.cost_ms());
        mean(&mut self.saved_ms, story.saved_ms);
        mean(&mut self.earned_ms, story.earned_ms);
        let factor = match self.earned_ms >= self.cost_ms {
            true => MORE,
            // It was worth nothing where it should have been.
            false if in_vain => FEWER * FEWER,
            false => FEWER,
        };
        // One that has found something is followed by others, also one that is only believed in hindsight, where something was
        // done outside in vain.
        let foretold = external && story.was_foretold();
        let found = story.earned_ms > mirror.cost_ms() || foretold;
        self.sampled = if found { 1.0 } else { (self.sampled * factor).clamp(EXPLORED, 1.0) };
    }
}

#[cfg(test)]
mod tests {
    use belay_model::{Category, Failure};

    use super::*;
    use crate::{Attempt, Ended, Mirrored};

    fn id() -> TransactionName {
        "transfer".parse().unwrap()
    }

    /// One whose mirror took 2 ms, and has brought so much.
    fn story(earned_ms: f64) -> Story {
        Story {
            id: id(),
            request: "r-1".to_owned(),
            way: "transfer".to_owned(),
            became: Became::Committed,
            took_ms: 10.0,
            waited_ms: 0.0,
            attempts: Vec::new(),
            effects: Vec::new(),
            mirror: Some(Mirrored { cpu_ms: 2.0, ..Mirrored::default() }),
            forecast: None,
            choices: Vec::new(),
            saved_ms: earned_ms,
            earned_ms,
            warnings: Vec::new(),
        }
    }

    fn sampled(book: &Book) -> f64 {
        book.ids()[0].1.sampled
    }

    #[test]
    fn mirrors_that_bring_nothing_get_few_but_not_none() {
        let book = Book::default();
        assert!(book.begin(&id(), true, 0.999), "at first each has one");
        (0..200).for_each(|_| book.end(story(0.0), (None, 0), true));
        assert!((sampled(&book) - EXPLORED).abs() < 1e-9);
        assert!(book.begin(&id(), true, EXPLORED - 0.001));
        assert!(!book.begin(&id(), true, EXPLORED + 0.001));
        assert!(!book.begin(&id(), false, 0.0), "its tags do not say so");
    }

    #[test]
    fn one_that_has_found_something_is_followed_by_others() {
        let book = Book::default();
        (0..200).for_each(|_| book.end(story(0.0), (None, 0), true));
        book.end(story(500.0), (None, 0), true);
        assert!(book.begin(&id(), true, 0.999));
        // As long as that pays for those that find nothing.
        (0..20).for_each(|_| book.end(story(0.0), (None, 0), true));
        assert!(book.begin(&id(), true, 0.999));
        (0..400).for_each(|_| book.end(story(0.0), (None, 0), true));
        assert!(!book.begin(&id(), true, 0.5));
    }

    /// While it is not believed yet, nothing is earned by it; but there is something to be learned.
    #[test]
    fn one_that_has_seen_a_failure_coming_is_followed_by_others() {
        let book = Book::default();
        (0..200).for_each(|_| book.end(story(0.0), (None, 0), true));
        let failed = |mirrored: &str| {
            let failure = Failure::new(Category::Exception, "RangeError", "too little");
            let attempt = Attempt { number: 1, way: 0, ended: Ended::Failed(failure), took_ms: 5 };
            let ended = Some(mirrored.to_owned());
            let mirror = Some(Mirrored { ended, ..Mirrored::default() });
            Story { attempts: vec![attempt], became: Became::Failed, mirror, ..story(0.0) }
        };
        book.end(failed("done"), (None, 0), true);
        assert!((sampled(&book) - EXPLORED).abs() < 1e-9, "it has seen nothing");
        book.end(failed("it failed"), (None, 0), false);
        assert!((sampled(&book) - EXPLORED).abs() < 1e-9, "nothing was done in vain");
        book.end(failed("it failed"), (None, 0), true);
        assert!(book.begin(&id(), true, 0.999));
    }

    #[test]
    fn whoever_fails_without_a_mirror_gets_some_until_it_is_known_what_they_are_worth() {
        let book = Book::default();
        (0..200).for_each(|_| book.end(story(0.0), (None, 0), true));
        let failed = |category, mirror| {
            let failure = Failure::new(category, "RangeError", "too little");
            let attempt = Attempt { number: 1, way: 0, ended: Ended::Failed(failure), took_ms: 5 };
            Story { attempts: vec![attempt], became: Became::Failed, mirror, ..story(0.0) }
        };
        (0..10).for_each(|_| book.end(failed(Category::Dependency, None), (None, 0), true));
        (0..10).for_each(|_| book.end(failed(Category::Exception, None), (None, 0), false));
        assert!((sampled(&book) - EXPLORED).abs() < 1e-9, "no mirror sees that, or saves anything");
        (0..10).for_each(|_| book.end(failed(Category::Exception, None), (None, 0), true));
        assert!(book.begin(&id(), true, 0.999));
        let blind = Some(Mirrored { ended: Some("done".to_owned()), ..Mirrored::default() });
        (0..20).for_each(|_| book.end(failed(Category::Exception, blind.clone()), (None, 0), true));
        assert!((sampled(&book) - EXPLORED).abs() < 1e-9, "mirrors do not see it");
    }

    #[test]
    fn that_one_is_in_doubt_is_told_once() {
        let book = Book::default();
        book.end(Story { became: Became::Unknown, ..story(0.0) }, (None, 0), true);
        (0..2 * STORIES_MAX).for_each(|n| {
            let request = format!("r-{}", n + 2);
            book.end(Story { request, ..story(0.0) }, (None, 0), true);
        });
        assert!(!book.was_in_doubt("r-2") && book.was_in_doubt("r-1"), "however many there were");
        assert!(
            !book.was_in_doubt("r-1"),
            "what it comes to when it is run again is another matter"
        );
    }

    #[test]
    fn who_asks_nobody_outside_has_a_mirror_rarely() {
        let book = Book::default();
        (0..50).for_each(|_| book.end(story(500.0), (None, 0), false));
        assert!(sampled(&book) > 0.9 && !book.begin(&id(), true, EXPLORED + 0.001));
        assert!(book.begin(&id(), true, EXPLORED - 0.001));
    }

    #[test]
    fn whoever_often_meets_others_looks_who_they_are() {
        let book = Book::default();
        (0..10).for_each(|_| book.attempted(&id(), true));
        assert!(book.is_contended(&id()));
        (0..300).for_each(|_| book.attempted(&id(), false));
        assert!(!book.is_contended(&id()));
    }
}
