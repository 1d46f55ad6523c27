//! Seeded streams of requests.

use belay_judge::{Alpha, RatioTest, Share};
use belay_model::Arm;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub(crate) fn alpha(alpha: f64) -> Alpha {
    Alpha::new(alpha).unwrap()
}

pub(crate) fn share(share: f64) -> Share {
    Share::new(share).unwrap()
}

/// The arm of an event that is `ratio` times as frequent in *after*.
pub(crate) fn arm(random: &mut impl Rng, share: Share, ratio: f64) -> Arm {
    let after = share.get() * ratio / (share.get() * ratio + 1.0 - share.get());
    if random.random_bool(after) { Arm::After } else { Arm::Before }
}

/// Events until there is enough evidence: all of them, and those from *after*. Nothing after `most` events.
pub(crate) fn events_until(
    random: &mut impl Rng,
    (share, ratio): (Share, f64),
    (level, most): (Alpha, u64),
) -> Option<[u64; 2]> {
    let mut test = RatioTest::new(1.0).unwrap();
    for _ in 0..most {
        let arm = arm(random, share, ratio);
        test.note(arm, share);
        // Evidence grows by events from *after* alone.
        if arm == Arm::After && test.evidence().is_enough(level) {
            let [before, after] = test.counts();
            return Some([before + after, after]);
        }
    }
    None
}

/// The most hits that so many runs at a level have, but for one time in a thousand.
pub(crate) fn hits_max(runs: u32, level: f64) -> u32 {
    let (mut tail, mut hits) = (0.0, 0);
    let mut probability = (1.0 - level).powf(f64::from(runs));
    loop {
        tail += probability;
        if tail >= 0.999 {
            return hits;
        }
        let rest = f64::from(runs - hits) / f64::from(hits + 1);
        probability *= rest * level / (1.0 - level);
        hits += 1;
    }
}
