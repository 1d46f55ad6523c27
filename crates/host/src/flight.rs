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

/// Timers of one invocation at a time.
pub(crate) const TIMERS_MAX: usize = 10_000;

pub(crate) struct Flight<'h> {
    host: &'h AppHost,
    trace: Option<Trace<'h>>,
    calls_max: usize,
    performing: FuturesUnordered<Abortable<BoxFuture<'h, Answer>>>,
    /// One for each call that is being performed.
    calls: HashMap<CallId, AbortHandle>,
    timers: HashMap<CallId, AbortHandle>,
    landed: Answers,
}

/// Answers that wait for the function: it may be busy for as long as its limits allow.
struct Answers {
    list: Vec<Answer>,
    bytes: u64,
    bytes_max: u64,
}

pub(crate) enum Landed {
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
        }
    }

    pub(crate) fn start(&mut self, calls: Vec<Call>) {
        for call in calls {
            let (what, held, max) = self.bound(&call);
            if held < max {
                self.perform(call);
            } else {
                self.landed.push(call.id, too_many(what, max));
            }
        }
    }

    /// What the call counts as, how many of those are in flight, and how many may be.
    fn bound(&self, call: &Call) -> (&'static str, usize, usize) {
        if call.op == TIMER {
            ("timers", self.timers.len(), TIMERS_MAX)
        } else {
            ("calls", self.calls.len(), self.calls_max)
        }
    }

    fn perform(&mut self, call: Call) {
        let (handle, registration) = AbortHandle::new_pair();
        let handles = if call.op == TIMER { &mut self.timers } else { &mut self.calls };
        handles.insert(call.id, handle);
        let (host, trace) = (self.host, self.trace);
        let performing = async move { (call.id, host.perform_for(&call, trace).await) }.boxed();
        self.performing.push(Abortable::new(performing, registration));
    }

    pub(crate) fn cancel(&mut self, calls: &[CallId]) {
        for id in calls {
            if let Some(handle) = self.forget(*id) {
                handle.abort();
            }
        }
        self.landed.list.retain(|(id, _)| !calls.contains(id));
    }

    /// Waits for an answer; takes all that there are by then.
    pub(crate) async fn land(&mut self, deadline: Instant) -> Landed {
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
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
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
        if let Some((id, outcome)) = settled {
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
