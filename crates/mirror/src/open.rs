//! A transaction that is open, with the ones inside it: what is held back meanwhile, and to what it can go back.
//!
//! Invariants: while it is open, its instance is given nothing but answers to what its own code has asked since it began.
//! What others asked before, and what they are answered, is held until it ends; nothing of it is lost, and nothing comes
//! twice, however often the transaction goes back to its beginning.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use belay_engine::{EngineError, Instance, Seed, abi::decode_failure};
use belay_host::{
    tape::Mark,
    transaction::{self, How, Spec, Turn},
};
use belay_model::{Call, CallId, Limits, Outcome};

use crate::{Attempts, Ended, RETRIES, Terms, resources::Savepoint, told};

/// One transaction, or one within another.
pub(crate) struct Frame {
    pub(crate) spec: Spec,
    /// Its `tx.begin`.
    pub(crate) begin: CallId,
    /// Waits for the answer to that.
    pub(crate) snapshot: Instance,
    pub(crate) mark: Option<Mark>,
    pub(crate) savepoint: Savepoint,
    /// External calls that were made when it began.
    pub(crate) made: usize,
    /// What its instance may use outside of it.
    pub(crate) limits: Limits,
    pub(crate) attempts: Attempts,
    /// Of the attempt that goes on.
    pub(crate) since: Instant,
    /// Why it is not the first one.
    pub(crate) reasons: Vec<String>,
    /// Its `tx.end`, which waits for what it has asked.
    pub(crate) end: Option<End>,
    /// Answers that came while that waited.
    pub(crate) settled: Vec<(CallId, Outcome)>,
    pub(crate) held: Held,
}

/// A call of `tx.end`.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) id: CallId,
    pub(crate) how: How,
    /// What its code has failed with.
    pub(crate) ended: Option<Ended>,
}

impl End {
    pub(crate) fn read(call: &Call) -> Self {
        let said: Option<transaction::Ended> = serde_json::from_str(&call.args).ok();
        let Some(said) = said else {
            return Self { id: call.id, how: How::Failed, ended: None };
        };
        let failure = said.failure.map(|json| decode_failure(json.get().as_bytes()));
        let ended = failure.map(|failure| told::ended(failure, said.code.as_deref()));
        Self { id: call.id, how: said.ended, ended }
    }
}

/// What others have asked, and are answered.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// In flight when it began.
    outside: BTreeSet<CallId>,
    /// Asked together with `tx.begin`, and not begun.
    pub(crate) calls: Vec<Call>,
    pub(crate) answers: Vec<(CallId, Outcome)>,
    /// By its own code, which may go back.
    pub(crate) cancelled: Vec<CallId>,
}

impl Held {
    /// Whether the call is of others.
    pub(crate) fn is_of_others(&self, id: CallId) -> bool {
        self.outside.contains(&id)
    }
}

impl Frame {
    /// Begins one at `begin`, which `instance` waits for.
    pub(crate) fn open(
        (spec, begin): (Spec, CallId),
        instance: &mut Instance,
        (mark, savepoint, made): (Option<Mark>, Savepoint, usize),
        pause_ms: u64,
    ) -> Result<Self, EngineError> {
        let snapshot = instance.fork(Seed::Keep)?;
        let outside = instance.in_flight().filter(|id| *id != begin).collect();
        let terms = Terms {
            retries: spec.retries.unwrap_or(RETRIES),
            retry_on: spec.retry.clone(),
            alternatives: spec.ways.len().saturating_sub(1),
            pause_ms,
        };
        Ok(Self {
            limits: *instance.limits(),
            spec,
            begin,
            snapshot,
            mark,
            savepoint,
            made,
            attempts: Attempts::new(terms),
            since: Instant::now(),
            reasons: Vec::new(),
            end: None,
            settled: Vec::new(),
            held: Held { outside, ..Held::default() },
        })
    }

    /// What the guest is told when an attempt begins.
    pub(crate) fn turn(&self) -> (CallId, Outcome) {
        let turn = Turn {
            id: &self.spec.id,
            attempt: self.attempts.number(),
            way: self.attempts.way(),
            reasons: &self.reasons,
        };
        (self.begin, Outcome::json(transaction::turn(&turn)))
    }

    /// When its attempt has taken too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Some(self.since + Duration::from_millis(self.spec.timeout_ms?))
    }

    /// Has `instance` use no more than the attempt may.
    pub(crate) fn limit(&self, instance: &mut Instance) {
        let mut limits = self.limits;
        if let Some(timeout_ms) = self.spec.timeout_ms {
            let elapsed = u64::try_from(instance.elapsed().as_millis()).unwrap_or(u64::MAX);
            limits.timeout_ms = limits.timeout_ms.min(elapsed.saturating_add(timeout_ms));
        }
        if let Some(memory_bytes) = self.spec.memory_bytes {
            limits.memory_bytes = limits.memory_bytes.min(memory_bytes);
        }
        instance.set_limits(limits);
    }

    /// Calls that `instance` waits for and that the frame's code has made.
    pub(crate) fn own(&self, instance: &Instance) -> Vec<CallId> {
        let end = self.end.as_ref().map(|end| end.id);
        let own = instance
            .in_flight()
            .filter(|id| *id != self.begin && Some(*id) != end && !self.held.is_of_others(*id));
        own.collect()
    }
}
