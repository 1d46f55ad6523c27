//! The rules of others, held against requests that come as fast and fail as often.
//!
//! Both look at the canary as a whole once an interval, and take all of it back. Flagger's defaults in its documentation: interval
//! 1 min, threshold 5, a success rate of at least 99 %, answers within 500 ms. Argo Rollouts aborts after one failed
//! measurement (`failureLimit: 0`). Neither sees a fault that stays below its threshold.

/// Failed intervals until it is taken back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    failed_max: u32,
}

pub(crate) const RULES: [(&str, Rule); 2] =
    [("flagger", Rule { failed_max: 5 }), ("argo", Rule { failed_max: 1 })];

pub(crate) struct Seen {
    pub(crate) seconds: f64,
    pub(crate) hurt: f64,
}

const INTERVAL_S: f64 = 60.0;
const SUCCESS_MIN: f64 = 0.99;
/// The first step of the same ramp.
const SHARE: f64 = 0.01;
const INTERVALS_MAX: u32 = 60;

/// When a rule takes back a canary of which so many requests fail; `rate` is that of all requests, each second. While an
/// interval fails the ramp does not go on. What a client calls is drawn from a fixed sequence.
pub(crate) fn decide(rule: Rule, fails: f64, rate: f64) -> Option<Seen> {
    let mut random = Sequence(7);
    let (mut failed_intervals, mut hurt) = (0, 0.0);
    for interval in 1..=INTERVALS_MAX {
        let (mut requests, mut failed) = (0.0, 0.0);
        // In canary only: what goes to the others says nothing.
        while requests < rate * SHARE * INTERVAL_S {
            requests += 1.0;
            failed += f64::from(u8::from(random.next() < fails));
        }
        hurt += failed;
        failed_intervals += u32::from(requests > 0.0 && 1.0 - failed / requests < SUCCESS_MIN);
        if failed_intervals >= rule.failed_max {
            return Some(Seen { seconds: f64::from(interval) * INTERVAL_S, hurt });
        }
    }
    None
}

/// A linear congruential generator (Knuth's MMIX), as good as it has to be here.
pub(crate) struct Sequence(pub(crate) u64);

impl Sequence {
    /// In 0 to 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "31 bits")]
        let number = (self.0 >> 33) as f64;
        number / f64::from(1_u32 << 31)
    }
}
