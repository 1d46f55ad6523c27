//! What happened in one transaction, and in the mirror that ran ahead of it.

use std::time::{Duration, Instant};

use belay_model::{Category, Outcome, TransactionName};
use serde::Serialize;

use crate::{Attempt, Choice, Ended, Forecast};

/// Effects of one side that are told.
const EFFECTS_MAX: usize = 200;
const SUBJECT_MAX: usize = 200;

/// One transaction, from its begin to its end.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    pub id: TransactionName,
    /// Of its invocation.
    pub request: String,
    /// Of the way that it ended on.
    pub way: String,
    pub became: Became,
    pub took_ms: f64,
    /// Of that, for others that write the same.
    pub waited_ms: f64,
    /// How each attempt ended that did not commit.
    pub attempts: Vec<Attempt>,
    /// Of all attempts, but for what was in the way of itself ([`Log::again`]).
    pub effects: Vec<Effect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirrored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Foreseen>,
    /// What was done about forecasts, in order.
    pub choices: Vec<Choice>,
    /// What that was expected to save.
    pub saved_ms: f64,
    /// The part of it that only a mirror could know.
    pub earned_ms: f64,
    /// What its author should know of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Mirrored {
    /// What it took of the machine, as far as is known: time of the guest, and of databases and the kv. Milliseconds.
    pub fn cost_ms(&self) -> f64 {
        let asked = self.effects.iter().filter(|effect| effect.op != "http.fetch");
        self.cpu_ms + asked.map(|effect| effect.took_ms).sum::<f64>()
    }
}

impl Story {
    /// Whether its own code or its data made its first attempt fail: what a mirror may see coming.
    pub fn was_refused(&self) -> bool {
        match self.attempts.first().map(|attempt| &attempt.ended) {
            Some(Ended::Failed(failure)) => failure.category == Category::Exception,
            Some(Ended::Refused(_) | Ended::Unmet { .. }) => true,
            Some(Ended::Conflict { .. } | Ended::Diverted { .. } | Ended::Diverged { .. })
            | None => false,
        }
    }

    /// Whether its mirror has come to a failure, and then it has failed itself.
    pub fn was_foretold(&self) -> bool {
        let fails = matches!(
            self.attempts.first().map(|attempt| &attempt.ended),
            Some(Ended::Failed(_) | Ended::Refused(_) | Ended::Unmet { .. })
        );
        let ended = self.mirror.as_ref().and_then(|mirror| mirror.ended.as_deref());
        fails && ended.is_some_and(|ended| ended != "done")
    }

    /// Whether a mirror that came to its end has not done what the transaction did: others have changed what both read, or
    /// services have answered something else.
    pub fn has_diverged(&self) -> bool {
        // It has run ahead of the first attempt.
        let is_first = self.became == Became::Committed && self.attempts.is_empty();
        let ended = self.mirror.as_ref().filter(|mirror| mirror.ended.as_deref() == Some("done"));
        let Some(mirror) = ended.filter(|_| is_first) else { return false };
        fn done(effects: &[Effect]) -> Vec<(&str, &str)> {
            let told = effects.iter().filter(|effect| effect.op != "timer");
            told.map(|effect| (effect.op.as_str(), effect.subject.as_str())).collect()
        }
        // What one waits for at the same time may end in any order.
        let [mut own, mut ahead] = [done(&self.effects), done(&mirror.effects)];
        own.sort_unstable();
        ahead.sort_unstable();
        own != ahead
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    Committed,
    Failed,
    /// Whether it was committed is not known.
    Unknown,
    /// Its invocation ended before it did.
    Abandoned,
}

/// A forecast and when it was made.
#[derive(Debug, Clone, Serialize)]
pub struct Foreseen {
    pub at_ms: f64,
    /// What the transaction waited for it.
    pub waited_ms: f64,
    #[serde(flatten)]
    pub forecast: Forecast,
}

/// What the mirror did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Mirrored {
    pub effects: Vec<Effect>,
    /// When it knew what was to come, after the begin.
    pub at_ms: f64,
    pub cpu_ms: f64,
    /// How it ended, if it came to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// What it came upon that it could not do without doing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmodelled: Option<String>,
}

/// One effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// After the begin of the transaction.
    pub at_ms: f64,
    pub took_ms: f64,
    pub op: String,
    pub subject: String,
    /// From 1; that of a mirror is the first one.
    pub attempt: u32,
    /// The code with which it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Effects as they happen.
#[derive(Debug)]
pub(crate) struct Log {
    since: Instant,
    effects: Vec<Effect>,
    attempt: u32,
}

impl Log {
    pub(crate) fn new(since: Instant) -> Self {
        Self { since, effects: Vec::new(), attempt: 1 }
    }

    /// An effect that began at `begun` has ended.
    pub(crate) fn note(&mut self, (op, subject): (&str, &str), begun: Instant, outcome: &Outcome) {
        if self.effects.len() >= EFFECTS_MAX {
            return;
        }
        let refused = match outcome {
            Outcome::Err(error) => Some(error.code.clone()),
            Outcome::Ok { .. } => None,
        };
        let (at_ms, took_ms) =
            (millis(begun.saturating_duration_since(self.since)), millis(begun.elapsed()));
        let (op, subject) = (op.to_owned(), subject.chars().take(SUBJECT_MAX).collect());
        let attempt = self.attempt;
        self.effects.push(Effect { at_ms, took_ms, op, subject, attempt, refused });
    }

    /// The next attempt begins, or the same one anew: then nothing had come of it.
    pub(crate) fn again(&mut self, attempt: u32) {
        self.effects.retain(|effect| effect.attempt != attempt);
        // Room for those to come.
        self.effects.truncate(EFFECTS_MAX / 2);
        self.attempt = attempt;
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.effects.clone()
    }
}

/// To a microsecond.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(log: &mut Log, op: &str) {
        log.note((op, "it"), Instant::now(), &Outcome::json("null"));
    }

    #[test]
    fn effects_of_all_attempts_are_told_but_for_what_came_of_nothing() {
        let mut log = Log::new(Instant::now());
        noted(&mut log, "kv.get");
        // It begins anew: that was no attempt.
        log.again(1);
        noted(&mut log, "kv.list");
        log.again(2);
        (0..2 * EFFECTS_MAX).for_each(|_| noted(&mut log, "kv.put"));
        log.again(3);
        noted(&mut log, "sql.query");
        let told: Vec<_> = log.effects().into_iter().map(|it| (it.attempt, it.op)).collect();
        assert_eq!(told[..2], [(1, "kv.list".to_owned()), (2, "kv.put".to_owned())]);
        assert_eq!(told.last(), Some(&(3, "sql.query".to_owned())), "the last one has room");
        assert!(told.len() <= EFFECTS_MAX);
    }
}
