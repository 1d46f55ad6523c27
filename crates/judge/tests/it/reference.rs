//! Figures of other implementations, and what other judges get wrong.

use belay_judge::{Alpha, Band, Budget, Evidence, Rate, RatioTest, Share, difference};
use belay_model::Arm;

use crate::{
    published::Multinomial,
    support::{alpha, share},
};

/// The PyPI package `savvi` 0.3.1 (`savvi.multinomial.Multinomial`): see `vectors/README.md`.
#[test]
fn as_the_reference_of_the_multinomial_test() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../vectors/multinomial.json")).unwrap();
    for vector in vectors.as_array().unwrap() {
        let numbers = |key: &str| -> Vec<f64> {
            let all = vector[key].as_array().unwrap();
            all.iter().map(|it| it.as_f64().unwrap()).collect()
        };
        let k = vector["k"].as_f64().unwrap();
        let mut test = Multinomial::new(&numbers("shares"), k);
        for (step, odds) in vector["counts"].as_array().unwrap().iter().zip(numbers("odds")) {
            for (kind, count) in step.as_array().unwrap().iter().enumerate() {
                test.note(kind, count.as_u64().unwrap());
            }
            let ours = test.e_value();
            assert!((ours / odds - 1.0).abs() < 1e-8, "{ours} instead of {odds}: {vector}");
        }
    }
}

/// Kayenta passes it: errors per interval of the canary, against none at all with as much traffic.
#[test]
fn few_errors_against_none_count() {
    let mut test = RatioTest::new(1.0).unwrap();
    for _ in 0..4 {
        test.note(Arm::After, Share::HALF);
    }
    // 1/16 is what a fair coin gives: no test can have more evidence than that. It must have most of it, and no error more
    // of the same kind may be needed for certainty than a fair coin needs.
    assert!(test.evidence().e_value() > 8.0, "{:?}", test.evidence());
    for _ in 0..8 {
        test.note(Arm::After, Share::HALF);
    }
    assert!(test.evidence().is_enough(alpha(0.001)));
}

/// Kayenta passes it: 7 of 10 points of the canary are a hundred times the baseline, as counted exceedances.
#[test]
fn most_points_far_out_count() {
    let mut test = RatioTest::new(1.0).unwrap();
    for _ in 0..7 {
        test.note(Arm::After, Share::HALF);
    }
    assert!(test.evidence().is_enough(alpha(0.02)));
}

#[test]
fn what_no_test_can_be_made_with_is_refused() {
    for wrong in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(Alpha::new(wrong).is_err() && Share::new(wrong).is_err(), "{wrong}");
    }
    for wrong in [0.9, f64::INFINITY, f64::NAN] {
        assert!(RatioTest::new(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn nothing_seen_says_nothing() {
    let test = RatioTest::new(1.0).unwrap();
    assert!(test.evidence().log().abs() < 1e-9);
    let interval = test.interval(alpha(0.05));
    assert_eq!((interval.low, interval.high), (0.0, f64::INFINITY));
    assert!(Evidence::average(&[]) == Evidence::NONE);
    let none = Rate::default().interval(alpha(0.05));
    assert_eq!((none.low, none.high), (0.0, 1.0));
}

#[test]
fn intervals_close_in_on_what_is() {
    let mut test = RatioTest::new(1.0).unwrap();
    for at in 0..4_000 {
        let arm = if at % 4 == 0 { Arm::Before } else { Arm::After };
        test.note(arm, Share::HALF);
    }
    let ratio = test.interval(alpha(0.01));
    assert!(
        ratio.low > 2.2 && ratio.low < 3.0 && ratio.high > 3.0 && ratio.high < 4.0,
        "{ratio:?}"
    );
    let (before, after) = (Rate { events: 50, of: 10_000 }, Rate { events: 150, of: 10_000 });
    let rates = difference(before, after, alpha(0.01));
    assert!(
        rates.low > 0.0 && rates.low < 0.01 && rates.high > 0.01 && rates.high < 0.025,
        "{rates:?}"
    );
    let same = difference(before, before, alpha(0.01));
    assert!(same.low < 0.0 && same.high > 0.0);
}

#[test]
fn a_budget_is_shared() {
    let budget = Budget::new(alpha(0.01), 10);
    assert!((budget.each().get() - 0.001).abs() < 1e-12);
    let mut strong = RatioTest::new(1.0).unwrap();
    (0..20).for_each(|_| strong.note(Arm::After, share(0.1)));
    let all = [Evidence::NONE, strong.evidence(), Evidence::NONE];
    assert_eq!(budget.enough(&all).collect::<Vec<_>>(), [1]);
}

#[test]
fn as_the_reference_of_bands() {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../vectors/bands.json")).unwrap();
    assert_eq!(vectors.len(), 27);
    for vector in vectors {
        let number = |key: &str| vector[key].as_f64().unwrap();
        let from = vector["from"].as_u64().unwrap().try_into().unwrap();
        let width = Band::new(alpha(number("alpha")), from).half_width(number("samples"));
        assert!((width / number("half_width") - 1.0).abs() < 1e-6, "{width}: {vector}");
    }
    assert_eq!(Band::new(alpha(0.05), 10).half_width(9.0), f64::INFINITY);
}
