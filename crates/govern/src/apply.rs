//! What happens next: one function from a life and an event to the next life and its effects.

use std::collections::BTreeSet;

use belay_judge::Decision;
use belay_model::{Arm, CanaryPolicy, FunctionName, ImpactPolicy, Inconclusive, PartId};

use crate::{
    code::Code,
    evidence::{Evidence, Measured},
    groups::{by_function, tied, together},
    life::{Cause, Life, Naming, Phase, live},
    story::{By, Entry, Level, Told, Why},
};

/// Something that a change hears of.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// What is known of it by now. To be told from time to time, also where nothing new was seen.
    Judged(Evidence),
    /// People ask for it.
    Asked(Command),
    /// The policy is another one, by which so many percent of the requests ran it.
    PolicyChanged { from_percent: f64 },
    /// Something happens more often than is usual for its app, such as `exception of quote`. It may be the change or not.
    /// `failed`: requests with the change that had failed by then, in this round.
    Alarm { what: String, among: Among, failed: u64 },
}

/// The requests to which something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// They run the change, and few or none do not, so that comparing takes long.
    Change,
    /// They run nothing of it.
    Others,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Parts that are not at this arm yet.
    Flip { parts: Vec<PartId>, arm: Arm },
    /// All requests are to run it now.
    Promote,
}

/// What is to be done. Each can be done twice without harm: it says what is to be, not what is to change.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Flip {
        parts: Vec<PartId>,
        arm: Arm,
    },
    /// Who calls these gets their fallback, or is told to come again, until then.
    Disable {
        functions: BTreeSet<FunctionName>,
        until_ms: u64,
    },
    /// The old arms are dropped.
    Settle,
    Tell(Entry),
}

/// What a life is lived in.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub now_ms: u64,
    /// That of the change, with what is said of the places that it touches.
    pub policy: &'a CanaryPolicy,
    pub impact: &'a ImpactPolicy,
    pub code: &'a dyn Code,
}

/// So many times the longest step may the search for a part take. What it costs is bounded by failed requests; at a small share, rare
/// harm needs longer to be named than to be seen.
const NAMING_STEPS: u64 = 4;
/// Kinds of events that are kept of a verdict.
pub(crate) const MEASURED_MAX: usize = 4;

impl Life {
    /// What the event leads to. Nothing is done where the effects are empty and the generation is the same.
    pub fn apply(&mut self, event: Event, around: Around<'_>) -> Vec<Effect> {
        let before = self.clone();
        let mut turn = Turn { life: self, around, effects: Vec::new(), guilty: BTreeSet::new() };
        match event {
            Event::Judged(evidence) => turn.judged(&evidence),
            Event::Asked(Command::Flip { parts, arm }) => turn.asked(parts, arm),
            Event::Asked(Command::Promote) => turn.go_live(Why::Asked, &Evidence::default()),
            // What requests see of it may be otherwise now.
            Event::PolicyChanged { from_percent } => {
                turn.tie();
                turn.follow_policy(from_percent);
            }
            Event::Alarm { what, among: Among::Change, failed } => turn.alarm(what, failed),
            Event::Alarm { what, among: Among::Others, .. } => turn.suspect_sharing(&what),
        }
        let effects = turn.effects;
        if *self != before && self.generation == before.generation {
            self.generation += 1;
        }
        effects
    }

    /// What is told when it begins, if anything of it is let in.
    pub fn beginning(&self, policy: &CanaryPolicy, now_ms: u64) -> Option<Entry> {
        let percent = self.percent(policy);
        let told = match self.phase {
            Phase::Canary { .. } => Told::Began { percent },
            Phase::Live { until_ms, .. } => Told::BeganLive { percent, until_ms },
            Phase::TakenBack => return None,
        };
        (!self.groups.is_empty()).then_some(Entry { at_ms: now_ms, told })
    }

    /// Percent of the requests that run it.
    pub fn percent(&self, policy: &CanaryPolicy) -> f64 {
        (self.exposure(policy).admitted * 1e6).round() / 1e4
    }
}

/// One event, on its way through a life.
pub(crate) struct Turn<'l, 'a> {
    pub(crate) life: &'l mut Life,
    pub(crate) around: Around<'a>,
    pub(crate) effects: Vec<Effect>,
    /// Parts that are to be taken back on their own account.
    pub(crate) guilty: BTreeSet<PartId>,
}

