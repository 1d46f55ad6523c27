//! Which thresholds hold for a request: those of the app, or what is said of its function and of the code that this may run.
//!
//! Requests with other thresholds are compared apart from each other: what is tolerated of one function must not hide what another
//! one does. They are known before a request is drawn: what a request comes by depends on its arms, and thresholds that did,
//! too, would sort the requests of the arms into different comparisons.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_model::{FunctionName, JudgePolicy, Policy};

use crate::catalog::{ChangeRecord, PartRecord};

/// Of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    /// First those of the app. No two are the same.
    all: Vec<JudgePolicy>,
    by_function: BTreeMap<FunctionName, usize>,
}

impl Thresholds {
    pub fn new(change: &ChangeRecord, policy: &Policy) -> Self {
        Self::of_parts(&change.parts, policy)
    }

    fn of_parts(parts: &[PartRecord], policy: &Policy) -> Self {
        let mut new = Self { all: vec![policy.judge.clone()], by_function: BTreeMap::new() };
        if policy.places.is_empty() {
            return new;
        }
        let functions: BTreeSet<&FunctionName> =
            parts.iter().flat_map(|part| &part.functions).collect();
        for function in functions {
            let own = policy.place(function.as_str());
            let of_part = |part: &PartRecord| {
                let names = part.places.iter().filter_map(|name| policy.place(name));
                policy.judge.with(&names.chain(own).collect::<Vec<_>>())
            };
            let runs = parts.iter().filter(|part| part.functions.contains(function));
            let Some(judge) = runs.map(of_part).reduce(more_tolerant) else { continue };
            let known = new.all.iter().position(|other| *other == judge);
            let class = known.unwrap_or(new.all.len());
            if known.is_none() {
                new.all.push(judge);
            }
            new.by_function.insert(function.clone(), class);
        }
        new
    }

    pub fn all(&self) -> &[JudgePolicy] {
        &self.all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Those of a request, as their place in [`Self::of`].
    pub fn class(&self, function: &FunctionName) -> usize {
        self.by_function.get(function).copied().unwrap_or(0)
    }

    /// The functions that have them, of those that run code of the change; none where there are no others to tell them from.
    pub fn whose(&self, class: usize) -> Arc<[String]> {
        if self.len() == 1 {
            return Arc::default();
        }
        let own = self.by_function.iter().filter(|(_, other)| **other == class);
        own.map(|(function, _)| function.to_string()).collect()
    }

    pub fn of(&self, class: usize) -> Option<&JudgePolicy> {
        self.all.get(class)
    }
}

/// Of each threshold the one that tolerates more.
fn more_tolerant(one: JudgePolicy, other: JudgePolicy) -> JudgePolicy {
    JudgePolicy {
        failures_tolerated: one.failures_tolerated.max(other.failures_tolerated),
        costs_tolerated: one.costs_tolerated.max(other.costs_tolerated),
        increase_min: one.increase_min.max(other.increase_min),
        harmless_below: one.harmless_below.max(other.harmless_below),
        deadline_ms: one.deadline_ms.zip(other.deadline_ms).map(|(one, other)| one.max(other)),
        ..one
    }
}

#[cfg(test)]
mod tests {
    use belay_model::Decimal;

    use super::*;

    #[test]
    fn the_narrowest_holds_and_then_what_tolerates_the_most() {
        let policy: Policy = serde_json::from_str(
            r#"{"judge":{"deadline_ms":9},"for":{
                "pay":{"failures_tolerated":2},"log":{"ramp":[1]},
                "a.js#f/1":{"deadline_ms":5},"b.js#g":{"failures_tolerated":4},
                "c.js#h":{"failures_tolerated":1},"d.js#i":{"failures_tolerated":9}}}"#,
        )
        .unwrap();
        let part = |functions: &[&str], places: &[&str]| PartRecord {
            functions: functions.iter().map(|name| name.parse().unwrap()).collect(),
            places: places.iter().map(|place| (*place).to_owned()).collect(),
            ..PartRecord::default()
        };
        let found = |parts: &[PartRecord], function: &str| {
            let thresholds = Thresholds::of_parts(parts, &policy);
            let judge = thresholds.of(thresholds.class(&function.parse().unwrap())).unwrap();
            (judge.failures_tolerated, judge.deadline_ms)
        };
        let whole = Decimal::whole;
        let log = [part(&["log"], &["x.js#x"])];
        assert_eq!(found(&log, "log"), (whole(1), Some(9)));
        assert_eq!(Thresholds::of_parts(&log, &policy).len(), 1, "nothing is said of these");
        assert_eq!(found(&[part(&["pay"], &["x.js#x"])], "pay"), (whole(2), Some(9)));
        let block = [part(&["pay", "log"], &["a.js#f/1", "a.js#f"])];
        assert_eq!(found(&block, "pay"), (whole(2), Some(5)), "what is not said is as around it");
        assert_eq!(found(&block, "log"), (whole(1), Some(5)));
        assert_eq!(found(&[part(&["pay"], &["c.js#h"])], "pay"), (whole(1), Some(9)), "as usual");
        let two = [part(&["pay"], &["b.js#g.inner", "b.js#g"]), part(&["pay"], &["a.js#f/1"])];
        assert_eq!(found(&two, "pay"), (whole(4), Some(9)));
        assert_eq!(found(&two, "other"), (whole(1), Some(9)));
        let whose = |parts: &[PartRecord], function: &str| {
            let thresholds = Thresholds::of_parts(parts, &policy);
            thresholds.whose(thresholds.class(&function.parse().unwrap())).join(" ")
        };
        assert_eq!(whose(&block, "pay"), "pay");
        assert_eq!(whose(&block, "log"), "log");
        assert_eq!(whose(&two, "pay"), "pay");
        assert_eq!(whose(&two, "other"), "", "all that are not named");
        assert_eq!(whose(&log, "log"), "", "there are no others");
    }
}
