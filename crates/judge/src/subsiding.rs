//! Is something that had become frequent rare again? For an experiment: what was changed is undone for a time.
//!
//! A sequential probability ratio test (Wald 1945) both ways, against a rate between the usual one and that of the alarm: of
//! "it is at least as frequent", and of "it is at most as frequent". Each is an e-process.

use crate::evidence::{Alpha, Evidence};

/// A test of one kind of event of one component.
#[derive(Debug, Clone)]
pub struct Subsiding {
    usual: f64,
    alarmed: f64,
    between: f64,
    /// The logarithms of the evidence that it has subsided, and that it has not.
    logs: [f64; 2],
}

impl Subsiding {
    /// `None` if these are no rates of which the second is larger.
    pub fn new(usual: f64, alarmed: f64) -> Option<Self> {
        let fine = usual > 0.0 && usual < alarmed && alarmed < 1.0;
        let odds = |rate: f64| rate / (1.0 - rate);
        // In the middle by odds, as these are what the ratios are made of.
        let middle = (odds(usual) * odds(alarmed)).sqrt();
        let between = middle / (1.0 + middle);
        fine.then_some(Self { usual, alarmed, between, logs: [0.0; 2] })
    }

    /// Notes a request, and whether the event happened.
    pub fn note(&mut self, happened: bool) {
        let of = |rate: f64| if happened { rate } else { 1.0 - rate };
        for (log, rate) in self.logs.iter_mut().zip([self.usual, self.alarmed]) {
            *log += (of(rate) / of(self.between)).ln();
        }
    }

    /// Whether it is rare again, as soon as either is sure enough.
    pub fn has_subsided(&self, alpha: Alpha) -> Option<bool> {
        let [yes, no] = self.logs.map(|log| Evidence::of_log(log).is_enough(alpha));
        if yes || no { Some(yes) } else { None }
    }

    /// Forgets what it has seen.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self { logs: [0.0; 2], ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found at a rate, and after how many requests; every so many-th request has the event.
    fn found(every: u64) -> (Option<bool>, u64) {
        let alpha = Alpha::new(0.01).unwrap();
        let mut test = Subsiding::new(0.01, 0.2).unwrap();
        for request in 1..10_000 {
            test.note(request % every == 0);
            if let Some(subsided) = test.has_subsided(alpha) {
                return (Some(subsided), request);
            }
        }
        (None, 10_000)
    }

    #[test]
    fn it_tells_soon_whether_it_got_better() {
        let (better, after) = found(200);
        assert_eq!(better, Some(true));
        assert!(after < 120, "{after}");
        let (better, after) = found(4);
        assert_eq!(better, Some(false));
        assert!(after < 40, "{after}");
    }

    #[test]
    fn nonsense_is_no_test() {
        for (usual, alarmed) in [(0.0, 0.1), (0.1, 0.1), (0.2, 0.1), (0.5, 1.0), (f64::NAN, 0.5)] {
            assert!(Subsiding::new(usual, alarmed).is_none());
        }
        let mut test = Subsiding::new(0.01, 0.2).unwrap();
        (0..100).for_each(|_| test.note(true));
        assert_eq!(test.anew().has_subsided(Alpha::new(0.01).unwrap()), None);
    }
}
