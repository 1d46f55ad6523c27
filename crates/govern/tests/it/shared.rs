//! Harm that comes to everybody after a step of the ramp.

use belay_govern::{Among, Event};
use belay_model::{CanaryPolicy, Decimal, Dependents};

use crate::support::{MAX, MIN, Script, Seen, policy};

fn alarm() -> Event {
    Event::Alarm { what: "failures of f".to_owned(), among: Among::Others, failed: 0 }
}

fn seen(subsided: Option<bool>) -> Seen<'static> {
    Seen { subsided, ..Seen::default() }
}

fn turn(subsided: Option<bool>) -> Seen<'static> {
    Seen { its_turn: true, ..seen(subsided) }
}

/// In the second step.
fn ramping() -> Script {
    let harmless = Seen { harmless: true, ..Seen::default() };
    Script::new(&["f", "g"], policy()).after(MIN).sees(&harmless).after(1_000)
}

#[test]
fn what_gets_better_without_the_change_was_the_change() {
    let script = ramping().hears(alarm()).sees(&turn(Some(false))).after(2_000).sees(&turn(None));
    insta::assert_snapshot!(script.sees(&turn(Some(true))).text());
}

#[test]
fn what_does_not_was_not_and_the_ramp_goes_on() {
    let script =
        ramping().hears(alarm()).sees(&turn(Some(false))).after(2_000).sees(&turn(Some(false)));
    // It is tried once in a step, and again in the next.
    let script = script.hears(alarm()).waits(MAX).hears(alarm());
    insta::assert_snapshot!(script.text());
}

#[test]
fn who_waits_for_its_turn_may_see_it_pass() {
    let script = ramping().hears(alarm()).sees(&seen(None)).after(MIN).sees(&seen(Some(true)));
    insta::assert_snapshot!(script.text());
}

#[test]
fn what_may_pass_by_itself_is_waited_for() {
    let script = ramping().hears(alarm()).sees(&turn(None)).after(MIN).sees(&turn(None));
    insta::assert_snapshot!(script.after(MAX).sees(&turn(None)).text());
}

#[test]
fn without_requests_nothing_is_learned() {
    let script = ramping().hears(alarm()).sees(&turn(Some(false))).after(MAX).sees(&turn(None));
    insta::assert_snapshot!(script.text());
}

#[test]
fn what_began_long_after_the_step_did_not_follow_it() {
    let holding = CanaryPolicy { inconclusive: belay_model::Inconclusive::Hold, ..policy() };
    let script = Script::new(&["f"], holding).after(MAX + 1);
    let known = script.life.clone();
    assert_eq!(script.hears(alarm()).life, known);
}

#[test]
fn going_live_is_a_step_too() {
    let live = CanaryPolicy { ramp: Vec::new(), ..policy() };
    let script = Script::new(&["f", "g"], live.clone()).after(MIN).hears(alarm());
    let script = script.sees(&turn(Some(false))).after(20 * MAX).sees(&turn(Some(true)));
    insta::assert_snapshot!(script.text());
    let script = Script::new(&["f"], live).after(2 * MAX);
    let known = script.life.clone();
    assert_eq!(script.hears(alarm()).life, known, "it has been live for long");
}

#[test]
fn harm_to_those_who_run_it_goes_before() {
    let script = ramping().hears(alarm()).sees(&Seen { whole: "T", ..turn(None) });
    insta::assert_snapshot!(script.text());
}

#[test]
fn nothing_is_tried_where_decisions_are_only_reported() {
    let dry = CanaryPolicy { dry_run: true, ..policy() };
    let script = Script::new(&["f"], dry);
    let known = script.life.clone();
    assert_eq!(script.hears(alarm()).life, known);
}

#[test]
fn people_are_asked_where_the_policy_says_so() {
    let mut script = ramping();
    script.code.dependents.insert(0, Dependents::Refuse);
    let script = script.hears(alarm()).sees(&turn(Some(false))).sees(&turn(Some(true)));
    // It is not tried again, and does not go on.
    let script = script.hears(alarm()).sees(&turn(Some(false))).waits(3 * MAX);
    insta::assert_snapshot!(script.text());
}

#[test]
fn without_a_hold_out_half_of_the_requests_go_back_instead() {
    let none = CanaryPolicy { ramp: Vec::new(), hold_out: Decimal::default(), ..policy() };
    let alarm = Event::Alarm { what: "failures of f".to_owned(), among: Among::Change, failed: 0 };
    let script = Script::new(&["f"], none).after(MIN).hears(alarm);
    assert!(script.life.is_suspected() && !script.life.is_withdrawn());
}

#[test]
fn those_who_run_it_may_be_the_first_to_notice() {
    let live = CanaryPolicy { ramp: Vec::new(), ..policy() };
    let first = Event::Alarm { what: "failures of f".to_owned(), among: Among::Change, failed: 0 };
    let script = Script::new(&["f", "g"], live).after(MIN).hears(first).hears(alarm());
    assert!(script.life.is_withdrawn() && !script.life.is_suspected());
    let script = script.sees(&turn(Some(false))).sees(&turn(Some(true)));
    assert_eq!(script.life.groups, Vec::<Vec<belay_model::PartId>>::new());
}
