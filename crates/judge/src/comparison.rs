//! The two arms of a part, or of a change as a whole, request by request.
//!
//! Each kind of failure and each limit of a cost is a kind of event, and has a test of its own. Only requests that reached
//! what is compared are noted, in both arms alike.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use belay_model::{Arm, Category};
use serde::{Deserialize, Serialize};

use crate::{
    band::Band,
    budget::Budget,
    cost::{Cost, Limits, Quantile, Spread},
    evidence::{Alpha, Evidence},
    kept::{Kept, KeptSeen, KeptTest},
    policy::Policy,
    rate::{Interval, Rate, difference, number},
    ratio::{RatioTest, Share},
    units::Units,
};

/// Samples from which on it is told what a quantile is between.
const BAND_FROM: u32 = 32;

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub arm: Arm,
    /// The share by which its unit came to an arm.
    pub share: Share,
    /// A hash of the key that keeps a client at one arm; nothing where each request was drawn by itself.
    pub key: Option<u64>,
    pub failure: Option<Category>,
    /// By [`Cost::ALL`]; nothing where it is not known, which counts neither for nor against an arm.
    pub costs: [Option<u64>; 3],
}

/// What may come more often from one arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Event {
    Failure(Category),
    /// It cost more than so many requests did before.
    Beyond(Cost, Quantile),
    /// It took longer than it may.
    Deadline,
}

impl Event {
    /// Kinds of events: seven categories of failures, three quantiles of three costs, and the deadline. That Belay itself
    /// failed is held against nobody's code.
    pub const KINDS: usize = 7 + 9 + 1;
}

#[derive(Debug, Clone)]
struct Test {
    ratio: RatioTest,
    units: Units,
}

/// Requests, or keys that had one, by arm; and of them those that failed. A key counts once for each arm that it was in.
#[derive(Debug, Clone, Default)]
struct Seen {
    units: [u64; 2],
    failed: [u64; 2],
    keys: [Units; 2],
    failed_keys: [Units; 2],
}

impl Seen {
    fn keep(&self) -> KeptSeen {
        KeptSeen {
            units: self.units,
            failed: self.failed,
            keys: self.keys.each_ref().map(Units::keep),
            failed_keys: self.failed_keys.each_ref().map(Units::keep),
        }
    }

    fn resume(kept: KeptSeen) -> Self {
        Self {
            units: kept.units,
            failed: kept.failed,
            keys: kept.keys.map(Units::resume),
            failed_keys: kept.failed_keys.map(Units::resume),
        }
    }

    fn note(&mut self, arm: usize, key: Option<u64>, fails: bool) {
        let new = key.is_none_or(|key| self.keys[arm].counts(key));
        self.units[arm] += u64::from(new);
        // Where there are more keys than are remembered, neither count goes on.
        let known = key.is_none_or(|key| self.keys[arm].knows(key));
        if fails && known && key.is_none_or(|key| self.failed_keys[arm].counts(key)) {
            self.failed[arm] += 1;
        }
    }
}

/// What was seen of two arms.
#[derive(Debug, Clone)]
pub struct Comparison {
    policy: Policy,
    tests: BTreeMap<Event, Test>,
    /// Since the beginning, and since the share is what it is.
    all: Seen,
    step: Seen,
    share: Option<Share>,
    /// Of *before* and of *after*, by [`Cost::ALL`].
    costs: [[Spread; 3]; 2],
}

