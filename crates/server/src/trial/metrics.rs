//! Changes on trial as Prometheus metrics: how many requests they get, and the evidence against them.

use std::fmt::Write as _;

use super::{
    Reports,
    seen::{Compared, ComparisonReport},
};
use crate::{routes::Routes, telemetry::prometheus::escape};

/// Functions that a label names; of more, it says how many more there are.
const NAMED_MAX: usize = 8;

/// Series with their heads.
pub fn metrics(routes: &Routes, reports: &Reports) -> String {
    let mut text = head(
        "belay_change_admitted_ratio",
        "Share of the requests that run what is on trial of a change.",
    );
    let mut apps: Vec<_> = routes.apps().collect();
    apps.sort_by(|one, other| one.name().cmp(other.name()));
    for app in &apps {
        let trial = app.effective.as_ref().and_then(|effective| effective.trial.as_ref());
        if let Some(trial) = trial {
            let labels = format!(r#"app="{}",change="{}""#, app.name(), trial.change);
            // Writing to a string does not fail.
            let _ = writeln!(text, "belay_change_admitted_ratio{{{labels}}} {}", trial.admitted());
        }
    }
    for (name, help, needed) in [
        (
            "belay_change_evidence_log10",
            "Evidence of harm, as the logarithm of its e-value.",
            false,
        ),
        ("belay_change_evidence_needed_log10", "How much of it is enough to take it back.", true),
    ] {
        text.push_str(&head(name, help));
        for (app, report) in reports.all() {
            let labels = format!(r#"app="{app}",change="{}""#, report.change());
            for comparison in &report.comparisons {
                series(&mut text, name, &labels, comparison, needed);
            }
        }
    }
    text
}

fn series(text: &mut String, name: &str, labels: &str, of: &ComparisonReport, needed: bool) {
    let what = match &of.what {
        Compared::Whole => "whole".to_owned(),
        Compared::Mixed => "mixed".to_owned(),
        Compared::Parts(parts) => {
            parts.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")
        }
    };
    for measured in &of.measured {
        let value = if needed { measured.log10_needed } else { measured.log10_e };
        let (event, functions) = (escape(&measured.what), functions(&measured.functions));
        let _ = writeln!(
            text,
            "{name}{{{labels},comparison=\"{what}\",event=\"{event}\"{functions}}} {value}"
        );
    }
}

/// A label that tells series apart whose functions have other thresholds; where all have the same, there is none.
fn functions(names: &[String]) -> String {
    let named = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(",");
    match names.len() {
        0 => String::new(),
        all if all > NAMED_MAX => format!(",functions=\"{named}+{}\"", all - NAMED_MAX),
        _ => format!(",functions=\"{named}\""),
    }
}

fn head(name: &str, help: &str) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n")
}
