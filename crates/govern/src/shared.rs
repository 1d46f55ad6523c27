//! Harm that comes to everybody: databases, pools and processors are shared, so a change may hurt also those who do not run it.
//!
//! Randomisation cannot tell. Where it began after a step of the ramp, and lasts, the change is taken away from everybody for a time: if
//! things get better it is taken back, and if not it was something else. One app at a time does so; else who is innocent would look
//! guilty, as another one's change was away at the same time.

use belay_model::PartId;

use crate::{
    apply::Turn,
    evidence::Evidence,
    life::{Cause, Phase, Stage, Withdrawal},
    story::{By, Level, Returned, Told},
};

impl Turn<'_, '_> {
    /// Something happens more often also to those who run nothing of the change, which may be the cause all the same.
    pub(crate) fn suspect_sharing(&mut self, what: &str) {
        let policy = self.around.policy;
        let since_ms = match self.life.phase {
            Phase::Canary { since_ms, withdrawal: None, .. }
            | Phase::Live { since_ms, hold_out: true, withdrawal: None, .. } => since_ms,
            Phase::Canary { .. } | Phase::Live { .. } | Phase::TakenBack => return,
        };
        // An alarm of those who run it came first, as they are more, and nothing is known yet.
        if self.life.phase.naming().is_some_and(|naming| naming.cause != Cause::Watch) {
            return;
        }
        let now_ms = self.around.now_ms;
        let follows = now_ms.saturating_sub(since_ms) <= policy.step_max_ms;
        let is_known = self.life.waits_for_people();
        if !follows || policy.dry_run || is_known || self.life.groups.is_empty() {
            return;
        }
        self.life.phase.set_naming(None);
        let percent = self.life.percent(policy);
        self.set_stage(now_ms, Stage::Waiting);
        self.tell(Told::Shared { what: what.to_owned(), percent });
    }

    /// One more look at a change that waits to be taken away, or is. Says whether there is one.
    pub(crate) fn try_without(&mut self, evidence: &Evidence) -> bool {
        let Some(known) = self.life.phase.withdrawal() else { return false };
        let (policy, now_ms) = (self.around.policy, self.around.now_ms);
        let late = now_ms.saturating_sub(known.since_ms) >= policy.step_max_ms;
        match (known.stage, evidence.subsided) {
            (Stage::Over, _) => return false,
            (Stage::Waiting, Some(true)) => self.go_on_with_it(known, Returned::Passed),
            // What passes by itself while the ramp waits needs no experiment, and would look like one that helped.
            (Stage::Waiting, Some(false)) if evidence.its_turn => {
                let percent = self.life.percent(policy);
                self.set_stage(now_ms, Stage::Away);
                self.tell(Told::Withdrawn { percent });
            }
            (Stage::Away, Some(true)) => {
                let parts: Vec<PartId> = self.life.groups.concat();
                // Should people have to say so first, it is not tried again meanwhile.
                self.set_stage(known.since_ms, Stage::Over);
                self.take_back(&parts, By::Judge, Level::Shared, Vec::new());
            }
            (Stage::Away, Some(false)) => self.go_on_with_it(known, Returned::NotBetter),
            (Stage::Waiting | Stage::Away, _) if late => {
                self.go_on_with_it(known, Returned::Unclear);
            }
            (Stage::Waiting | Stage::Away, _) => {}
        }
        true
    }

    fn go_on_with_it(&mut self, known: Withdrawal, why: Returned) {
        self.set_stage(known.since_ms, Stage::Over);
        let percent = self.life.percent(self.around.policy);
        self.tell(Told::Returned { percent, why });
    }

    /// It is known what the change does.
    pub(crate) fn end_withdrawal(&mut self) {
        if let Some(known) = self.life.phase.withdrawal() {
            self.set_stage(known.since_ms, Stage::Over);
        }
    }

    fn set_stage(&mut self, since_ms: u64, stage: Stage) {
        self.life.phase.set_withdrawal(Some(Withdrawal { since_ms, stage }));
    }
}
