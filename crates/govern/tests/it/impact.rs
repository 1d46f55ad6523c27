//! What depends on what does harm: taken back with it, disabled for a time, or left to people.

use belay_govern::{Effect, Event, Life, Phase};
use belay_model::{Arm, CanaryPolicy, Dependents, Granularity, PartId};

use crate::support::{MAX, MIN, Script, Seen, evidence, policy};

fn guilty(groups: &'static str) -> Seen<'static> {
    Seen { groups, ..Seen::default() }
}

/// Four functions; `d` depends on `b` and `c`, and these on `a`.
fn diamond(dependents: Dependents) -> Script {
    let script = Script::new(&["f", "g", "h", "i", "j"], policy());
    script.depending(&["b a", "c a", "d b", "d c"], dependents)
}

fn flips(life: &mut Life, script: &Script, seen: &Seen<'_>) -> Vec<Vec<PartId>> {
    let event = Event::Judged(evidence(life, seen));
    let effects = life.apply(event, script.around());
    let flips = effects.into_iter().filter_map(|effect| match effect {
        Effect::Flip { parts, .. } => Some(parts),
        Effect::Disable { .. } | Effect::Settle | Effect::Tell(_) => None,
    });
    flips.collect()
}

#[test]
fn dependents_go_first_and_at_once() {
    let script = diamond(Dependents::Cascade).after(MIN).sees(&guilty("TUUUU"));
    insta::assert_snapshot!(script.after(MIN).sees(&guilty("")).text());
}

#[test]
fn who_is_in_the_middle_takes_only_those_above_along() {
    insta::assert_snapshot!(diamond(Dependents::Cascade).sees(&guilty("UTUUU")).text());
}

#[test]
fn a_circle_goes_together() {
    let script = Script::new(&["f", "g", "h"], policy());
    let script = script.depending(&["b a", "a b"], Dependents::Cascade);
    insta::assert_snapshot!(script.sees(&guilty("UTU")).text());
}

#[test]
fn with_too_many_dependents_people_are_asked_once_and_the_ramp_waits() {
    let mut script = diamond(Dependents::Cascade);
    script.impact.cascade_max = 2;
    let harmless = Seen { harmless: true, ..guilty("TUUUU") };
    let script = script.sees(&guilty("TUUUU")).after(2 * MAX).sees(&harmless).after(4 * MAX);
    let script = script.sees(&Seen { whole: "T", ..guilty("TUUUU") });
    let parts: Vec<u8> = (0..4).collect();
    insta::assert_snapshot!(script.asks(&parts, Arm::Before).text());
}

#[test]
fn who_must_not_be_taken_back_unasked_is_not() {
    let mut script = Script::new(&["f", "g"], policy());
    script.code.dependents.insert(0, Dependents::Refuse);
    let script = script.sees(&guilty("TU")).after(MAX).sees(&guilty("TU")).sees(&guilty("TT"));
    insta::assert_snapshot!(script.after(20 * MAX).sees(&guilty("T")).text());
}

#[test]
fn what_is_left_after_people_decided_is_another_change() {
    let mut script = Script::new(&["f", "g", "h"], policy());
    script.code.dependents.insert(0, Dependents::Refuse);
    let whole = || Seen { whole: "T", ..Seen::default() };
    let script = script.sees(&whole()).after(5 * MAX).sees(&whole()).after(5 * MAX).sees(&whole());
    assert!(script.life.waits_for_people());
    let harmless = Seen { harmless: true, ..Seen::default() };
    let known = script.life.phase;
    let script = script.after(MAX).sees(&harmless);
    assert_eq!(script.life.phase, known, "it does not go on");
    let script = script.asks(&[1], Arm::Before);
    assert!(!script.life.waits_for_people());
    insta::assert_snapshot!(script.after(MIN).sees(&harmless).text());
}

#[test]
fn another_policy_decides_anew() {
    let mut script = Script::new(&["f", "g"], policy());
    script.code.dependents.insert(0, Dependents::Refuse);
    let mut script = script.sees(&guilty("TU"));
    script.code.dependents.clear();
    let script = script.sets(|_| ()).sees(&guilty("TU"));
    assert_eq!(script.life.groups, [[PartId(1)]]);
    let mut dry = Script::new(&["f"], CanaryPolicy { dry_run: true, ..policy() });
    dry = dry.sees(&Seen { whole: "T", ..Seen::default() });
    let dry =
        dry.sets(|policy| policy.dry_run = false).sees(&Seen { whole: "T", ..Seen::default() });
    assert_eq!(dry.life.phase, Phase::TakenBack);
}

#[test]
fn two_that_are_guilty_go_for_what_they_do() {
    let script = Script::new(&["f", "g", "h"], policy());
    let script = script.depending(&["b a", "c a"], Dependents::Disable);
    insta::assert_snapshot!(script.sees(&guilty("TTU")).text());
}

#[test]
fn what_is_restored_is_tied_as_the_policy_says() {
    let mut script = Script::new(&["f", "g"], policy());
    script.code.granularity.insert(1, Granularity::Coarse);
    let script = script.asks(&[0, 1], Arm::Before).asks(&[0, 1], Arm::After);
    assert_eq!(script.life.groups, [[PartId(0), PartId(1)]]);
}

#[test]
fn neither_is_the_whole_with_such_a_part() {
    let mut script = Script::new(&["f", "g"], policy());
    script.code.dependents.insert(1, Dependents::Refuse);
    let whole = Seen { whole: "T", ..Seen::default() };
    let script = script.sees(&whole).after(5 * MAX).sees(&whole).after(5 * MAX).sees(&whole);
    insta::assert_snapshot!(script.after(5 * MAX).sees(&whole).text());
}

#[test]
fn dependents_may_be_disabled_for_a_time_instead() {
    insta::assert_snapshot!(diamond(Dependents::Disable).sees(&guilty("UTUUU")).text());
}

#[test]
fn or_go_on() {
    insta::assert_snapshot!(diamond(Dependents::Keep).sees(&guilty("TUUUU")).text());
}

#[test]
fn people_take_back_what_they_name_and_nothing_else() {
    insta::assert_snapshot!(diamond(Dependents::Refuse).asks(&[0], Arm::Before).text());
}

#[test]
fn parts_that_move_together_depend_together() {
    let mut script = diamond(Dependents::Cascade);
    script.life.groups = [&[0][..], &[1, 4], &[2], &[3]]
        .map(|group| group.iter().copied().map(PartId).collect())
        .into();
    script.impact.cascade_max = 4;
    let all = flips(&mut script.life.clone(), &script, &guilty("TUUU"));
    assert_eq!(all, [[3, 1, 4, 2, 0].map(PartId)]);
}

#[test]
fn the_policy_says_how_much_is_tested_at_once() {
    let mut script = Script::new(&["f", "f g", "g", "h"], policy());
    script.code.granularity.insert(0, Granularity::Medium);
    let medium = script.sets(|_| ());
    insta::assert_snapshot!("medium", medium.text());
    let mut script = Script::new(&["f", "g"], policy());
    script.code.granularity.insert(1, Granularity::Coarse);
    let coarse = script.sets(|_| ()).sees(&guilty("T"));
    insta::assert_snapshot!("coarse", coarse.text());
}
