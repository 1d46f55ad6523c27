//! How it stands with a change, and what requests see of it.

use std::collections::BTreeSet;

use belay_model::{CanaryPolicy, PartId};
use serde::{Deserialize, Serialize};

/// The state of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    pub phase: Phase,
    /// Rises whenever anything here changes: what is said of an earlier one is late.
    pub generation: u64,
    /// Rises whenever the change becomes another one, as something of it was taken back or restored: then evidence about
    /// it as a whole begins anew.
    pub round: u32,
    /// The parts that are on trial, by the coin that they share: they are tested, and taken back, together. Sorted.
    pub groups: Vec<Vec<PartId>>,
    /// Parts of which it was told, and not done, that they are to be taken back: decisions are only to be reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reported: Vec<PartId>,
    /// Parts that are known to do harm, and that people have to decide on: until then it does not go on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refused: BTreeSet<PartId>,
    /// What is off of it was taken back before all requests ran it, and nothing else is on trial.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untried: bool,
}

/// Where a change is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Some requests are admitted.
    Canary {
        /// Of the ramp.
        step: usize,
        since_ms: u64,
        /// That it waits was told.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        slowed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        naming: Option<Naming>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        withdrawal: Option<Withdrawal>,
    },
    /// All requests are admitted, but for a hold-out, until the rollback window closes.
    Live {
        /// 0 in what an older Belay kept.
        #[serde(default)]
        since_ms: u64,
        until_ms: u64,
        /// Some requests stay as before, to compare with: as many as the policy says, if any.
        hold_out: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        naming: Option<Naming>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        withdrawal: Option<Withdrawal>,
    },
    /// Nothing of it is on trial any more, since all of that was taken back.
    TakenBack,
}

/// The change does harm, and it is being found out which part of it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Naming {
    pub since_ms: u64,
    pub cause: Cause,
    /// Requests with the change that had failed by then.
    pub failed: u64,
}

/// Something happens more often since the last step of the ramp, and also to those who run nothing of the change: it may use up
/// what all share. Whether it does is tried by taking it away from everybody for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    pub since_ms: u64,
    pub stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The ramp waits, as the change of another app is being tried.
    Waiting,
    /// No request runs the change.
    Away,
    /// That was of no use. It is tried but once in a step.
    Over,
}

/// What shows the harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Requests that ran all of the change.
    Whole,
    /// Only requests that ran some of its parts without the others.
    Mixed,
    /// Something happens more often than it did, and nobody stayed as before to compare with.
    Watch,
}

/// What requests see of a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exposure {
    /// The share of requests that is admitted; the others run nothing of what is on trial. 0 to 1.
    pub admitted: f64,
    pub mixing: Mixing,
}

/// Which of the admitted toss a coin for each group; the others run all of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixing {
    None,
    Half,
    All,
}

/// The share of requests that is admitted while it is found out which part of a live change does harm.
const NAMING_LIVE: f64 = 0.5;

impl Life {
    /// That of a change that begins with the first step of the ramp; without a ramp, or without a part on trial, it is
    /// live. `groups`: the parts that are on trial; mostly each alone.
    pub fn new(mut groups: Vec<Vec<PartId>>, policy: &CanaryPolicy, now_ms: u64) -> Self {
        groups.sort();
        let phase = if policy.ramp.is_empty() || groups.is_empty() {
            live(policy, now_ms, !groups.is_empty())
        } else {
            Phase::canary(0, now_ms)
        };
        Self { phase, groups, untried: false, ..Self::taken_back() }
    }

    /// That of a change which all requests run from the beginning, as it was asked for.
    pub fn at_once(groups: Vec<Vec<PartId>>, policy: &CanaryPolicy, now_ms: u64) -> Self {
        Self { phase: live(policy, now_ms, false), ..Self::new(groups, policy, now_ms) }
    }

    /// That of a change of which nothing is let in.
    pub fn taken_back() -> Self {
        let (groups, reported, refused) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (phase, untried) = (Phase::TakenBack, true);
        Self { phase, generation: 1, round: 0, groups, reported, refused, untried }
    }

    /// That of a change that runs again for all requests, as people ask for, after another one did.
    #[must_use]
    pub fn again(&self, policy: &CanaryPolicy, now_ms: u64) -> Self {
        let phase = match self.phase {
            Phase::Canary { .. } | Phase::Live { .. } => live(policy, now_ms, false),
            Phase::TakenBack => Phase::TakenBack,
        };
        let (generation, round) = (self.generation + 1, self.round + 1);
        Self { phase, generation, round, ..self.clone() }
    }

