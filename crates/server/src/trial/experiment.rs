//! Something became frequent also for those who run nothing of a change: whether it becomes rare again while the change is
//! away from everybody.

use belay_judge::{Alpha, Limits, Subsiding};
use belay_model::FunctionName;

use super::{
    Observation, Side,
    watched::{Alarm, Kind},
};
use crate::telemetry::Timestamp;

/// How sure one has to be. A change that is innocent has to be deployed again, no more.
const SURE: f64 = 0.001;
/// What passes soon is no harm that lasts, and what was used up comes back with time: while the change waits, and while it is
/// away, requests count from so much of the shortest step on.
const GRACE: u64 = 3;

/// What is known since an alarm.
pub(super) struct Experiment {
    function: FunctionName,
    kind: Kind,
    /// Those that held when the alarm was raised: what is slow is to stay what it was.
    limits: Limits,
    /// While the change waits, and while it is away.
    subsiding: [Option<Subsiding>; 2],
}

impl Experiment {
    /// `None` where an alarm says nothing that could subside.
    pub(super) fn new(function: &FunctionName, alarm: &Alarm, limits: Limits) -> Option<Self> {
        let subsiding = Subsiding::new(alarm.usual, alarm.rate?)?;
        let subsiding = [Some(subsiding.clone()), Some(subsiding)];
        Some(Self { function: function.clone(), kind: alarm.kind, limits, subsiding })
    }

    /// Notes a request; those that run something of the change say nothing.
    pub(super) fn note(&mut self, observation: &Observation) {
        let Some(drawn) = &observation.drawn else { return };
        let (life, own) = (&drawn.trial.life, observation.target.function == self.function);
        if !own || drawn.side != Side::Out || !life.is_withdrawn() {
            return;
        }
        let grace_ms = drawn.trial.canary.step_min_ms / GRACE;
        let counts = life
            .withdrawn_since()
            .is_some_and(|since_ms| Timestamp::now().0.saturating_sub(since_ms) >= grace_ms);
        let [waiting, away] = &mut self.subsiding;
        let test = if life.is_away() { away } else { waiting };
        let happened = self.kind.happened(&observation.sample, &self.limits);
        if let (Some(test), Some(happened), true) = (test, happened, counts) {
            test.note(happened);
        }
    }

    /// Whether it became rare again, while the change waited or was away.
    pub(super) fn has_subsided(&self, away: bool) -> Option<bool> {
        let test = self.subsiding[usize::from(away)].as_ref()?;
        test.has_subsided(Alpha::new(SURE).ok()?)
    }
}
