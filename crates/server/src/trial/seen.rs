//! What was seen of one change: the comparisons, and what they come to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_govern::{Evidence, Measured};
use belay_judge::{
    Alpha, Comparison, Decision, Kept, Limits, Policy, Sample as JudgeSample, Share, Verdict,
};
use belay_model::{AppName, Arm, Decimal, JudgePolicy, PartId};
use parking_lot::Mutex;
use serde::Serialize;

use super::{
    Drawn, Observation, Side, Trial,
    kept::{KeptEvidence, KeptSplit},
    thresholds::Thresholds,
};
use crate::{
    catalog::FORMAT,
    telemetry::{Ending, Sample},
};

/// Everything that is compared of a change.
pub(super) struct Seen {
    trial: Arc<Trial>,
    whole: Split,
    mixed: Split,
    /// By what stands for the group.
    groups: BTreeMap<u64, Split>,
    evidence: Option<Evidence>,
}

/// A comparison for each set of thresholds that requests had.
#[derive(Default)]
struct Split(BTreeMap<usize, Comparison>);

impl Split {
    fn of(&mut self, class: usize, thresholds: &Thresholds) -> &mut Comparison {
        self.0.entry(class).or_insert_with(|| {
            Comparison::new(thresholds.of(class).map(policy).unwrap_or_default())
        })
    }

    fn keep(&self) -> KeptSplit {
        self.0.iter().map(|(class, comparison)| (*class, comparison.keep())).collect()
    }

    /// What is damaged begins anew.
    fn resume(kept: &KeptSplit, thresholds: &Thresholds) -> Self {
        let resumed = |(class, kept): &(usize, Kept)| {
            let policy = policy(thresholds.of(*class)?);
            Some((*class, Comparison::resume(policy, kept.clone())?))
        };
        Self(kept.iter().filter_map(resumed).collect())
    }

    fn verdict(&self, thresholds: &Thresholds, tests: usize) -> Verdict {
        let one =
            |(class, it): (&usize, &Comparison)| (thresholds.whose(*class), it.verdict(tests));
        Verdict::together(self.0.iter().map(one))
    }

    fn is_harmless(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(Comparison::is_harmless)
    }

    /// Whether all of it is of requests at this share.
    fn is_of(&self, share: Option<Share>) -> bool {
        share.is_some_and(|share| self.0.values().all(|it| it.is_of(share)))
    }

    /// Requests with the change that failed.
    fn failed(&self) -> u64 {
        self.0.values().map(|it| it.failed()[1]).sum()
    }
}

impl Seen {
    pub(super) fn new(trial: &Arc<Trial>) -> Self {
        let mut new = Self {
            trial: trial.clone(),
            whole: Split::default(),
            mixed: Split::default(),
            groups: BTreeMap::new(),
            evidence: None,
        };
        new.keep_groups();
        new
    }

    /// Goes on with what an earlier process has seen, as far as that is about the same.
    pub(super) fn resume(trial: &Arc<Trial>, kept: Option<&KeptEvidence>) -> Self {
        let mut new = Self::new(trial);
        let own = |kept: &&KeptEvidence| {
            kept.change == trial.change
                && kept.seed == trial.seed()
                && kept.round == trial.life.round
                && kept.thresholds == trial.thresholds.all()
        };
        let Some(kept) = kept.filter(own) else { return new };
        new.whole = Split::resume(&kept.whole, &trial.thresholds);
        new.mixed = Split::resume(&kept.mixed, &trial.thresholds);
        for (identity, split) in &kept.groups {
            if let Some(group) = new.groups.get_mut(identity) {
                *group = Split::resume(split, &trial.thresholds);
            }
        }
        new
    }

    /// What decisions rest on, for the next process.
    pub(super) fn keep(&self) -> KeptEvidence {
        KeptEvidence {
            format: FORMAT,
            change: self.trial.change,
            seed: self.trial.seed(),
            round: self.trial.life.round,
            thresholds: self.trial.thresholds.all().to_vec(),
            whole: self.whole.keep(),
            mixed: self.mixed.keep(),
            groups: self.groups.iter().map(|(id, split)| (*id, split.keep())).collect(),
        }
    }

    pub(super) fn trial(&self) -> &Arc<Trial> {
        &self.trial
    }

    /// Whether a trial is this one or an earlier one of the same change.
    pub(super) fn knows(&self, trial: &Arc<Trial>) -> bool {
        let (own, other) = (&self.trial, trial);
        Arc::ptr_eq(own, other)
            || (other.change, other.life.generation) <= (own.change, own.life.generation)
    }

