//! Are the shares of several kinds what they are said to be?
//!
//! The sequential multinomial test of Lindon & Malek ("Anytime-valid inference for multinomial count data", NeurIPS 2022),
//! averaged over several concentrations of its prior: few for large differences, many for small ones.

use statrs::function::gamma::ln_gamma;

use crate::{Invalid, evidence::Evidence, rate::number};

/// A test of counts of several kinds.
#[derive(Debug, Clone)]
pub struct MixTest {
    shares: Vec<f64>,
    counts: Vec<u64>,
    concentrations: Vec<f64>,
}

impl MixTest {
    /// Concentrations of the priors that are averaged where the caller names none.
    pub const CONCENTRATIONS: [f64; 3] = [2.0, 10.0, 100.0];

    /// `shares`: what is expected of each kind. `concentrations`: of the priors, around these shares; positive.
    ///
    /// # Errors
    /// Shares that are not all above 0, or that do not add up to 1; no positive concentration.
    pub fn new(shares: &[f64], concentrations: &[f64]) -> Result<Self, Invalid> {
        let sum: f64 = shares.iter().sum();
        let positive = |all: &[f64]| all.iter().all(|it| *it > 0.0) && !all.is_empty();
        if !positive(shares) || !positive(concentrations) || (sum - 1.0).abs() > 1e-9 {
            return Err(Invalid::Shares(shares.to_vec()));
        }
        let counts = vec![0; shares.len()];
        Ok(Self { shares: shares.to_vec(), counts, concentrations: concentrations.to_vec() })
    }

    /// Notes `count` more of a kind. A kind that is not one of those expected is not counted.
    pub fn note(&mut self, kind: usize, count: u64) {
        if let Some(known) = self.counts.get_mut(kind) {
            *known += count;
        }
    }

    /// Against "the shares are what they are said to be".
    pub fn evidence(&self) -> Evidence {
        let all = self.concentrations.iter().map(|concentration| self.log_of(*concentration));
        let all: Vec<Evidence> = all.map(Evidence::of_log).collect();
        Evidence::average(&all)
    }

    fn log_of(&self, concentration: f64) -> f64 {
        let prior = || self.shares.iter().map(|share| share * concentration);
        let counts = || self.counts.iter().map(|count| number(*count));
        let expected: f64 =
            counts().zip(&self.shares).map(|(count, share)| count * share.ln()).sum();
        ln_beta_of(prior().zip(counts()).map(|(prior, count)| prior + count))
            - ln_beta_of(prior())
            - expected
    }
}

/// The logarithm of the beta function of several arguments.
fn ln_beta_of(all: impl Iterator<Item = f64> + Clone) -> f64 {
    all.clone().map(ln_gamma).sum::<f64>() - ln_gamma(all.sum())
}
