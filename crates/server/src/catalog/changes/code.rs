//! What the governor has to know of the code of a change: from its parts, and from what the policy says of places.

use std::collections::BTreeSet;

use belay_govern::Code;
use belay_model::{
    CanaryPolicy, Dependents, FunctionName, Granularity, PartId, PlacePolicy, Policy,
};

use super::hear::places_of;
use crate::catalog::{ChangeRecord, PartRecord};

/// The code of a change under a policy.
pub struct ChangeCode<'a> {
    pub parts: &'a [PartRecord],
    pub policy: &'a Policy,
}

impl ChangeRecord {
    /// How it is let in.
    pub fn canary(&self, policy: &Policy) -> CanaryPolicy {
        let canary = canary(&self.parts, policy);
        CanaryPolicy { dry_run: canary.dry_run || self.dry_run, ..canary }
    }
}

/// How a change with these parts is let in.
pub(super) fn canary(parts: &[PartRecord], policy: &Policy) -> CanaryPolicy {
    if policy.places.is_empty() {
        return policy.canary.clone();
    }
    let places: Vec<Vec<String>> = parts.iter().flat_map(PartRecord::called).collect();
    policy.canary_of(&places)
}

impl PartRecord {
    /// The code of a part as a policy may call it, the narrowest name first; once for each function that runs it.
    fn called(&self) -> Vec<Vec<String>> {
        let code = &self.places;
        let with = |function: &FunctionName| [&code[..], &[function.to_string()]].concat();
        if self.functions.is_empty() {
            vec![code.clone()]
        } else {
            self.functions.iter().map(with).collect()
        }
    }
}

impl ChangeCode<'_> {
    fn part(&self, part: PartId) -> Option<&PartRecord> {
        self.parts.get(usize::from(part.0))
    }

    /// What is said of a part, by the narrowest name that says it, for each function that runs the part.
    fn said<T>(
        &self,
        part: PartId,
        of: impl Fn(&PlacePolicy) -> Option<T>,
    ) -> impl Iterator<Item = T> {
        let places = self.part(part).filter(|_| !self.policy.places.is_empty());
        let places = places.map(PartRecord::called).unwrap_or_default().into_iter();
        places.filter_map(move |names| {
            names.iter().filter_map(|name| self.policy.place(name)).find_map(&of)
        })
    }
}

impl Code for ChangeCode<'_> {
    fn places(&self, part: PartId) -> BTreeSet<String> {
        self.part(part).map(places_of).unwrap_or_default()
    }

    fn functions(&self, part: PartId) -> BTreeSet<FunctionName> {
        self.part(part).map(|part| part.functions.clone()).unwrap_or_default()
    }

    fn users(&self, part: PartId) -> BTreeSet<PartId> {
        self.part(part).map(|part| part.users.clone()).unwrap_or_default()
    }

    fn dependents(&self, part: PartId) -> Dependents {
        let said = self.said(part, |place| place.dependents).max();
        said.unwrap_or(self.policy.impact.dependents)
    }

    fn granularity(&self, part: PartId) -> Option<Granularity> {
        let coarseness = |it: &Granularity| Granularity::ALL.iter().position(|known| known == it);
        self.said(part, |place| place.rollback).max_by_key(coarseness)
    }
}
