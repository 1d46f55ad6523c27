//! How many events it takes, next to the published figures for one test at its level.

use crate::support::{alpha, events_until, random, share};

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
        (50.0, [6, 5], [11, 8]),
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
