//! What costs least.

use belay_mirror::{Action, Adjust, Forecast, Options, Sign};

fn forecast(probability: f64, signs: &[Sign]) -> Forecast {
    let share = 1.0 / signs.len().max(1) as f64;
    let reasons = signs.iter().map(|sign| (sign.clone(), share)).collect();
    Forecast { probability, reasons, trusted: true }
}

fn cheapest(options: &Options, forecast: &Forecast) -> Action {
    options.weighed(forecast)[0].action
}

fn slow() -> Forecast {
    forecast(0.9, &[Sign::late("payments", 0.9, 800.0, 250.0)])
}

fn locked() -> Forecast {
    forecast(0.6, &[Sign::blocked("accounts", 1, 20.0, 5.0)])
}

const PAYMENT: Options = Options {
    wasted_ms: 250.0,
    failure_ms: 1_000.0,
    retries: 3,
    wait_ms: None,
    adjust: None,
    allocate_ms: None,
    divert: Some((100.0, 0.01)),
};

#[test]
fn what_will_likely_fail_again_and_again_is_diverted() {
    assert_eq!(cheapest(&PAYMENT, &slow()), Action::Divert);
    assert_eq!(cheapest(&PAYMENT, &forecast(0.01, &[])), Action::GoOn);
}

#[test]
fn what_a_retry_cures_is_retried() {
    // Three retries of a conflict at 60 % fail in 13 %, each of which costs little.
    let cheap = Options { wasted_ms: 2.0, divert: Some((400.0, 0.01)), ..PAYMENT };
    assert_eq!(cheapest(&cheap, &locked()), Action::GoOn);
    let never = Options { retries: 0, ..cheap };
    assert_eq!(cheapest(&never, &locked()), Action::GoOn, "another way would meet the same lock");
}

#[test]
fn contention_that_clears_is_waited_for() {
    let clears = Options { wait_ms: Some(5.0), ..PAYMENT };
    assert_eq!(cheapest(&clears, &locked()), Action::Wait);
    assert_ne!(cheapest(&clears, &slow()), Action::Wait, "a slow service does not clear");
}

fn time(takes_ms: f64, still: f64) -> Option<Adjust> {
    Some(Adjust { time: Some((takes_ms, still)), retries: PAYMENT.retries })
}

#[test]
fn more_attempts_are_made_of_what_may_pass() {
    let persistent = Options { adjust: Some(Adjust { time: None, retries: 10 }), ..PAYMENT };
    assert_eq!(cheapest(&Options { wasted_ms: 5.0, ..persistent }, &locked()), Action::Adjust);
    let sure = forecast(0.99, &[Sign::conflicts("accounts", 0.99)]);
    assert_eq!(cheapest(&persistent, &sure), Action::GoOn, "what hardly passes is not worth it");
    assert_eq!(cheapest(&persistent, &slow()), Action::Divert, "a slow service does not pass");
}

#[test]
fn more_time_may_be_enough() {
    let patient = Options { adjust: time(60.0, 0.02), divert: Some((500.0, 0.01)), ..PAYMENT };
    assert_eq!(cheapest(&patient, &slow()), Action::Adjust);
}

/// A service that answers with errors does so in any time.
#[test]
fn more_time_does_not_cure_what_fails() {
    let patient = Options { adjust: time(3.0, 0.0), ..PAYMENT };
    let failing = forecast(0.6, &[Sign::failing("payments", 0.6)]);
    assert_eq!(cheapest(&patient, &failing), Action::Divert);
}

#[test]
fn who_is_not_trusted_is_not_heard() {
    let all = Options { wait_ms: Some(0.0), allocate_ms: Some(0.0), ..PAYMENT };
    let distrusted = Forecast { trusted: false, ..slow() };
    let weighed = all.weighed(&distrusted);
    assert_eq!((weighed.len(), weighed[0].action), (1, Action::GoOn));
}

#[test]
fn of_equal_ones_the_one_that_changes_least() {
    let free = Options { divert: Some((0.0, 0.0)), ..Options::default() };
    assert_eq!(cheapest(&free, &forecast(0.5, &[])), Action::GoOn);
}
