//! What is told of a life: every decision with what it rests on.

use std::collections::BTreeSet;

use belay_model::{FunctionName, PartId};
use serde::{Deserialize, Serialize};

use crate::{evidence::Measured, life::Cause};

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Entry {
    pub at_ms: u64,
    #[serde(flatten)]
    pub told: Told,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    /// It was tried on recorded requests, before it got any.
    Validated(Validated),
    /// It gets its first requests.
    Began { percent: f64 },
    /// All requests run it from the beginning.
    BeganLive { percent: f64, until_ms: u64 },
    /// The next step of the ramp, or what people want instead.
    Advanced {
        from_percent: f64,
        to_percent: f64,
        why: Why,
        /// Requests, or keys that had one, of *before* and *after*.
        seen: [u64; 2],
        measured: Vec<Measured>,
    },
    /// All requests run it, but for a hold-out.
    Live { why: Why, until_ms: u64, hold_out_percent: f64, seen: [u64; 2], measured: Vec<Measured> },
    /// The ramp waits: something looks like harm.
    Slowed { percent: f64, measured: Vec<Measured> },
    /// It does harm; now requests toss a coin for each group of parts, which names the one that does.
    Suspected {
        cause: Cause,
        percent: f64,
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<Vec<String>>))]
        groups: Vec<Vec<PartId>>,
        measured: Vec<Measured>,
    },
    /// Something happens more often than it did. Half of the requests run what was before, to see whether that is better.
    Alarmed {
        what: String,
        percent: f64,
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<Vec<String>>))]
        groups: Vec<Vec<PartId>>,
    },
    /// An alarm was not about the change: what was before does no better.
    Cleared { seen: [u64; 2], measured: Vec<Measured> },
    /// No part was named in time: what is tested is larger now.
    SteppedOut {
        why: Why,
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<Vec<String>>))]
        groups: Vec<Vec<PartId>>,
    },
    /// Its parts do harm only one without the other: they move together now.
    Merged {
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        parts: Vec<PartId>,
        measured: Vec<Measured>,
    },
    TakenBack {
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        parts: Vec<PartId>,
        by: By,
        level: Level,
        measured: Vec<Measured>,
        /// What it did, where recorded requests showed it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<String>,
        /// Parts that depend on them and were taken back with them, in this order, before them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        dependents: Vec<PartId>,
        /// Functions of the app that run code of theirs.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        affects: BTreeSet<FunctionName>,
    },
    /// Functions that depend on what was taken back are off for a time.
    Disabled {
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        functions: BTreeSet<FunctionName>,
        until_ms: u64,
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        dependents: Vec<PartId>,
    },
    /// They do harm, and people have to say what is to be done. The ramp waits.
    Refused {
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        parts: Vec<PartId>,
        why: Refusal,
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        dependents: Vec<PartId>,
        measured: Vec<Measured>,
    },
    /// Since the last step something happens more often, also to those who run nothing of the change.
    Shared { what: String, percent: f64 },
    /// No request runs it for now, to see whether that helps.
    Withdrawn { percent: f64 },
    /// Taking it away was of no use, or not needed: it goes on.
    Returned { percent: f64, why: Returned },
    /// As [`Self::TakenBack`], but decisions are only to be reported.
    WouldTakeBack {
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        parts: Vec<PartId>,
        measured: Vec<Measured>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<String>,
    },
    Restored {
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        parts: Vec<PartId>,
    },
    /// The rollback window closed, or somebody closed it: the old arms are dropped.
    Settled { by: By },
    /// A later deploy took its place.
    Superseded { by_version: u32 },
}

impl Told {
    /// As it is written, such as `taken_back`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Validated(_) => "validated",
            Self::Began { .. } => "began",
            Self::BeganLive { .. } => "began_live",
            Self::Advanced { .. } => "advanced",
            Self::Live { .. } => "live",
            Self::Slowed { .. } => "slowed",
            Self::Suspected { .. } => "suspected",
            Self::Alarmed { .. } => "alarmed",
            Self::Cleared { .. } => "cleared",
            Self::SteppedOut { .. } => "stepped_out",
            Self::Merged { .. } => "merged",
            Self::TakenBack { .. } => "taken_back",
            Self::Disabled { .. } => "disabled",
            Self::Refused { .. } => "refused",
            Self::Shared { .. } => "shared",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Returned { .. } => "returned",
            Self::WouldTakeBack { .. } => "would_take_back",
            Self::Restored { .. } => "restored",
            Self::Settled { .. } => "settled",
            Self::Superseded { .. } => "superseded",
        }
    }

    /// Who decided.
    pub fn by(&self) -> By {
        match self {
            Self::TakenBack { by, .. } | Self::Settled { by } => *by,
            Self::Validated(_) => By::Tapes,
            Self::Restored { .. } | Self::Superseded { .. } => By::Human,
            Self::Advanced { why, .. } | Self::Live { why, .. }
                if matches!(why, Why::Asked | Why::Policy) =>
            {
                By::Human
            }
            _ => By::Judge,
        }
    }
}

/// What recorded requests say of a change. Those on which the program before it does not do what was recorded say nothing, and are not counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Validated {
    /// Recorded requests that were replayed.
    pub tapes: u64,
    /// Of these: as before; otherwise, but not worse; worse.
    pub same: u64,
    pub changed: u64,
    pub worse: u64,
    /// The recording does not say what would have happened.
    pub diverged: u64,
    /// Replays of mixtures: some parts without the others.
    pub mixtures: u64,
    /// The budget was over before all was tried.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    pub took_ms: u64,
    /// What it does otherwise, by field, such as `quote: result.total was "18.63 EUR", now "1.86 EUR" (82 requests)`: an example, and
    /// how many requests show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// So many more fields differ than are named.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub differences_more: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Statistics of live requests.
    Judge,
    /// Recorded requests, before it got any.
    Tapes,
    /// The app's own tests, which whoever deployed it has run.
    Tests,
    Human,
}

/// How much was taken back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Part,
    /// Parts that were tested together.
    Function,
    /// All that was left on trial, by the test of the whole.
    Rest,
    /// All that was on trial, as nothing smaller could be named.
    Change,
    /// All that was on trial: what happened to everybody went away with it.
    Shared,
}

/// Why nothing is taken back though something does harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The policy says so.
    Policy,
    /// More parts depend on it than are taken back unasked.
    TooMany,
}

/// Why a change goes on that was taken away for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Returned {
    /// It happens as often without it.
    NotBetter,
    /// Too few requests came by to tell.
    Unclear,
    /// It became rare before anything was done.
    Passed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Harm that is worth looking for is excluded.
    Harmless,
    /// The time of the step is over, and too little was seen to tell.
    Inconclusive,
    Asked,
    /// People set another ramp, or another hold-out.
    Policy,
    /// As many requests failed as may.
    Harm,
    /// It took too long.
    Time,
}
