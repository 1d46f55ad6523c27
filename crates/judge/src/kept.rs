//! What a comparison has seen, to be stored and gone on with after a restart: else each restart could spend the budget of false
//! alarms again.
//!
//! How costs are spread is not kept: no decision rests on it.

use serde::{Deserialize, Serialize};

use crate::comparison::Event;

/// A comparison, to be gone on with by [`crate::Comparison::resume`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub(crate) tests: Vec<KeptTest>,
    pub(crate) all: KeptSeen,
    pub(crate) step: KeptSeen,
    /// The share of *after* at which the step is.
    pub(crate) share: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptTest {
    pub(crate) event: Event,
    pub(crate) ratio: KeptRatio,
    pub(crate) keys: Vec<u64>,
}

/// The logarithms of the likelihoods of all ratios, and of the one that is tolerated; events of *before* and *after*.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptRatio {
    pub(crate) likelihoods: Vec<f64>,
    pub(crate) tolerated: f64,
    pub(crate) counts: [u64; 2],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptSeen {
    pub(crate) units: [u64; 2],
    pub(crate) failed: [u64; 2],
    pub(crate) keys: [Vec<u64>; 2],
    pub(crate) failed_keys: [Vec<u64>; 2],
}

#[cfg(test)]
mod tests {
    use belay_model::{Arm, Category};

    use crate::{Comparison, Kept, Limits, Policy, Sample, Share};

    fn seen(requests: std::ops::Range<u64>, comparison: &mut Comparison) {
        for request in requests {
            let arm = if request % 3 == 0 { Arm::After } else { Arm::Before };
            let fails = arm == Arm::After && request % 6 == 0 || request % 50 == 1;
            let sample = Sample {
                arm,
                share: Share::new(1.0 / 3.0).unwrap(),
                key: (request % 2 == 0).then_some(request),
                failure: fails.then_some(Category::Exception),
                costs: [Some(10_000 + request), None, None],
            };
            comparison.note(&sample, &Limits::default().deadline(Some(10_100)));
        }
    }

    #[test]
    fn what_was_kept_goes_on_as_if_nothing_had_been() {
        let policy = Policy::default();
        let mut first = Comparison::new(policy);
        seen(0..150, &mut first);
        let text = serde_json::to_string(&first.keep()).unwrap();
        let kept: Kept = serde_json::from_str(&text).unwrap();
        let mut second = Comparison::resume(policy, kept).unwrap();
        assert!(!first.verdict(1).findings.is_empty());
        for _ in 0..2 {
            assert_eq!(second.verdict(1), first.verdict(1));
            assert_eq!(second.is_harmless(), first.is_harmless());
            // Also keys that were there before, which count but once.
            [&mut first, &mut second].into_iter().for_each(|it| seen(100..300, it));
        }
    }

    #[test]
    fn what_is_damaged_is_not_gone_on_with() {
        let mut first = Comparison::new(Policy::default());
        seen(0..150, &mut first);
        let mut kept = first.keep();
        kept.tests[0].ratio.likelihoods.pop();
        assert!(Comparison::resume(Policy::default(), kept).is_none());
        let mut kept = first.keep();
        kept.share = Some(1.0);
        assert!(Comparison::resume(Policy::default(), kept).is_none());
    }
}
