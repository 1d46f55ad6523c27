//! Answers the calls of a candidate from a tape, in virtual time.
//!
//! A call takes as long as the recorded one that answers it. Timers take as long as they say, where the recording
//! does not say better. The bounds of [`crate::flight`] hold for calls that the recording does not have.
//!
//! Invariants: nothing is performed. Two answers come in the order of their times, and of the recording where these
//! are equal. Where the next thing to happen is later than the tape knows an unanswered call to have gone on, the
//! tape has diverged.

use std::{collections::BTreeMap, time::Duration};

use belay_model::{Call, CallId, Outcome};

use super::{
    Difference, Divergence, Json, Tape, compare,
    overlay::{Overlay, Unknown},
    recorded::{Recorded, Signature, commit_of, is_compared, subject},
};
use crate::{
    fetch::FetchRequest,
    flight::{TIMERS_MAX, too_many},
    kv::{Command, Range},
    request::{Request, TIMER},
    transaction,
};

/// A timer of no wait still takes its turn.
const TIMER_US_MIN: u64 = 50;
/// More than a recording holds, so that one can be replayed.
const CALLS_MAX: usize = 20_000;
/// Where a recorded answer comes first in its step, and one that is not recorded after all of those.
const UNORDERED: u32 = u32::MAX;

pub(super) struct Player<'t> {
    recorded: Recorded<'t>,
    overlay: Overlay,
    pending: BTreeMap<CallId, Due>,
    timers: usize,
    made: usize,
    calls_max: usize,
    now_us: u64,
    deadline_us: u64,
    /// Calls that change something and are not in the recording.
    unlike: Vec<(Signature, Request)>,
}

struct Due {
    is_timer: bool,
    when: When,
}

enum When {
    Answered {
        at_us: u64,
        order: u32,
        with: Result<Outcome, Divergence>,
    },
    /// The tape knows of no answer until then.
    Open {
        until_us: u64,
        reason: Divergence,
    },
}

/// What happens next.
pub(super) enum Next {
    Answers(Vec<(CallId, Outcome)>),
    /// The deadline comes first.
    Late,
    /// Nothing is in flight.
    Nothing,
}

impl<'t> Player<'t> {
    /// For a candidate that may have so many calls in flight, and until `deadline_us`.
    pub(super) fn new(tape: &'t Tape, calls_max: usize, deadline_us: u64) -> Self {
        Self {
            recorded: Recorded::new(tape),
            overlay: Overlay::default(),
            pending: BTreeMap::new(),
            timers: 0,
            made: 0,
            calls_max,
            now_us: tape.began_us,
            deadline_us,
            unlike: Vec::new(),
        }
    }

    pub(super) fn now_us(&self) -> u64 {
        self.now_us
    }

    pub(super) fn redacted_result(&self, result: &str) -> Option<Json> {
        self.recorded.redacted_result(result)
    }

    pub(super) fn ask(&mut self, calls: Vec<Call>, cancelled: &[CallId]) -> Result<(), Divergence> {
        cancelled.iter().for_each(|id| self.forget(*id));
        calls.into_iter().try_for_each(|call| self.made(&call))
    }

    fn forget(&mut self, id: CallId) {
        if self.pending.remove(&id).is_some_and(|due| due.is_timer) {
            self.timers -= 1;
        }
    }

    fn made(&mut self, call: &Call) -> Result<(), Divergence> {
        self.made += 1;
        if self.made > CALLS_MAX {
            return Err(Divergence::Calls { max: CALLS_MAX });
        }
        let when = self.when(call)?;
        let is_timer = call.op == TIMER;
        self.timers += usize::from(is_timer);
        self.pending.insert(call.id, Due { is_timer, when });
        Ok(())
    }

    fn when(&mut self, call: &Call) -> Result<When, Divergence> {
        if let transaction::BEGIN | transaction::END = call.op.as_str() {
            return Ok(self.transaction(call));
        }
        let signature = self.recorded.signature(call);
        let same = self.recorded.take(&signature);
        let request = match (Request::decode(call), same) {
            (Err(_), Some(index)) => return Ok(self.as_recorded(index)),
            (Err(error), None) => return Ok(self.worked_out(&call.op, Outcome::Err(error))),
            (Ok(request), _) => request,
        };
        if let Some(refused) = self.refused(call).filter(|_| same.is_none()) {
            return Ok(self.worked_out(&call.op, refused));
        }
        let answer = self.answer(&signature, &request, same);
        if same.is_none() && is_compared(&request) {
            self.unlike.push((signature, request));
        }
        answer
    }

