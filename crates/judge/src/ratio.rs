//! Do events come more often from one arm than its share of the traffic explains?
//!
//! Given that an event happened (a failure, a request slower than a threshold), it came from *after* with the probability
//! `s·r / (s·r + 1 − s)`, where `s` is the share of *after* at that moment and `r` is how many times as often it happens
//! there. So the events alone tell about `r`, whatever their rate does over time, and the share may change between any two
//! of them.
//!
//! The likelihood of many ratios is kept side by side. Evidence against "at most as often as tolerated" is the average of
//! the likelihoods of larger ratios over that of the tolerated one: each of these is an e-process, so is their average, and
//! for a smaller true ratio it is less still. The average over all ratios gives the interval in which the true one lies.
//!
//! The published tests mix over Dirichlet priors (Lindon & Malek 2022), which stay in closed form only while the share
//! does not change. Steps of a ramp would each begin from nothing; this does not, and needs fewer events.

use belay_model::Arm;

use crate::{
    Invalid,
    evidence::{Alpha, Evidence, log_sum},
    kept::KeptRatio,
    rate::Interval,
};

/// How many ratios are followed.
const RATIOS: usize = 129;
/// The largest of them; the smallest one is its inverse.
const RATIO_MAX: f64 = 256.0;
/// What is not this much more than what is tolerated is not looked for.
const EFFECT_MIN: f64 = 1.1;

/// The part of the traffic that goes to *after*, of what goes to either arm: above 0, below 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// As many for either arm.
    pub const HALF: Self = Self(0.5);

    /// # Errors
    /// What is not between 0 and 1: with one arm alone there is nothing to compare.
    pub fn new(share: f64) -> Result<Self, Invalid> {
        if share > 0.0 && share < 1.0 { Ok(Self(share)) } else { Err(Invalid::Share(share)) }
    }

    /// As a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// A test of one kind of event.
#[derive(Debug, Clone)]
pub struct RatioTest {
    tolerated: f64,
    /// Ratios that are harm, by their places, and the logarithms of their weights.
    harm: Box<[(usize, f64)]>,
    /// Of each ratio, and of the one that is tolerated: the logarithm of its likelihood.
    likelihoods: Box<[f64; RATIOS]>,
    likelihood_of_tolerated: f64,
    /// What an event adds to them at the share that was used last.
    steps: Option<Box<Steps>>,
    /// Events from *before* and from *after*.
    counts: [u64; 2],
}

#[derive(Debug, Clone)]
struct Steps {
    share: Share,
    /// By arm.
    ratios: [[f64; RATIOS]; 2],
    tolerated: [f64; 2],
}

impl RatioTest {
    /// `tolerated`: that events are so many times as frequent in *after* is no harm.
    ///
    /// # Errors
    /// What is less than 1, or no number.
    pub fn new(tolerated: f64) -> Result<Self, Invalid> {
        if !(tolerated.is_finite() && tolerated >= 1.0) {
            return Err(Invalid::Tolerated(tolerated));
        }
        let times = |at: usize| ratio(at) / tolerated;
        let harm = (0..RATIOS).filter(|at| times(*at) >= EFFECT_MIN);
        let harm: Vec<(usize, f64)> = harm.map(|at| (at, weight(times(at)).ln())).collect();
        let all = log_sum(harm.iter().map(|(_, log)| *log));
        Ok(Self {
            tolerated,
            harm: harm.into_iter().map(|(at, log)| (at, log - all)).collect(),
            likelihoods: Box::new([0.0; RATIOS]),
            likelihood_of_tolerated: 0.0,
            steps: None,
            counts: [0; 2],
        })
    }

