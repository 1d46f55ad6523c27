//! A policy: how changes of an app are let in, what counts as harm, and how sure one has to be.
//!
//! It stands in `belay.toml`, and may be set on a server without a deploy. Every value has a default.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Decimal, FunctionName, Granularity, NameError};

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    pub canary: CanaryPolicy,
    pub judge: JudgePolicy,
    pub tapes: TapePolicy,
    pub alerts: AlertPolicy,
    pub impact: ImpactPolicy,
    /// What differs for some code, by what `belay graph` calls it: `pay`, a function of the app; `src/pay.ts#total`, one in its code;
    /// `src/pay.ts#total/2`, a block of that.
    #[serde(rename = "for", skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, PlacePolicy>,
}

/// How a change is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CanaryPolicy {
    /// Percent of the requests that are admitted, step by step; after the last step all are.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<f64>))]
    pub ramp: Vec<Decimal>,
    /// A step lasts at least so long. Milliseconds.
    pub step_min_ms: u64,
    /// After so long a step has seen too little to tell. Milliseconds.
    pub step_max_ms: u64,
    /// What happens then.
    pub inconclusive: Inconclusive,
    /// The rollback window: so long from 100 % on the old arms are kept. Milliseconds.
    pub window_ms: u64,
    /// Percent of the requests that stay as before within the window, to compare with.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub hold_out: Decimal,
    /// What keeps a client at one arm; without it each request is drawn by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub key: Option<KeySource>,
    /// So many requests may fail while it is being found out which part is bad; then more is taken back at once.
    pub harm_max: u32,
    /// Decisions are reported and nothing is taken back.
    pub dry_run: bool,
}

/// What happens to a step that saw too little to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Inconclusive {
    /// The ramp goes on.
    #[default]
    Advance,
    /// It waits until enough was seen.
    Hold,
}

/// What is harm, and how sure one has to be of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct JudgePolicy {
    /// The probability of ever taking something of a change back without reason.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub take_back: Decimal,
    /// The probability of ever slowing its ramp without reason.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub slow: Decimal,
    /// So many times as often as before may requests fail without harm.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub failures_tolerated: Decimal,
    /// So many times as often as before may they cost more than usual without harm.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub costs_tolerated: Decimal,
    /// By so many percent of the requests must failures rise, at least, for something to be taken back; 0: any rise.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub increase_min: Decimal,
    /// A step is passed early once a rise of failures by so many percent of the requests is excluded.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub harmless_below: Decimal,
    /// Slower than this no request may be. Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// What is recorded of requests, and what a deploy is tried on before it gets any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TapePolicy {
    /// Percent of the requests that are recorded, once a function has enough tapes; 0: none at all.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub rate: Decimal,
    /// Of the tapes of one function.
    pub bytes_max: u64,
    /// Fields that are not recorded, besides those that are never: names, at any depth.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<String>,
    /// How long a deploy may take to try them. Milliseconds; 0: it does not.
    pub budget_ms: u64,
    /// What becomes of a deploy that answers or writes something else.
    pub outputs: Outputs,
    /// So many times as much CPU time, and memory, as recorded may it take without harm. A little more is never harm.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub cpu_tolerated: Decimal,
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub memory_tolerated: Decimal,
}

/// What is thought of answers and writes that are not those that were recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outputs {
    /// They are what deploys are for: they are told, by field.
    #[default]
    Report,
    /// They count against it, where the recorded request succeeded.
    Judge,
}

/// Who is told of decisions and alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AlertPolicy {
    /// Where they are posted. The egress policy of the app has to allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Name of the app's secret that signs them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// What happens to what depends on something that is taken back, as its authors said by `@depends`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ImpactPolicy {
    pub dependents: Dependents,
    /// So many parts that depend on it are taken back unasked; with more of them nothing is, and people are asked.
    pub cascade_max: u32,
    /// How long functions are disabled. Milliseconds.
    pub disable_ms: u64,
}

/// What becomes of the parts of a change that depend on one that does harm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Dependents {
    /// They go on without it.
    Keep,
    /// They are taken back, too, those that nothing depends on first.
    #[default]
    Cascade,
    /// Their functions are disabled for a time: callers get their fallback, or are told to come again.
    Disable,
    /// Nothing is taken back, whether or not anything depends on it: people are asked.
    Refuse,
}

