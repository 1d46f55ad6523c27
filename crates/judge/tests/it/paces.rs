//! How many requests come, and when that is told.

use belay_judge::{Alpha, Odd, Pace};
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Requests come at random, so many in a second on average at each moment; when the first alarm is, and which.
fn first_alarm(rate: impl Fn(u32) -> f64, seconds: u32) -> Option<(u32, Odd)> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut pace = Pace::default();
    for second in 0..seconds {
        for _ in 0..10 {
            // In a tenth of a second, up to some groups of two.
            let expected = rate(second) / 10.0;
            let groups = expected.ceil();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few")]
            let came = (0..groups as u32)
                .filter(|_| random.random_bool(expected / groups.max(1.0) / 2.0))
                .count();
            (0..2 * came).for_each(|_| pace.note());
            pace.pass(0.1);
            let enough = Alpha::new(1e-6).unwrap();
            let alarm = pace.evidence().into_iter().find(|(_, it)| it.is_enough(enough));
            if let Some((odd, _)) = alarm {
                return Some((second, odd));
            }
        }
    }
    None
}

#[test]
fn who_stops_coming_is_missed_and_a_crowd_is_noticed() {
    let stops = |second| if second < 2_000 { 50.0 } else { 0.0 };
    let alarm = first_alarm(stops, 3_000);
    assert!(matches!(alarm, Some((2_001..2_060, Odd::Fewer))), "{alarm:?}");
    let crowd = |second| if second < 2_000 { 50.0 } else { 200.0 };
    let alarm = first_alarm(crowd, 3_000);
    assert!(matches!(alarm, Some((2_001..2_060, Odd::More))), "{alarm:?}");
}

#[test]
fn neither_chance_nor_the_time_of_the_day_is_an_alarm() {
    assert_eq!(first_alarm(|_| 20.0, 20_000), None);
    // Four times as many at noon as at midnight, in a day of 24 hours.
    let day = |second: u32| {
        let angle = f64::from(second) / 86_400.0 * std::f64::consts::TAU;
        25.0 - 15.0 * angle.cos()
    };
    assert_eq!(first_alarm(day, 86_400), None);
    // So few that windows of a minute say nothing.
    assert_eq!(first_alarm(|second| if second < 5_000 { 0.05 } else { 0.0 }, 20_000), None);
}