impl Comparison {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            tests: BTreeMap::new(),
            all: Seen::default(),
            step: Seen::default(),
            share: None,
            costs: Default::default(),
        }
    }

    /// All that decisions rest on.
    pub fn keep(&self) -> Kept {
        let test = |(event, test): (&Event, &Test)| KeptTest {
            event: *event,
            ratio: test.ratio.keep(),
            keys: test.units.keep(),
        };
        Kept {
            tests: self.tests.iter().map(test).collect(),
            all: self.all.keep(),
            step: self.step.keep(),
            share: self.share.map(Share::get),
        }
    }

    /// Goes on with what was kept under the same policy. `None` if it is damaged, or of another Belay.
    pub fn resume(policy: Policy, kept: Kept) -> Option<Self> {
        let test = |KeptTest { event, ratio, keys }| {
            let ratio = policy.test_of(event).resume(ratio)?;
            Some((event, Test { ratio, units: Units::resume(keys) }))
        };
        Some(Self {
            tests: kept.tests.into_iter().map(test).collect::<Option<_>>()?,
            all: Seen::resume(kept.all),
            step: Seen::resume(kept.step),
            share: kept.share.map(Share::new).transpose().ok()?,
            ..Self::new(policy)
        })
    }

    /// `limits`: those of the function that ran.
    pub fn note(&mut self, sample: &Sample, limits: &Limits) {
        let arm = usize::from(sample.arm == Arm::After);
        let counts = |units: &mut Units| sample.key.is_none_or(|key| units.counts(key));
        let failure = sample.failure.filter(|category| *category != Category::Engine);
        // While the share changes, the arms see different times of the day: rates are of one share alone.
        if self.share.replace(sample.share) != Some(sample.share) {
            self.step = Seen::default();
        }
        self.all.note(arm, sample.key, failure.is_some());
        self.step.note(arm, sample.key, failure.is_some());
        let mut events: Vec<Event> = failure.map(Event::Failure).into_iter().collect();
        for (cost, value) in Cost::ALL.into_iter().zip(sample.costs) {
            let Some(value) = value else { continue };
            let beyond = limits.exceeded(cost, value);
            events.extend(beyond.map(|quantile| Event::Beyond(cost, quantile)));
            let late = cost == Cost::Latency && limits.is_late(value);
            events.extend(late.then_some(Event::Deadline));
            self.costs[arm][cost as usize].note(value);
        }
        for event in events {
            let test = self.tests.entry(event).or_insert_with(|| Test {
                ratio: self.policy.test_of(event),
                units: Units::default(),
            });
            if counts(&mut test.units) {
                test.ratio.note(sample.arm, sample.share);
            }
        }
    }

    /// Requests so far, or keys that had one, by arm.
    pub fn units(&self) -> [u64; 2] {
        self.all.units
    }

    /// What a cost is spread like, of *before* and of *after*.
    pub fn costs(&self, cost: Cost) -> [&Spread; 2] {
        self.costs.each_ref().map(|arm| &arm[cost as usize])
    }

    /// Requests that failed in whatever way, or keys that had one, by arm.
    pub fn failed(&self) -> [u64; 2] {
        self.all.failed
    }

    /// How much more often *after* fails, in whatever way, since the share is what it is.
    pub fn more_failures(&self, alpha: Alpha) -> Interval {
        let Seen { units, failed, .. } = &self.step;
        let rate = |arm: usize| Rate { events: failed[arm], of: units[arm] };
        difference(rate(0), rate(1), alpha)
    }

    /// Whether *after* fails at most by the policy's least effect more often, with little doubt. Where too little was seen,
    /// it is not known to be harmless.
    pub fn is_harmless(&self) -> bool {
        self.more_failures(self.policy.slow).high <= self.policy.least_increase
    }

    /// Whether the last request came at this share: what is said of rates is said of one share alone.
    pub fn is_of(&self, share: Share) -> bool {
        self.share == Some(share)
    }

    /// To look for it takes longer than to decide.
    fn quantile(&self, event: Event) -> Option<[(Option<u64>, Option<u64>); 2]> {
        static BAND: LazyLock<Band> =
            LazyLock::new(|| Band::new(Policy::default().slow, BAND_FROM));
        match event {
            Event::Beyond(cost, quantile) => {
                Some(self.costs(cost).map(|spread| spread.between(quantile, &BAND)))
            }
            Event::Failure(_) | Event::Deadline => None,
        }
    }

    /// What the evidence comes to, if `comparisons` are made of one change.
    pub fn verdict(&self, comparisons: usize) -> Verdict {
        let tests = Event::KINDS.saturating_mul(comparisons);
        let [take_back, slow] =
            [self.policy.take_back, self.policy.slow].map(|alpha| Budget::new(alpha, tests).each());
        let finding = |(event, test): (&Event, &Test)| {
            let evidence = test.ratio.evidence();
            let counts = test.ratio.counts();
            let least = match event {
                Event::Failure(_) => self.policy.increase_min,
                Event::Beyond(..) | Event::Deadline => None,
            };
            let grave = least.is_none_or(|least| self.more_failures(slow).low > least);
            let decision = match (evidence.is_enough(take_back), evidence.is_enough(slow)) {
                (true, _) if grave => Decision::TakeBack,
                (_, true) => Decision::Slow,
                _ => Decision::Undecided,
            };
            Finding {
                event: *event,
                whose: Arc::default(),
                units: self.all.units,
                counts,
                times: test.ratio.interval(slow),
                quantile: (decision > Decision::Undecided).then(|| self.quantile(*event)).flatten(),
                evidence,
                decision,
                expected: expected(self.all.units, evidence, take_back),
            }
        };
        let mut findings: Vec<Finding> = self.tests.iter().map(finding).collect();
        findings.sort_by(|one, other| other.evidence.log().total_cmp(&one.evidence.log()));
        let decision = findings.iter().map(|finding| finding.decision).max();
        let needed = Evidence::of_log(-take_back.get().ln());
        Verdict { decision: decision.unwrap_or_default(), units: self.all.units, needed, findings }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Neither harm nor its absence is shown.
    #[default]
    Undecided,
    /// The ramp should wait.
    Slow,
    TakeBack,
}