impl Turn<'_, '_> {
    fn judged(&mut self, evidence: &Evidence) {
        let known = evidence.generation == self.life.generation;
        if !known || evidence.groups.len() != self.life.groups.len() {
            return;
        }
        let guilty: Vec<usize> =
            (0..self.life.groups.len()).filter(|at| evidence.guilty(*at).is_some()).collect();
        let harmful = |verdict: &belay_judge::Verdict| verdict.decision == Decision::TakeBack;
        let cause = if harmful(&evidence.whole) {
            Some(Cause::Whole)
        } else {
            harmful(&evidence.mixed).then_some(Cause::Mixed)
        };
        match (&guilty[..], cause) {
            ([], None) => self.go_on(evidence),
            ([], Some(cause)) if self.around.policy.dry_run => {
                self.report_all(cause, evidence);
                self.life.phase.set_naming(None);
                self.go_on(evidence);
            }
            // What is not taken back before people say so waits for them.
            ([], Some(_)) if self.is_refused() => drop(self.try_without(evidence)),
            ([], Some(cause)) => self.suspect(cause, evidence),
            (guilty, _) => {
                self.take_back_groups(guilty, evidence);
                if self.around.policy.dry_run {
                    self.life.phase.set_naming(None);
                    self.go_on(evidence);
                }
            }
        }
    }

    /// All parts that are left are known to do harm, and stay until people say something.
    fn is_refused(&self) -> bool {
        let mut parts = self.life.groups.iter().flatten();
        parts.all(|part| self.life.refused.contains(part))
    }

    /// Nothing is to be taken back.
    fn go_on(&mut self, evidence: &Evidence) {
        if self.try_without(evidence) || self.life.waits_for_people() {
            return;
        }
        let slow = evidence.all().find(|verdict| verdict.decision == Decision::Slow);
        match self.life.phase {
            Phase::Canary { step, since_ms, slowed, naming: None, .. } => {
                if let Some(verdict) = slow {
                    if !slowed {
                        self.slow(verdict);
                    }
                } else if let Some(why) = self.may_advance(since_ms, evidence) {
                    self.advance(step, why, evidence);
                }
            }
            Phase::Canary { naming: Some(naming), .. }
            | Phase::Live { naming: Some(naming), .. } => {
                self.clear(naming, evidence);
            }
            Phase::Live { until_ms, naming: None, .. } => {
                if self.around.now_ms >= until_ms {
                    self.effects.push(Effect::Settle);
                }
            }
            Phase::TakenBack => {}
        }
    }

    /// What was suspected shows no harm: at once where it was by comparing, and after the time of a step where it was by an alarm.
    fn clear(&mut self, naming: Naming, evidence: &Evidence) {
        let lasted = self.around.now_ms.saturating_sub(naming.since_ms);
        let policy = self.around.policy;
        let soon = evidence.harmless_now && lasted >= policy.step_min_ms;
        let over = soon || lasted >= policy.step_max_ms;
        if naming.cause == Cause::Watch && !over {
            return;
        }
        self.life.phase.set_naming(None);
        if naming.cause == Cause::Watch {
            let measured = Measured::heaviest(&evidence.whole, MEASURED_MAX);
            self.tell(Told::Cleared { seen: evidence.whole.units, measured });
        }
    }

    /// Half of the requests go back to what was before, to see whether that is better.
    fn alarm(&mut self, what: String, failed: u64) {
        let (policy, now_ms) = (self.around.policy, self.around.now_ms);
        let Phase::Live { naming: None, .. } = self.life.phase else { return };
        if self.is_refused() || self.life.is_withdrawn() || policy.dry_run {
            return;
        }
        let naming = Naming { since_ms: now_ms, cause: Cause::Watch, failed };
        self.life.phase.set_naming(Some(naming));
        let percent = self.life.percent(policy);
        let groups = self.life.groups.clone();
        self.tell(Told::Alarmed { what, percent, groups });
    }

