//! A log-linear scale for durations: 16 equal steps in every power of two of microseconds, so that a value read
//! back is off by at most 1/32. It is the scale of HdrHistogram with five bits of precision.
//!
//! Pure arithmetic; the atomics live in [`super::stats`].

/// Steps of one power of two, as a power of two.
const STEP_BITS: u32 = 4;
const STEPS: usize = 1 << STEP_BITS;
/// Values from 2³⁰ µs (18 minutes; no invocation may take longer than 15) share the last bucket.
const MAX_BITS: u32 = 30;

/// Number of buckets.
pub const BUCKETS: usize = (MAX_BITS - STEP_BITS + 1) as usize * STEPS;

/// The bucket that counts `micros`.
pub fn bucket_of(micros: u64) -> usize {
    let value = micros.min((1 << MAX_BITS) - 1);
    let bits = u64::BITS - value.leading_zeros();
    if bits <= STEP_BITS + 1 {
        return usize::try_from(value).unwrap_or(0);
    }
    let shift = bits - STEP_BITS - 1;
    let step = usize::try_from(value >> shift).unwrap_or(0);
    shift as usize * STEPS + step
}

/// The smallest value that `bucket` counts, in microseconds; it counts all below `lower_bound(bucket + 1)`.
pub fn lower_bound(bucket: usize) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    ((bucket - shift * STEPS) as u64) << shift
}

/// The value in the middle of `bucket`, in microseconds.
fn middle(bucket: usize) -> u64 {
    u64::midpoint(lower_bound(bucket), lower_bound(bucket + 1).saturating_sub(1))
}

/// The value below which a share `quantile` (0 to 1) of the counted values lies, in microseconds; none if empty.
pub fn quantile(counts: &[u64; BUCKETS], quantile: f64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    let rank = rank_of(total, quantile)?;
    let mut below = 0;
    counts
        .iter()
        .position(|count| {
            below += count;
            below >= rank
        })
        .map(middle)
}

fn rank_of(total: u64, quantile: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a rank between 1 and the total; precision past 2^53 values is of no matter"
    )]
    let rank = (total as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64;
    (total > 0).then(|| rank.clamp(1, total))
}

/// How many of the counted values are below `2^power` microseconds: exact, as the powers are bucket borders.
pub fn below_power(counts: &[u64; BUCKETS], power: u32) -> u64 {
    counts[..bucket_of(1 << power.min(MAX_BITS - 1))].iter().sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_lies_within_its_bucket(micros in 0_u64..(1 << MAX_BITS)) {
            let bucket = bucket_of(micros);
            prop_assert!(bucket < BUCKETS);
            prop_assert!(lower_bound(bucket) <= micros);
            prop_assert!(micros < lower_bound(bucket + 1));
        }

        #[test]
        fn a_value_read_back_is_off_by_at_most_a_thirty_second(micros in 0_u64..(1 << MAX_BITS)) {
            let read = middle(bucket_of(micros));
            prop_assert!(read.abs_diff(micros) * 32 <= micros.max(31));
        }
    }

    #[test]
    fn values_past_the_scale_share_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_follow_the_counts() {
        let mut counts = [0; BUCKETS];
        assert_eq!(quantile(&counts, 0.5), None);
        for micros in 1..=1000 {
            counts[bucket_of(micros)] += 1;
        }
        let read = |q| quantile(&counts, q).unwrap();
        assert!(read(0.5).abs_diff(500) <= 16, "{}", read(0.5));
        assert!(read(0.99).abs_diff(990) <= 32, "{}", read(0.99));
        assert_eq!(read(0.0), 1);
        assert_eq!(below_power(&counts, 8), 255);
    }
}
