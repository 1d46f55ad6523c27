//! One budget of false alarms for all that is tested of a change.

use crate::evidence::{Alpha, Evidence};

/// The probability of ever being wrong about a change, and what it is spent on.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    alpha: Alpha,
    tests: usize,
}

impl Budget {
    /// `tests`: how many tests share it equally.
    pub fn new(alpha: Alpha, tests: usize) -> Self {
        Self { alpha, tests: tests.max(1) }
    }

    /// The level of each test.
    pub fn each(&self) -> Alpha {
        let tests = u32::try_from(self.tests).map_or(f64::INFINITY, f64::from);
        self.alpha.part(tests.recip())
    }

    /// The tests that have enough evidence, whatever the others have.
    pub fn enough<'e>(&self, all: &'e [Evidence]) -> impl Iterator<Item = usize> + use<'e> {
        let each = self.each();
        all.iter().enumerate().filter(move |(_, it)| it.is_enough(each)).map(|(at, _)| at)
    }
}