/// What differs for some code. A change that touches several places is let in as the most careful of them wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PlacePolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<f64>>))]
    pub ramp: Option<Vec<Decimal>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_min_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_max_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inconclusive: Option<Inconclusive>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub hold_out: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harm_max: Option<u32>,
    /// How much of it is tested, and taken back, at once; `never` is for tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Granularity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub failures_tolerated: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub costs_tolerated: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub increase_min: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub harmless_below: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Of what depends on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependents: Option<Dependents>,
    /// What runs instead of a function of the app while that is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FunctionName>,
}

/// Where the key of a request is found: `header:x-user`, `cookie:session`, or `event:user.id`, a path in the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In lower case.
    Header(String),
    Cookie(String),
    Event(String),
}

const STEPS_MAX: usize = 32;
const PLACES_MAX: usize = 200;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

impl Default for CanaryPolicy {
    fn default() -> Self {
        Self {
            ramp: [1, 5, 25, 50].map(Decimal::whole).into(),
            step_min_ms: 30_000,
            step_max_ms: 5 * 60_000,
            inconclusive: Inconclusive::default(),
            window_ms: 15 * 60_000,
            hold_out: Decimal::whole(2),
            key: None,
            harm_max: 100,
            dry_run: false,
        }
    }
}

impl Default for JudgePolicy {
    fn default() -> Self {
        Self {
            take_back: Decimal::thousandths(1),
            slow: Decimal::thousandths(50),
            failures_tolerated: Decimal::whole(1),
            costs_tolerated: Decimal::whole(1),
            increase_min: Decimal::default(),
            harmless_below: Decimal::whole(1),
            deadline_ms: None,
        }
    }
}

impl Default for TapePolicy {
    fn default() -> Self {
        Self {
            rate: Decimal::whole(5),
            bytes_max: 1 << 20,
            redact: Vec::new(),
            budget_ms: 2_000,
            outputs: Outputs::default(),
            cpu_tolerated: Decimal::whole(3),
            memory_tolerated: Decimal::thousandths(1_500),
        }
    }
}

impl Default for ImpactPolicy {
    fn default() -> Self {
        Self { dependents: Dependents::default(), cascade_max: 3, disable_ms: 5 * 60_000 }
    }
}

impl Policy {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Says what is out of the range that Belay supports, if anything.
    pub fn problem(&self) -> Option<String> {
        self.canary
            .problem()
            .or_else(|| self.judge.problem())
            .or_else(|| self.tapes.problem())
            .or_else(|| self.alerts.problem())
            .or_else(|| self.impact.problem())
            .or_else(|| self.places_problem())
    }

    /// What is said of code by a name, if anything.
    pub fn place(&self, name: &str) -> Option<&PlacePolicy> {
        self.places.get(name)
    }

    /// How a change is let in that touches `places`, each with its names, the narrowest first.
    pub fn canary_of<'a, Names: AsRef<[String]> + 'a>(
        &self,
        places: impl IntoIterator<Item = &'a Names>,
    ) -> CanaryPolicy {
        if self.places.is_empty() {
            return self.canary.clone();
        }
        let own = |names: &'a Names| {
            let said: Vec<_> = names.as_ref().iter().filter_map(|name| self.place(name)).collect();
            self.canary.with(&said)
        };
        let all = places.into_iter().map(own);
        let found = all.reduce(CanaryPolicy::careful).unwrap_or_else(|| self.canary.clone());
        // Each place is fine by itself.
        let step_max_ms = found.step_max_ms.max(found.step_min_ms);
        CanaryPolicy { step_max_ms, ..found }
    }

    fn places_problem(&self) -> Option<String> {
        if self.places.len() > PLACES_MAX {
            return Some(format!("there are more than {PLACES_MAX} [for.…] tables"));
        }
        let mut problems = self.places.iter().filter_map(|(name, place)| {
            let canary = self.canary.with(&[place]).problem();
            let judge = || self.judge.with(&[place]).problem();
            let never = place.rollback == Some(Granularity::Never);
            let never = never.then(|| {
                "rollback = \"never\" is for tags: it is decided when code is woven".to_owned()
            });
            let nameless = name.is_empty() || name.contains(char::is_whitespace);
            let nameless = nameless.then(|| "that is no name of code".to_owned());
            let own = place.fallback.as_ref().is_some_and(|to| to.as_str() == name);
            let own = own.then(|| "fallback: a function cannot stand in for itself".to_owned());
            let problem = nameless.or(never).or(own).or(canary).or_else(judge)?;
            Some(format!("for.{name}: {problem}"))
        });
        problems.next()
    }
}

