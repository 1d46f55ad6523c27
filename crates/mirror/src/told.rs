//! How an attempt has ended, and what is told of that.

use belay_host::{
    code,
    transaction::{Failed, Spec},
};
use belay_model::{Category, EffectError, Failure};

use crate::{Attempt, Attempts, Ended, GaveUp};

/// Codes of effects that may be granted another time.
const PASSING: [&str; 5] = [
    code::HTTP_TIMEOUT,
    code::HTTP_FAILED,
    code::KV_UNAVAILABLE,
    code::SQL_UNAVAILABLE,
    code::SQL_TIMEOUT,
];

/// Codes of requests that were never sent.
const NEVER_LEFT: [&str; 4] =
    [code::BAD_ARGUMENTS, code::EGRESS_DENIED, code::TOO_MANY_CALLS, code::UNKNOWN_EFFECT];

/// Whether an effect that was refused with this code has reached nobody.
pub(crate) fn never_left(code: &str) -> bool {
    NEVER_LEFT.contains(&code)
}

/// What its code has thrown, for an effect that was refused with `code`, if for one.
pub(crate) fn ended(failure: Failure, code: Option<&str>) -> Ended {
    match code {
        Some(code::CONFLICT | code::SQL_CONFLICT) => Ended::Conflict { what: failure.message },
        Some(code) if !PASSING.contains(&code) => Ended::Refused(failure),
        _ => Ended::Failed(failure),
    }
}

/// A commit that was refused.
pub(crate) fn refused(error: &EffectError) -> Ended {
    let failure = Failure::new(Category::Dependency, "BelayError", error.message.clone());
    ended(failure, Some(&error.code))
}

pub(crate) fn unreadable() -> Ended {
    let message = "the failure could not be described";
    Ended::Failed(Failure::new(Category::Exception, "Error", message))
}

/// Whether a guest that was stopped so may be another time.
pub(crate) fn is_of_attempt(failure: &Failure) -> bool {
    match failure.category {
        Category::Timeout
        | Category::OutOfMemory
        | Category::StackOverflow
        | Category::Deadlock => true,
        Category::Exception | Category::InvalidInput | Category::Dependency | Category::Engine => {
            false
        }
    }
}

/// An attempt past its time.
pub(crate) fn late(spec: &Spec) -> Failure {
    let limit = spec.timeout_ms.map(|ms| format!(" of {ms} ms")).unwrap_or_default();
    let message = format!("the attempt ran past its time limit{limit}");
    Failure::new(Category::Timeout, "Belay.Timeout", message)
}

/// A request while an SQLite file is locked.
pub(crate) fn locks(database: &str) -> String {
    format!(
        "it has written {database} and then asks a service: nobody else can write {database} until it is answered. Ask first, and write after that"
    )
}

/// It was not answered soon enough.
pub(crate) fn locked(database: &str) -> Failure {
    let message = format!(
        "the attempt held the write lock of {database} over a request for too long: ask first, and write after that"
    );
    Failure::new(Category::Timeout, "Belay.Timeout", message)
}

/// It waits for what comes only when it has ended.
pub(crate) fn deadlock(spec: &Spec) -> Failure {
    let message = format!(
        "the transaction {} waits for something that was begun outside of it, which is held back until it ends",
        spec.id
    );
    Failure::new(Category::Deadlock, "Belay.Deadlock", message)
}

/// Why an attempt is not the first one.
pub(crate) fn reasons(attempts: &Attempts) -> Vec<String> {
    match attempts.history().last() {
        Some(Attempt { ended: Ended::Diverted { reasons }, .. }) => reasons.clone(),
        Some(attempt) => vec![what(&attempt.ended)],
        None => Vec::new(),
    }
}

/// How an attempt ended, in words.
pub(crate) fn what(ended: &Ended) -> String {
    match ended {
        Ended::Conflict { what } => format!("conflict: {what}"),
        Ended::Failed(failure) | Ended::Refused(failure) => failure.to_string(),
        Ended::Unmet { criterion } => format!("its result is not what it promises: {criterion}"),
        Ended::Diverted { reasons } => format!("it was about to fail: {}", reasons.join("; ")),
        Ended::Diverged { was, now } => {
            format!("it asked for {now}, where it had done {was} before, which stays done")
        }
    }
}

/// A commit of which nobody knows whether it was made.
pub(crate) fn unknown(spec: &Spec, error: &EffectError) -> Failed {
    let message = format!(
        "whether the transaction {} was committed is not known: {}. Look before you do it again",
        spec.id, error.message
    );
    Failed {
        code: code::TX_UNKNOWN,
        message,
        category: Category::Dependency,
        attempts: serde_json::Value::Array(Vec::new()),
    }
}

/// What the guest is told of a transaction that has failed.
pub(crate) fn failed(spec: &Spec, history: &[Attempt], why: GaveUp) -> Failed {
    let last = history.last().map(|attempt| &attempt.ended);
    let category = match last {
        Some(Ended::Failed(failure) | Ended::Refused(failure)) => failure.category,
        Some(Ended::Conflict { .. } | Ended::Diverted { .. }) => Category::Dependency,
        Some(Ended::Unmet { .. } | Ended::Diverged { .. }) | None => Category::Exception,
    };
    let code = match why {
        GaveUp::DivergedAfterExternal => code::DIVERGED_AFTER_EXTERNAL,
        GaveUp::Final | GaveUp::Attempts | GaveUp::Time | GaveUp::Budget => code::TX_FAILED,
    };
    let because = match why {
        GaveUp::Final => "and another attempt would fail as well",
        GaveUp::Attempts => "as often as it may be tried",
        GaveUp::Time => "and there is no time for another attempt",
        GaveUp::Budget => "and too many like it are being tried again already",
        GaveUp::DivergedAfterExternal => "and cannot be tried again",
    };
    let way = |attempt: &Attempt| spec.ways.get(attempt.way).cloned().unwrap_or_default();
    let lines = history.iter().map(|attempt| {
        let Attempt { number, took_ms, ended, .. } = attempt;
        format!("\n  {number}. {} ({took_ms} ms): {}", way(attempt), what(ended))
    });
    let count = match history.len() {
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    };
    let lines: String = lines.collect();
    let message = format!("the transaction {} failed after {count}, {because}:{lines}", spec.id);
    let attempts = history.iter().map(|attempt| {
        let mut told = serde_json::json!(attempt);
        told["way"] = way(attempt).into();
        told
    });
    Failed { code, message, category, attempts: attempts.collect() }
}
