//! Which thresholds hold for a request: those of the app, of its function, or of code that it came by.
//!
//! Requests with other thresholds are compared apart from each other: what is tolerated of one function must not hide what another one
//! does. What is said of the narrowest code holds; of several blocks that a request came by, what tolerates the most.

use std::collections::BTreeMap;

use belay_model::{FunctionName, JudgePolicy, PartId, PlacePolicy, Policy};

use super::observe::Parts;
use crate::catalog::{ChangeRecord, PartRecord};

/// Of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    /// First those of the app.
    all: Vec<JudgePolicy>,
    by_function: BTreeMap<FunctionName, usize>,
    by_part: Vec<(PartId, usize)>,
}

impl Thresholds {
    pub fn new(change: &ChangeRecord, policy: &Policy) -> Self {
        Self::of_parts(&change.parts, policy)
    }

    fn of_parts(parts: &[PartRecord], policy: &Policy) -> Self {
        let own = |place: &PlacePolicy| policy.judge.with(&[place]);
        let mut new = Self {
            all: vec![policy.judge.clone()],
            by_function: BTreeMap::new(),
            by_part: Vec::new(),
        };
        // Most names say nothing of thresholds.
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, place) in &policy.places {
            let judge = own(place);
            if judge == policy.judge {
                continue;
            }
            known.insert(name, new.all.len());
            new.all.push(judge);
            if let Ok(function) = name.parse() {
                new.by_function.insert(function, new.all.len() - 1);
            }
        }
        for (part, record) in (0..).map(PartId).zip(parts) {
            let found = record.code_names().find_map(|name| known.get(name.as_str()).copied());
            new.by_part.extend(found.map(|class| (part, class)));
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
    pub fn class(&self, function: &FunctionName, reached: &Parts) -> usize {
        let narrow = self.by_part.iter().filter(|(part, _)| reached.has(*part));
        let tolerant = narrow.map(|(_, class)| *class).max_by_key(|class| {
            self.of(*class).map(|judge| (judge.failures_tolerated, judge.costs_tolerated))
        });
        tolerant.or_else(|| self.by_function.get(function).copied()).unwrap_or(0)
    }

    pub fn of(&self, class: usize) -> Option<&JudgePolicy> {
        self.all.get(class)
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
                "a.js#f/1":{"failures_tolerated":3},"b.js#g":{"failures_tolerated":4}}}"#,
        )
        .unwrap();
        let part = |edit: &str, blocks: &[&str]| PartRecord {
            edits: vec![
                serde_json::from_value(serde_json::json!({
                    "module": edit, "function": "g.inner", "before": null, "after": null,
                }))
                .unwrap(),
            ],
            blocks: blocks.iter().map(|block| (*block).to_owned()).collect(),
            ..PartRecord::default()
        };
        let parts = [part("a.js", &["a.js#f/1"]), part("b.js", &[]), part("c.js", &[])];
        let thresholds = Thresholds::of_parts(&parts, &policy);
        assert_eq!(thresholds.len(), 4, "what says nothing of thresholds is none of its own");
        let tolerated = |function: &str, reached: &[u8]| {
            let mut parts = Parts::default();
            reached.iter().for_each(|part| parts.set(PartId(*part)));
            let class = thresholds.class(&function.parse().unwrap(), &parts);
            thresholds.of(class).unwrap().failures_tolerated
        };
        assert_eq!(tolerated("log", &[2]), Decimal::whole(1));
        assert_eq!(tolerated("pay", &[2]), Decimal::whole(2));
        assert_eq!(tolerated("pay", &[0]), Decimal::whole(3));
        assert_eq!(tolerated("log", &[0, 1, 2]), Decimal::whole(4));
        assert_eq!(
            thresholds.of(1).unwrap().deadline_ms,
            Some(9),
            "what is not said is as for the app"
        );
    }
}
