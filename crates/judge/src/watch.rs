//! Does something happen more often than it did? For what has no second arm: nothing was deployed, or all moved already.
//!
//! An e-detector (Shin, Ramdas & Rinaldo 2022) of the CUSUM kind: the evidence that a change began at the request for which
//! that is the most likely. While nothing changes, alarms at 1/α are at least 1/α requests apart on average.
//!
//! What is usual is learned: an average in which older requests count less and less. What is held against it has to be
//! above the upper end of what the usual rate may be, and while there is suspicion nothing is learned, so that harm does not
//! become usual by lasting.

use crate::{
    Invalid,
    evidence::{Alpha, Evidence},
    rate::{Rate, number},
};

/// How many times as often, by odds, is looked for.
const TIMES: [f64; 8] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];
/// Requests that are learned from at once.
const BLOCK: u64 = 64;
/// After so many requests an earlier one counts half.
const HALF_LIFE: f64 = 20_000.0;
/// What is usual is known from so many requests on.
const KNOWN_MIN: f64 = 256.0;
/// How sure the upper end of the usual rate is.
const USUAL: f64 = 0.05;
/// From so much evidence on nothing is learned.
const SUSPICION: f64 = 20.0;

/// A detector for one kind of event of one component.
#[derive(Debug, Clone)]
pub struct Watch {
    tolerated: f64,
    /// Events and requests that were learned from, with their weights.
    learned: [f64; 2],
    /// Those since then.
    block: [u64; 2],
    /// The rate that is not exceeded without harm, once it is known.
    usual: Option<f64>,
    /// By [`TIMES`], what a request without and with the event adds to the suspects.
    steps: [[f64; TIMES.len()]; 2],
    /// By [`TIMES`], the logarithm of the evidence that a change began at some request.
    suspects: [f64; TIMES.len()],
}

impl Watch {
    /// `tolerated`: that the event is so many times as frequent as usual is no harm.
    ///
    /// # Errors
    /// What is less than 1, or no number.
    pub fn new(tolerated: f64) -> Result<Self, Invalid> {
        if !(tolerated.is_finite() && tolerated >= 1.0) {
            return Err(Invalid::Tolerated(tolerated));
        }
        let suspects = [0.0; TIMES.len()];
        let steps = [suspects; 2];
        Ok(Self { tolerated, learned: [0.0; 2], block: [0; 2], usual: None, steps, suspects })
    }

    /// Notes a request, and whether the event happened.
    pub fn note(&mut self, happened: bool) {
        if self.usual.is_some() {
            for (suspect, step) in self.suspects.iter_mut().zip(self.steps[usize::from(happened)]) {
                *suspect = step + suspect.max(0.0);
            }
        }
        self.block[0] += u64::from(happened);
        self.block[1] += 1;
        if self.block[1] == BLOCK {
            self.learn();
        }
    }

    fn learn(&mut self) {
        let block = std::mem::take(&mut self.block).map(number);
        if self.evidence().e_value() >= SUSPICION {
            return;
        }
        let kept = (-number(BLOCK) / HALF_LIFE).exp2();
        for (learned, new) in self.learned.iter_mut().zip(block) {
            *learned = *learned * kept + new;
        }
        let [events, of] = self.learned;
        if of < KNOWN_MIN {
            return;
        }
        let Ok(sure) = Alpha::new(USUAL) else { return };
        let high = Rate { events: whole(events), of: whole(of) }.interval(sure).high;
        let usual = (high * self.tolerated).min(0.999);
        self.usual = Some(usual);
        let rates = TIMES.map(|times| at_odds(usual, times));
        self.steps = [
            rates.map(|rate| ((1.0 - rate) / (1.0 - usual)).ln()),
            rates.map(|rate| (rate / usual).ln()),
        ];
    }

    /// The rate that what happens is held against; nothing before enough was seen.
    pub fn usual(&self) -> Option<f64> {
        self.usual
    }

    /// The rate that the event most likely has since it became frequent.
    pub fn alarmed(&self) -> Option<f64> {
        let usual = self.usual?;
        let likeliest =
            self.suspects.iter().zip(TIMES).max_by(|(one, _), (other, _)| one.total_cmp(other));
        likeliest.map(|(_, times)| at_odds(usual, times))
    }

    /// Against "nothing has changed". Alarms when it is enough at a level; then [`Self::begin`].
    pub fn evidence(&self) -> Evidence {
        Evidence::average(&self.suspects.map(Evidence::of_log))
    }

    /// Suspects nothing, after an alarm, and goes on with what it knows to be usual.
    pub fn begin(&mut self) {
        self.suspects = [0.0; TIMES.len()];
    }

    /// Takes what comes from now on for usual: the change was meant.
    pub fn learn_anew(&mut self) {
        *self = Self { learned: [0.0; 2], block: [0; 2], usual: None, ..self.clone() };
        self.begin();
    }
}

/// The rate whose odds are so many times those of `rate`.
fn at_odds(rate: f64, times: f64) -> f64 {
    rate * times / (1.0 - rate + rate * times)
}

fn whole(weight: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let whole = weight.round() as u64;
    whole
}
