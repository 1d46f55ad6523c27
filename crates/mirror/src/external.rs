//! What a transaction has done outside, where nothing can be undone.
//!
//! A call is known by its ordinal among the external ones of the transaction. Once it was performed, an attempt that makes the
//! same call at the same place is given the result that is known; one that asks for something else cannot go on, as what
//! was done stays done. Each call carries a key by which a service that knows of such keys does it once, whoever retries.

use belay_model::{Call, Outcome};

/// The external calls of one transaction.
#[derive(Debug, Clone, Default)]
pub struct External {
    /// Names the invocation, and the transaction within it.
    prefix: String,
    performed: Vec<Performed>,
    /// Of the attempt that goes on: how many it has made.
    made: usize,
}

#[derive(Debug, Clone)]
struct Performed {
    op: String,
    args: String,
    body: Option<Vec<u8>>,
    outcome: Option<Outcome>,
}

/// What to do with a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is to be performed, under this key, and then told of as this one.
    Perform { ordinal: usize, key: String },
    /// It was, with this result.
    Known(Outcome),
    /// It was, but nobody heard what came of it: the same key makes it the same call.
    Repeat { ordinal: usize, key: String },
    /// At this place another one was.
    Diverged { was: String, now: String },
}

impl External {
    /// `prefix` names the invocation and the transaction.
    pub fn new(prefix: String) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// Whether anything was done that cannot be undone.
    pub fn is_performed(&self) -> bool {
        !self.performed.is_empty()
    }

    /// Calls that the attempt has made so far.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Whether anything was done from the call `made` on.
    pub fn is_performed_after(&self, made: usize) -> bool {
        self.performed.len() > made
    }

    /// Another attempt begins, from where so many were made.
    pub fn begin(&mut self, made: usize) {
        self.made = made;
    }

    /// What was done and was not asked for by the attempt that is about to end.
    pub fn forgotten(&self) -> Option<String> {
        self.performed.get(self.made).map(|call| format!("{} {}", call.op, call.args))
    }

    /// A call that was not made after all, as the host refused it.
    pub fn refused(&mut self, ordinal: usize) {
        if ordinal + 1 == self.performed.len() && self.performed[ordinal].outcome.is_none() {
            self.performed.truncate(ordinal);
            self.made = self.made.min(ordinal);
        }
    }

    /// The attempt makes a call. Arguments are compared as they are written: the same code makes the same ones.
    pub fn ask(&mut self, call: &Call) -> Verdict {
        let ordinal = self.made;
        let key = format!("{}-{ordinal}", self.prefix);
        let Some(known) = self.performed.get(ordinal) else {
            self.made += 1;
            let (op, args, body) = (call.op.clone(), call.args.clone(), call.body.clone());
            self.performed.push(Performed { op, args, body, outcome: None });
            return Verdict::Perform { ordinal, key };
        };
        if (&known.op, &known.args, &known.body) != (&call.op, &call.args, &call.body) {
            let told = |op: &str, args: &str| format!("{op} {args}");
            let (was, now) = (told(&known.op, &known.args), told(&call.op, &call.args));
            return Verdict::Diverged { was, now };
        }
        self.made += 1;
        match &known.outcome {
            Some(outcome) => Verdict::Known(outcome.clone()),
            None => Verdict::Repeat { ordinal, key },
        }
    }

    /// What came of a call. A failure is no result: whether it was done is not known, so it is made again under its key.
    pub fn note(&mut self, ordinal: usize, outcome: &Outcome) {
        if let (Some(performed), Outcome::Ok { .. }) = (self.performed.get_mut(ordinal), outcome) {
            performed.outcome = Some(outcome.clone());
        }
    }
}