    /// Parts are not on trial any more, as they do not run.
    pub fn leave_out(&mut self, parts: &[PartId]) {
        self.groups.iter_mut().for_each(|group| group.retain(|part| !parts.contains(part)));
        self.groups.retain(|group| !group.is_empty());
    }

    /// It does harm, or may, and it is being found out which part of it does.
    pub fn is_suspected(&self) -> bool {
        self.phase.naming().is_some()
    }

    /// Its rollback window is over.
    pub fn is_over(&self, now_ms: u64) -> bool {
        let passed =
            matches!(self.phase, Phase::Live { until_ms, naming: None, .. } if now_ms >= until_ms);
        passed && !self.is_withdrawn() && !self.waits_for_people()
    }

    /// Something of it does harm, and people have to decide on it.
    pub fn waits_for_people(&self) -> bool {
        self.groups.iter().flatten().any(|part| self.refused.contains(part))
    }

    /// It is being found out whether things get better without it, or waits for that.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn_since().is_some()
    }

    /// No request runs it for now.
    pub fn is_away(&self) -> bool {
        self.phase.withdrawal().is_some_and(|it| it.stage == Stage::Away)
    }

    /// Since when it waits, or no request runs it.
    pub fn withdrawn_since(&self) -> Option<u64> {
        let withdrawn = self.phase.withdrawal().filter(|it| it.stage != Stage::Over);
        withdrawn.map(|it| it.since_ms)
    }

    pub fn exposure(&self, policy: &CanaryPolicy) -> Exposure {
        let alone = self.groups.len() < 2;
        let mixing = |mixing| if alone { Mixing::None } else { mixing };
        match self.phase {
            Phase::Canary { .. } | Phase::Live { .. } if self.is_away() => {
                Exposure { admitted: 0.0, mixing: Mixing::None }
            }
            Phase::Canary { step, naming, .. } => {
                let percent = policy.ramp.get(step).or(policy.ramp.last());
                let held_out = policy.hold_out.get();
                let share = percent.map_or(100.0 - held_out, |percent| percent.get()) / 100.0;
                let wanted = if naming.is_some() { Mixing::All } else { Mixing::Half };
                Exposure { admitted: share, mixing: mixing(wanted) }
            }
            Phase::Live { naming: Some(_), .. } => {
                Exposure { admitted: NAMING_LIVE, mixing: mixing(Mixing::All) }
            }
            Phase::Live { hold_out, .. } if !self.groups.is_empty() => {
                let held_out = if hold_out { policy.hold_out.get() / 100.0 } else { 0.0 };
                Exposure { admitted: 1.0 - held_out, mixing: Mixing::None }
            }
            Phase::Live { .. } | Phase::TakenBack => Exposure::ALL,
        }
    }

    /// Whether a part is on trial: requests that are not admitted run it as it was before.
    pub fn is_on_trial(&self, part: PartId) -> bool {
        self.groups.iter().flatten().any(|other| *other == part)
    }

    /// Some requests are admitted, and others are not yet.
    pub fn is_canary(&self) -> bool {
        matches!(self.phase, Phase::Canary { .. })
    }
}

impl Phase {
    pub(crate) fn canary(step: usize, now_ms: u64) -> Self {
        Self::Canary { step, since_ms: now_ms, slowed: false, naming: None, withdrawal: None }
    }

    pub(crate) fn naming(&self) -> Option<Naming> {
        match self {
            Self::Canary { naming, .. } | Self::Live { naming, .. } => *naming,
            Self::TakenBack => None,
        }
    }

    pub(crate) fn set_naming(&mut self, new: Option<Naming>) {
        match self {
            Self::Canary { naming, .. } | Self::Live { naming, .. } => *naming = new,
            Self::TakenBack => {}
        }
    }

    pub(crate) fn withdrawal(&self) -> Option<Withdrawal> {
        match self {
            Self::Canary { withdrawal, .. } | Self::Live { withdrawal, .. } => *withdrawal,
            Self::TakenBack => None,
        }
    }

    pub(crate) fn set_withdrawal(&mut self, new: Option<Withdrawal>) {
        match self {
            Self::Canary { withdrawal, .. } | Self::Live { withdrawal, .. } => *withdrawal = new,
            Self::TakenBack => {}
        }
    }
}

impl Exposure {
    /// Nothing is on trial: all requests run the same.
    pub const ALL: Self = Self { admitted: 1.0, mixing: Mixing::None };
}

pub(crate) fn live(policy: &CanaryPolicy, now_ms: u64, hold_out: bool) -> Phase {
    let (since_ms, until_ms) = (now_ms, now_ms.saturating_add(policy.window_ms));
    Phase::Live { since_ms, until_ms, hold_out, naming: None, withdrawal: None }
}
