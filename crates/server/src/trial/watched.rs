//! What is usual for a function, and when it is not any more.
//!
//! Requests that run nothing of what is on trial say what is usual. Those that run a change which is live are held against
//! that: they have somebody to be compared with, but where only a few in a hundred stay as before, comparing takes long.

use belay_judge::{Alpha, Limits, Odd, Pace, Usual, Watch};
use belay_model::Category;

use crate::{
    catalog::Usually,
    telemetry::{Ending, Sample},
};

use super::seen::Seen;

/// While nothing changes, alarms of one kind are so many requests apart, on average.
const APART: f64 = 1e9;
/// So many times as often as usual may requests fail, or be slower than 99 % of them are, before it is looked at.
const FAILURES_TOLERATED: f64 = 1.5;
const SLOW_TOLERATED: f64 = 3.0;
/// So many times as large as usual may the share be of an app's requests that one function gets.
const MIX_TOLERATED: f64 = 3.0;
/// While nothing changes, alarms about the number of requests are so many windows of some seconds apart, on average.
const WINDOWS_APART: f64 = 1e8;

/// What is known of one function.
pub(super) struct Watched {
    pub(super) usual: Usual,
    failures: Watch,
    slow: Watch,
    pub(super) pace: Pace,
    /// Failures of those who run a change that is live, against what was usual when it was let in.
    live: Option<Watch>,
}

/// Something is not as it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Alarm {
    pub(super) kind: Kind,
    /// How often it happens at most, usually: a share of the requests; for [`Kind::Pace`], requests in a second.
    pub(super) usual: f64,
    /// How often it most likely happens now, if it is a share.
    pub(super) rate: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Failures,
    Slow,
    /// The share of the app's requests that a function gets.
    Mix,
    /// The number of its requests.
    Pace(Odd),
}

impl Kind {
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Slow => "latency > p99",
            Self::Mix => "share of the requests",
            Self::Pace(Odd::Fewer) => "fewer requests",
            Self::Pace(Odd::More) => "more requests",
        }
    }

    /// Whether it happened to a request; nothing where that is not known.
    pub(super) fn happened(self, sample: &Sample, limits: &Limits) -> Option<bool> {
        match self {
            // That a caller sends nonsense, or Belay fails, is nothing that the function does.
            Self::Failures => Some(!matches!(
                sample.ending,
                Ending::Ok | Ending::Failed(Category::InvalidInput | Category::Engine)
            )),
            Self::Slow => Seen::costs(sample)[0].and_then(|latency| limits.is_slow(latency)),
            Self::Mix | Self::Pace(_) => None,
        }
    }
}

impl Alarm {
    pub(super) fn usually(&self) -> Usually {
        match self.kind {
            Kind::Failures | Kind::Slow | Kind::Mix => Usually::Share(self.usual),
            Kind::Pace(_) => Usually::PerSecond(self.usual),
        }
    }
}

impl Default for Watched {
    fn default() -> Self {
        let watch =
            |tolerated| Watch::new(tolerated).unwrap_or_else(|_| unreachable!("it is a factor"));
        let (failures, slow) = (watch(FAILURES_TOLERATED), watch(SLOW_TOLERATED));
        Self { usual: Usual::default(), failures, slow, pace: Pace::default(), live: None }
    }
}

impl Watched {
    /// Notes a request that ran nothing of what is on trial. After an alarm, what comes is taken for usual.
    pub(super) fn note(&mut self, sample: &Sample) -> Option<Alarm> {
        let costs = Seen::costs(sample);
        let limits: Limits = self.usual.limits();
        self.usual.note(costs);
        for (kind, watch) in [(Kind::Failures, &mut self.failures), (Kind::Slow, &mut self.slow)] {
            if let Some(happened) = kind.happened(sample, &limits) {
                watch.note(happened);
            }
        }
        alarm(Kind::Failures, &mut self.failures).or_else(|| alarm(Kind::Slow, &mut self.slow))
    }

    /// Notes a request that ran something of a change which is live. After an alarm, what comes is taken for usual. Only failures
    /// tell: how fast requests are answered changes with whatever else the machine does.
    pub(super) fn note_live(&mut self, sample: &Sample) -> Option<Alarm> {
        let live = self.live.get_or_insert_with(|| {
            let mut known = self.failures.clone();
            known.begin();
            known
        });
        live.note(Kind::Failures.happened(sample, &self.usual.limits())?);
        alarm(Kind::Failures, live)
    }

    /// Time has passed, in seconds. After an alarm, as many requests as come then are taken for usual.
    pub(super) fn pass(&mut self, seconds: f64) -> Option<Alarm> {
        self.pace.pass(seconds);
        let level = Alpha::new(WINDOWS_APART.recip()).ok()?;
        let all = self.pace.evidence();
        let (odd, _) = all.into_iter().find(|(_, evidence)| evidence.is_enough(level))?;
        let usual = self.pace.usual().unwrap_or_default();
        self.pace.learn_anew();
        Some(Alarm { kind: Kind::Pace(odd), usual, rate: None })
    }

    /// What requests see of the change is otherwise now; `another`: and it is another change, or another phase of its life.
    pub(super) fn begin_step(&mut self, another: bool) {
        self.usual.begin_step();
        if another {
            self.live = None;
        }
    }
}

/// Watches whether an app's request is one of a function.
pub(super) fn new_mix() -> Watch {
    Watch::new(MIX_TOLERATED).unwrap_or_else(|_| unreachable!("it is a factor"))
}

pub(super) fn mix_alarm(watch: &mut Watch) -> Option<Alarm> {
    alarm(Kind::Mix, watch)
}

fn alarm(kind: Kind, watch: &mut Watch) -> Option<Alarm> {
    let level = Alpha::new(APART.recip()).ok()?;
    if !watch.evidence().is_enough(level) {
        return None;
    }
    let (usual, rate) = (watch.usual().unwrap_or_default(), watch.alarmed());
    watch.learn_anew();
    Some(Alarm { kind, usual, rate })
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
            alarms.extend(watched.note(&sample(ending, 10)).map(|alarm| (request, alarm.kind)));
        }
        assert!(matches!(alarms[..], [(2_001..2_100, Kind::Failures)]), "{alarms:?}");
    }

    #[test]
    fn a_live_change_is_held_against_what_was_usual_before_it() {
        let failed = sample(Ending::Failed(Category::Exception), 10);
        let mut watched = Watched::default();
        for _ in 0..1_000 {
            watched.note(&sample(Ending::Ok, 10));
        }
        let told =
            |watched: &mut Watched| (0..5_000).filter_map(|_| watched.note_live(&failed)).count();
        assert_eq!(told(&mut watched), 1, "once");
        watched.begin_step(false);
        assert_eq!(told(&mut watched), 0, "what was looked into is usual from then on");
        watched.begin_step(true);
        assert_eq!(told(&mut watched), 1, "but not of another change");
    }

    #[test]
    fn so_is_what_becomes_slow() {
        let mut watched = Watched::default();
        let mut alarms = Vec::new();
        for request in 0..4_000_u64 {
            let ms = if request > 2_000 { 30 } else { 10 + request % 5 };
            let alarm = watched.note(&sample(Ending::Ok, ms));
            alarms.extend(alarm.map(|alarm| (request, alarm.kind)));
        }
        assert!(matches!(alarms[..], [(2_001..2_050, Kind::Slow)]), "{alarms:?}");
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
