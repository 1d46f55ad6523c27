//! How often a test is wrong, whenever it is looked at.

use belay_judge::{RatioTest, Share, Units};
use belay_model::Arm;
use rand::Rng;

use crate::support::{alpha, arm, events_until, hits_max, random, share};

#[test]
fn identical_arms_at_five_percent() {
    let mut random = random(1);
    let alarms = (0..2_000)
        .filter(|_| events_until(&mut random, (share(0.1), 1.0), (alpha(0.05), 1_000)).is_some());
    let (alarms, most) = (alarms.count(), hits_max(2_000, 0.05));
    assert!(alarms <= most as usize, "{alarms} of at most {most}");
}

#[test]
fn identical_arms_at_one_permille() {
    let mut random = random(2);
    let alarms = (0..100_000)
        .filter(|_| events_until(&mut random, (Share::HALF, 1.0), (alpha(0.001), 40)).is_some());
    let (alarms, most) = (alarms.count(), hits_max(100_000, 0.001));
    assert!(alarms <= most as usize, "{alarms} of at most {most}");
}

/// Shares that change between events, and failures that become more frequent meanwhile.
#[test]
fn identical_arms_under_a_ramp() {
    let mut random = random(3);
    let steps = [0.01, 0.05, 0.25, 0.5, 0.98].map(share);
    let mut alarms = 0;
    for _ in 0..2_000 {
        let mut test = RatioTest::new(1.0).unwrap();
        let mut enough = false;
        for (step, share) in steps.into_iter().enumerate() {
            for _ in 0..40 * (step + 1) {
                test.note(arm(&mut random, share, 1.0), share);
                enough |= test.evidence().is_enough(alpha(0.05));
            }
        }
        alarms += u32::from(enough);
    }
    let most = hits_max(2_000, 0.05);
    assert!(alarms <= most, "{alarms} of at most {most}");
}

/// What is tolerated raises no alarm, what is beyond it does.
#[test]
fn the_tolerated_effect_is_part_of_the_null() {
    let found = |ratio: f64, seed: u64| {
        let mut random = random(seed);
        let mut test = RatioTest::new(1.5).unwrap();
        (0..3_000).any(|_| {
            let arm = arm(&mut random, Share::HALF, ratio);
            test.note(arm, Share::HALF);
            arm == Arm::After && test.evidence().is_enough(alpha(0.05))
        })
    };
    let alarms = (0..500).filter(|seed| found(1.5, *seed)).count();
    assert!(alarms <= hits_max(500, 0.05) as usize, "{alarms}");
    assert!((0..20).all(|seed| found(3.0, seed)));
}

/// Identical arms, few of 300 sticky clients send nearly everything, and some clients fail always.
#[test]
fn one_client_is_one_unit() {
    let share = share(0.05);
    let run = |seed: u64, by_key: bool| {
        let mut random = random(seed);
        let clients: Vec<(Arm, f64, f64)> = (0..300)
            .map(|rank| {
                let arm = arm(&mut random, share, 1.0);
                let fails = if random.random_bool(0.1) { 0.9 } else { 0.01 };
                (arm, 1.0 / f64::from(rank + 1), fails)
            })
            .collect();
        let all: f64 = clients.iter().map(|(_, weight, _)| weight).sum();
        let (mut test, mut units) = (RatioTest::new(1.0).unwrap(), Units::default());
        (0..5_000).any(|_| {
            let mut at = random.random_range(0.0..all);
            let key = clients.iter().position(|(_, weight, _)| {
                at -= weight;
                at < 0.0
            });
            let key = key.unwrap_or(0);
            let (arm, _, fails) = clients[key];
            let counts = random.random_bool(fails) && (!by_key || units.counts(key as u64));
            if counts {
                test.note(arm, share);
            }
            counts && arm == Arm::After && test.evidence().is_enough(alpha(0.001))
        })
    };
    let by_key = (0..300).filter(|seed| run(*seed, true)).count();
    let by_request = (0..300).filter(|seed| run(*seed, false)).count();
    assert!(by_key <= hits_max(300, 0.001) as usize, "{by_key}");
    assert!(by_request > 10, "the naive count is wrong often, or this tests nothing: {by_request}");
}
