//! `numeric` in binary, as its text.
//!
//! ```text
//! u16 groups, i16 weight, u16 sign, u16 scale, then the groups: digits in base 10,000, the first one worth
//! 10,000^weight
//! ```
//!
//! Source: `numeric_send` in PostgreSQL's numeric.c.

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// `None` if the bytes are not of this form.
pub(super) fn text(raw: &[u8]) -> Option<String> {
    let mut words = raw.chunks(2).map(|word| word.try_into().ok().map(u16::from_be_bytes));
    let mut next = || words.next().flatten();
    let (count, weight, sign, scale) = (next()?, next()?.cast_signed(), next()?, next()?);
    let negative = match sign {
        0 => false,
        NEGATIVE => true,
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let groups: Vec<u16> = (0..count).map(|_| next()).collect::<Option<_>>()?;
    let group = |place: i32| {
        let index = usize::try_from(i32::from(weight) - place).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let mut text = String::new();
    if negative {
        text.push('-');
    }
    let whole: String =
        (0..=i32::from(weight)).rev().map(|place| format!("{:04}", group(place))).collect();
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let places = i32::from(scale.div_ceil(4));
        let fraction: String = (1..=places).map(|place| format!("{:04}", group(-place))).collect();
        text.push('.');
        text.push_str(fraction.get(..usize::from(scale))?);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Option<String> {
        let count = u16::try_from(groups.len()).unwrap();
        let head = [count, weight.cast_unsigned(), sign, scale];
        let words = head.iter().chain(groups).flat_map(|word| word.to_be_bytes());
        text(&words.collect::<Vec<_>>())
    }

    #[test]
    fn digits_are_where_they_belong() {
        let of = |weight, sign, scale, groups| numeric(weight, sign, scale, groups).unwrap();
        assert_eq!(of(0, 0, 0, &[]), "0");
        assert_eq!(of(0, 0, 2, &[]), "0.00");
        assert_eq!(of(0, 0, 2, &[1, 5000]), "1.50");
        assert_eq!(of(1, NEGATIVE, 0, &[12, 34]), "-120034");
        assert_eq!(of(-1, 0, 4, &[12]), "0.0012");
        assert_eq!(of(-2, 0, 6, &[1200]), "0.000012");
        assert_eq!(of(2, 0, 0, &[1]), "100000000");
        assert_eq!(of(0, NAN, 0, &[]), "NaN");
        assert_eq!(numeric(0, 1, 0, &[]), None);
        assert_eq!(text(&[0, 1]), None);
    }
}
