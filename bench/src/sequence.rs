//! Numbers that look random and are the same in each run.

/// A linear congruential generator (Knuth's MMIX), as good as it has to be here.
pub(crate) struct Sequence(pub(crate) u64);

impl Sequence {
    /// In 0 to 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "31 bits")]
        let number = (self.0 >> 33) as f64;
        number / f64::from(1_u32 << 31)
    }
}
