//! Every transition, and what leads to none.

use belay_govern::{Among, Command, Event, Life, Phase};
use belay_model::{Arm, CanaryPolicy, Decimal, PartId};

use crate::support::{MAX, MIN, Script, Seen, evidence, holding, policy};

fn seen(whole: &'static str, mixed: &'static str, groups: &'static str) -> Seen<'static> {
    Seen { whole, mixed, groups, ..Seen::default() }
}

fn harmless() -> Seen<'static> {
    Seen { harmless: true, ..Seen::default() }
}

macro_rules! check {
    ($script:expr) => {{
        let script = $script;
        insta::assert_snapshot!(script.text());
    }};
}

#[test]
fn without_traffic_time_takes_it_to_its_end() {
    let script = Script::new(&["f", "g"], policy());
    check!(script.waits(MIN).waits(MAX - MIN).waits(MAX).waits(MAX).waits(MAX).waits(3 * MAX));
}

#[test]
fn what_is_harmless_goes_on_early_but_not_at_once() {
    let script = Script::new(&["f"], policy());
    check!(
        script
            .sees(&harmless())
            .after(MIN)
            .sees(&harmless())
            .after(MIN)
            .sees(&harmless())
            .after(MIN)
            .sees(&harmless())
    );
}

#[test]
fn a_policy_may_want_to_be_sure() {
    let script = Script::new(&["f"], holding());
    check!(script.waits(100 * MAX).sees(&harmless()));
}

#[test]
fn a_part_that_is_named_is_taken_back_and_the_rest_goes_on() {
    let script = Script::new(&["f", "g", "h"], policy());
    check!(
        script
            .after(MIN - 1)
            .sees(&seen("", "", "UTU"))
            .after(1)
            .sees(&harmless())
            .after(MIN)
            .sees(&harmless())
    );
}

#[test]
fn harm_of_the_whole_is_looked_for_in_its_parts() {
    let script = Script::new(&["f", "g"], policy());
    check!(
        script
            .after(1_000)
            .sees(&seen("T", "", ""))
            .after(1_000)
            .sees(&seen("T", "T", "TU"))
            .after(MIN)
            .sees(&harmless())
    );
}

#[test]
fn the_only_part_is_the_whole() {
    check!(Script::new(&["f"], policy()).sees(&seen("T", "", "")).waits(MAX));
}

#[test]
fn who_is_not_named_in_time_makes_its_function_go() {
    let script = Script::new(&["f", "f", "g", "g"], policy()).sees(&seen("T", "", ""));
    check!(
        script
            .after(4 * MAX - 1)
            .sees(&seen("T", "", ""))
            .after(1)
            .sees(&seen("T", "", ""))
            .after(1_000)
            .sees(&seen("T", "", "UT"))
    );
}

#[test]
fn nobody_named_at_all_makes_all_go() {
    let script = Script::new(&["f", "f", "g"], policy()).sees(&seen("T", "", ""));
    let failed = |failed| Seen { failed, ..seen("T", "", "") };
    check!(
        script
            .after(1_000)
            .sees(&failed(99))
            .sees(&failed(100))
            .sees(&failed(199))
            .sees(&failed(200))
    );
}

#[test]
fn parts_that_need_each_other_are_merged() {
    let script = Script::new(&["f", "g"], policy());
    let mixed = |failed| Seen { harmless: true, failed, ..seen("", "T", "") };
    check!(script.sees(&mixed(8)).sees(&mixed(108)).after(MIN).sees(&harmless()));
}

#[test]
fn what_looks_like_harm_slows_the_ramp_and_is_told_once() {
    let script = Script::new(&["f", "g"], policy());
    check!(
        script
            .waits(MIN)
            .sees(&seen("S", "", ""))
            .after(MAX)
            .sees(&seen("S", "", ""))
            .sees(&seen("", "", ""))
    );
}

#[test]
fn a_live_change_is_opened_again_until_the_part_is_named() {
    let script = Script::new(&["f", "g"], CanaryPolicy { ramp: Vec::new(), ..policy() });
    check!(
        script
            .after(MAX)
            .sees(&seen("T", "", ""))
            .after(1_000)
            .sees(&seen("T", "", "UT"))
            .after(3 * MAX)
            .sees(&harmless())
    );
}

#[test]
fn people_decide_before_the_judge_does() {
    let script = Script::new(&["f", "g"], policy());
    let script = script.asks(&[1], Arm::Before).asks(&[0], Arm::Before).asks(&[1], Arm::After);
    check!(script.hears(Event::Asked(Command::Promote)));
}

#[test]
fn promoted_and_at_once_differ_in_who_there_is_to_compare_with() {
    check!(Script::new(&["f"], policy()).hears(Event::Asked(Command::Promote)));
    check!(Script::at_once(&["f"]).hears(Event::Asked(Command::Promote)));
}

#[test]
fn an_alarm_has_half_of_the_requests_go_back_until_it_is_known() {
    let alarm =
        || Event::Alarm { what: "exception of f".to_owned(), among: Among::Change, failed: 0 };
    let script = Script::at_once(&["f", "g"]).after(MIN).hears(alarm()).hears(alarm());
    let script = script.waits(1_000).after(1_000).sees(&seen("T", "T", "TU")).after(MIN);
    check!(script.hears(alarm()).waits(MAX - 1).waits(1));
    let script = Script::at_once(&["f"]).hears(alarm()).sees(&harmless()).after(MIN);
    check!(script.sees(&harmless()));
}

