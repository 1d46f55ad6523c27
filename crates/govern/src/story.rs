//! What is told of a life: every decision with what it rests on.

use belay_model::PartId;
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
    /// It gets its first requests.
    Began { percent: f64 },
    /// All requests run it from the beginning.
    BeganLive { until_ms: u64 },
    /// The next step of the ramp.
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
    },
    /// As [`Self::TakenBack`], but decisions are only to be reported.
    WouldTakeBack {
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
        parts: Vec<PartId>,
        measured: Vec<Measured>,
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

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum By {
    Judge,
    Human,
}

/// How much was taken back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Part,
    Function,
    /// All that was on trial.
    Change,
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
    /// As many requests failed as may.
    Harm,
    /// It took too long.
    Time,
}
