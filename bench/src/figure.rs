//! How a figure is printed: one JSON object a line, with the conditions under which it was measured.

use std::io::{self, Write as _};

use serde_json::{Map, Value, json};

/// What the project promises of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

/// Prints the figures of one benchmark.
pub(crate) struct Report {
    bench: &'static str,
    conditions: Value,
}

impl Report {
    pub(crate) fn new(bench: &'static str, conditions: Value) -> Self {
        Self { bench, conditions }
    }

    pub(crate) fn figure(&self, figure: &str, value: f64, unit: &str) {
        self.print(figure, [("value", json!(rounded(value))), ("unit", json!(unit))]);
    }

    /// A figure with what is promised of it.
    pub(crate) fn promise(&self, figure: &str, value: f64, unit: &str, bar: Bar) {
        let (name, limit, met) = match bar {
            Bar::AtMost(limit) => ("at_most", limit, value <= limit),
            Bar::AtLeast(limit) => ("at_least", limit, value >= limit),
        };
        let bar = ("bar", json!({ name: limit }));
        let value = ("value", json!(rounded(value)));
        self.print(figure, [value, ("unit", json!(unit)), bar, ("met", json!(met))]);
    }

    /// Why a figure is not there.
    pub(crate) fn skipped(&self, figure: &str, reason: &str) {
        self.print(figure, [("skipped", json!(reason))]);
    }

    fn print<const N: usize>(&self, figure: &str, fields: [(&str, Value); N]) {
        let mut line = Map::new();
        line.insert("bench".to_owned(), json!(self.bench));
        line.insert("figure".to_owned(), json!(figure));
        line.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        line.insert("conditions".to_owned(), self.conditions.clone());
        // A closed pipe ends the benchmark's use, not its run.
        let _ = writeln!(io::stdout(), "{}", Value::Object(line));
    }
}

/// Three significant digits or more; measuring gives no better.
fn rounded(value: f64) -> f64 {
    let digits = if value.abs() < 10.0 { 1000.0 } else { 10.0 };
    (value * digits).round() / digits
}
