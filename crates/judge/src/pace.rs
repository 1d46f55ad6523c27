//! Do as many requests come as usual? For each component, by windows of time.
//!
//! A window is as long as a hundred requests usually take to come, so that chance alone rarely halves or doubles them. Windows
//! with less than half as many, or more than twice as many, are what two [`Watch`]es count. What is usual is an
//! average in which older requests count less and less, so that the day's slow rise and fall is none.

use crate::{evidence::Evidence, rate::number, watch::Watch};

/// Requests that a window has, usually.
const REQUESTS: f64 = 100.0;
/// Seconds that it lasts, at the least and at the most.
const WINDOW_S: [f64; 2] = [1.0, 60.0];
/// After so many seconds a request counts half.
const HALF_LIFE_S: f64 = 600.0;
/// A window is odd with so many times as many requests as usual, or so many times fewer.
const ODD: f64 = 2.0;
/// So many times as many odd windows as usual say nothing: at another time of the day they are more, or fewer.
const TOLERATED: f64 = 3.0;

/// How many requests come to one component.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Of the window that goes on: seconds, and requests.
    window: (f64, u64),
    /// Seconds and requests that were learned from, with their weights.
    learned: [f64; 2],
    low: Watch,
    high: Watch,
}

/// Which way it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    Fewer,
    More,
}

impl Default for Pace {
    fn default() -> Self {
        let watch = || Watch::new(TOLERATED).unwrap_or_else(|_| unreachable!("it is a factor"));
        Self { window: (0.0, 0), learned: [0.0; 2], low: watch(), high: watch() }
    }
}

impl Pace {
    /// Notes a request.
    pub fn note(&mut self) {
        self.window.1 += 1;
    }

    /// Notes that time passes. Seconds.
    pub fn pass(&mut self, seconds: f64) {
        self.window.0 += seconds;
        let rate = self.usual().unwrap_or(0.0);
        let wanted = (REQUESTS / rate).clamp(WINDOW_S[0], WINDOW_S[1]);
        if self.window.0 < wanted {
            return;
        }
        let (lasted, requests) = std::mem::take(&mut self.window);
        let (found, expected) = (number(requests), rate * lasted);
        // With fewer, chance alone makes odd windows.
        if expected >= REQUESTS / 2.0 {
            self.low.note(found < expected / ODD);
            self.high.note(found > expected * ODD);
        }
        let kept = (-lasted / HALF_LIFE_S).exp2();
        for (learned, new) in self.learned.iter_mut().zip([lasted, found]) {
            *learned = *learned * kept + new;
        }
    }

    /// Requests in a second; nothing before anything is known.
    pub fn usual(&self) -> Option<f64> {
        let [seconds, requests] = self.learned;
        (seconds > 0.0).then_some(requests / seconds)
    }

    /// Against "as many as usual come", each way.
    pub fn evidence(&self) -> [(Odd, Evidence); 2] {
        [(Odd::Fewer, self.low.evidence()), (Odd::More, self.high.evidence())]
    }

    /// Takes what comes from now on for usual.
    pub fn learn_anew(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::evidence::Alpha;

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
}