    /// The change has moved on. What is known of a group stays; of the whole, while that is the same.
    pub(super) fn follow(&mut self, trial: &Arc<Trial>) {
        let known = &self.trial;
        let same = known.change == trial.change && known.life.round == trial.life.round;
        if known.thresholds != trial.thresholds || !known.is_drawn_as(trial) {
            *self = Self::new(trial);
            return;
        }
        self.trial = trial.clone();
        if !same {
            self.whole = Split::default();
            self.mixed = Split::default();
        }
        self.keep_groups();
        self.evidence = None;
    }

    fn keep_groups(&mut self) {
        let wanted: BTreeSet<u64> = self.trial.groups.iter().map(|coin| coin.identity).collect();
        self.groups.retain(|identity, _| wanted.contains(identity));
        for identity in wanted {
            self.groups.entry(identity).or_default();
        }
    }

    /// Notes a request; says whether it tells anything.
    pub(super) fn note(
        &mut self,
        observation: &Observation,
        drawn: &Drawn,
        usual: &Limits,
    ) -> bool {
        let (trial, known) = (&drawn.trial, &self.trial);
        if trial.change != known.change {
            return false;
        }
        let same = trial.life.round == known.life.round;
        let thresholds = &known.thresholds;
        let class = thresholds.class(&observation.target.function);
        let deadline_ms = thresholds.of(class).and_then(|judge| judge.deadline_ms);
        let limits = &usual.deadline(deadline_ms.map(|ms| ms.saturating_mul(1_000)));
        let reached = |parts: &[PartId]| {
            parts.iter().any(|part| trial.is_everywhere(*part) || observation.reached.has(*part))
        };
        let sample = |arm: Arm, share: Share| JudgeSample {
            arm,
            share,
            key: drawn.key,
            failure: match observation.sample.ending {
                Ending::Ok => None,
                Ending::Failed(category) => Some(category),
            },
            costs: match Self::costs(&observation.sample) {
                [waited, ..] if observation.abandoned => [waited, None, None],
                known => known,
            },
        };
        let any = trial.groups.iter().any(|coin| reached(&coin.parts));
        if any && same {
            let (arm_of_whole, arm_of_mixed) = match drawn.side {
                Side::Out => (Some(Arm::Before), Some(Arm::Before)),
                Side::Whole => (Some(Arm::After), None),
                Side::Mixed(_) => (None, Some(Arm::After)),
            };
            if let Some((arm, share)) = arm_of_whole.zip(trial.share_whole()) {
                self.whole.of(class, thresholds).note(&sample(arm, share), limits);
            }
            if let Some((arm, share)) = arm_of_mixed.zip(trial.share_mixed()) {
                self.mixed.of(class, thresholds).note(&sample(arm, share), limits);
            }
        }
        if let Side::Mixed(coins) = drawn.side {
            for (at, coin) in trial.groups.iter().enumerate().filter(|(_, c)| reached(&c.parts)) {
                if let Some(group) = self.groups.get_mut(&coin.identity) {
                    let group = group.of(class, thresholds);
                    group.note(&sample(coins.arm(at), Share::HALF), limits);
                }
            }
        }
        if any {
            self.evidence = None;
        }
        any
    }

