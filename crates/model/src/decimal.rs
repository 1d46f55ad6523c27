//! A number with at most six digits behind the point, which compares exactly.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Shares, levels and factors as people write them: not negative, up to a million.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal {
    millionths: u64,
}

const SCALE: u32 = 1_000_000;
const MAX: f64 = 1e6;

impl Decimal {
    pub const fn whole(number: u32) -> Self {
        Self { millionths: number as u64 * SCALE as u64 }
    }

    pub const fn thousandths(number: u32) -> Self {
        Self { millionths: number as u64 * (SCALE as u64 / 1_000) }
    }

    /// `None` for what is negative, too large, or no number. Further digits are rounded.
    pub fn new(number: f64) -> Option<Self> {
        let fine = (0.0..=MAX).contains(&number);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        fine.then(|| Self { millionths: (number * f64::from(SCALE)).round() as u64 })
    }

    pub fn get(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 10^12")]
        let number = self.millionths as f64;
        number / f64::from(SCALE)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scale = u64::from(SCALE);
        if self.millionths.is_multiple_of(scale) {
            serializer.serialize_u64(self.millionths / scale)
        } else {
            serializer.serialize_f64(self.get())
        }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("{number} is out of range: 0 to a million"));
        Self::new(number).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_as_they_are_written() {
        for text in ["0", "1", "0.001", "2.5", "50", "1000000"] {
            let number: Decimal = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&number).unwrap(), text);
            assert_eq!(number.to_string(), text);
        }
        for wrong in ["-1", "1000001", "\"1\"", "null"] {
            assert!(serde_json::from_str::<Decimal>(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Decimal::whole(2).get().to_bits(), 2.0_f64.to_bits());
        assert_eq!(Decimal::thousandths(1), Decimal::new(0.001).unwrap());
    }
}