/// The first of `places`, the narrowest one first, that says something.
fn said<'a, T: 'a>(
    places: &'a [&'a PlacePolicy],
    of: impl Fn(&'a PlacePolicy) -> Option<&'a T>,
) -> Option<&'a T> {
    places.iter().find_map(|place| of(place))
}

impl CanaryPolicy {
    /// With what is said of a place, by its names from the narrowest on.
    #[must_use]
    fn with(&self, places: &[&PlacePolicy]) -> Self {
        let own = self.clone();
        let number = |of: fn(&PlacePolicy) -> Option<&u64>, usual| {
            said(places, of).copied().unwrap_or(usual)
        };
        Self {
            ramp: said(places, |it| it.ramp.as_ref()).cloned().unwrap_or(own.ramp),
            step_min_ms: number(|it| it.step_min_ms.as_ref(), own.step_min_ms),
            step_max_ms: number(|it| it.step_max_ms.as_ref(), own.step_max_ms),
            inconclusive: said(places, |it| it.inconclusive.as_ref())
                .copied()
                .unwrap_or(own.inconclusive),
            window_ms: number(|it| it.window_ms.as_ref(), own.window_ms),
            hold_out: said(places, |it| it.hold_out.as_ref()).copied().unwrap_or(own.hold_out),
            harm_max: said(places, |it| it.harm_max.as_ref()).copied().unwrap_or(own.harm_max),
            ..own
        }
    }

    /// The more careful of both, in each respect.
    #[must_use]
    fn careful(self, other: Self) -> Self {
        let first = |ramp: &[Decimal]| ramp.first().copied().unwrap_or(Decimal::whole(100));
        let slower = first(&other.ramp) < first(&self.ramp)
            || first(&other.ramp) == first(&self.ramp) && other.ramp.len() > self.ramp.len();
        let holds = [self.inconclusive, other.inconclusive].contains(&Inconclusive::Hold);
        Self {
            ramp: if slower { other.ramp } else { self.ramp },
            step_min_ms: self.step_min_ms.max(other.step_min_ms),
            step_max_ms: self.step_max_ms.max(other.step_max_ms),
            inconclusive: if holds { Inconclusive::Hold } else { Inconclusive::Advance },
            window_ms: self.window_ms.max(other.window_ms),
            hold_out: self.hold_out.max(other.hold_out),
            harm_max: self.harm_max.min(other.harm_max),
            key: self.key,
            dry_run: self.dry_run,
        }
    }

    fn problem(&self) -> Option<String> {
        let percent = |share: &&Decimal| !(0.0..100.0).contains(&share.get()) || share.get() == 0.0;
        if let Some(share) = self.ramp.iter().find(percent) {
            return Some(format!(
                "canary.ramp has {share}: a step is above 0 and below 100 percent"
            ));
        }
        if !self.ramp.is_sorted_by(|one, next| one < next) {
            return Some("canary.ramp has to rise from step to step".to_owned());
        }
        if self.ramp.len() > STEPS_MAX {
            return Some(format!("canary.ramp has more than {STEPS_MAX} steps"));
        }
        if self.hold_out.get() > 50.0 {
            return Some(format!("canary.hold_out = {} is out of range: 0 to 50", self.hold_out));
        }
        if self.step_max_ms < self.step_min_ms {
            return Some("canary.step_max is shorter than canary.step_min".to_owned());
        }
        let times = [("step_max", self.step_max_ms), ("window", self.window_ms)];
        let (name, _) = times.into_iter().find(|(_, ms)| *ms > 30 * DAY_MS)?;
        Some(format!("canary.{name} is longer than 30 days"))
    }
}