    fn slow(&mut self, verdict: &belay_judge::Verdict) {
        if let Phase::Canary { slowed, .. } = &mut self.life.phase {
            *slowed = true;
        }
        let measured = Measured::heaviest(verdict, MEASURED_MAX);
        let percent = self.life.percent(self.around.policy);
        self.tell(Told::Slowed { percent, measured });
    }

    fn may_advance(&self, since_ms: u64, evidence: &Evidence) -> Option<Why> {
        let lasted = self.around.now_ms.saturating_sub(since_ms);
        let policy = self.around.policy;
        let late = lasted >= policy.step_max_ms && policy.inconclusive == Inconclusive::Advance;
        if lasted >= policy.step_min_ms && evidence.harmless_now {
            Some(Why::Harmless)
        } else {
            late.then_some(Why::Inconclusive)
        }
    }

    fn advance(&mut self, step: usize, why: Why, evidence: &Evidence) {
        let policy = self.around.policy;
        if step + 1 >= policy.ramp.len() {
            return self.go_live(why, evidence);
        }
        let from_percent = self.life.percent(policy);
        self.life.phase = Phase::canary(step + 1, self.around.now_ms);
        let to_percent = self.life.percent(policy);
        let measured = Measured::heaviest(&evidence.whole, MEASURED_MAX);
        let seen = evidence.whole.units;
        self.tell(Told::Advanced { from_percent, to_percent, why, seen, measured });
    }

    fn go_live(&mut self, why: Why, evidence: &Evidence) {
        if !self.life.is_canary() {
            return;
        }
        let (policy, now_ms) = (self.around.policy, self.around.now_ms);
        self.life.phase = live(policy, now_ms, true);
        let hold_out_percent = policy.hold_out.get();
        let until_ms = now_ms.saturating_add(policy.window_ms);
        let measured = Measured::heaviest(&evidence.whole, MEASURED_MAX);
        let seen = evidence.whole.units;
        self.tell(Told::Live { why, until_ms, hold_out_percent, seen, measured });
    }

    /// The change does harm, and no group is known to.
    fn suspect(&mut self, cause: Cause, evidence: &Evidence) {
        let Some(naming) = self.life.phase.naming() else {
            return self.begin_naming(cause, evidence);
        };
        let lasted = self.around.now_ms.saturating_sub(naming.since_ms);
        let failed = evidence.failed.saturating_sub(naming.failed);
        let policy = self.around.policy;
        let why = if failed >= u64::from(policy.harm_max) {
            Why::Harm
        } else if lasted >= policy.step_max_ms.saturating_mul(NAMING_STEPS) {
            Why::Time
        } else {
            return;
        };
        if cause == Cause::Mixed && evidence.harmless {
            self.merge(evidence);
        } else {
            self.step_out(why, naming, evidence);
        }
    }

    fn begin_naming(&mut self, cause: Cause, evidence: &Evidence) {
        let naming = Naming { since_ms: self.around.now_ms, cause, failed: evidence.failed };
        self.life.phase.set_naming(Some(naming));
        // Those who run it are known to be worse off: that it may be everybody's harm is no question any more.
        self.life.phase.set_withdrawal(None);
        let verdict = of_cause(cause, evidence);
        let measured = Measured::heaviest(verdict, MEASURED_MAX);
        let percent = self.life.percent(self.around.policy);
        let groups = self.life.groups.clone();
        self.tell(Told::Suspected { cause, percent, groups, measured });
    }

    /// Its parts work together, and not one without the other.
    fn merge(&mut self, evidence: &Evidence) {
        self.life.groups = together(&self.life.groups);
        self.become_another();
        let parts = self.life.groups.concat();
        let measured = Measured::heaviest(&evidence.mixed, MEASURED_MAX);
        self.tell(Told::Merged { parts, measured });
    }

    /// No group was named in time: larger ones are tested, or all is taken back.
    fn step_out(&mut self, why: Why, naming: Naming, evidence: &Evidence) {
        let larger = by_function(&self.life.groups, &|part| self.around.code.places(part));
        let groups = if larger.len() < self.life.groups.len() { larger } else { Vec::new() };
        if groups.len() < 2 {
            let parts = self.life.groups.concat();
            self.tell(Told::SteppedOut { why, groups: vec![parts.clone()] });
            let verdict = of_cause(naming.cause, evidence);
            let measured = Measured::heaviest(verdict, MEASURED_MAX);
            return self.take_back(&parts, By::Judge, Level::Change, measured);
        }
        self.life.groups = groups;
        let since_ms = self.around.now_ms;
        self.life.phase.set_naming(Some(Naming { since_ms, failed: evidence.failed, ..naming }));
        let groups = self.life.groups.clone();
        self.tell(Told::SteppedOut { why, groups });
    }

