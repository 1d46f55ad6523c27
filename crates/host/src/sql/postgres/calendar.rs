//! Dates and times, as ISO 8601 writes them. The server counts from the first of January 2000.
//!
//! Years beyond 0000 to 9999 have a sign and six digits, as in JavaScript. Fractions of a second have three digits, or
//! six where they are needed.

const DAY_US: i64 = 86_400_000_000;
/// From 1 March 0000 to 1 January 2000.
const DAYS_TO_2000: i64 = 730_425;

fn infinite(negative: bool) -> String {
    if negative { "-infinity" } else { "infinity" }.to_owned()
}

pub(super) fn date(days: i32) -> String {
    match days {
        i32::MAX | i32::MIN => infinite(days < 0),
        _ => day(i64::from(days)),
    }
}

pub(super) fn timestamp(micros: i64, zone: &str) -> String {
    match micros {
        i64::MAX | i64::MIN => infinite(micros < 0),
        _ => {
            let (days, rest) = (micros.div_euclid(DAY_US), micros.rem_euclid(DAY_US));
            format!("{}T{}{zone}", day(days), clock(rest, 3))
        }
    }
}

pub(super) fn time(micros: i64) -> String {
    clock(micros, 0)
}

/// `zone` counts seconds to the west.
pub(super) fn time_in_zone(micros: i64, zone: i32) -> String {
    let (sign, seconds) = (if zone > 0 { '-' } else { '+' }, zone.unsigned_abs());
    format!("{}{sign}{:02}:{:02}", clock(micros, 0), seconds / 3_600, seconds / 60 % 60)
}

/// With at least so many digits of a fraction.
fn clock(micros: i64, digits: usize) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let whole = format!("{hours:02}:{minutes:02}:{rest:02}");
    match (micros % 1_000_000, digits) {
        (0, 0) => whole,
        (fraction, _) if fraction % 1_000 == 0 => format!("{whole}.{:03}", fraction / 1_000),
        (fraction, _) => format!("{whole}.{fraction:06}"),
    }
}

/// Days since 2000 as a date of the Gregorian calendar.
///
/// Source: `civil_from_days` in Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn day(days: i64) -> String {
    let days = days + DAYS_TO_2000;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    match year {
        0..=9_999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+07}-{month:02}-{day:02}"),
    }
}

/// `P1Y2M3DT4H5M6.5S`; `PT0S` is none at all. Parts may have signs of their own.
pub(super) fn interval(months: i32, days: i32, micros: i64) -> String {
    let part = |amount: i64, unit: char| match amount {
        0 => String::new(),
        _ => format!("{amount}{unit}"),
    };
    let months = i64::from(months);
    let date = [part(months / 12, 'Y'), part(months % 12, 'M'), part(days.into(), 'D')].concat();
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (part(seconds / 3_600, 'H'), part(seconds / 60 % 60, 'M'));
    let time = [hours, minutes, rest(micros % 60_000_000)].concat();
    match (date.is_empty(), time.is_empty()) {
        (true, true) => "PT0S".to_owned(),
        (_, true) => format!("P{date}"),
        (_, false) => format!("P{date}T{time}"),
    }
}

/// Seconds below a minute, with their fraction.
fn rest(micros: i64) -> String {
    if micros == 0 {
        return String::new();
    }
    let sign = if micros < 0 { "-" } else { "" };
    let (whole, fraction) = (micros.abs() / 1_000_000, micros.abs() % 1_000_000);
    let fraction = format!("{fraction:06}");
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}S"),
        digits => format!("{sign}{whole}.{digits}S"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_2000() {
        assert_eq!(date(0), "2000-01-01");
        assert_eq!(date(-1), "1999-12-31");
        assert_eq!(date(59), "2000-02-29");
        assert_eq!(date(9_496), "2025-12-31");
        assert_eq!(date(i32::MAX), "infinity");
    }

    #[test]
    fn times_have_the_digits_they_need() {
        assert_eq!(timestamp(0, "Z"), "2000-01-01T00:00:00.000Z");
        assert_eq!(timestamp(-1, ""), "1999-12-31T23:59:59.999999");
        assert_eq!(timestamp(1_500_000, "Z"), "2000-01-01T00:00:01.500Z");
        assert_eq!(time(0), "00:00:00");
        assert_eq!(time_in_zone(3_600_000_000, -7_200), "01:00:00+02:00");
    }

    #[test]
    fn intervals_are_told_part_by_part() {
        assert_eq!(interval(14, 3, 14_706_500_000), "P1Y2M3DT4H5M6.5S");
        assert_eq!(interval(0, 0, 0), "PT0S");
        assert_eq!(interval(0, -1, -500_000), "P-1DT-0.5S");
    }
}