impl JudgePolicy {
    /// With what is said of a place, by its names from the narrowest on.
    #[must_use]
    pub fn with(&self, places: &[&PlacePolicy]) -> Self {
        let own = self.clone();
        let number = |of: fn(&PlacePolicy) -> Option<&Decimal>, usual| {
            said(places, of).copied().unwrap_or(usual)
        };
        Self {
            failures_tolerated: number(|it| it.failures_tolerated.as_ref(), own.failures_tolerated),
            costs_tolerated: number(|it| it.costs_tolerated.as_ref(), own.costs_tolerated),
            increase_min: number(|it| it.increase_min.as_ref(), own.increase_min),
            harmless_below: number(|it| it.harmless_below.as_ref(), own.harmless_below),
            deadline_ms: said(places, |it| it.deadline_ms.as_ref()).copied().or(own.deadline_ms),
            ..own
        }
    }

    fn problem(&self) -> Option<String> {
        let level = |name, level: Decimal| {
            let fine = level.get() > 0.0 && level.get() < 1.0;
            (!fine).then(|| format!("judge.{name} = {level} is no probability between 0 and 1"))
        };
        let factor = |name, factor: Decimal| {
            let fine = (1.0..=100.0).contains(&factor.get());
            (!fine).then(|| format!("judge.{name} = {factor} is out of range: 1 to 100 times"))
        };
        let percent = |name, share: Decimal, least: Decimal| {
            let fine = share >= least && share.get() < 100.0;
            (!fine).then(|| format!("judge.{name} = {share} is out of range: below 100 percent"))
        };
        level("take_back", self.take_back)
            .or_else(|| level("slow", self.slow))
            .or_else(|| factor("failures_tolerated", self.failures_tolerated))
            .or_else(|| factor("costs_tolerated", self.costs_tolerated))
            .or_else(|| percent("increase_min", self.increase_min, Decimal::default()))
            .or_else(|| percent("harmless_below", self.harmless_below, Decimal::thousandths(1)))
            .or_else(|| {
                let none = self.deadline_ms == Some(0);
                none.then(|| "judge.deadline is nothing: no request would be in time".to_owned())
            })
    }
}

impl TapePolicy {
    fn problem(&self) -> Option<String> {
        if self.rate.get() > 100.0 {
            return Some(format!("tapes.rate = {} is out of range: 0 to 100 percent", self.rate));
        }
        if self.bytes_max > 1 << 30 {
            return Some("tapes.bytes is more than 1GB".to_owned());
        }
        if self.budget_ms > 10 * 60_000 {
            return Some("tapes.budget is longer than 10 minutes".to_owned());
        }
        let factors =
            [("cpu_tolerated", self.cpu_tolerated), ("memory_tolerated", self.memory_tolerated)];
        let odd = |(_, factor): &(&str, Decimal)| !(1.0..=100.0).contains(&factor.get());
        let (name, factor) = factors.into_iter().find(odd)?;
        Some(format!("tapes.{name} = {factor} is out of range: 1 to 100 times"))
    }
}

impl ImpactPolicy {
    fn problem(&self) -> Option<String> {
        (self.disable_ms > DAY_MS).then(|| "impact.disable_for is longer than a day".to_owned())
    }
}

impl AlertPolicy {
    fn problem(&self) -> Option<String> {
        let url = self.webhook.as_ref()?;
        let web = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        (!web || url.len() > 2_048).then(|| "alerts.webhook is no URL of http or https".to_owned())
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Event(path) => write!(f, "event:{path}"),
        }
    }
}

impl FromStr for KeySource {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Form {
            what: "where a key is found: header:x-user, cookie:session, or event:user.id",
            text: text.to_owned(),
        };
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let is_token = !name.is_empty() && name.len() <= 128 && name.chars().all(token);
        match kind {
            "header" if is_token => Ok(Self::Header(name.to_ascii_lowercase())),
            "cookie" if is_token => Ok(Self::Cookie(name.to_owned())),
            "event" if name.len() <= 512 && name.split('.').all(|step| !step.is_empty()) => {
                Ok(Self::Event(name.to_owned()))
            }
            _ => Err(wrong()),
        }
    }
}