    /// As the recording went on, where it can; else there is one attempt.
    fn transaction(&mut self, call: &Call) -> When {
        let same = self.recorded.take_op(&call.op);
        let as_recorded = same.filter(|index| {
            let effect = self.recorded.effect(*index);
            let recorded = Call { args: effect.args.as_str().to_owned(), ..call.clone() };
            transaction::goes_on_as(call, &recorded, self.recorded.outcome(*index).as_ref())
        });
        match as_recorded {
            Some(index) => self.as_recorded(index),
            None => self.worked_out(&call.op, transaction::only_attempt(call)),
        }
    }

    fn refused(&self, call: &Call) -> Option<Outcome> {
        let (what, held, max) = if call.op == TIMER {
            ("timers", self.timers, TIMERS_MAX)
        } else {
            ("calls", self.pending.len() - self.timers, self.calls_max)
        };
        (held >= max).then(|| too_many(what, max))
    }

    fn answer(
        &mut self,
        signature: &Signature,
        request: &Request,
        same: Option<usize>,
    ) -> Result<When, Divergence> {
        let found = match request {
            Request::Timer(wait) => Ok(self.timer(*wait, same)),
            Request::Kv(Command::Get(key)) => self.get(key.as_str(), same),
            Request::Kv(Command::List(range)) => self.list(signature, range, same),
            Request::Kv(Command::Commit(_) | Command::Delete(_)) => {
                self.write(&signature.op, request, same)
            }
            Request::Kv(Command::Erase) => Err(Unknown),
            Request::Fetch(fetch) => self.fetch(signature, fetch, same),
            // What a database would answer to something else is not known.
            Request::Sql(_) => same.map(|index| self.as_recorded(index)).ok_or(Unknown),
            Request::Secret { .. } => same
                .map(|index| self.as_recorded(index))
                .or_else(|| self.again(signature))
                .ok_or(Unknown),
        };
        found.map_err(|Unknown| Divergence::Unanswered {
            op: signature.op.clone(),
            subject: subject(request),
        })
    }

