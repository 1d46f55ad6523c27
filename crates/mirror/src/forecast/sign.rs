//! What speaks for a failure: one rule each, in four classes.

use serde::{Deserialize, Serialize};

/// What kind of failure a sign speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Others hold, or change, what it needs.
    Contention,
    /// What it is about to write is not allowed.
    Validation,
    /// A service that it calls is slow, or fails.
    External,
    /// It does not do what it usually does.
    Deviation,
}

impl Class {
    /// How much a class counts before anything was learned; together 1.
    pub const fn weight(self) -> f64 {
        match self {
            Self::Contention => 0.2,
            Self::Validation => 0.4,
            Self::External => 0.3,
            Self::Deviation => 0.1,
        }
    }

    /// Whether the same attempt, made again at once, meets the same.
    pub const fn lasts(self) -> bool {
        match self {
            Self::Validation | Self::External => true,
            Self::Contention | Self::Deviation => false,
        }
    }
}

/// What a sign was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Others hold locks that it needs.
    Blocked,
    /// Keys that it writes are often written by others at the same time.
    Conflicts,
    /// There is more to do than can be done.
    Load,
    /// A constraint does not hold for what it writes.
    Violation,
    /// A call will take longer than it may.
    Late,
    /// A service fails.
    Failing,
    /// Its effects are not those that it usually has.
    Unusual,
    /// Of the app's own.
    Own(Class),
}

impl Rule {
    /// Rules that a model tells apart.
    pub(super) const COUNT: usize = 11;

    pub const fn class(self) -> Class {
        match self {
            Self::Blocked | Self::Conflicts | Self::Load => Class::Contention,
            Self::Violation => Class::Validation,
            Self::Late | Self::Failing => Class::External,
            Self::Unusual => Class::Deviation,
            Self::Own(class) => class,
        }
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Blocked => 0,
            Self::Conflicts => 1,
            Self::Load => 2,
            Self::Violation => 3,
            Self::Late => 4,
            Self::Failing => 5,
            Self::Unusual => 6,
            Self::Own(Class::Contention) => 7,
            Self::Own(Class::Validation) => 8,
            Self::Own(Class::External) => 9,
            Self::Own(Class::Deviation) => 10,
        }
    }

    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::Blocked,
        Self::Conflicts,
        Self::Load,
        Self::Violation,
        Self::Late,
        Self::Failing,
        Self::Unusual,
        Self::Own(Class::Contention),
        Self::Own(Class::Validation),
        Self::Own(Class::External),
        Self::Own(Class::Deviation),
    ];
}

/// Something that was seen of a transaction and speaks for its failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sign {
    pub rule: Rule,
    /// How strongly. 0 to 1.
    pub strength: f64,
    /// What was seen, for people, such as `payments takes 812 ms, and may take 250 ms`.
    pub text: String,
}

impl Sign {
    fn new(rule: Rule, strength: f64, text: String) -> Self {
        let strength = if strength.is_finite() { strength.clamp(0.0, 1.0) } else { 0.0 };
        Self { rule, strength, text }
    }

    /// So many others are about to read or write `key`.
    pub fn busy(key: &str, others: u32) -> Self {
        let text = format!("{others} others are about to use {key}");
        let others = f64::from(others);
        Self::new(Rule::Blocked, others / (others + 1.0), text)
    }

    /// What ran ahead of it has failed.
    pub fn foreseen(what: &str, strength: f64) -> Self {
        Self::new(Rule::Violation, strength, format!("what ran ahead of it failed: {what}"))
    }

    /// `count` others hold locks on `what`, and will for `wait_ms` more, as far as is known; it may take `allowed_ms`.
    pub fn blocked(what: &str, count: u32, wait_ms: f64, allowed_ms: f64) -> Self {
        let text = format!("{count} others hold locks on {what}, for {wait_ms:.0} ms more");
        Self::new(Rule::Blocked, wait_ms / (wait_ms + allowed_ms), text)
    }

    /// Of those who write `key`, the share `rate` meets a conflict.
    pub fn conflicts(key: &str, rate: f64) -> Self {
        let text = format!("{:.0} % of the writes of {key} meet a conflict", rate * 100.0);
        Self::new(Rule::Conflicts, rate, text)
    }

    /// `busy`: the share of what can be done that is being done. Above 0.8 it counts.
    pub fn load(busy: f64) -> Self {
        let text = format!("{:.0} % of what can be done at a time is being done", busy * 100.0);
        Self::new(Rule::Load, (busy - 0.8) / 0.2, text)
    }

    /// A constraint does not hold.
    pub fn violation(constraint: &str, table: &str) -> Self {
        let text = format!("{constraint} of {table} does not hold for what it writes");
        Self::new(Rule::Violation, 1.0, text)
    }

    /// A call of `dependency` takes longer than `allowed_ms` with the probability `late`, and `usual_ms` at the median.
    pub fn late(dependency: &str, late: f64, usual_ms: f64, allowed_ms: f64) -> Self {
        let text = format!("{dependency} takes {usual_ms:.0} ms, and may take {allowed_ms:.0} ms");
        Self::new(Rule::Late, late, text)
    }

    /// Calls of `dependency` fail at this rate.
    pub fn failing(dependency: &str, rate: f64) -> Self {
        let text = format!("{:.0} % of the calls of {dependency} fail", rate * 100.0);
        Self::new(Rule::Failing, rate, text)
    }

    /// `distance` of its effects from the usual ones, 0 to 1.
    pub fn unusual(distance: f64) -> Self {
        let text = format!("{:.0} % of its effects are not the usual ones", distance * 100.0);
        Self::new(Rule::Unusual, distance, text)
    }

    /// What ran ahead of it had too little memory.
    pub fn memory(memory_bytes: u64) -> Self {
        let megabytes = memory_bytes >> 20;
        let text =
            format!("what ran ahead of it had too little memory: it may use {megabytes} MiB");
        Self::new(Rule::Unusual, 1.0, text)
    }

    /// A service is left alone until it is better.
    pub fn shut(dependency: &str) -> Self {
        let text = format!("{dependency} is left alone until it is better");
        Self::new(Rule::Failing, 1.0, text)
    }

    /// Of a rule that the app has of its own.
    pub fn own(class: Class, strength: f64, text: String) -> Self {
        Self::new(Rule::Own(class), strength, text)
    }
}
