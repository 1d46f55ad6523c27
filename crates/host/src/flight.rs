//! The calls of one invocation that are being performed.
//!
//! Invariants: at most `limit` calls are performed at a time, and one more is answered `TOO_MANY_CALLS`. A
//! cancelled call has no answer, also when it had just been performed.

use std::{collections::HashMap, pin::pin, time::Instant};

use belay_model::{Call, CallId, Outcome};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};

use crate::{AppHost, Trace, code};

type Answer = (CallId, Outcome);

pub(crate) struct Flight<'h> {
    host: &'h AppHost,
    trace: Option<Trace<'h>>,
    limit: usize,
    performing: FuturesUnordered<Abortable<BoxFuture<'h, Answer>>>,
    /// One for each call that is being performed.
    handles: HashMap<CallId, AbortHandle>,
    landed: Vec<Answer>,
}

pub(crate) enum Landed {
    /// At least one answer.
    Some(Vec<Answer>),
    /// The deadline came first.
    Late,
    /// Nothing is in flight.
    Nothing,
}

impl<'h> Flight<'h> {
    pub(crate) fn new(host: &'h AppHost, trace: Option<Trace<'h>>, limit: u32) -> Self {
        Self {
            host,
            trace,
            limit: limit as usize,
            performing: FuturesUnordered::new(),
            handles: HashMap::new(),
            landed: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self, calls: Vec<Call>) {
        for call in calls {
            if self.handles.len() < self.limit {
                self.perform(call);
            } else {
                self.landed.push((call.id, too_many(self.limit)));
            }
        }
    }

    fn perform(&mut self, call: Call) {
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(call.id, handle);
        let (host, trace) = (self.host, self.trace);
        let performing = async move { (call.id, host.perform_for(&call, trace).await) }.boxed();
        self.performing.push(Abortable::new(performing, registration));
    }

    pub(crate) fn cancel(&mut self, calls: &[CallId]) {
        for id in calls {
            if let Some(handle) = self.handles.remove(id) {
                handle.abort();
            }
        }
        self.landed.retain(|(id, _)| !calls.contains(id));
    }

    /// Waits for an answer; takes all that there are by then.
    pub(crate) async fn land(&mut self, deadline: Instant) -> Landed {
        // Asked first: answers that never keep one waiting must not outrun the deadline.
        if Instant::now() >= deadline {
            return Landed::Late;
        }
        while self.landed.is_empty() {
            match tokio::time::timeout_at(deadline.into(), self.performing.next()).await {
                Ok(Some(settled)) => self.settle(settled.ok()),
                Ok(None) => return Landed::Nothing,
                Err(_) => return Landed::Late,
            }
        }
        while let Some(Some(settled)) = self.performing.next().now_or_never() {
            self.settle(settled.ok());
        }
        Landed::Some(std::mem::take(&mut self.landed))
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
            self.handles.remove(&id);
            self.landed.push((id, outcome));
        }
    }
}

fn too_many(limit: usize) -> Outcome {
    Outcome::error(code::TOO_MANY_CALLS, format!("more than {limit} calls in flight"))
}