    fn timer(&self, wait: Duration, same: Option<usize>) -> When {
        let wait_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX).max(TIMER_US_MIN);
        let due_us = self.now_us.saturating_add(wait_us);
        let at_us = match same.map(|index| self.as_recorded(index)) {
            Some(answered @ When::Answered { .. }) => return answered,
            // It was not over by then.
            Some(When::Open { until_us, .. }) => due_us.max(until_us.saturating_add(1)),
            None => due_us,
        };
        When::Answered { at_us, order: UNORDERED, with: Ok(Outcome::json("null")) }
    }

    fn get(&mut self, key: &str, same: Option<usize>) -> Result<When, Unknown> {
        match same.filter(|&index| self.overlay.agrees(&self.recorded, key, index)) {
            Some(index) => {
                self.overlay.saw(key, index);
                Ok(self.as_recorded(index))
            }
            None => {
                let outcome = self.overlay.get(&self.recorded, key)?;
                Ok(self.worked_out("kv.get", outcome))
            }
        }
    }

    fn list(
        &mut self,
        signature: &Signature,
        range: &Range,
        same: Option<usize>,
    ) -> Result<When, Unknown> {
        let agrees = |&index: &usize| self.overlay.agrees_in(&self.recorded, range, index);
        if let Some(index) = same.filter(agrees) {
            return Ok(self.as_recorded(index));
        }
        let base = same.or_else(|| self.recorded.last(signature)).ok_or(Unknown)?;
        let outcome = self.overlay.list(&self.recorded, range, base)?;
        Ok(self.worked_out("kv.list", outcome))
    }

    fn write(&mut self, op: &str, request: &Request, same: Option<usize>) -> Result<When, Unknown> {
        let Some(commit) = commit_of(request) else { return Err(Unknown) };
        let (overlay, recorded) = (&self.overlay, &self.recorded);
        let exact = same.filter(|&index| overlay.agrees_on(recorded, commit, index));
        let (when, outcome) = match exact.or_else(|| self.alike(request)) {
            Some(index) => (self.as_recorded(index), self.recorded.outcome(index)),
            None => {
                let deletes = matches!(request, Request::Kv(Command::Delete(_)));
                let outcome = self.overlay.evaluate(&self.recorded, commit, deletes)?;
                (self.worked_out(op, outcome.clone()), Some(outcome))
            }
        };
        self.overlay.note(&self.recorded, commit, same, outcome.as_ref());
        Ok(when)
    }

    /// A recorded write to the same keys on the same conditions, of other values.
    fn alike(&mut self, request: &Request) -> Option<usize> {
        let commit = commit_of(request)?;
        let deletes = |request: &Request| matches!(request, Request::Kv(Command::Delete(_)));
        let index = self.recorded.lendable(|other, index| {
            commit_of(other).is_some_and(|other| other.is_like(commit))
                && deletes(other) == deletes(request)
                && self.overlay.agrees_on(&self.recorded, commit, index)
        })?;
        self.recorded.lend(index);
        Some(index)
    }

    fn fetch(
        &mut self,
        signature: &Signature,
        fetch: &FetchRequest,
        same: Option<usize>,
    ) -> Result<When, Unknown> {
        if let Some(index) = same {
            return Ok(self.as_recorded(index));
        }
        let address = |other: &Request, _| match other {
            Request::Fetch(other) => {
                (&other.hop.method, &other.hop.url) == (&fetch.hop.method, &fetch.hop.url)
            }
            Request::Timer(_) | Request::Kv(_) | Request::Sql(_) | Request::Secret { .. } => false,
        };
        if let Some(again) = self.again(signature).filter(|_| fetch.is_safe()) {
            return Ok(again);
        }
        if let Some(index) = self.recorded.lendable(address) {
            self.recorded.lend(index);
            return Ok(self.as_recorded(index));
        }
        let latest = self.recorded.latest(address).filter(|_| fetch.is_safe());
        latest.map(|index| self.afresh(index)).ok_or(Unknown)
    }

    /// What the last call that said the same was answered.
    fn again(&self, signature: &Signature) -> Option<When> {
        Some(self.afresh(self.recorded.last(signature)?))
    }

    /// A recorded answer once more: in its own time, but after those that are the recording's own.
    fn afresh(&self, index: usize) -> When {
        match self.as_recorded(index) {
            When::Answered { at_us, with, .. } => When::Answered { at_us, order: UNORDERED, with },
            open @ When::Open { .. } => open,
        }
    }

    fn as_recorded(&self, index: usize) -> When {
        let effect = self.recorded.effect(index);
        let tape = self.recorded.tape;
        let took_us = tape.until_us(effect).saturating_sub(effect.called_us);
        let at_us = self.now_us.saturating_add(took_us);
        let (op, subject) = (effect.op.clone(), || self.recorded.subject(index));
        match &effect.answered {
            Some(answered) => {
                let outcome = self.recorded.outcome(index);
                let with = outcome.ok_or_else(|| Divergence::Cut { op, subject: subject() });
                When::Answered { at_us, order: answered.order, with }
            }
            None => {
                let subject = subject();
                let reason = Divergence::Unfinished { op, subject, after_us: took_us };
                When::Open { until_us: at_us, reason }
            }
        }
    }

    fn worked_out(&self, op: &str, outcome: Outcome) -> When {
        let at_us = self.now_us.saturating_add(self.recorded.typical_us(op));
        When::Answered { at_us, order: UNORDERED, with: Ok(outcome) }
    }

    /// Goes on to whatever happens next.
    pub(super) fn next(&mut self) -> Result<Next, Divergence> {
        let first = self.pending.values().filter_map(Due::at_us).min();
        if first.is_none() && self.pending.is_empty() {
            return Ok(Next::Nothing);
        }
        let next_us = first.unwrap_or(u64::MAX).min(self.deadline_us);
        if let Some(reason) = self.pending.values().find_map(|due| due.unknown_at(next_us)) {
            return Err(reason.clone());
        }
        self.now_us = next_us.max(self.now_us.saturating_add(1));
        if next_us == self.deadline_us { Ok(Next::Late) } else { self.answers(next_us) }
    }

    fn answers(&mut self, at_us: u64) -> Result<Next, Divergence> {
        let due = self.pending.iter().filter(|(_, due)| due.at_us() == Some(at_us));
        let mut ids: Vec<_> = due.map(|(id, due)| (due.order(), *id)).collect();
        ids.sort_unstable();
        let answers = ids.into_iter().filter_map(|(_, id)| Some((id, self.land(id)?)));
        let answers: Vec<_> = answers.collect();
        let answers = answers.into_iter().map(|(id, with)| Ok((id, with?)));
        answers.collect::<Result<_, _>>().map(Next::Answers)
    }

    fn land(&mut self, id: CallId) -> Option<Result<Outcome, Divergence>> {
        let due = self.pending.remove(&id)?;
        self.timers -= usize::from(due.is_timer);
        match due.when {
            When::Answered { with, .. } => Some(with),
            When::Open { .. } => None,
        }
    }

    /// What the candidate has changed otherwise. Calls that were not made are told only of a run that has ended.
    pub(super) fn differences(&self, ended: bool) -> Vec<Difference> {
        compare::differences(&self.unlike, self.recorded.not_made(), ended)
    }
}

impl Due {
    fn at_us(&self) -> Option<u64> {
        match &self.when {
            When::Answered { at_us, .. } => Some(*at_us),
            When::Open { .. } => None,
        }
    }

    fn order(&self) -> u32 {
        match &self.when {
            When::Answered { order, .. } => *order,
            When::Open { .. } => UNORDERED,
        }
    }

    /// Why it is not known what the call is like at `us`.
    fn unknown_at(&self, us: u64) -> Option<&Divergence> {
        match &self.when {
            When::Open { until_us, reason } if *until_us < us => Some(reason),
            When::Open { .. } | When::Answered { .. } => None,
        }
    }
}
