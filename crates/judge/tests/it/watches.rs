//! What is noticed where there is nothing to compare with.

use belay_judge::Watch;
use rand::Rng;

use crate::support::{alpha, hits_max, random};

/// Requests until an alarm.
fn alarm(seed: u64, level: f64, most: usize, rate: impl Fn(usize) -> f64) -> Option<usize> {
    let (mut random, mut watch) = (random(seed), Watch::new(1.0).unwrap());
    (0..most).find(|request| {
        watch.note(random.random_bool(rate(*request)));
        watch.evidence().is_enough(alpha(level))
    })
}

/// Within n requests the probability of an alarm at α is at most n·α.
#[test]
fn what_is_as_usual_raises_no_alarm() {
    for rate in [0.0, 0.01, 0.3] {
        let alarms = (0..200).filter(|seed| alarm(*seed, 1e-5, 5_000, |_| rate).is_some());
        let (alarms, most) = (alarms.count(), hits_max(200, 0.05));
        assert!(alarms <= most as usize, "{rate}: {alarms} of at most {most}");
    }
}

#[test]
fn a_rise_is_noticed_soon() {
    for (before, after, soon) in [(0.01, 0.1, 200), (0.01, 0.5, 20), (0.0, 0.2, 40), (0.3, 0.9, 60)]
    {
        let rate = |request: usize| if request < 4_000 { before } else { after };
        let mut delays: Vec<usize> =
            (0..51).map(|seed| alarm(seed, 1e-6, 6_000, rate).unwrap() - 3_999).collect();
        delays.sort_unstable();
        assert!(delays[25] <= soon, "{before} to {after}: {}", delays[25]);
    }
}

/// What changes slowly becomes usual; what lasts after a jump does not.
#[test]
fn what_is_usual_is_learned() {
    let slowly = |request: usize| 0.01 + 0.01 * (request as f64 / 200_000.0);
    assert_eq!(alarm(1, 1e-6, 200_000, slowly), None);
    let (mut random, mut watch) = (random(2), Watch::new(1.0).unwrap());
    assert_eq!(watch.usual(), None);
    (0..10_000).for_each(|_| watch.note(random.random_bool(0.01)));
    let usual = watch.usual().unwrap();
    assert!((0.01..0.02).contains(&usual), "{usual}");
    (0..10_000).for_each(|_| watch.note(random.random_bool(0.2)));
    assert!(watch.usual().unwrap() < 0.03, "{:?}", watch.usual());
    assert!(watch.evidence().is_enough(alpha(1e-12)));
    watch.begin();
    assert!(!watch.evidence().is_enough(alpha(0.5)) && watch.usual().is_some());
    watch.learn_anew();
    (0..10_000).for_each(|_| watch.note(random.random_bool(0.2)));
    assert!((0.2..0.25).contains(&watch.usual().unwrap()), "{:?}", watch.usual());
    assert!(!watch.evidence().is_enough(alpha(1e-4)));
}

#[test]
fn an_effect_may_be_tolerated() {
    let watch = |tolerated: f64| {
        let (mut random, mut watch) = (random(3), Watch::new(tolerated).unwrap());
        (0..12_000).any(|request| {
            watch.note(random.random_bool(if request < 4_000 { 0.05 } else { 0.15 }));
            watch.evidence().is_enough(alpha(1e-4))
        })
    };
    assert!(watch(1.0) && !watch(4.0));
    assert!(Watch::new(0.9).is_err());
}
