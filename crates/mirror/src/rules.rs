//! Rules of the app's own, from its belay.toml: more of something than it says speaks for a failure.

use belay_model::{Measure, RuleClass, RuleSpec};

use crate::{Class, Rule, Sign};

/// What a mirror has done so far, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) reads: u32,
    pub(crate) writes: u32,
    pub(crate) calls: u32,
    /// Rows of databases, and entries of the kv.
    pub(crate) rows: u32,
}

/// The signs of those rules that hold. `known` has what the other rules say.
pub(crate) fn signs(rules: &[RuleSpec], done: Done, load: f64, known: &[Sign]) -> Vec<Sign> {
    let measured = |measure| match measure {
        Measure::Effects => f64::from(done.reads + done.writes + done.calls),
        Measure::Reads => f64::from(done.reads),
        Measure::Writes => f64::from(done.writes),
        Measure::Calls => f64::from(done.calls),
        Measure::Rows => f64::from(done.rows),
        Measure::Load => load,
        Measure::Conflicts => {
            let rates = known.iter().filter(|sign| sign.rule == Rule::Conflicts);
            rates.map(|sign| sign.strength).fold(0.0, f64::max)
        }
    };
    let holding = rules.iter().filter_map(|rule| {
        let (value, above) = (measured(rule.measure), rule.above.get());
        let text = || format!("{}: {value} is above {above}", rule.name);
        (value > above).then(|| Sign::own(class(rule.class), 1.0, text()))
    });
    holding.collect()
}

fn class(class: RuleClass) -> Class {
    match class {
        RuleClass::Contention => Class::Contention,
        RuleClass::Validation => Class::Validation,
        RuleClass::External => Class::External,
        RuleClass::Deviation => Class::Deviation,
    }
}
