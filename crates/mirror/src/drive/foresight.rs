//! What is looked at before something is done: who else writes the same, and what a request would come to.

use std::time::{Duration, Instant};

use belay_host::{Runner, about, classify};
use belay_model::{Call, EffectClass};

use super::{LOCKED_MAX, Open, millis};
use crate::{Action, Ended, resources::Resources, told};

/// What becomes of an attempt that looked ahead.
pub(super) enum Turn {
    Ended(Ended),
    /// It is undone, and begins anew after that, as if it had not begun.
    Anew(Until),
}

/// For how long others are waited for.
pub(super) enum Until {
    /// Until nobody is before it in its queues, but no longer than this.
    Turn(Duration),
    Over(Duration),
}

/// Statements that are longer are not compared.
const TOUCHED_BYTES_MAX: usize = 1_000;

impl<'h, R: Runner> Open<'_, 'h, '_, R> {
    /// Before something is read or written: waits for others that use it, if that is better than to be in each other's way. If
    /// something was read before, which will not be as it was, the transaction is to begin anew.
    pub(super) async fn give_way(&mut self, call: &Call) -> Option<Turn> {
        let key = touched(call)?;
        let frame = self.frames.first_mut()?;
        let is_first = self.watch.is_untouched();
        self.watch.touch(key.clone());
        // What is under way would have to be done again.
        let is_free =
            self.external.made() == 0 && self.ordinals.is_empty() && self.using.is_empty();
        let limit = self.watch.queue(frame, &key, is_free)?;
        if is_first {
            self.wait_until(Until::Turn(limit)).await;
            let frame = self.frames.first_mut()?;
            // The time of others is not its own.
            frame.since = Instant::now();
            frame.limit(self.session.driving.instance()?);
            return None;
        }
        Some(Turn::Anew(Until::Turn(limit)))
    }

    /// Waits for others, at most half of the time that is left.
    pub(super) async fn wait_until(&mut self, until: Until) {
        let left = self.session.deadline.saturating_duration_since(Instant::now());
        match until {
            Until::Turn(limit) => {
                let turn = self.watch.turn(limit.min(left / 2));
                self.session.driving.flight.beside(turn).await;
            }
            Until::Over(wait) => {
                let begun = Instant::now();
                let wait = tokio::time::sleep(wait.min(left / 2));
                self.session.driving.flight.beside(wait).await;
                self.watch.has_waited(begun);
            }
        }
    }

    /// Before the first call that cannot be undone: whether the attempt is to end here, as something else is better.
    pub(super) async fn look_ahead(&mut self, call: &Call) -> Option<Turn> {
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
        let waited = self.wait_for_mirror().await;
        let own = self.glimpse(Resources::numbers);
        let left = self.session.deadline.saturating_duration_since(Instant::now());
        let allowed = self.allowed();
        let service = about.service.as_ref();
        let service = service.map(|service| (service, service.timeout.min(allowed)));
        let frame = self.frames.first_mut()?;
        let choice = self.watch.consult(frame, service, (waited, left), (&own, performed))?;
        match choice.action {
            Action::Divert => Some(Turn::Ended(Ended::Diverted { reasons: self.watch.reasons() })),
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
            Action::Wait => {
                let wait = Duration::try_from_secs_f64(self.watch.held_ms() / 1e3);
                Some(Turn::Anew(Until::Over(wait.unwrap_or(Duration::MAX))))
            }
            Action::GoOn => None,
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
    pub(super) async fn wait_for_mirror(&mut self) -> Duration {
        let own = self.frames.first().and_then(|frame| frame.spec.timeout_ms);
        let left = self.session.deadline.saturating_duration_since(Instant::now());
        let timeout = own.map_or(left, Duration::from_millis);
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

/// What those have in common that read or write the same: a key of the kv, or a statement with its parameters.
fn touched(call: &Call) -> Option<String> {
    match call.op.as_str() {
        "kv.get" | "kv.put" | "kv.delete" => {
            let args: serde_json::Value = serde_json::from_str(&call.args).ok()?;
            args["key"].as_str().map(str::to_owned)
        }
        "sql.query" if call.args.len() <= TOUCHED_BYTES_MAX => belay_host::statement(call),
        // What else it reads is told by nothing.
        op => Resources::take(call).then(|| op.to_owned()),
    }
}