impl Serialize for KeySource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Policy {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let policy = of(r#"{"canary":{"ramp":[0.5,10]}}"#);
        assert_eq!(policy.canary.hold_out, Decimal::whole(2));
        assert_eq!(of("{}"), Policy::default());
        assert!(policy.problem().is_none() && Policy::default().problem().is_none());
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let problems = [
            r#"{"canary":{"ramp":[0]}}"#,
            r#"{"canary":{"ramp":[100]}}"#,
            r#"{"canary":{"ramp":[5,1]}}"#,
            r#"{"canary":{"ramp":[5,5]}}"#,
            r#"{"canary":{"hold_out":51}}"#,
            r#"{"canary":{"step_min_ms":10,"step_max_ms":9}}"#,
            r#"{"canary":{"window_ms":9999999999}}"#,
            r#"{"judge":{"take_back":0}}"#,
            r#"{"judge":{"slow":1}}"#,
            r#"{"judge":{"failures_tolerated":0.5}}"#,
            r#"{"judge":{"increase_min":100}}"#,
            r#"{"judge":{"harmless_below":0}}"#,
            r#"{"judge":{"deadline_ms":0}}"#,
            r#"{"for":{"pay":{"deadline_ms":0}}}"#,
            r#"{"alerts":{"webhook":"mailto:me"}}"#,
            r#"{"tapes":{"rate":101}}"#,
            r#"{"tapes":{"bytes_max":9999999999}}"#,
            r#"{"tapes":{"budget_ms":600001}}"#,
            r#"{"tapes":{"cpu_tolerated":0.9}}"#,
            r#"{"tapes":{"memory_tolerated":101}}"#,
            r#"{"impact":{"disable_ms":86400001}}"#,
            r#"{"for":{"pay":{"ramp":[5,1]}}}"#,
            r#"{"for":{"pay":{"costs_tolerated":0.1}}}"#,
            r#"{"for":{"pay":{"rollback":"never"}}}"#,
            r#"{"for":{"pay":{"fallback":"pay"}}}"#,
            r#"{"for":{"p a y":{}}}"#,
        ]
        .map(|json| of(json).problem().unwrap_or_else(|| panic!("{json}")));
        insta::assert_snapshot!(problems.join("\n"));
    }

    #[test]
    fn what_is_said_of_a_place_holds_for_what_touches_it() {
        let policy = of(r#"{"canary":{"ramp":[10],"window_ms":1000},"for":{
                "pay":{"ramp":[1,10],"harm_max":5,"deadline_ms":70},
                "pay.js#total":{"window_ms":500,"failures_tolerated":2},
                "log":{"ramp":[],"step_min_ms":1}}}"#);
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let canary = |places: &[Vec<String>]| policy.canary_of(places);
        let (pay, log) = (names(&["pay.js#total", "pay"]), names(&["log.js#log", "log"]));
        let other = names(&["x.js#x", "x"]);
        assert_eq!(canary(&[]), policy.canary);
        assert_eq!(canary(std::slice::from_ref(&other)), policy.canary);
        let of_pay = canary(std::slice::from_ref(&pay));
        assert_eq!((of_pay.ramp.len(), of_pay.harm_max, of_pay.window_ms), (2, 5, 500));
        let of_log = canary(std::slice::from_ref(&log));
        assert_eq!((of_log.ramp.len(), of_log.step_min_ms), (0, 1));
        let of_all = canary(&[log, pay, other]);
        assert_eq!((of_all.ramp.len(), of_all.harm_max, of_all.window_ms), (2, 5, 1_000));
        assert_eq!(of_all.step_min_ms, 30_000);
        let places: Vec<_> =
            ["pay.js#total", "pay"].iter().filter_map(|name| policy.place(name)).collect();
        let judge = policy.judge.with(&places);
        assert_eq!((judge.failures_tolerated, judge.deadline_ms), (Decimal::whole(2), Some(70)));
        assert_eq!(judge.costs_tolerated, policy.judge.costs_tolerated);
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in ["header:x-user", "cookie:Session", "event:user.id", "event:0.key"] {
            assert_eq!(text.parse::<KeySource>().unwrap().to_string(), text);
        }
        assert_eq!("header:X-User".parse::<KeySource>().unwrap().to_string(), "header:x-user");
        for wrong in
            ["", "x-user", "header:", "header:a b", "cookie:;", "event:", "event:a..b", "ip:x"]
        {
            assert!(wrong.parse::<KeySource>().is_err(), "{wrong:?}");
        }
    }
}
