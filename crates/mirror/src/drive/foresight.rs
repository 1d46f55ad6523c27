//! What is looked at before something is done: who else writes the same, and what a request would come to.

use std::time::{Duration, Instant};

use belay_host::{Runner, about, classify};
use belay_model::{Call, EffectClass};

use super::{LOCKED_MAX, Open, millis};
use crate::{Action, Ended, open::Frame, resources::Resources, told};

impl<'h, R: Runner> Open<'_, 'h, '_, R> {
    /// Waits for those that are about to write the same, if that is better than to be in each other's way.
    pub(super) async fn take_turn(&mut self, frame: &mut Frame) {
        if !self.watch.is_contended() {
            return;
        }
        let waited = match self.watch.knows_files() {
            true => Duration::ZERO,
            false => self.wait_for_mirror(frame.spec.timeout_ms).await,
        };
        let left = self.session.deadline.saturating_duration_since(Instant::now());
        if let Some(limit) = self.watch.queue(frame, waited) {
            let turn = self.watch.turn(limit.min(left / 2));
            self.session.driving.flight.beside(turn).await;
        }
        frame.since = Instant::now();
        if let Some(instance) = self.session.driving.instance() {
            frame.limit(instance);
        }
    }

    /// Before the first call that cannot be undone: whether the transaction is to end here, as another way is better.
    pub(super) async fn look_ahead(&mut self, call: &Call) -> Option<(usize, Ended)> {
        let frame = self.frames.first()?;
        if !frame.spec.predict {
            return None;
        }
        // Then there is no other way any more, but there may be more time.
        let performed = self.external.is_performed_after(frame.made);
        let about = about(call).ok()?;
        if about.class != (EffectClass::External { safe: false }) {
            return None;
        }
        let timeout_ms = frame.spec.timeout_ms;
        let waited = self.wait_for_mirror(timeout_ms).await;
        let own = self.glimpse(Resources::numbers);
        let left = self.session.deadline.saturating_duration_since(Instant::now());
        let allowed = self.allowed();
        let service = about.service.as_ref();
        let service = service.map(|service| (service, service.timeout.min(allowed)));
        let frame = self.frames.first_mut()?;
        let choice = self.watch.consult(frame, service, (waited, left), (&own, performed))?;
        match choice.action {
            Action::Divert => Some((0, Ended::Diverted { reasons: self.watch.reasons() })),
            Action::Adjust => {
                frame.spec.timeout_ms = Some(millis(frame.since.elapsed() + left / 2));
                let instance = self.session.driving.instance()?;
                frame.limit(instance);
                None
            }
            Action::Allocate => {
                frame.spec.memory_bytes = None;
                let instance = self.session.driving.instance()?;
                frame.limit(instance);
                None
            }
            Action::GoOn | Action::Wait => None,
        }
    }

    /// A request while a file is locked keeps all other writers of it waiting: not for long.
    pub(super) fn note_lock(&mut self, call: &Call) {
        let external = matches!(classify(call), Ok(EffectClass::External { .. }));
        if !external || self.frames.is_empty() || self.locked.is_some() {
            return;
        }
        let Some(database) = self.glimpse(Resources::locked) else { return };
        self.watch.warn(told::locks(&database));
        self.locked = Some((Instant::now() + LOCKED_MAX, database));
    }

    /// As long as it may; how long that was.
    pub(super) async fn wait_for_mirror(&mut self, timeout_ms: Option<u64>) -> Duration {
        let timeout = timeout_ms.map(Duration::from_millis);
        let Some((done, wait)) = self.watch.waits(timeout) else { return Duration::ZERO };
        let begun = Instant::now();
        let waiting = tokio::time::timeout(wait, done.notified());
        // That it is not done by then is no matter.
        let _ = self.session.driving.flight.beside(waiting).await;
        begun.elapsed()
    }

    /// What is left to the attempt.
    pub(super) fn allowed(&self) -> Duration {
        self.deadline().0.saturating_duration_since(Instant::now())
    }
}