    /// In the judge's units.
    pub(super) fn costs(sample: &Sample) -> [Option<u64>; 3] {
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).ok();
        [micros(sample.duration), micros(sample.cpu), Some(sample.written_bytes)]
    }

    /// What all of it comes to.
    pub(super) fn evidence(&mut self) -> Evidence {
        let known = self.evidence.take();
        let evidence = known.unwrap_or_else(|| {
            let (tests, thresholds) = (self.trial.comparisons(), &self.trial.thresholds);
            let verdict = |split: &Split| split.verdict(thresholds, tests);
            let group = |identity: &u64| self.groups.get(identity).map(verdict);
            let groups = self.trial.groups.iter().map(|coin| &coin.identity);
            Evidence {
                generation: self.trial.life.generation,
                whole: verdict(&self.whole),
                mixed: verdict(&self.mixed),
                groups: groups.map(|identity| group(identity).unwrap_or_default()).collect(),
                harmless: self.whole.is_harmless(),
                harmless_now: self.is_harmless_now(),
                failed: self.failed(),
                subsided: None,
                its_turn: false,
            }
        });
        self.evidence = Some(evidence.clone());
        evidence
    }

    fn is_harmless_now(&self) -> bool {
        let (whole, mixed) = (self.trial.share_whole(), self.trial.share_mixed());
        let (compared, share) =
            if whole.is_some() { (&self.whole, whole) } else { (&self.mixed, mixed) };
        compared.is_of(share) && compared.is_harmless()
    }

    /// Requests with the change, all of it or some, that failed in this round.
    pub(super) fn failed(&self) -> u64 {
        self.whole.failed() + self.mixed.failed()
    }

    /// Whether a request came by something of the round that goes on.
    pub(super) fn concerns(&self, observation: &Observation, drawn: &Drawn) -> bool {
        let same = |trial: &Trial| (trial.change, trial.life.round);
        let reached =
            |part: &PartId| drawn.trial.is_everywhere(*part) || observation.reached.has(*part);
        same(&drawn.trial) == same(&self.trial)
            && self.trial.groups.iter().flat_map(|coin| &coin.parts).any(reached)
    }

    /// For people.
    pub(super) fn report(&mut self) -> TrialReport {
        const MEASURED_MAX: usize = 6;
        let evidence = self.evidence();
        let compared = |what: Compared, verdict: &belay_judge::Verdict| ComparisonReport {
            what,
            requests: verdict.units,
            decision: match verdict.decision {
                Decision::Undecided => "undecided",
                Decision::Slow => "slow",
                Decision::TakeBack => "take_back",
            },
            measured: Measured::heaviest(verdict, MEASURED_MAX),
        };
        let mut comparisons = vec![compared(Compared::Whole, &evidence.whole)];
        if self.trial.groups.len() > 1 {
            comparisons.push(compared(Compared::Mixed, &evidence.mixed));
            for (coin, verdict) in self.trial.groups.iter().zip(&evidence.groups) {
                comparisons.push(compared(Compared::Parts(coin.parts.clone()), verdict));
            }
        }
        TrialReport { change: self.trial.change.get(), harmless: evidence.harmless, comparisons }
    }
}

/// How the judge is told what is harm. The model has checked the numbers.
fn policy(judge: &JudgePolicy) -> Policy {
    let level = |level: Decimal| Alpha::new(level.get());
    let made = || {
        let policy = Policy::default()
            .sure(level(judge.take_back)?, level(judge.slow)?)
            .tolerating(judge.failures_tolerated.get(), judge.costs_tolerated.get())?
            .looking_for(judge.harmless_below.get() / 100.0)?;
        match judge.increase_min.get() {
            0.0 => Ok(policy),
            least => policy.from_increase(least / 100.0),
        }
    };
    made().unwrap_or_else(|_: belay_judge::Invalid| Policy::default())
}

/// What is known of changes on trial, for people. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    apps: Arc<Mutex<BTreeMap<AppName, TrialReport>>>,
}

impl Reports {
    pub(super) fn put(&self, app: &AppName, report: TrialReport) {
        self.apps.lock().insert(app.clone(), report);
    }

    /// Keeps those of apps that have a change on trial.
    pub(super) fn keep(&self, on_trial: impl Fn(&AppName) -> bool) {
        self.apps.lock().retain(|app, _| on_trial(app));
    }

    /// Of a change, if it is the one of its app that is on trial.
    pub fn of(&self, app: &AppName, change: u32) -> Option<TrialReport> {
        self.apps.lock().get(app).filter(|report| report.change == change).cloned()
    }

    /// Of all changes, by app.
    pub fn all(&self) -> BTreeMap<AppName, TrialReport> {
        self.apps.lock().clone()
    }
}

impl TrialReport {
    pub(super) fn change(&self) -> u32 {
        self.change
    }
}

/// What was measured of a change on trial.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TrialReport {
    #[serde(skip)]
    change: u32,
    /// A rise of failures that is worth looking for is excluded.
    harmless: bool,
    pub comparisons: Vec<ComparisonReport>,
}

/// Two arms.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ComparisonReport {
    pub what: Compared,
    /// Or keys that had one: of *before* and of *after*.
    requests: [u64; 2],
    decision: &'static str,
    pub measured: Vec<Measured>,
}

/// Who is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// Those who run all of the change with those who run nothing of it.
    Whole,
    /// Those who toss coins with those who run nothing of it.
    Mixed,
    /// Of those who toss coins, those with these parts with those without.
    #[schema(value_type = Vec<String>)]
    Parts(Vec<PartId>),
}
