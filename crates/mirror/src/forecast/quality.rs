//! How good the forecasts of one transaction id are, and whether they are to be acted on.
//!
//! The measure is Brier's score (1950): the mean square of what was said minus what came. Knowing nothing but how often the
//! transaction fails has a score, too; a model that is worse than that switches itself off until it is better again. Older
//! forecasts count less and less.

use serde::{Deserialize, Serialize};

use super::{Forecast, Hindsight};

/// After so many outcomes one counts half.
const HALF_LIFE: f64 = 500.0;
/// From so many outcomes on a model can be too bad.
const ENOUGH: f64 = 100.0;
/// Worse than knowing the rate by so much is more than chance, and the first failures of an outage are nobody's fault. Where nearly all
/// fail, or none, knowing that is nearly right: being as good but for so little is good enough to act on.
const WORSE: f64 = 1.1;
const LITTLE: f64 = 0.02;
/// Bins of the calibration, by what was said.
const BINS: usize = 10;

/// Counts are weights: older outcomes count less.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    outcomes: f64,
    failures: f64,
    called: f64,
    called_right: f64,
    brier: f64,
    brier_of_rate: f64,
    lead_ms: f64,
    /// Outcomes, what was said of them, and failures.
    bins: [[f64; 3]; BINS],
    distrusted: bool,
}

impl Quality {
    /// `weight`: for how many it stands.
    pub(super) fn note(&mut self, Hindsight { said, failed, lead_ms }: Hindsight, weight: f64) {
        let known = (self.failures + 1.0) / (self.outcomes + 2.0);
        self.fade(weight);
        let came = f64::from(u8::from(failed));
        let called = said >= Forecast::CALLED;
        self.outcomes += weight;
        self.failures += weight * came;
        self.brier += weight * (said - came).powi(2);
        self.brier_of_rate += weight * (known - came).powi(2);
        if called {
            self.called += weight;
            self.called_right += weight * came;
            self.lead_ms += weight * came * lead_ms;
        }
        let [all, sum, failures] = &mut self.bins[bin(said)];
        (*all, *sum, *failures) = (*all + weight, *sum + weight * said, *failures + weight * came);
        if self.outcomes >= ENOUGH {
            let [limit, little] =
                if self.distrusted { [1.0, LITTLE / 2.0] } else { [WORSE, LITTLE] };
            self.distrusted = self.brier > self.brier_of_rate * limit + little * self.outcomes;
        }
    }

    fn fade(&mut self, weight: f64) {
        let kept = (-weight / HALF_LIFE).exp2();
        let counts = [
            &mut self.outcomes,
            &mut self.failures,
            &mut self.called,
            &mut self.called_right,
            &mut self.brier,
            &mut self.brier_of_rate,
            &mut self.lead_ms,
        ];
        counts.into_iter().chain(self.bins.as_flattened_mut()).for_each(|count| *count *= kept);
    }

    /// Whether one acts on the forecasts.
    pub fn is_trusted(&self) -> bool {
        !self.distrusted
    }

    /// Outcomes that are known, older ones counting less.
    pub fn outcomes(&self) -> f64 {
        self.outcomes
    }

    /// Of what was called a failure, the share that was; nothing where none was called.
    pub fn precision(&self) -> Option<f64> {
        share(self.called_right, self.called)
    }

    /// Of the failures, the share that was called.
    pub fn recall(&self) -> Option<f64> {
        share(self.called_right, self.failures)
    }

    /// Brier's score, and that of knowing only how often it fails; less is better.
    pub fn brier(&self) -> Option<[f64; 2]> {
        let [own, of_rate] = [self.brier, self.brier_of_rate].map(|it| share(it, self.outcomes));
        Some([own?, of_rate?])
    }

    /// From the forecast to the failure, of those that were called. Milliseconds, on average.
    pub fn lead_ms(&self) -> Option<f64> {
        share(self.lead_ms, self.called_right)
    }

    /// What was said and how often it came, by tenths; those of which there is any.
    pub fn calibration(&self) -> impl Iterator<Item = (f64, f64)> {
        let seen = self.bins.iter().filter(|[all, ..]| *all >= 1.0);
        seen.map(|[all, said, came]| (said / all, came / all))
    }
}

fn share(part: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| part / of)
}

fn bin(said: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10")]
    let bin = (said.clamp(0.0, 1.0) * 10.0) as usize;
    bin.min(BINS - 1)
}
