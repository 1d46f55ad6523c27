//! How attempts end: committed, or undone, and then made again or given up.
//!
//! Invariant: when one has ended, nothing of it is left but what was done outside.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use belay_engine::Seed;
use belay_host::{
    Landed, Runner, Stepped, code,
    transaction::{self, How},
};
use belay_model::{CallId, Category, Failure, Outcome};

use super::{Answers, Next, Open, engine, foresight::Until, millis};
use crate::{
    Became, Ended, GaveUp,
    open::End,
    resources::{Back, NotCommitted, Resources},
    told,
};

/// The call by which the code of one says that it has come to its end.
pub(super) struct Closing {
    id: CallId,
    /// Whether it has thrown something, which can be thrown on.
    threw: bool,
    /// What its failure is called, where that says more than that it has failed.
    code: Option<&'static str>,
}

impl<'h, R: Runner> Open<'_, 'h, '_, R> {
    /// The time of the invocation is over.
    pub(super) async fn late(&mut self) -> Stepped {
        self.watch.given_up();
        let limits = self.frames.first().map(|frame| frame.limits);
        if let (Some(limits), Some(instance)) = (limits, self.session.driving.instance()) {
            instance.set_limits(limits);
        }
        self.session.driving.step(Landed::Late, self.session.runner).await
    }

    /// The innermost one has come to its end.
    pub(super) async fn end(&mut self, end: End) -> Next {
        let top = self.frames.len() - 1;
        let committed = (end.id, Outcome::json(transaction::committed()));
        let mut closing = Closing { id: end.id, threw: false, code: None };
        let (at, ended) = match end.how {
            How::Done => match self.external.forgotten() {
                Some(was) => (top, Ended::Diverged { was, now: "nothing more".to_owned() }),
                None if top > 0 => {
                    let (savepoint, resources) = (&self.frames[top].savepoint, &self.resources);
                    let releasing = async { resources.lock().await.release(savepoint).await };
                    let released = self.session.driving.flight.beside(releasing).await;
                    match released {
                        Ok(()) => return Ok(self.close(committed)),
                        Err(error) => (0, told::refused(&error)),
                    }
                }
                None => match self.commit().await {
                    Ok(keys) => {
                        self.watch.learn(&self.frames[top].attempts, None, &keys);
                        self.became(Became::Committed);
                        return Ok(self.close(committed));
                    }
                    Err(NotCommitted::Refused(error)) => {
                        let second = error.code == code::TX_SECOND_RESOURCE;
                        closing.code = second.then_some(code::TX_SECOND_RESOURCE);
                        (top, told::refused(&error))
                    }
                    Err(NotCommitted::Conflict(what)) => (top, Ended::Conflict { what }),
                    Err(NotCommitted::Unknown(error)) => {
                        self.became(Became::Unknown);
                        let failed = told::unknown(&self.frames[top].spec, &error);
                        let answer = Outcome::json(transaction::failed(&failed));
                        return Ok(self.close((end.id, answer)));
                    }
                },
            },
            How::Unmet => {
                let criterion = self.frames[top].spec.success.clone().unwrap_or_default();
                (top, Ended::Unmet { criterion })
            }
            How::Failed => {
                closing.threw = true;
                let ended = end.ended.unwrap_or_else(told::unreadable);
                // The snapshot that it reads from was taken by the outermost one.
                (if matches!(ended, Ended::Conflict { .. }) { 0 } else { top }, ended)
            }
        };
        self.ended(at, ended, Some(closing)).await
    }

    /// Commits; says which keys of the kv it has written.
    pub(super) async fn commit(&mut self) -> Result<Vec<String>, NotCommitted> {
        let keys = self.glimpse(Resources::keys);
        let resources = Arc::clone(&self.resources);
        let committing = async { resources.lock().await.commit().await };
        self.session.driving.flight.beside(committing).await.map(|()| keys)
    }

    /// The guest was stopped, or the handler has ended, while a transaction is open.
    pub(super) async fn cut_short(&mut self, result: Result<String, Failure>) -> Next {
        let Some(frame) = self.frames.last() else { return Err(Stepped::Ended(result)) };
        let limits = frame.limits;
        let cpu = self.session.driving.instance().map(|instance| instance.usage().cpu);
        let in_time = Instant::now() < self.session.deadline
            && cpu.is_some_and(|cpu| cpu < Duration::from_millis(limits.cpu_ms));
        match result {
            Err(failure) if in_time && told::is_of_attempt(&failure) => {
                let failure = match failure.category {
                    Category::Timeout => told::late(&frame.spec),
                    _ => failure,
                };
                self.ended(self.frames.len() - 1, Ended::Failed(failure), None).await
            }
            result => Err(Stepped::Ended(result)),
        }
    }

    /// An attempt of the transaction `at` has ended without a commit. `end`: the call that says so, if its code has.
    pub(super) async fn ended(&mut self, at: usize, ended: Ended, end: Option<Closing>) -> Next {
        let top = self.frames.len() - 1;
        let left = self.session.deadline.saturating_duration_since(Instant::now());
        let keys = self.glimpse(Resources::keys);
        let frame = &mut self.frames[at];
        let performed = self.external.is_performed_after(frame.made);
        let took_ms = millis(frame.since.elapsed());
        if at == 0 && !matches!(ended, Ended::Diverted { .. }) {
            self.watch.learn(&frame.attempts, Some(&ended), &keys);
        }
        let budget = || self.watch.may_repeat();
        let next =
            frame.attempts.ended(ended, took_ms, (performed, millis(left)), rand::random(), budget);
        match next {
            crate::Next::Again { way: _, pause_ms } => self.again(at, pause_ms).await,
            crate::Next::GiveUp(why) => {
                let end = end.filter(|_| at == top);
                self.give_up(at, why, end).await
            }
        }
    }

