//! The published test that ours is held against: the sequential multinomial test of Lindon & Malek ("Anytime-valid inference for
//! multinomial count data", NeurIPS 2022), with one concentration of its prior.

use statrs::function::gamma::ln_gamma;

/// A test of counts of several kinds.
pub(crate) struct Multinomial {
    shares: Vec<f64>,
    counts: Vec<u64>,
    concentration: f64,
}

impl Multinomial {
    /// `shares`: what is expected of each kind. `concentration`: of the prior, around these shares.
    pub(crate) fn new(shares: &[f64], concentration: f64) -> Self {
        Self { shares: shares.to_vec(), counts: vec![0; shares.len()], concentration }
    }

    pub(crate) fn note(&mut self, kind: usize, count: u64) {
        self.counts[kind] += count;
    }

    /// Against "the shares are what they are said to be".
    pub(crate) fn e_value(&self) -> f64 {
        let prior = || self.shares.iter().map(|share| share * self.concentration);
        let counts = || self.counts.iter().map(|count| *count as f64);
        let expected: f64 =
            counts().zip(&self.shares).map(|(count, share)| count * share.ln()).sum();
        let log = ln_beta(prior().zip(counts()).map(|(prior, count)| prior + count))
            - ln_beta(prior())
            - expected;
        log.exp()
    }
}

/// The logarithm of the beta function of several arguments.
fn ln_beta(all: impl Iterator<Item = f64> + Clone) -> f64 {
    all.clone().map(ln_gamma).sum::<f64>() - ln_gamma(all.sum())
}
