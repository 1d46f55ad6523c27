//! How many events it takes, next to the published figures for one test at its level.

use belay_model::Arm;

use crate::{
    published::Multinomial,
    support::{alpha, arm, events_until, random, share},
};

/// Medians over seeded runs: of all events, and of those from *after*.
fn medians(ratio: f64, level: f64) -> [u64; 2] {
    let mut random = random(7);
    let mut runs: Vec<[u64; 2]> = (0..301)
        .map(|_| {
            let found = events_until(&mut random, (share(0.1), ratio), (alpha(level), 20_000));
            found.unwrap()
        })
        .collect();
    let mut median = |of: usize| {
        runs.sort_unstable_by_key(|run| run[of]);
        runs[runs.len() / 2][of]
    };
    [median(0), median(1)]
}

/// A canary of 10 %: the multinomial test of Lindon & Malek with k = 10 at 5 % and at 0.1 %.
#[test]
fn as_soon_as_the_published_test() {
    let published = [
        (1.5, [470, 70], [924, 135]),
        (2.0, [127, 25], [273, 51]),
        (3.0, [44, 12], [92, 24]),
        (5.0, [21, 8], [38, 14]),
        (10.0, [11, 6], [20, 11]),
        (50.0, [6, 5], [9, 8]),
    ];
    for (ratio, at_5_percent, at_1_permille) in published {
        for (level, published) in [(0.05, at_5_percent), (0.001, at_1_permille)] {
            let ours = medians(ratio, level);
            assert!(
                ours[0] <= published[0] && ours[1] <= published[1],
                "x{ratio} at {level}: {ours:?}, published {published:?}"
            );
        }
    }
}

/// On the same events, at the concentration that its authors use: the published test never needs fewer at the median.
#[test]
fn as_soon_as_the_published_test_on_the_same_events() {
    for ratio in [1.5, 2.0, 5.0, 50.0] {
        let mut published: Vec<u64> = (0..301)
            .map(|run| {
                let mut random = random(run);
                let mut test = Multinomial::new(&[0.9, 0.1], 10.0);
                let found = (1..20_000).find(|_| {
                    let after = arm(&mut random, share(0.1), ratio) == Arm::After;
                    test.note(usize::from(after), 1);
                    test.e_value() >= 1_000.0
                });
                found.unwrap()
            })
            .collect();
        let ours = (0..301).map(|run| {
            let to = (alpha(0.001), 20_000);
            events_until(&mut random(run), (share(0.1), ratio), to).unwrap()[0]
        });
        let mut ours: Vec<u64> = ours.collect();
        let (ours, published) = (median(&mut ours), median(&mut published));
        assert!(ours <= published, "x{ratio}: {ours}, published {published}");
    }
}

fn median(all: &mut [u64]) -> u64 {
    all.sort_unstable();
    all[all.len() / 2]
}
