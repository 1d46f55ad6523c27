//! Sizes and durations as people write them: `64MB`, `250ms`, `10s`.
//!
//! Input: a number, a fraction allowed, and a unit. Output: bytes or milliseconds. `KB`, `MB` and `GB` are powers of
//! 1,024, as on AWS Lambda; `KiB`, `MiB` and `GiB` are the same.

/// Milliseconds.
pub fn duration(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    scaled(number, scale)
}

/// Bytes.
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "B" => 1,
        "KB" | "KiB" => 1 << 10,
        "MB" | "MiB" => 1 << 20,
        "GB" | "GiB" => 1 << 30,
        _ => return None,
    };
    scaled(number, scale)
}

fn split(text: &str) -> Option<(&str, &str)> {
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    Some((&text[..at], text[at..].trim_start()))
}

/// Exact: `1.5` times 1,000 is 1,500, and what does not come out whole is refused.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let tenth = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u64 = fraction.parse().ok()?;
    let part = fraction.checked_mul(scale)?;
    let whole: u64 = whole.parse().ok()?;
    (part % tenth == 0).then_some(())?;
    whole.checked_mul(scale)?.checked_add(part / tenth)
}

/// `64 MB`, the way back, in the largest unit that comes out whole.
pub fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];
    let whole =
        units.into_iter().find(|(scale, _)| bytes >= *scale && bytes.is_multiple_of(*scale));
    whole.map_or_else(|| format!("{bytes}B"), |(scale, unit)| format!("{}{unit}", bytes / scale))
}

/// Rounded for reading, such as `46.2 KB`.
pub fn about_size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{}.{} KB", bytes >> 10, ((bytes & 1_023) * 10) >> 10),
        _ => format!("{}.{} MB", bytes >> 20, ((bytes & 1_048_575) * 10) >> 20),
    }
}

/// `10s` or `250ms`.
pub fn show_duration(ms: u64) -> String {
    match ms {
        _ if ms >= 60_000 && ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms >= 1_000 && ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        let durations =
            [("250ms", 250), ("10s", 10_000), ("1.5s", 1_500), ("2m", 120_000), ("1 min", 60_000)];
        for (text, expected) in durations {
            assert_eq!(duration(text), Some(expected), "{text}");
        }
        let sizes = [("64MB", 64 << 20), ("0.5KB", 512), ("1GiB", 1 << 30), ("12 B", 12)];
        for (text, expected) in sizes {
            assert_eq!(size(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let texts = [
            "",
            "10",
            "s",
            ".s",
            "1.",
            "-1s",
            "1.0005s",
            "1d",
            "1e3s",
            "1..2s",
            "99999999999999999999s",
        ];
        for text in texts {
            assert_eq!(duration(text), None, "{text}");
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!(size("18446744073709551615GB"), None);
        assert_eq!(size("0.3B"), None);
    }

    proptest::proptest! {
        #[test]
        fn the_way_back(bytes: u64, ms: u64) {
            proptest::prop_assert_eq!(size(&show_size(bytes)), Some(bytes));
            proptest::prop_assert_eq!(duration(&show_duration(ms)), Some(ms));
        }

        #[test]
        fn never_panics(text: String) {
            let _ = (size(&text), duration(&text));
        }
    }
}
