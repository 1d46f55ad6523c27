//! What is learned of a transaction id, in seeded simulations.

use belay_mirror::{Class, Forecast, Forecaster, Hindsight, Rule, Sign};
use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

fn random() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

fn said(forecaster: &Forecaster, signs: &[Sign]) -> f64 {
    forecaster.forecast(signs).probability
}

#[test]
fn before_anything_was_learned_the_classes_have_their_weights() {
    let new = Forecaster::default();
    assert!(said(&new, &[]) < 0.03);
    let all = [
        Sign::unusual(1.0),
        Sign::conflicts("stock/1", 1.0),
        Sign::failing("payments", 1.0),
        Sign::violation("amount_positive", "accounts"),
    ];
    let each: Vec<f64> = all.iter().map(|sign| said(&new, std::slice::from_ref(sign))).collect();
    assert!(each.is_sorted(), "{each:?}");
    assert!(each[3] > 0.89 && each[2] > 0.5 && each[0] < 0.1, "{each:?}");
    let forecast = new.forecast(&all);
    let weights: Vec<f64> = forecast.reasons.iter().map(|(_, share)| *share).collect();
    let expected = [0.4, 0.3, 0.2, 0.1];
    assert!(weights.iter().zip(expected).all(|(own, it)| (own - it).abs() < 1e-9), "{weights:?}");
    assert_eq!(forecast.reasons[0].0.rule, Rule::Violation);
}

/// As it is learned from what was said just before.
fn learn(forecaster: &mut Forecaster, signs: &[Sign], failed: bool, lead_ms: f64) {
    let said = said(forecaster, signs);
    forecaster.learn(signs, Hindsight { said, failed, lead_ms });
}

/// A service that is late in half of the cases, and then always fails; and locks, which never matter.
fn transaction(random: &mut ChaCha8Rng) -> (Vec<Sign>, bool) {
    let late = random.random_bool(0.3);
    let mut signs = vec![Sign::conflicts("k", random.random_range(0.0..1.0))];
    signs.extend(late.then(|| Sign::late("payments", 0.9, 800.0, 250.0)));
    let failed = if late { random.random_bool(0.97) } else { random.random_bool(0.01) };
    (signs, failed)
}

#[test]
fn it_learns_which_signs_tell() {
    let (mut random, mut forecaster) = (random(), Forecaster::default());
    for _ in 0..3_000 {
        let (signs, failed) = transaction(&mut random);
        learn(&mut forecaster, &signs, failed, 12.0);
    }
    let late = Sign::late("payments", 0.9, 800.0, 250.0);
    let locks = Sign::conflicts("k", 1.0);
    assert!(said(&forecaster, std::slice::from_ref(&late)) > 0.85);
    assert!(said(&forecaster, std::slice::from_ref(&locks)) < 0.1);
    let quality = forecaster.quality();
    assert!(quality.precision().unwrap() > 0.9 && quality.recall().unwrap() > 0.9, "{quality:?}");
    let [own, of_rate] = quality.brier().unwrap();
    assert!(own < of_rate / 3.0, "{own} {of_rate}");
    assert!((quality.lead_ms().unwrap() - 12.0).abs() < 1e-6);
    for (said, came) in quality.calibration() {
        assert!((said - came).abs() < 0.2, "said {said}, came {came}");
    }
    assert!(forecaster.forecast(&[late]).trusted);
}

#[test]
fn signs_that_tell_nothing_are_not_acted_on_until_they_do() {
    let (mut random, mut forecaster) = (random(), Forecaster::default());
    let misleading = [Sign::own(Class::Validation, 1.0, "a rule of the app".to_owned())];
    for _ in 0..120 {
        // It is said of each, and none fails.
        let failed = random.random_bool(0.02);
        learn(&mut forecaster, &misleading, failed, 0.0);
    }
    let forecast = forecaster.forecast(&misleading);
    assert!(!forecast.trusted, "{:?}", forecaster.quality());
    // By then it has learned better, which shows with time.
    for _ in 0..3_000 {
        let (signs, failed) = transaction(&mut random);
        learn(&mut forecaster, &signs, failed, 0.0);
    }
    assert!(forecaster.forecast(&[]).trusted, "{:?}", forecaster.quality());
}

#[test]
fn whoever_is_let_go_on_stands_for_those_about_which_something_was_done() {
    let mut forecaster = Forecaster::default();
    let (calm, late) = ([], [Sign::late("payments", 1.0, 800.0, 250.0)]);
    (0..90).for_each(|_| learn(&mut forecaster, &calm, false, 0.0));
    (0..10).for_each(|_| learn(&mut forecaster, &calm, true, 0.0));
    assert!(said(&forecaster, &late) > 0.5);
    for failed in [true, true, true, false] {
        (0..24).for_each(|_| forecaster.prevented());
        // What was not feared says nothing of these.
        learn(&mut forecaster, &calm, false, 0.0);
        let hindsight = Hindsight { said: 0.9, failed, lead_ms: 8.0 };
        forecaster.learn(&late, hindsight);
    }
    let quality = forecaster.quality();
    // 75 of 100, of 85 that failed; a little less of what is older.
    let close = |value: Option<f64>, to: f64| (value.unwrap() - to).abs() < 0.03;
    assert!(close(quality.precision(), 0.75), "{quality:?}");
    assert!(close(quality.recall(), 75.0 / 85.0), "{quality:?}");
    assert!(close(quality.lead_ms(), 8.0), "{quality:?}");
}

#[test]
fn what_is_learned_can_be_kept() {
    let mut forecaster = Forecaster::default();
    learn(&mut forecaster, &[Sign::load(0.95)], true, 3.0);
    let text = serde_json::to_string(&forecaster).unwrap();
    let again: Forecaster = serde_json::from_str(&text).unwrap();
    let signs = [Sign::load(0.9)];
    assert_eq!(forecaster.forecast(&signs), again.forecast(&signs));
}

proptest! {
    #[test]
    fn whatever_is_seen_is_a_probability(
        strengths in proptest::collection::vec((0_u8..6, proptest::num::f64::ANY), 0..20),
        outcomes in proptest::collection::vec(any::<bool>(), 0..40),
    ) {
        let sign = |(kind, number): &(u8, f64)| match kind {
            0 => Sign::blocked("t", 2, *number, 100.0),
            1 => Sign::conflicts("k", *number),
            2 => Sign::load(*number),
            3 => Sign::late("d", *number, 1.0, 1.0),
            4 => Sign::failing("d", *number),
            _ => Sign::unusual(*number),
        };
        let signs: Vec<Sign> = strengths.iter().map(sign).collect();
        let mut forecaster = Forecaster::default();
        for failed in outcomes {
            learn(&mut forecaster, &signs, failed, 1.0);
        }
        let Forecast { probability, reasons, .. } = forecaster.forecast(&signs);
        prop_assert!((0.0..=1.0).contains(&probability));
        prop_assert_eq!(reasons.len(), signs.len());
        let all: f64 = reasons.iter().map(|(_, share)| share).sum();
        prop_assert!(all < 1.0 + 1e-9);
    }
}
