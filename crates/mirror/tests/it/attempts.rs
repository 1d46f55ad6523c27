//! What becomes of a transaction when an attempt ends.

use belay_mirror::{Attempts, Ended, External, GaveUp, Next, RetryBudget, Terms, Verdict};
use belay_model::{Call, CallId, Category, Failure, Outcome};
use proptest::prelude::*;

fn conflict() -> Ended {
    Ended::Conflict { what: "kv stock/1".to_owned() }
}

fn failed(category: Category, error_type: &str) -> Ended {
    Ended::Failed(Failure::new(category, error_type, "no"))
}

fn diverted() -> Ended {
    Ended::Diverted { reasons: vec!["payments is slow".to_owned()] }
}

const NOTHING_DONE: (bool, u64) = (false, 10_000);

fn ends(attempts: &mut Attempts, ended: Ended) -> Next {
    attempts.ended(ended, 5, NOTHING_DONE, 0.5, || true)
}

#[test]
fn conflicts_are_tried_again_with_longer_pauses() {
    let mut attempts = Attempts::new(Terms::default());
    let nexts: Vec<Next> = (0..4).map(|_| ends(&mut attempts, conflict())).collect();
    let again = |pause_ms| Next::Again { way: 0, pause_ms };
    assert_eq!(nexts, [again(5), again(10), again(20), Next::GiveUp(GaveUp::Attempts)]);
    let numbers: Vec<u32> = attempts.history().iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn whoever_is_given_more_attempts_waits_longer_in_between() {
    let mut attempts = Attempts::new(Terms::default());
    attempts.persist(5, 40);
    let nexts: Vec<Next> = (0..6).map(|_| ends(&mut attempts, conflict())).collect();
    let again = |pause_ms| Next::Again { way: 0, pause_ms };
    let pauses = [20, 40, 80, 160, 320].map(again);
    assert_eq!(nexts[..5], pauses);
    assert_eq!(nexts[5], Next::GiveUp(GaveUp::Attempts));
    attempts.persist(0, 0);
    assert_eq!(ends(&mut attempts, conflict()), Next::GiveUp(GaveUp::Attempts), "never fewer");
}

#[test]
fn a_service_that_is_down_is_not_asked_again_by_everybody() {
    let mut budget = RetryBudget::default();
    let mut again = |now_ms: u64, count: u32| {
        let drawn = (0..count).filter(|_| {
            budget.deposit();
            budget.draw(now_ms)
        });
        drawn.count()
    };
    // Of fifths that do not add up to whole ones.
    let saved = again(1_000_000, 1_000);
    assert!((297..=301).contains(&saved), "a hundred, and one in five: {saved}");
    let fifth = again(1_000_000, 1_000);
    assert!((199..=201).contains(&fifth), "{fifth}");
    assert_eq!(again(1_005_000, 50), 50, "ten a second");
    let most = again(9_000_000, 200);
    assert!((138..=141).contains(&most), "no more is saved than ten seconds' worth: {most}");
}

#[test]
fn without_a_budget_the_next_way_is_taken() {
    let late = || failed(Category::Timeout, "Belay.Timeout");
    let terms = Terms { alternatives: 1, ..Terms::default() };
    let mut attempts = Attempts::new(terms);
    let mut ends = |ended, budget| attempts.ended(ended, 5, NOTHING_DONE, 0.5, || budget);
    assert_eq!(ends(conflict(), false), Next::Again { way: 0, pause_ms: 5 }, "conflicts are free");
    assert_eq!(ends(late(), false), Next::Again { way: 1, pause_ms: 0 });
    assert_eq!(ends(late(), true), Next::Again { way: 1, pause_ms: 5 });
    assert_eq!(ends(late(), false), Next::GiveUp(GaveUp::Budget));
}

#[test]
fn what_no_attempt_can_cure_is_not_tried_again() {
    let terms = Terms { retry_on: vec!["PaymentError".to_owned()], ..Terms::default() };
    for (ended, cured) in [
        (failed(Category::Dependency, "BelayError"), true),
        (failed(Category::Timeout, "Belay.Timeout"), true),
        (failed(Category::Exception, "PaymentError"), true),
        (failed(Category::Exception, "TypeError"), false),
        (failed(Category::InvalidInput, "E"), false),
        (failed(Category::OutOfMemory, "E"), false),
        (failed(Category::Deadlock, "E"), false),
        (Ended::Unmet { criterion: "result.ok".to_owned() }, true),
    ] {
        let next = ends(&mut Attempts::new(terms.clone()), ended.clone());
        let again = matches!(next, Next::Again { .. });
        assert!(again == cured && (again || next == Next::GiveUp(GaveUp::Final)), "{ended:?}");
    }
}

#[test]
fn another_way_is_taken_at_once_as_long_as_nothing_was_done_outside() {
    let terms = Terms { alternatives: 2, ..Terms::default() };
    let mut attempts = Attempts::new(terms.clone());
    assert_eq!(ends(&mut attempts, diverted()), Next::Again { way: 1, pause_ms: 0 });
    assert_eq!(ends(&mut attempts, diverted()), Next::Again { way: 2, pause_ms: 0 });
    assert_eq!(ends(&mut attempts, diverted()), Next::GiveUp(GaveUp::Attempts));
    let mut done = Attempts::new(terms);
    let next = done.ended(diverted(), 5, (true, 10_000), 0.5, || true);
    assert_eq!(next, Next::GiveUp(GaveUp::Attempts), "there is no way back");
}

#[test]
fn after_its_last_retry_a_way_is_left_and_the_next_has_its_own() {
    let mut attempts = Attempts::new(Terms { retries: 1, alternatives: 1, ..Terms::default() });
    let ways: Vec<Option<usize>> = (0..4)
        .map(|_| match ends(&mut attempts, conflict()) {
            Next::Again { way, .. } => Some(way),
            Next::GiveUp(_) => None,
        })
        .collect();
    assert_eq!(ways, [Some(0), Some(1), Some(1), None]);
}

#[test]
fn without_time_there_is_no_other_attempt() {
    let mut attempts = Attempts::new(Terms::default());
    let next = attempts.ended(conflict(), 5, (false, 5), 0.5, || true);
    assert_eq!(next, Next::GiveUp(GaveUp::Time));
}

#[test]
fn the_story_is_told() {
    let mut attempts = Attempts::new(Terms::default());
    ends(&mut attempts, conflict());
    ends(&mut attempts, failed(Category::Timeout, "Belay.Timeout"));
    let story = serde_json::to_value(attempts.history()).unwrap();
    assert_eq!(story[0]["ended"], "conflict");
    assert_eq!(story[1]["category"], "timeout", "{story:#}");
}

fn call(op: &str, args: &str) -> Call {
    Call { id: CallId(1), op: op.to_owned(), args: args.to_owned(), body: None }
}

fn ok(value: &str) -> Outcome {
    Outcome::Ok { value: value.to_owned(), body: None }
}

#[test]
fn what_was_done_outside_is_done_once() {
    let mut external = External::new("r-1-1".to_owned());
    assert!(!external.is_performed());
    let (pay, mail) = (call("http.fetch", "pay"), call("http.fetch", "mail"));
    let perform = |ordinal: usize| Verdict::Perform { ordinal, key: format!("r-1-1-{ordinal}") };
    assert_eq!(external.ask(&pay), perform(0));
    external.note(0, &ok("paid"));
    assert!(external.is_performed());
    external.begin(0);
    assert_eq!(external.ask(&pay), Verdict::Known(ok("paid")));
    assert_eq!(external.ask(&mail), perform(1));
    external.note(1, &Outcome::error("HTTP_FAILED", "cut off"));
    external.begin(0);
    assert_eq!(external.ask(&pay), Verdict::Known(ok("paid")));
    let repeat = Verdict::Repeat { ordinal: 1, key: "r-1-1-1".to_owned() };
    assert_eq!(external.ask(&mail), repeat, "whether it was done is not known");
}

#[test]
fn who_asks_for_something_else_cannot_go_on() {
    let mut external = External::new("r".to_owned());
    external.ask(&call("http.fetch", "10 EUR"));
    external.begin(0);
    let diverged = external.ask(&call("http.fetch", "12 EUR"));
    let (was, now) = ("http.fetch 10 EUR".to_owned(), "http.fetch 12 EUR".to_owned());
    assert_eq!(diverged, Verdict::Diverged { was, now });
    let mut attempts = Attempts::new(Terms { alternatives: 3, ..Terms::default() });
    let Verdict::Diverged { was, now } = diverged else { panic!("it diverged") };
    let next = ends(&mut attempts, Ended::Diverged { was, now });
    assert_eq!(next, Next::GiveUp(GaveUp::DivergedAfterExternal));
}

proptest! {
    #[test]
    fn it_always_ends(
        retries in 0_u32..6,
        alternatives in 0_usize..4,
        kinds in proptest::collection::vec(0_u8..5, 40),
        performed in any::<bool>(),
    ) {
        let mut attempts = Attempts::new(Terms { retries, alternatives, ..Terms::default() });
        let most = (retries as usize + 1) * (alternatives + 1);
        let mut made = 0;
        for kind in kinds {
            made += 1;
            let ended = match kind {
                0 => conflict(),
                1 => failed(Category::Timeout, "Belay.Timeout"),
                2 => failed(Category::Dependency, "BelayError"),
                3 => Ended::Unmet { criterion: "x".to_owned() },
                _ => diverted(),
            };
            match attempts.ended(ended, 1, (performed, 1 << 40), 1.0, || true) {
                Next::Again { way, .. } => prop_assert!(way <= alternatives && way == attempts.way()),
                Next::GiveUp(_) => break,
            }
        }
        prop_assert!(made <= most);
        prop_assert_eq!(attempts.history().len(), made);
    }
}