/// A decision with all that it rests on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    pub decision: Decision,
    /// Requests, or keys that had one, of *before* and *after*.
    pub units: [u64; 2],
    /// So much evidence of one kind of event is enough to take it back.
    pub needed: Evidence,
    /// One for each kind of event that was seen, that with the most evidence first.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// What several comparisons of the same two arms come to, each of other requests, with whose these are.
    pub fn together(verdicts: impl IntoIterator<Item = (Arc<[String]>, Self)>) -> Self {
        let join = |mut all: Self, (whose, mut one): (Arc<[String]>, Self)| {
            one.findings.iter_mut().for_each(|finding| finding.whose = whose.clone());
            all.decision = all.decision.max(one.decision);
            all.units = [all.units[0] + one.units[0], all.units[1] + one.units[1]];
            all.needed = one.needed;
            all.findings.extend(one.findings);
            all
        };
        let mut all = verdicts.into_iter().fold(Self::default(), join);
        all.findings.sort_by(|one, other| other.evidence.log().total_cmp(&one.evidence.log()));
        all
    }
}

/// What is known of one kind of event.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub event: Event,
    /// Whose requests it is about, where those of others are compared apart from them; empty if it is about all, or all others.
    pub whose: Arc<[String]>,
    /// Requests, or keys that had one, of *before* and *after*, among which it was counted.
    pub units: [u64; 2],
    /// Events of *before* and *after*; of a client that stays at one arm, the first.
    pub counts: [u64; 2],
    /// How many times as often they come from *after*.
    pub times: Interval,
    /// Of a cost that is decided on, what the quantile of all requests of *before* and of *after* is between; an end that the
    /// samples do not tell is missing.
    pub quantile: Option<[(Option<u64>, Option<u64>); 2]>,
    pub evidence: Evidence,
    pub decision: Decision,
    /// So many more requests, of both arms, and there is enough evidence to take it back, if it goes on as it did; nothing where
    /// it does not go that way.
    pub expected: Option<u64>,
}

/// What is missing, by what a request added on average.
fn expected([before, after]: [u64; 2], evidence: Evidence, alpha: Alpha) -> Option<u64> {
    let missing = (-alpha.get().ln() - evidence.log()).max(0.0);
    let each = evidence.log() / number(before + after);
    let requests = (missing / each).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    (each > 0.0 && requests < 1e15).then_some(requests as u64)
}
