//! The calls of one invocation that are being performed.
//!
//! Invariants: at most `limit` calls are performed at a time, and one more is answered `TOO_MANY_CALLS`; timers, which
//! cost next to nothing, have a bound of their own. Answers that wait for the function hold no more bytes than its
//! memory may. A cancelled call has no answer, also when it had just been performed.

use std::{collections::HashMap, pin::pin, time::Instant};

use belay_model::{Call, CallId, Limits, Outcome};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};

use crate::{AppHost, Trace, code, request::TIMER};

type Answer = (CallId, Outcome);

/// What no call is numbered.
const COMPANION: CallId = CallId(u32::MAX);

/// Timers of one invocation at a time.
pub(crate) const TIMERS_MAX: usize = 10_000;

/// See the module's header.
pub struct Flight<'h> {
    host: &'h AppHost,
    trace: Option<Trace<'h>>,
    calls_max: usize,
    performing: FuturesUnordered<Abortable<BoxFuture<'h, Answer>>>,
    /// One for each call that is being performed.
    calls: HashMap<CallId, AbortHandle>,
    timers: HashMap<CallId, AbortHandle>,
    landed: Answers,
    companion: Option<AbortHandle>,
}

/// Answers that wait for the function: it may be busy for as long as its limits allow.
struct Answers {
    list: Vec<Answer>,
    bytes: u64,
    bytes_max: u64,
}

/// What came of waiting.
#[derive(Debug)]
pub enum Landed {
    /// At least one answer.
    Some(Vec<Answer>),
    /// The deadline came first.
    Late,
    /// Nothing is in flight.
    Nothing,
}

impl Landed {
    pub(crate) fn answers(&self) -> &[Answer] {
        match self {
            Self::Some(answers) => answers,
            Self::Late | Self::Nothing => &[],
        }
    }
}

impl<'h> Flight<'h> {
    pub(crate) fn new(host: &'h AppHost, trace: Option<Trace<'h>>, limits: &Limits) -> Self {
        Self {
            host,
            trace,
            calls_max: limits.calls_in_flight as usize,
            performing: FuturesUnordered::new(),
            calls: HashMap::new(),
            timers: HashMap::new(),
            landed: Answers { list: Vec::new(), bytes: 0, bytes_max: limits.memory_bytes },
            companion: None,
        }
    }

    pub(crate) fn start(&mut self, calls: Vec<Call>) {
        let (host, trace) = (self.host, self.trace);
        for call in calls {
            self.start_as(
                &call.clone(),
                async move { host.perform_for(&call, trace).await }.boxed(),
            );
        }
    }

    /// Has `performing` answer the call, within the bounds.
    pub fn start_as(&mut self, call: &Call, performing: BoxFuture<'h, Outcome>) {
        let (what, held, max) = self.bound(call);
        if held < max {
            self.perform(call, performing);
        } else {
            self.landed.push(call.id, too_many(what, max));
        }
    }