#[test]
fn a_dry_run_reports_once_and_does_nothing() {
    let script = Script::new(&["f", "g"], CanaryPolicy { dry_run: true, ..policy() });
    check!(
        script
            .sees(&seen("T", "", "UT"))
            .sees(&seen("T", "", "UT"))
            .sees(&seen("T", "", ""))
            .sees(&seen("T", "", ""))
    );
}

#[test]
fn what_is_said_of_an_earlier_life_is_not_heard() {
    let mut script = Script::new(&["f", "g"], policy());
    let late = evidence(&script.life, &seen("T", "T", "TT"));
    script = script.asks(&[0], Arm::Before);
    let known = script.life.clone();
    script = script.hears(Event::Judged(late));
    assert_eq!(script.life, known);
    let mut other = evidence(&script.life, &seen("T", "", ""));
    other.groups.clear();
    script = script.hears(Event::Judged(other));
    assert_eq!(script.life, known, "it is about other groups");
}

#[test]
fn a_ramp_that_got_shorter_ends() {
    let script = Script::new(&["f"], policy()).after(MIN).sees(&harmless());
    let script = script.sets(|policy| policy.ramp.truncate(1));
    assert_eq!(script.life.percent(&script.policy), 1.0, "as much as its end says, not all");
    check!(script.after(MIN).sees(&harmless()));
}

#[test]
fn without_a_ramp_it_is_live_with_a_hold_out() {
    let script = Script::new(&["f"], policy()).after(MIN).sees(&harmless());
    check!(script.sets(|policy| policy.ramp.clear()));
}

#[test]
fn windows_and_hold_outs_are_as_the_policy_has_them_now() {
    let live = CanaryPolicy { ramp: Vec::new(), ..policy() };
    let script = Script::new(&["f"], live).after(MIN);
    let none = script.sets(|policy| policy.hold_out = Decimal::default());
    assert_eq!(none.life.exposure(&none.policy), belay_govern::Exposure::ALL);
    let alarmed = none.hears(Event::Alarm {
        what: "failures of f".to_owned(),
        among: Among::Change,
        failed: 0,
    });
    assert!(alarmed.life.is_suspected(), "who is held against itself is still watched");
    let script = Script::new(&["f"], policy()).after(MIN).hears(Event::Asked(Command::Promote));
    check!(script.sets(|policy| policy.window_ms = 2 * MIN).waits(2 * MIN - 1).waits(1));
}

#[test]
fn what_nobody_has_run_yet_is_let_in_step_by_step() {
    let mut script = Script::new(&["f", "g"], policy());
    script.life = Life::taken_back();
    check!(script.asks(&[1], Arm::After).asks(&[1], Arm::Before).asks(&[1], Arm::After));
}

#[test]
fn a_live_change_is_watched_beside_its_hold_out() {
    let live = CanaryPolicy { ramp: Vec::new(), ..policy() };
    let alarm =
        || Event::Alarm { what: "failures of f".to_owned(), among: Among::Change, failed: 0 };
    let script = Script::new(&["f", "g"], live).after(10 * MIN).hears(alarm()).hears(alarm());
    check!(script.after(MIN).sees(&seen("T", "T", "TU")).after(MIN).hears(alarm()).waits(MAX));
}

#[test]
fn nothing_on_trial_is_live() {
    let life = Life::new(Vec::new(), &policy(), 7);
    assert!(matches!(life.phase, Phase::Live { hold_out: false, .. }));
    assert_eq!(life.exposure(&policy()), belay_govern::Exposure::ALL);
    let none = CanaryPolicy { hold_out: Decimal::default(), ramp: Vec::new(), ..policy() };
    let life = Life::new(vec![vec![PartId(0)]], &none, 7);
    assert_eq!(life.exposure(&none), belay_govern::Exposure::ALL);
    assert!(matches!(life.phase, Phase::Live { until_ms, .. } if until_ms == 7 + none.window_ms));
}

#[test]
fn a_life_is_read_as_it_was_written() {
    let script = Script::new(&["f", "g"], policy()).sees(&seen("T", "", ""));
    let text = serde_json::to_string(&script.life).unwrap();
    insta::assert_snapshot!(text);
    assert_eq!(serde_json::from_str::<Life>(&text).unwrap(), script.life);
}

#[test]
fn what_was_known_of_another_share_clears_nothing() {
    let past = || Seen { past: true, ..harmless() };
    let waits = Script::new(&["f"], policy()).after(MIN).sees(&past());
    assert_eq!(waits.life.percent(&waits.policy), 1.0, "nobody has run it at this step yet");
    let live = CanaryPolicy { ramp: Vec::new(), ..policy() };
    let alarm = Event::Alarm { what: "failures of f".to_owned(), among: Among::Change, failed: 70 };
    let script = Script::new(&["f", "g"], live).after(MIN).hears(alarm).sees(&past());
    assert!(script.life.is_suspected());
    // Those that had failed before do not count for how many may.
    let many = Seen { mixed: "T", failed: 100, ..Seen::default() };
    let script = script.after(1_000).sees(&many);
    assert_eq!(script.life.groups.len(), 2, "30 failed since then");
    assert!(script.life.is_suspected());
}
