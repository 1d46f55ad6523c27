//! The rules of others, run on what the requests of the same run came to.
//!
//! Both look at the canary as a whole once an interval, and take all of it back. Flagger's defaults in its documentation: interval
//! 1 min, threshold 5, a success rate of at least 99 %, 99 % of the answers within 500 ms. Argo Rollouts aborts after one failed
//! measurement (`failureLimit: 0`). Neither sees a fault that stays below its threshold.
//!
//! Our change is decided long before their first interval ends, so there is no stream of requests that lasts as long. What the
//! clients saw of requests that ran the change is repeated, in its order, at the rate at which they called.

use std::time::Duration;

use super::watch::Seen;

/// Failed intervals until it is taken back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    failed_max: u32,
}

pub(crate) const RULES: [(&str, Rule); 2] =
    [("flagger", Rule { failed_max: 5 }), ("argo", Rule { failed_max: 1 })];

pub(crate) struct Verdict {
    pub(crate) seconds: f64,
    pub(crate) hurt: f64,
}

pub(crate) const INTERVAL_S: f64 = 60.0;
const SUCCESS_MIN: f64 = 0.99;
const SLOW: Duration = Duration::from_millis(500);
/// The first step of the same ramp.
pub(crate) const SHARE: f64 = 0.01;
const INTERVALS_MAX: u32 = 60;

/// When a rule takes back a canary whose requests come to what was `seen`, over and over; `rate` is that of all requests, each
/// second. While an interval fails the ramp does not go on.
pub(crate) fn decide(rule: Rule, seen: &[Seen], rate: f64) -> Option<Verdict> {
    let mut stream = seen.iter().cycle();
    let (mut failed_intervals, mut hurt) = (0, 0.0);
    for interval in 1..=INTERVALS_MAX {
        let (mut requests, mut failed, mut slow) = (0.0, 0.0, 0.0);
        // In canary only: what goes to the others says nothing.
        while requests < rate * SHARE * INTERVAL_S {
            let Seen { took, failed: fails } = stream.next()?;
            requests += 1.0;
            failed += f64::from(u8::from(*fails));
            slow += f64::from(u8::from(*took > SLOW));
        }
        hurt += failed;
        let good = |bad: f64| requests == 0.0 || 1.0 - bad / requests >= SUCCESS_MIN;
        failed_intervals += u32::from(!good(failed) || !good(slow));
        if failed_intervals >= rule.failed_max {
            return Some(Verdict { seconds: f64::from(interval) * INTERVAL_S, hurt });
        }
    }
    None
}