    /// Of the invocation.
    pub fn host(&self) -> &'h AppHost {
        self.host
    }

    /// Of the invocation.
    pub fn trace(&self) -> Option<Trace<'h>> {
        self.trace
    }

    /// Whether the call is being performed, and is not just a wait.
    pub fn performs(&self, id: CallId) -> bool {
        self.calls.contains_key(&id)
    }

    /// Whether anything is being performed, or waits to be heard.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.timers.is_empty() && self.landed.list.is_empty()
    }

    /// What the call counts as, how many of those are in flight, and how many may be.
    fn bound(&self, call: &Call) -> (&'static str, usize, usize) {
        if call.op == TIMER {
            ("timers", self.timers.len(), TIMERS_MAX)
        } else {
            ("calls", self.calls.len(), self.calls_max)
        }
    }

    fn perform(&mut self, call: &Call, performing: BoxFuture<'h, Outcome>) {
        let (handle, registration) = AbortHandle::new_pair();
        let handles = if call.op == TIMER { &mut self.timers } else { &mut self.calls };
        handles.insert(call.id, handle);
        let id = call.id;
        let performing = performing.map(move |outcome| (id, outcome)).boxed();
        self.performing.push(Abortable::new(performing, registration));
    }

    pub fn cancel(&mut self, calls: &[CallId]) {
        for id in calls {
            if let Some(handle) = self.forget(*id) {
                handle.abort();
            }
        }
        self.landed.list.retain(|(id, _)| !calls.contains(id));
    }

    /// Has `companion` go on as long as anything is waited for here. It is no call, and answers nothing.
    pub fn accompany(&mut self, companion: BoxFuture<'h, ()>) {
        self.part();
        let (handle, registration) = AbortHandle::new_pair();
        self.companion = Some(handle);
        let companion = companion.map(|()| (COMPANION, Outcome::json("null"))).boxed();
        self.performing.push(Abortable::new(companion, registration));
    }

    /// Gives up the companion, if there is one.
    pub fn part(&mut self) {
        if let Some(handle) = self.companion.take() {
            handle.abort();
        }
    }

    /// Gives up all calls but those that `keeps` names.
    pub fn keep(&mut self, keeps: impl Fn(CallId) -> bool) {
        let all = self.calls.keys().chain(self.timers.keys());
        let landed = self.landed.list.iter().map(|(id, _)| id);
        let others: Vec<_> = all.chain(landed).copied().filter(|id| !keeps(*id)).collect();
        self.cancel(&others);
    }

    /// Waits for an answer; takes all that there are by then.
    pub async fn land(&mut self, deadline: Instant) -> Landed {
        // Asked first: answers that never keep one waiting must not outrun the deadline.
        if Instant::now() >= deadline {
            return Landed::Late;
        }
        while self.landed.list.is_empty() {
            match tokio::time::timeout_at(deadline.into(), self.performing.next()).await {
                Ok(Some(settled)) => self.settle(settled.ok()),
                Ok(None) => return Landed::Nothing,
                Err(_) => return Landed::Late,
            }
        }
        while let Some(Some(settled)) = self.performing.next().now_or_never() {
            self.settle(settled.ok());
        }
        Landed::Some(self.landed.take())
    }

    /// Waits for `work`, such as a step of the instance, while the calls go on.
    pub async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(settled) = self.performing.next() => self.settle(settled.ok()),
            }
        }
    }

    /// `None` is a call that was cancelled.
    fn settle(&mut self, settled: Option<Answer>) {
        if let Some((id, outcome)) = settled.filter(|(id, _)| *id != COMPANION) {
            self.forget(id);
            self.landed.push(id, outcome);
        }
    }

    fn forget(&mut self, id: CallId) -> Option<AbortHandle> {
        self.calls.remove(&id).or_else(|| self.timers.remove(&id))
    }
}

impl Answers {
    fn push(&mut self, id: CallId, outcome: Outcome) {
        let bytes = bytes(&outcome);
        if self.bytes + bytes > self.bytes_max {
            return self.list.push((id, too_large(self.bytes_max)));
        }
        self.bytes += bytes;
        self.list.push((id, outcome));
    }

    fn take(&mut self) -> Vec<Answer> {
        self.bytes = 0;
        std::mem::take(&mut self.list)
    }
}

fn bytes(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Ok { value, body } => (value.len() + body.as_ref().map_or(0, Vec::len)) as u64,
        Outcome::Err(_) => 0,
    }
}

pub(crate) fn too_many(what: &str, max: usize) -> Outcome {
    Outcome::error(code::TOO_MANY_CALLS, format!("more than {max} {what} in flight"))
}

fn too_large(max: u64) -> Outcome {
    let message =
        format!("the answers that wait hold more than the function's {max} bytes of memory");
    Outcome::error(code::TOO_MANY_BYTES, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_wait_are_bounded_by_their_bytes() {
        let mut answers = Answers { list: Vec::new(), bytes: 0, bytes_max: 10 };
        let body = |len| Outcome::Ok { value: "null".to_owned(), body: Some(vec![0; len]) };
        for (id, len) in [(1, 5), (2, 5), (3, 0)] {
            answers.push(CallId(id), body(len));
        }
        let refused = |(id, outcome): &Answer| match outcome {
            Outcome::Err(error) if error.code == code::TOO_MANY_BYTES => Some(id.0),
            Outcome::Err(_) | Outcome::Ok { .. } => None,
        };
        let list = answers.take();
        assert_eq!(list.iter().filter_map(refused).collect::<Vec<_>>(), [2, 3]);
        answers.push(CallId(4), body(5));
        assert_eq!(answers.take().iter().filter_map(refused).count(), 0, "taken is given back");
    }
}
