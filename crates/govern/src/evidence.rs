//! What was measured of a change, as the governor hears it and as it is kept.

use belay_judge::{Cost, Decision, Event, Finding, Verdict};
use serde::{Deserialize, Serialize};

/// All that is known of a change at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Of the life that it is about.
    pub generation: u64,
    /// Requests that ran all of the change against those that ran nothing of it.
    pub whole: Verdict,
    /// Requests that tossed coins against those that ran nothing of it.
    pub mixed: Verdict,
    /// One for each group of the life: of the requests that tossed coins, those with it against those without.
    pub groups: Vec<Verdict>,
    /// A rise of failures that is worth looking for is excluded for the change as a whole.
    pub harmless: bool,
    /// It is, for as many requests as run it now: for the change as a whole, or where all of those toss coins, for what they run.
    pub harmless_now: bool,
    /// Requests with the change, all of it or some, that failed in this round.
    pub failed: u64,
    /// While something happens more often also to those who run nothing of the change: whether it has become rare again.
    pub subsided: Option<bool>,
    /// No other app's change is being taken away to see whether that helps.
    pub its_turn: bool,
}

impl Evidence {
    /// The parts of a group are taken for guilty. Of one group alone, what is held against the whole is held against it.
    pub(crate) fn guilty(&self, group: usize) -> Option<&Verdict> {
        let alone = (self.groups.len() == 1).then_some(&self.whole);
        let own = self.groups.get(group);
        own.into_iter().chain(alone).find(|verdict| verdict.decision == Decision::TakeBack)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Verdict> {
        [&self.whole, &self.mixed].into_iter().chain(&self.groups)
    }
}

/// One kind of event in both arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Measured {
    /// Such as `exception`, `latency > p99`, or `deadline`.
    pub what: String,
    /// The functions of the app whose requests these are, where those of functions with other thresholds are compared apart
    /// from them; absent if it is about all, or all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// How often in either arm.
    pub before: u64,
    pub after: u64,
    /// Of so many requests, or keys that had one.
    pub of_before: u64,
    pub of_after: u64,
    /// How many times as often it comes from *after*, at least and at most; no bound where that is not known.
    pub times_min: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_max: Option<f64>,
    /// Of a cost: what so many requests cost at most, of *before* and of *after*, at least and at most; milliseconds, or kilobytes of
    /// memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<[Between; 2]>,
    /// The evidence, as the decimal logarithm of its e-value, and how much is enough.
    pub log10_e: f64,
    pub log10_needed: f64,
    /// So many more requests, of both arms, and it is enough, if it goes on like this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
}

impl Measured {
    /// What weighs most, at most so many; of what says nothing against the change, no more than one.
    pub fn heaviest(verdict: &Verdict, at_most: usize) -> Vec<Self> {
        let findings = verdict.findings.iter().take(at_most).enumerate();
        let findings = findings
            .filter(|(at, finding)| *at == 0 || finding.evidence > belay_judge::Evidence::NONE);
        findings.map(|(_, finding)| finding).map(|finding| Self::of(verdict, finding)).collect()
    }

    fn of(verdict: &Verdict, finding: &Finding) -> Self {
        let [before, after] = finding.counts;
        let [of_before, of_after] = finding.units;
        Self {
            what: name(finding.event),
            functions: finding.whose.to_vec(),
            before,
            after,
            of_before,
            of_after,
            times_min: rounded(finding.times.low),
            times_max: finding.times.high.is_finite().then(|| rounded(finding.times.high)),
            quantile: finding
                .quantile
                .map(|arms| arms.map(|ends| Between::of(finding.event, ends))),
            log10_e: rounded(finding.evidence.log() / std::f64::consts::LN_10),
            log10_needed: rounded(verdict.needed.log() / std::f64::consts::LN_10),
            expected: finding.expected,
        }
    }
}

/// An interval; an end that is not known is missing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Between {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<f64>,
}

impl Between {
    fn of(event: Event, (least, most): (Option<u64>, Option<u64>)) -> Self {
        let unit = if matches!(event, Event::Beyond(Cost::Memory, _)) { 1_024.0 } else { 1e3 };
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let shown = |value: Option<u64>| value.map(|value| rounded(value as f64 / unit));
        Self { least: shown(least), most: shown(most) }
    }
}

fn name(event: Event) -> String {
    match event {
        Event::Failure(category) => category.as_str().to_owned(),
        Event::Beyond(cost, quantile) => {
            let cost = match cost {
                Cost::Latency => "latency",
                Cost::Cpu => "cpu",
                Cost::Memory => "memory",
            };
            format!("{cost} > p{:.0}", quantile.get() * 100.0)
        }
        Event::Deadline => "deadline".to_owned(),
    }
}

/// For people; two equal ones stay equal when they are written and read.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
