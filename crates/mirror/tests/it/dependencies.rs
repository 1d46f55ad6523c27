//! What is known of services that transactions call.

use belay_mirror::{Breaker, BreakerState, Dependency, Heard};

#[test]
fn a_service_that_turns_slow_is_known_as_slow_soon_and_as_fast_again() {
    let mut payments = Dependency::default();
    assert!(payments.is_late(0.0) == 0.0 && payments.usual_ms().is_none(), "nothing was seen");
    (0..200).for_each(|_| payments.note(20.0, Heard::Answered));
    assert!(payments.is_late(250.0) < 0.01);
    let usual = payments.usual_ms().unwrap();
    assert!((20.0..24.1).contains(&usual), "{usual}");
    let calls = (1..100).find(|_| {
        payments.note(800.0, Heard::Failed);
        payments.is_late(250.0) > 0.5
    });
    assert!(calls.unwrap() <= 21, "{calls:?}");
    assert!(payments.failing() > 0.4);
    (0..60).for_each(|_| payments.note(20.0, Heard::Answered));
    assert!(payments.is_late(250.0) < 0.15 && payments.failing() < 0.15);
}

/// What was cut off after 40 ms may have taken an hour.
#[test]
fn what_was_cut_off_is_late_whatever_is_allowed() {
    let mut payments = Dependency::default();
    (0..10).for_each(|_| payments.note(40.0, Heard::Nothing));
    assert!(payments.is_late(10_000.0) > 0.8);
    assert!(payments.is_late_at_last(80.0) < 0.5 && payments.is_late_at_last(40.0) > 0.8);
    assert_eq!(payments.usual_ms(), Some(40.0));
    assert!(payments.failing() == 0.0);
}

#[test]
fn any_time_has_its_bin() {
    let mut any = Dependency::default();
    [0.0, -1.0, 1e-9, 1e9, f64::INFINITY, f64::NAN]
        .into_iter()
        .for_each(|ms| any.note(ms, Heard::Answered));
    assert!(any.is_late(1e12) == 0.0 && any.is_late(10.0) > 0.0);
}

fn opened(breaker: &mut Breaker, now_ms: u64) -> u32 {
    let calls = (1..100).find(|_| {
        breaker.note(true, now_ms, now_ms);
        breaker.state() == BreakerState::Open
    });
    calls.unwrap()
}

#[test]
fn a_breaker_opens_tries_and_closes() {
    let mut breaker = Breaker::default();
    (0..100).for_each(|at| breaker.note(at % 4 == 0, 0, 0));
    assert_eq!(breaker.state(), BreakerState::Closed, "a quarter fails");
    assert!(opened(&mut breaker, 1_000) <= 15);
    assert!(!breaker.admit(1_249));
    assert!(breaker.admit(1_250), "one is let through");
    assert!(!breaker.admit(1_250), "and no other before it is back");
    breaker.note(false, 1_260, 1_260);
    for _ in 0..2 {
        assert!(breaker.admit(1_260));
        breaker.note(false, 1_260, 1_260);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn it_stays_open_longer_each_time_that_nothing_got_better() {
    let mut breaker = Breaker::default();
    assert_eq!(opened(&mut breaker, 0), 10, "fewer calls say nothing");
    let mut now_ms = 0;
    let mut waits = Vec::new();
    for _ in 0..8 {
        // Few ask.
        let wait = (0..100_000).step_by(250).find(|ms| breaker.admit(now_ms + ms)).unwrap();
        waits.push(wait);
        now_ms += wait;
        breaker.note(true, now_ms, now_ms);
    }
    assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
}

#[test]
fn one_of_which_nothing_is_heard_is_not_waited_for() {
    let mut breaker = Breaker::default();
    opened(&mut breaker, 0);
    assert!(breaker.admit(250));
    assert!(!breaker.admit(499));
    assert!(breaker.admit(500));
}

#[test]
fn where_many_are_turned_away_one_in_fifty_is_let_through() {
    let mut breaker = Breaker::default();
    opened(&mut breaker, 0);
    // Long since open: 10 s at a time.
    for now_ms in (0..60_000).step_by(10_000) {
        assert!(breaker.admit(now_ms + 10_000));
        breaker.note(true, now_ms + 10_000, now_ms + 10_000);
    }
    let asked: Vec<bool> = (0..200).map(|at| breaker.admit(60_000 + 5 * at)).collect();
    let admitted: Vec<usize> = (0..200).filter(|at| asked[*at]).collect();
    assert_eq!(admitted, [50, 101, 152], "whatever comes of those before");
    let mut breaker = Breaker::default();
    opened(&mut breaker, 0);
    let soonest = (0..1_000).map(|at| at / 10).find(|ms| breaker.admit(*ms));
    assert_eq!(soonest, None, "a service has some time to get better");
    assert!(breaker.admit(100));
}

/// A service that is well again is not waited for until one that it keeps waiting is late.
#[test]
fn of_two_that_try_the_later_one_counts() {
    let mut breaker = Breaker::default();
    opened(&mut breaker, 0);
    assert!(breaker.admit(10_000));
    let turned = (0..100).filter(|at| breaker.admit(10_000 + at)).count();
    assert_eq!(turned, 0);
    assert!(breaker.admit(10_100), "{breaker:?}");
    breaker.note(false, 10_100, 10_105);
    breaker.note(true, 10_000, 10_150);
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "that was before");
    // One went well, so that two may try at once.
    assert_eq!([0; 3].map(|_| breaker.admit(10_160)), [true, true, false]);
    breaker.note(false, 10_160, 10_165);
    breaker.note(false, 10_160, 10_166);
    assert_eq!(breaker.state(), BreakerState::Closed);
}
