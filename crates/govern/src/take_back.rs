//! What becomes of parts that do harm: taken back with what depends on them, or not before people say so.

use std::collections::BTreeSet;

use belay_model::{Arm, Dependents, FunctionName, PartId};

use crate::{
    apply::{Effect, MEASURED_MAX, Turn},
    evidence::{Evidence, Measured},
    impact::{dependents, groups_with},
    life::{Life, Phase, live},
    story::{By, Level, Refusal, Told},
};

impl Turn<'_, '_> {
    pub(crate) fn take_back_groups(&mut self, guilty: &[usize], evidence: &Evidence) {
        let all = self.life.groups.clone();
        self.guilty = guilty.iter().filter_map(|at| all.get(*at)).flatten().copied().collect();
        for at in guilty {
            let (Some(group), Some(verdict)) = (all.get(*at), evidence.guilty(*at)) else {
                continue;
            };
            let measured = Measured::heaviest(verdict, MEASURED_MAX);
            self.take_back(group, By::Judge, level(group, &all), measured);
        }
    }

    /// Takes `parts` back, as far as the policy lets anybody but people do so.
    pub(crate) fn take_back(
        &mut self,
        parts: &[PartId],
        by: By,
        level: Level,
        measured: Vec<Measured>,
    ) {
        if by == By::Judge && self.around.policy.dry_run {
            return self.report(parts, measured);
        }
        let users = if by == By::Judge { self.dependents_of(parts) } else { Vec::new() };
        let wanted = |part: &PartId| self.around.code.dependents(*part);
        let wanted = parts.iter().map(wanted).max().filter(|_| by == By::Judge);
        let too_many = users.len() > self.around.impact.cascade_max as usize;
        match wanted.unwrap_or(Dependents::Keep) {
            Dependents::Refuse => self.refuse(parts, Refusal::Policy, users, measured),
            Dependents::Cascade if too_many => {
                self.refuse(parts, Refusal::TooMany, users, measured);
            }
            Dependents::Cascade => self.flip_back(parts, users, by, level, measured),
            Dependents::Disable => {
                self.flip_back(parts, Vec::new(), by, level, measured);
                self.disable(users);
            }
            Dependents::Keep => self.flip_back(parts, Vec::new(), by, level, measured),
        }
    }

    /// The parts on trial that depend on `parts`, those that nothing depends on first.
    fn dependents_of(&self, parts: &[PartId]) -> Vec<PartId> {
        let groups = &self.life.groups;
        let taken = groups_with(groups, &parts.iter().copied().collect());
        let users = |group: usize| {
            let parts = groups.get(group).into_iter().flatten();
            let users = parts.flat_map(|part| self.around.code.users(*part)).collect();
            groups_with(groups, &users)
        };
        let found = dependents(&taken, &users);
        let found = found.iter().filter_map(|at| groups.get(*at)).flatten().copied();
        // What does harm itself is taken back for that.
        found.filter(|part| !self.guilty.contains(part)).collect()
    }

    fn flip_back(
        &mut self,
        parts: &[PartId],
        dependents: Vec<PartId>,
        by: By,
        level: Level,
        measured: Vec<Measured>,
    ) {
        let all = [&dependents[..], parts].concat();
        let affects = self.functions_of(&all);
        self.remove(&all);
        self.effects.push(Effect::Flip { parts: all, arm: Arm::Before });
        let (parts, reasons) = (parts.to_vec(), Vec::new());
        self.tell(Told::TakenBack { parts, by, level, measured, reasons, dependents, affects });
    }

    fn disable(&mut self, dependents: Vec<PartId>) {
        let functions = self.functions_of(&dependents);
        if functions.is_empty() {
            return;
        }
        let until_ms = self.around.now_ms.saturating_add(self.around.impact.disable_ms);
        self.effects.push(Effect::Disable { functions: functions.clone(), until_ms });
        self.tell(Told::Disabled { functions, until_ms, dependents });
    }

    fn functions_of(&self, parts: &[PartId]) -> BTreeSet<FunctionName> {
        parts.iter().flat_map(|part| self.around.code.functions(*part)).collect()
    }

    /// It is told once, and waits for people. While it is being found out who it is, fewer requests run it; so it stays.
    fn refuse(
        &mut self,
        parts: &[PartId],
        why: Refusal,
        dependents: Vec<PartId>,
        measured: Vec<Measured>,
    ) {
        self.end_withdrawal();
        let news = parts.iter().any(|part| !self.life.refused.contains(part));
        self.life.refused.extend(parts);
        if news {
            self.tell(Told::Refused { parts: parts.to_vec(), why, dependents, measured });
        }
    }

    /// Decisions are only to be reported.
    pub(crate) fn report(&mut self, parts: &[PartId], measured: Vec<Measured>) {
        let told = parts.iter().all(|part| self.life.reported.contains(part));
        if !told {
            self.life.reported.extend(parts);
            self.life.reported.sort_unstable();
            self.life.reported.dedup();
            let reasons = Vec::new();
            self.tell(Told::WouldTakeBack { parts: parts.to_vec(), measured, reasons });
        }
    }

    /// Parts that are not on trial any more. The rest is another change, of which nothing is known yet.
    fn remove(&mut self, parts: &[PartId]) {
        self.life.leave_out(parts);
        self.life.refused.retain(|part| !parts.contains(part));
        self.become_another();
        if self.life.groups.is_empty() {
            self.life.untried = self.life.is_canary();
            self.life.phase = Phase::TakenBack;
        }
    }

    pub(crate) fn become_another(&mut self) {
        self.life.round += 1;
        self.life.phase.set_naming(None);
        self.begin_step_anew();
    }

    /// What is another change now has a whole step, or window, before it.
    fn begin_step_anew(&mut self) {
        let Life { phase, .. } = &mut *self.life;
        let (policy, now_ms) = (self.around.policy, self.around.now_ms);
        match *phase {
            Phase::Canary { step, .. } => *phase = Phase::canary(step, now_ms),
            Phase::Live { hold_out, .. } => *phase = live(policy, now_ms, hold_out),
            Phase::TakenBack => {}
        }
    }
}

fn level(group: &[PartId], all: &[Vec<PartId>]) -> Level {
    match (group.len(), all.len()) {
        (_, 1) => Level::Rest,
        (1, _) => Level::Part,
        _ => Level::Function,
    }
}
