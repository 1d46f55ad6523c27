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

#[cfg(test)]
mod tests {
    use belay_model::Decimal;

    use super::*;

    /// What is seen of a transaction: what its mirror has done, the load, and the share of conflicts.
    type Seen = (Done, f64, f64);

    const MEASURES: [Measure; 7] = [
        Measure::Effects,
        Measure::Reads,
        Measure::Writes,
        Measure::Calls,
        Measure::Rows,
        Measure::Load,
        Measure::Conflicts,
    ];
    /// Beyond all limits, so that a rule which looks at something else is found.
    const MANY: Done = Done { reads: 100, writes: 100, calls: 100, rows: 100 };
    const ALL: f64 = 1.0;

    /// A limit, and what is seen below it, at it and above it; of all else there is more.
    fn around(measure: Measure) -> (Decimal, [Seen; 3]) {
        let counts = |done: fn(u32) -> Done| {
            (Decimal::whole(3), [2, 3, 4].map(|count| (done(count), ALL, ALL)))
        };
        let shares =
            |seen: fn(f64) -> Seen| (Decimal::thousandths(500), [0.499, 0.5, 0.501].map(seen));
        match measure {
            Measure::Effects => counts(|all| Done { reads: 1, writes: 1, calls: all - 2, ..MANY }),
            Measure::Reads => counts(|reads| Done { reads, ..MANY }),
            Measure::Writes => counts(|writes| Done { writes, ..MANY }),
            Measure::Calls => counts(|calls| Done { calls, ..MANY }),
            Measure::Rows => counts(|rows| Done { rows, ..MANY }),
            Measure::Load => shares(|load| (MANY, load, ALL)),
            Measure::Conflicts => shares(|conflicts| (MANY, ALL, conflicts)),
        }
    }

    fn rule(class: RuleClass, measure: Measure, above: Decimal) -> [RuleSpec; 1] {
        [RuleSpec { name: "much".parse().unwrap(), class, measure, above }]
    }

    #[test]
    fn a_rule_holds_above_its_limit_and_not_at_it() {
        for measure in MEASURES {
            let (above, seen) = around(measure);
            let rule = rule(RuleClass::Deviation, measure, above);
            let holds = seen.map(|(done, load, conflicts)| {
                // Of keys the one counts that is fought over most; what is no key does not count.
                let known = [
                    Sign::conflicts("some", 0.1),
                    Sign::conflicts("most", conflicts),
                    Sign::failing("payments", ALL),
                ];
                signs(&rule, done, load, &known).len()
            });
            assert_eq!(holds, [0, 0, 1], "{measure:?}");
        }
    }

    #[test]
    fn without_known_conflicts_none_are_above_a_limit() {
        let rule = rule(RuleClass::Contention, Measure::Conflicts, Decimal::whole(0));
        assert!(signs(&rule, MANY, ALL, &[]).is_empty());
    }

    #[test]
    fn a_sign_is_of_the_class_of_its_rule_and_tells_what_was_seen() {
        for (named, class) in [
            (RuleClass::Contention, Class::Contention),
            (RuleClass::Validation, Class::Validation),
            (RuleClass::External, Class::External),
            (RuleClass::Deviation, Class::Deviation),
        ] {
            let rule = rule(named, Measure::Writes, Decimal::whole(3));
            let expected = Sign::own(class, 1.0, "much: 100 is above 3".to_owned());
            assert_eq!(signs(&rule, MANY, ALL, &[]), [expected]);
        }
    }
}
