//! What is usual for a function, and when it is not any more.
//!
//! Only requests that run nothing of what is on trial are looked at: the others have somebody to be compared with.

use belay_judge::{Alpha, Limits, Usual, Watch};
use belay_model::Category;

use crate::telemetry::{Ending, Sample};

use super::seen::Seen;

/// While nothing changes, alarms of one kind are so many requests apart, on average.
const APART: f64 = 1e9;
/// So many times as often as usual may requests fail, or be slower than 99 % of them are, before it is looked at.
const FAILURES_TOLERATED: f64 = 1.5;
const SLOW_TOLERATED: f64 = 3.0;

/// What is known of one function.
pub(super) struct Watched {
    pub(super) usual: Usual,
    failures: Watch,
    slow: Watch,
}

/// Something is not as it was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alarm {
    /// `failures` or `latency > p99`.
    pub(super) what: &'static str,
    /// How often it happens at most, usually: a share of the requests.
    pub(super) usual: f64,
}

impl Default for Watched {
    fn default() -> Self {
        let watch =
            |tolerated| Watch::new(tolerated).unwrap_or_else(|_| unreachable!("it is a factor"));
        let (failures, slow) = (watch(FAILURES_TOLERATED), watch(SLOW_TOLERATED));
        Self { usual: Usual::default(), failures, slow }
    }
}

impl Watched {
    /// Notes a request that ran nothing of what is on trial. After an alarm, what comes is taken for usual.
    pub(super) fn note(&mut self, sample: &Sample) -> Option<Alarm> {
        let costs = Seen::costs(sample);
        let limits: Limits = self.usual.limits();
        self.usual.note(costs);
        // That a caller sends nonsense, or Belay fails, is nothing that the function does.
        let failed = match sample.ending {
            Ending::Ok | Ending::Failed(Category::InvalidInput | Category::Engine) => false,
            Ending::Failed(_) => true,
        };
        self.failures.note(failed);
        if let Some(slow) = costs[0].and_then(|latency| limits.is_slow(latency)) {
            self.slow.note(slow);
        }
        alarm("failures", &mut self.failures).or_else(|| alarm("latency > p99", &mut self.slow))
    }
}

fn alarm(what: &'static str, watch: &mut Watch) -> Option<Alarm> {
    let level = Alpha::new(APART.recip()).ok()?;
    if !watch.evidence().is_enough(level) {
        return None;
    }
    let usual = watch.usual().unwrap_or_default();
    watch.learn_anew();
    Some(Alarm { what, usual })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(ending: Ending, ms: u64) -> Sample {
        let duration = Duration::from_millis(ms);
        Sample { ending, duration, cpu: duration, peak_bytes: 0, written_bytes: 0 }
    }

    #[test]
    fn what_becomes_frequent_is_told_once() {
        let mut watched = Watched::default();
        let mut alarms = Vec::new();
        for request in 0..4_000 {
            let fails = request % 100 == 0 || request > 2_000 && request % 4 == 0;
            let ending = if fails { Ending::Failed(Category::Exception) } else { Ending::Ok };
            alarms.extend(watched.note(&sample(ending, 10)).map(|alarm| (request, alarm.what)));
        }
        assert!(matches!(alarms[..], [(2_001..2_100, "failures")]), "{alarms:?}");
    }

    #[test]
    fn so_is_what_becomes_slow() {
        let mut watched = Watched::default();
        let mut alarms = Vec::new();
        for request in 0..4_000_u64 {
            let ms = if request > 2_000 { 30 } else { 10 + request % 5 };
            let alarm = watched.note(&sample(Ending::Ok, ms));
            alarms.extend(alarm.map(|alarm| (request, alarm.what)));
        }
        assert!(matches!(alarms[..], [(2_001..2_050, "latency > p99")]), "{alarms:?}");
    }

    #[test]
    fn nonsense_that_callers_send_is_no_alarm() {
        let mut watched = Watched::default();
        let bad = sample(Ending::Failed(Category::InvalidInput), 10);
        let all =
            (0..3_000).map(|request| if request > 1_000 { bad } else { sample(Ending::Ok, 10) });
        assert!(all.filter_map(|sample| watched.note(&sample)).next().is_none());
    }
}