    /// Decisions are only to be reported.
    fn report_all(&mut self, cause: Cause, evidence: &Evidence) {
        let measured = Measured::heaviest(of_cause(cause, evidence), MEASURED_MAX);
        let parts = self.life.groups.concat();
        self.report(&parts, measured);
    }

    fn asked(&mut self, parts: Vec<PartId>, arm: Arm) {
        // What is left is another change, and nothing is known of that.
        self.life.refused.clear();
        match arm {
            Arm::Before => {
                let level = if parts.len() == 1 { Level::Part } else { Level::Change };
                self.take_back(&parts, By::Human, level, Vec::new());
            }
            Arm::After => {
                let was_canary = self.life.is_canary();
                self.add(&parts);
                self.effects.push(Effect::Flip { parts: parts.clone(), arm });
                self.tell(Told::Restored { parts });
                if !was_canary && self.life.is_canary() {
                    self.tell(Told::Began { percent: self.life.percent(self.around.policy) });
                }
            }
        }
    }

    fn add(&mut self, parts: &[PartId]) {
        let new = parts.iter().filter(|part| !self.life.is_on_trial(**part));
        let new: Vec<Vec<PartId>> = new.map(|part| vec![*part]).collect();
        self.life.groups.extend(new);
        self.life.groups.sort();
        self.life.groups = tied(&self.life.groups, self.around.code);
        self.life.reported.retain(|part| !parts.contains(part));
        self.become_another();
        let (policy, now_ms) = (self.around.policy, self.around.now_ms);
        let untried = std::mem::take(&mut self.life.untried);
        let was_off = self.life.phase == Phase::TakenBack;
        if untried && !policy.ramp.is_empty() {
            self.life.phase = Phase::canary(0, now_ms);
        } else if untried || was_off {
            self.life.phase = live(policy, now_ms, untried);
        }
    }

    /// What requests see of it may be otherwise now.
    fn tie(&mut self) {
        self.life.generation += 1;
        // What was told of was decided by another policy.
        self.life.reported.clear();
        self.life.refused.clear();
        let groups = tied(&self.life.groups, self.around.code);
        if groups != self.life.groups {
            self.life.groups = groups;
            self.become_another();
        }
    }

    /// Ramps and windows are as the policy has them now.
    fn follow_policy(&mut self, from_percent: f64) {
        let policy = self.around.policy;
        let now_ms = self.around.now_ms;
        match &mut self.life.phase {
            Phase::Canary { step, since_ms, .. } if *step >= policy.ramp.len() => {
                let Some(last) = policy.ramp.len().checked_sub(1) else {
                    return self.go_live(Why::Policy, &Evidence::default());
                };
                (*step, *since_ms) = (last, now_ms);
            }
            // An older Belay did not keep when it began.
            Phase::Live { since_ms: 0, .. } | Phase::Canary { .. } | Phase::TakenBack => {}
            Phase::Live { since_ms, until_ms, .. } => {
                *until_ms = since_ms.saturating_add(policy.window_ms);
            }
        }
        let to_percent = self.life.percent(policy);
        if to_percent.total_cmp(&from_percent).is_ne() && !self.life.groups.is_empty() {
            let (why, seen, measured) = (Why::Policy, [0, 0], Vec::new());
            self.tell(Told::Advanced { from_percent, to_percent, why, seen, measured });
        }
    }

    pub(crate) fn tell(&mut self, told: Told) {
        self.effects.push(Effect::Tell(Entry { at_ms: self.around.now_ms, told }));
    }
}

fn of_cause(cause: Cause, evidence: &Evidence) -> &belay_judge::Verdict {
    match cause {
        Cause::Whole | Cause::Watch => &evidence.whole,
        Cause::Mixed => &evidence.mixed,
    }
}
