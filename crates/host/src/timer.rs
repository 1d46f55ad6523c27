//! `timer`: a wait. It ends when it is dropped.

use std::time::Duration;

use belay_model::{EffectError, Outcome};
use serde::Deserialize;

use crate::request::bad_arguments;

/// Longer than any function may run.
const MS_MAX: f64 = 86_400_000.0;

/// Arguments of `timer`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimerArgs {
    ms: f64,
}

impl TimerArgs {
    /// As browsers and Node do, a negative wait is none; a very long one is cut, as the request ends before.
    pub(crate) fn duration(&self) -> Result<Duration, EffectError> {
        Duration::try_from_secs_f64(self.ms.clamp(0.0, MS_MAX) / 1_000.0)
            .map_err(|_| bad_arguments("timer", "ms is not a number"))
    }
}

/// Waits; no wait at all still lets other work run, so that a loop over `setTimeout(…, 0)` starves nobody.
pub(crate) async fn wait(duration: Duration) -> Outcome {
    if duration.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(duration).await;
    }
    Outcome::json("null")
}
