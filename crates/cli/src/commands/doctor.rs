//! `belay doctor`: what Belay needs of a machine, checked one by one, each with what to do.
//!
//! Ends with 1 when something is missing without which `belay up` does not work.

mod checks;

use std::fmt::Display;

use serde_json::json;

use crate::{
    args::Doctor,
    exit::{CliError, CliResult},
    output::{BAD, DIM, GOOD, Output, WARN, styled},
};

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Good,
    /// It works, but less well.
    Poor,
    /// It does not work.
    Bad,
    /// Nothing to judge.
    Told,
}

/// One line of the report.
#[derive(Debug)]
struct Finding {
    name: &'static str,
    mark: Mark,
    found: String,
    /// What to do; empty when nothing need be done.
    advice: String,
}

impl Finding {
    fn new(name: &'static str, mark: Mark, found: impl Display) -> Self {
        Self { name, mark, found: found.to_string(), advice: String::new() }
    }

    fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }
}

pub(crate) fn run(args: &Doctor, output: Output) -> CliResult {
    let findings = checks::all(args);
    output.json(&json!({ "checks": findings.iter().map(to_json).collect::<Vec<_>>() }));
    for finding in &findings {
        output.line(line(finding));
    }
    let bad = findings.iter().filter(|finding| finding.mark == Mark::Bad).count();
    if bad == 0 {
        output.line("\nthis machine can run Belay");
        return Ok(());
    }
    let error = CliError::failed("doctor", format!("{bad} of the above must be put right first"));
    // The report is the document already.
    if output.is_json() { Err(CliError { silent: true, ..error }) } else { Err(error) }
}

fn to_json(finding: &Finding) -> serde_json::Value {
    let mark = match finding.mark {
        Mark::Good => "good",
        Mark::Poor => "poor",
        Mark::Bad => "bad",
        Mark::Told => "info",
    };
    json!({ "name": finding.name, "status": mark, "found": finding.found, "advice": finding.advice })
}

fn line(finding: &Finding) -> String {
    let mark = match finding.mark {
        Mark::Good => styled(GOOD, "✓"),
        Mark::Poor => styled(WARN, "!"),
        Mark::Bad => styled(BAD, "✗"),
        Mark::Told => styled(DIM, "·"),
    };
    let line = format!("{mark} {:<18} {}", finding.name, finding.found);
    if finding.advice.is_empty() {
        line
    } else {
        format!("{line}\n  {:<18} → {}", "", finding.advice)
    }
}