    pub(super) async fn again(&mut self, at: usize, pause_ms: u64) -> Next {
        if let Some(lost) = self.go_back(at, Back::Again).await? {
            return Box::pin(self.ended(0, lost, None)).await;
        }
        let turn = if at == 0 { self.watch.step_aside() } else { None };
        let pause = tokio::time::sleep(Duration::from_millis(pause_ms));
        self.session.driving.flight.beside(pause).await;
        if let Some(limit) = turn {
            self.wait_until(Until::Turn(limit)).await;
        }
        self.begin_attempt(at)
    }

    fn begin_attempt(&mut self, at: usize) -> Next {
        let frame = &mut self.frames[at];
        if at == 0 {
            self.watch.again(frame.attempts.number());
        }
        frame.since = Instant::now();
        frame.reasons = told::reasons(&frame.attempts);
        if let Some(instance) = self.session.driving.instance() {
            frame.limit(instance);
        }
        Ok(vec![frame.turn()])
    }

    /// Begins the outermost one anew, as nothing has come of its attempt yet.
    pub(super) async fn anew(&mut self, until: Until) -> Next {
        if let Some(lost) = self.go_back(0, Back::Again).await? {
            return Box::pin(self.ended(0, lost, None)).await;
        }
        // By now it holds no connection.
        self.wait_until(until).await;
        self.begin_attempt(0)
    }

    /// The transaction `at` has failed for good. Where its code has come to its end, it goes on from there.
    pub(super) async fn give_up(&mut self, at: usize, why: GaveUp, end: Option<Closing>) -> Next {
        let frame = &self.frames[at];
        let mut failed = told::failed(&frame.spec, frame.attempts.history(), why);
        let answer = match end {
            Some(Closing { id, threw, code }) => {
                failed.code = code.unwrap_or(failed.code);
                let resources = Arc::clone(&self.resources);
                let savepoint = &frame.savepoint;
                let undoing =
                    async { resources.lock().await.go_back(savepoint, Back::GivenUp).await };
                let undone = self.session.driving.flight.beside(undoing).await;
                if let Err(error) = undone.map_err(|error| told::refused(&error)) {
                    return Box::pin(self.ended(0, error, None)).await;
                }
                let once = threw && why == GaveUp::Final && frame.attempts.history().len() == 1;
                let answer =
                    if once { transaction::thrown() } else { transaction::failed(&failed) };
                (id, Outcome::json(answer))
            }
            None => {
                let begin = frame.begin;
                if let Some(lost) = self.go_back(at, Back::GivenUp).await? {
                    return Box::pin(self.ended(0, lost, None)).await;
                }
                (begin, Outcome::json(transaction::failed(&failed)))
            }
        };
        self.became(Became::Failed);
        Ok(self.close(answer))
    }

    /// Everything is as it was when the transaction `at` began; or else the outermost one has to begin anew.
    pub(super) async fn go_back(&mut self, at: usize, why: Back) -> Next<Option<Ended>> {
        let inner = self.frames.split_off(at + 1);
        let frame = &mut self.frames[at];
        // What others were answered while an inner one was open is nowhere else.
        let answers = inner.into_iter().flat_map(|inner| inner.held.answers);
        let outside: Answers = answers.filter(|(id, _)| frame.held.is_of_others(*id)).collect();
        frame.held.answers.extend(outside);
        let driving = &mut self.session.driving;
        let fork = frame.snapshot.fork(Seed::Keep).map_err(|error| engine(&error))?;
        driving.flight.keep(|id| frame.held.is_of_others(id));
        if at == 0 {
            self.watch.given_up();
        }
        self.ordinals.clear();
        self.locked = None;
        self.using.clear();
        self.early.clear();
        // What was given up lets go of them only when the flight is looked at.
        let resources = Arc::clone(&self.resources);
        let savepoint = &frame.savepoint;
        let undoing = async { resources.lock().await.go_back(savepoint, why).await };
        let undone = driving.flight.beside(undoing).await;
        self.external.begin(frame.made);
        driving.go_back(fork, frame.mark.as_ref());
        frame.held.cancelled.clear();
        frame.settled.clear();
        frame.end = None;
        Ok(undone.err().map(|error| told::refused(&error)))
    }

    /// The outermost one has become this.
    pub(super) fn became(&mut self, became: Became) {
        if let [frame] = &self.frames[..] {
            self.watch.end(frame, became);
        }
    }

    /// The invocation has ended before they did.
    pub(super) fn abandoned(&mut self) {
        self.session.driving.flight.part();
        self.frames.truncate(1);
        self.became(Became::Abandoned);
    }

    /// The innermost one is over: what was held back is let go.
    pub(super) fn close(&mut self, answer: (CallId, Outcome)) -> Answers {
        let Some(frame) = self.frames.pop() else { return vec![answer] };
        if self.frames.is_empty() {
            self.session.driving.flight.part();
        }
        if let Some(instance) = self.session.driving.instance() {
            match self.frames.last() {
                Some(outer) => outer.limit(instance),
                None => instance.set_limits(frame.limits),
            }
        }
        let (held, settled) = (frame.held, frame.settled);
        self.released.calls.extend(held.calls);
        self.released.cancelled.extend(held.cancelled);
        let all: Answers = held.answers.into_iter().chain(settled).chain([answer]).collect();
        let Some(outer) = self.frames.last_mut() else { return all };
        let (held, own) = all.into_iter().partition(|(id, _)| outer.held.is_of_others(*id));
        outer.held.answers.extend::<Answers>(held);
        own
    }
}
