//! The limits that `belay.toml` may set, for all functions in `[limits]` or for one in its own table.

use std::ops::Range;

use belay_model::{Diagnostic, Limits};
use toml::{Spanned, Table, de::DeValue};

use super::{reader::Reader, units};

/// One limit: how it is written and where it goes.
struct Limit {
    key: &'static str,
    kind: Kind,
    /// For people; the model has the last word.
    range: &'static str,
    set: fn(&mut Limits, u64) -> Option<()>,
    get: fn(&Limits) -> u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Duration,
    Size,
    Count,
}

fn narrow(field: &mut u32, value: u64) -> Option<()> {
    *field = u32::try_from(value).ok()?;
    Some(())
}

fn keep(field: &mut u64, value: u64) -> Option<()> {
    *field = value;
    Some(())
}

const LIMITS: [Limit; 9] = [
    Limit {
        key: "timeout",
        kind: Kind::Duration,
        range: "1ms to 15m",
        set: |limits, value| keep(&mut limits.timeout_ms, value),
        get: |limits| limits.timeout_ms,
    },
    Limit {
        key: "cpu",
        kind: Kind::Duration,
        range: "1ms to 15m",
        set: |limits, value| keep(&mut limits.cpu_ms, value),
        get: |limits| limits.cpu_ms,
    },
    Limit {
        key: "memory",
        kind: Kind::Size,
        range: "4MB to 2GB",
        set: |limits, value| keep(&mut limits.memory_bytes, value),
        get: |limits| limits.memory_bytes,
    },
    Limit {
        key: "stack",
        kind: Kind::Size,
        range: "16KB to 512KB",
        set: |limits, value| narrow(&mut limits.stack_bytes, value),
        get: |limits| u64::from(limits.stack_bytes),
    },
    Limit {
        key: "event",
        kind: Kind::Size,
        range: "2B to 64MB",
        set: |limits, value| keep(&mut limits.event_bytes, value),
        get: |limits| limits.event_bytes,
    },
    Limit {
        key: "result",
        kind: Kind::Size,
        range: "2B to 64MB",
        set: |limits, value| keep(&mut limits.result_bytes, value),
        get: |limits| limits.result_bytes,
    },
    Limit {
        key: "log",
        kind: Kind::Size,
        range: "0B to 64MB",
        set: |limits, value| keep(&mut limits.log_bytes, value),
        get: |limits| limits.log_bytes,
    },
    Limit {
        key: "calls_in_flight",
        kind: Kind::Count,
        range: "1 to 4096",
        set: |limits, value| narrow(&mut limits.calls_in_flight, value),
        get: |limits| u64::from(limits.calls_in_flight),
    },
    Limit {
        key: "concurrency",
        kind: Kind::Count,
        range: "1 to 8192",
        set: |limits, value| narrow(&mut limits.concurrency, value),
        get: |limits| u64::from(limits.concurrency),
    },
];

/// The keys of `[limits]`.
pub(super) const KEYS: [&str; 9] = [
    "timeout",
    "cpu",
    "memory",
    "stack",
    "event",
    "result",
    "log",
    "calls_in_flight",
    "concurrency",
];

/// Sets the limit called `key`. Returns whether there is one; mistakes in its value are reported.
pub(super) fn read(
    reader: &mut Reader<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    limits: &mut Limits,
) -> bool {
    let Some(limit) = LIMITS.iter().find(|limit| limit.key == key) else {
        return false;
    };
    if let Some(number) = limit.number(reader, value) {
        let mut changed = *limits;
        match (limit.set)(&mut changed, number).filter(|()| changed.problem().is_none()) {
            Some(()) => *limits = changed,
            None => limit.out_of_range(reader, &value.span()),
        }
    }
    true
}

/// The limits that are not those of `usual`, as they are written.
pub(super) fn write(limits: &Limits, usual: &Limits) -> Table {
    let differing = LIMITS.iter().filter(|limit| (limit.get)(limits) != (limit.get)(usual));
    let written = differing.map(|limit| {
        let number = (limit.get)(limits);
        let value = match limit.kind {
            Kind::Duration => units::show_duration(number).into(),
            Kind::Size => units::show_size(number).into(),
            Kind::Count => i64::try_from(number).unwrap_or(i64::MAX).into(),
        };
        (limit.key.to_owned(), value)
    });
    written.collect()
}

impl Limit {
    fn number(&self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<u64> {
        match self.kind {
            Kind::Duration => {
                self.quantity(reader, value, units::duration, "a duration", "\"250ms\" or \"10s\"")
            }
            Kind::Size => {
                self.quantity(reader, value, units::size, "a size", "\"64MB\" or \"256KB\"")
            }
            Kind::Count => self.count(reader, value),
        }
    }

    fn quantity(
        &self,
        reader: &mut Reader<'_>,
        value: &Spanned<DeValue<'_>>,
        parse: fn(&str) -> Option<u64>,
        what: &str,
        examples: &str,
    ) -> Option<u64> {
        let parsed = value.get_ref().as_str().and_then(parse);
        if parsed.is_none() {
            let message = format!("`{}` must be {what} with its unit", self.key);
            let help = format!("write {examples}, in quotes");
            reader.mistake(&value.span(), "bad-limit", message, &help);
        }
        parsed
    }

    fn count(&self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<u64> {
        let Some(integer) = value.get_ref().as_integer() else {
            reader.wrong_type(self.key, value, "an integer");
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix());
        if number.is_err() {
            self.out_of_range(reader, &value.span());
        }
        number.ok()
    }

    fn out_of_range(&self, reader: &mut Reader<'_>, span: &Range<usize>) {
        let label = reader.label(span, format!("allowed: {}", self.range));
        let message = format!("`{}` is out of range", self.key);
        reader.report(span, Diagnostic::error("out-of-range", message).at(label));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(limit: &Limit, number: Option<u64>) -> bool {
        let mut limits = Limits::default();
        number
            .and_then(|number| (limit.set)(&mut limits, number))
            .is_some_and(|()| limits.problem().is_none())
    }

    #[test]
    fn the_ranges_told_are_those_of_the_model() {
        for limit in &LIMITS {
            let parse = |text: &str| match limit.kind {
                Kind::Duration => units::duration(text).unwrap(),
                Kind::Size => units::size(text).unwrap(),
                Kind::Count => text.parse().unwrap(),
            };
            let (low, high) = limit.range.split_once(" to ").unwrap();
            assert!(accepts(limit, Some(parse(low))), "{} {low}", limit.key);
            assert!(accepts(limit, Some(parse(high))), "{} {high}", limit.key);
            assert!(!accepts(limit, parse(low).checked_sub(1)), "{} below {low}", limit.key);
            assert!(!accepts(limit, Some(parse(high) + 1)), "{} above {high}", limit.key);
        }
        assert_eq!(LIMITS.map(|limit| limit.key), KEYS);
    }
}