    /// Notes an event. `share` is the one by which its unit came to an arm.
    pub fn note(&mut self, arm: Arm, share: Share) {
        if self.steps.as_ref().is_none_or(|steps| steps.share != share) {
            self.steps = Some(Box::new(Steps::new(share, self.tolerated)));
        }
        let Some(steps) = &self.steps else { return };
        let index = usize::from(arm == Arm::After);
        self.counts[index] += 1;
        self.likelihood_of_tolerated += steps.tolerated[index];
        for (likelihood, step) in self.likelihoods.iter_mut().zip(&steps.ratios[index]) {
            *likelihood += step;
        }
    }

    pub(crate) fn keep(&self) -> KeptRatio {
        KeptRatio {
            likelihoods: self.likelihoods.to_vec(),
            tolerated: self.likelihood_of_tolerated,
            counts: self.counts,
        }
    }

    /// This test, new, as the one that was kept. `None` if that is none.
    pub(crate) fn resume(self, kept: KeptRatio) -> Option<Self> {
        let KeptRatio { likelihoods, tolerated, counts } = kept;
        let fine = tolerated.is_finite() && likelihoods.iter().all(|it| it.is_finite());
        let likelihoods: Box<[f64; RATIOS]> = likelihoods.into_boxed_slice().try_into().ok()?;
        fine.then_some(Self { likelihoods, likelihood_of_tolerated: tolerated, counts, ..self })
    }

    /// Events so far, from *before* and from *after*.
    pub fn counts(&self) -> [u64; 2] {
        self.counts
    }

    /// Against "events are at most as frequent in *after* as is tolerated".
    pub fn evidence(&self) -> Evidence {
        // What is tolerated is so much that nothing is left to look for.
        if self.harm.is_empty() {
            return Evidence::NONE;
        }
        let logs = self.harm.iter().map(|(at, log)| log + self.likelihoods[*at]);
        Evidence::of_log(log_sum(logs) - self.likelihood_of_tolerated)
    }

    /// How many times as frequent events are in *after*: an interval that holds the true ratio, at all times, with a
    /// probability of at least 1 − α. From 0 or to infinity where the events do not tell.
    pub fn interval(&self, alpha: Alpha) -> Interval {
        let log = |at: usize| weight(ratio(at).max(ratio(at).recip())).ln();
        let weights = log_sum((0..RATIOS).map(log));
        let average = log_sum((0..RATIOS).map(|at| log(at) + self.likelihoods[at])) - weights;
        let bound = average + alpha.get().ln();
        // The outermost ratios that are not excluded, and those next to them, as the true one may lie between.
        let held = |at: &usize| self.likelihoods[*at] > bound;
        let first = (0..RATIOS).find(held).and_then(|at| at.checked_sub(1));
        let last = (0..RATIOS).rev().find(held).map(|at| at + 1).filter(|at| *at < RATIOS);
        Interval { low: first.map_or(0.0, ratio), high: last.map_or(f64::INFINITY, ratio) }
    }
}

impl Steps {
    fn new(share: Share, tolerated: f64) -> Self {
        let of_arm = |arm: usize| std::array::from_fn(|at| step(share, ratio(at))[arm]);
        Self { share, ratios: [of_arm(0), of_arm(1)], tolerated: step(share, tolerated) }
    }
}

/// The logarithms of the probabilities that an event came from *before* and from *after*.
fn step(share: Share, ratio: f64) -> [f64; 2] {
    let all = (share.0 * ratio + 1.0 - share.0).ln();
    [(1.0 - share.0).ln() - all, (share.0 * ratio).ln() - all]
}

/// The ratios that are followed, from the smallest to the largest, each the same number of times the one before.
fn ratio(at: usize) -> f64 {
    let at = u32::try_from(at).map_or(0.0, f64::from);
    let last = u32::try_from(RATIOS - 1).map_or(1.0, f64::from);
    RATIO_MAX.powf(2.0 * at / last - 1.0)
}

/// How much counts a ratio that is `times` what is tolerated: small effects more, as they take longer to be seen.
fn weight(times: f64) -> f64 {
    1.0 / times.ln().max(EFFECT_MIN.ln()).sqrt()
}
