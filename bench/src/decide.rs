//! Faults in a canary: how many requests, and how many of them hurt, until the part that does harm is taken back.
//!
//! A server, clients that call on and on, and a deploy of which one part is bad; what the server decides is read from its
//! own story. Beside it, what the rules of Flagger and of Argo Rollouts do with what the same requests came to.

mod fault;
mod peers;
mod typical;
mod watch;

use std::time::Duration;

use serde_json::json;

use self::{
    fault::{FAULTS, Fault, Subject, TAPED},
    watch::{Outcome, watch},
};
use crate::{
    Length,
    figure::{Bar, Report},
    float,
    samples::median,
    server::{Belay, Home},
};

const PARTS: [usize; 3] = [1, 3, 10];
/// The default ramp, with steps that are shorter than the default ones: 1 s to 60 s rather than 30 s to 5 min.
const STEPS: &str = "[canary]\nramp = [1, 5, 25, 50]\nstep_min = \"1s\"\nstep_max = \"60s\"\n";
/// Nothing is recorded, so that faults are met by live requests.
const LIVE_ONLY: &str = "[tapes]\nrate = 0\n";
const CONNECTIONS: usize = 4;
/// A change that is not decided within this time is not decided.
fn patience(length: Length) -> Duration {
    Duration::from_secs(length.pick(150, 15))
}

/// What all runs came to.
#[derive(Default)]
struct Totals {
    runs: usize,
    right: usize,
    wrong: usize,
    /// From a decision to the start of the last request that did not obey it. Milliseconds.
    effects_ms: Vec<f64>,
}

/// Faults in canary, met by live requests.
pub(crate) fn faults(length: Length) -> anyhow::Result<()> {
    let home = Home::new()?;
    let belay = home.up()?;
    let repeats = length.pick(3, 1);
    let faults = length.pick(&FAULTS[..], &FAULTS[..1]);
    let sizes = length.pick(&PARTS[..], &PARTS[2..]);
    let report = Report::new("decide", conditions(repeats));
    let mut totals = Totals::default();
    for fault in faults {
        for parts in sizes {
            let subject = (*fault, *parts);
            cell((&belay, patience(length)), &report, subject, repeats, &mut totals)?;
        }
    }
    let share = |count: usize| float(count) / float(totals.runs.max(1));
    report.promise("right_part", share(totals.right), "of runs", Bar::AtLeast(0.98));
    report.promise("wrong_part", share(totals.wrong), "of runs", Bar::AtMost(0.01));
    report.promise("decision_to_effect.p50", median(totals.effects_ms), "ms", Bar::AtMost(50.0));
    belay.stop()
}

fn conditions(repeats: usize) -> serde_json::Value {
    json!({
        "connections": CONNECTIONS,
        "repeats": repeats,
        "ramp": [1, 5, 25, 50],
        "step": "1 s to 60 s, where the default is 30 s to 5 min",
        "peers": format!(
            "their rules, each {} s, on {} % of the requests; these come to what was seen here of those that ran the change, over and over at the same rate",
            peers::INTERVAL_S,
            peers::SHARE * 100.0,
        ),
    })
}

/// One fault in one of so many parts, several times.
fn cell(
    (belay, patience): (&Belay, Duration),
    report: &Report,
    (fault, parts): (Fault, usize),
    repeats: usize,
    totals: &mut Totals,
) -> anyhow::Result<()> {
    let mut outcomes = Vec::new();
    for repeat in 0..repeats {
        let app = format!("{}-{parts}-{repeat}", fault.name);
        let subject = Subject { app, parts, guilty: repeat % parts, fault: Some(fault) };
        let policy = format!("{STEPS}{LIVE_ONLY}");
        outcomes.push(watch(belay, &subject, CONNECTIONS, &policy, patience)?);
    }
    totals.runs += outcomes.len();
    totals.right += outcomes.iter().filter(|outcome| outcome.right).count();
    totals.wrong += outcomes.iter().filter(|outcome| outcome.wrong > 0).count();
    totals.effects_ms.extend(outcomes.iter().filter_map(|outcome| outcome.effect_ms));
    let of = |value: fn(&Outcome) -> f64| {
        median(outcomes.iter().filter(|outcome| outcome.right).map(value))
    };
    let name = format!("{}.of_{parts}", fault.name);
    let figure = |what: &str, value, unit| report.figure(&format!("{name}.{what}"), value, unit);
    figure("right", float(outcomes.iter().filter(|o| o.right).count()), "runs");
    figure("requests.p50", of(|outcome| outcome.requests), "requests");
    figure("seconds.p50", of(|outcome| outcome.seconds), "s");
    figure("hurt.p50", of(|outcome| outcome.hurt), "requests");
    let after = of(|outcome| outcome.after);
    if fault.name == "fails_50" && parts == 10 {
        report.promise(&format!("{name}.after_arm.p50"), after, "requests", Bar::AtMost(60.0));
    } else {
        figure("after_arm.p50", after, "requests");
    }
    for (peer, rule) in peers::RULES {
        beside(report, &format!("{name}.{peer}"), rule, &outcomes);
    }
    Ok(())
}

/// What a rule of others makes of the same runs.
fn beside(report: &Report, name: &str, rule: peers::Rule, outcomes: &[Outcome]) {
    let verdict = |outcome: &Outcome| {
        let rate = outcome.requests / outcome.seconds.max(1e-3);
        peers::decide(rule, &outcome.seen, rate)
    };
    let right = outcomes.iter().filter(|outcome| outcome.right);
    let found: Vec<_> = right.filter_map(verdict).collect();
    if found.is_empty() {
        let why = "its rule (success rate of 99 %, answers within 500 ms) does not see this fault";
        return report.skipped(name, why);
    }
    let of = |value: fn(&peers::Verdict) -> f64| median(found.iter().map(value));
    report.figure(&format!("{name}.found"), float(found.len()), "runs");
    report.figure(&format!("{name}.seconds"), of(|verdict| verdict.seconds), "s");
    report.figure(&format!("{name}.hurt"), of(|verdict| verdict.hurt), "requests");
}

/// Changes that do no harm: how often something is taken back all the same.
pub(crate) fn innocent(length: Length) -> anyhow::Result<()> {
    let home = Home::new()?;
    let belay = home.up()?;
    let runs = length.pick(24, 1);
    let report = Report::new("decide", conditions(runs));
    let mut alarms = 0;
    for run in 0..runs {
        let app = format!("innocent-{run}");
        let subject = Subject { app, parts: PARTS[run % PARTS.len()], guilty: 0, fault: None };
        let outcome = watch(&belay, &subject, CONNECTIONS, STEPS, patience(length))?;
        alarms += usize::from(outcome.wrong > 0);
        eprintln!("bench: {} of {} innocent changes taken back", alarms, run + 1);
    }
    report.promise("innocent.taken_back", float(alarms), "runs", Bar::AtMost(0.0));
    // Clopper and Pearson's, for no hit: 1 - 0.05^(1/n).
    let limit = 1.0 - 0.05_f64.powf(1.0 / float(runs));
    if alarms == 0 {
        report.figure("innocent.rate_at_most", limit, "of changes, 95 % sure");
    }
    belay.stop()
}

/// Faults that tapes can show, and recorded requests that reach them: how many are found before the first live request.
pub(crate) fn taped(length: Length) -> anyhow::Result<()> {
    let home = Home::new()?;
    let belay = home.up()?;
    let repeats = length.pick(3, 1);
    let report = Report::new("decide", conditions(repeats));
    let (mut runs, mut found) = (0, 0);
    for fault in length.pick(&TAPED[..], &TAPED[..1]) {
        let before = (runs, found);
        for parts in PARTS {
            for repeat in 0..repeats {
                let app = format!("taped-{}-{parts}-{repeat}", fault.name);
                let guilty = repeat % parts;
                let subject = Subject { app, parts, guilty, fault: Some(*fault) };
                let outcome = watch(&belay, &subject, CONNECTIONS, STEPS, patience(length))?;
                runs += 1;
                found += usize::from(outcome.right && outcome.hurt == 0.0);
            }
        }
        let name = format!("tapes.{}.found", fault.name);
        let share = float(found - before.1) / float(runs - before.0);
        report.figure(&name, share, "of runs");
    }
    let share = float(found) / float(runs);
    report.promise("tapes.found_before_traffic", share, "of runs", Bar::AtLeast(0.95));
    let took = typical::replayed(&belay, length.pick(5, 1))?;
    report.promise("tapes.200_on_one_core", took, "ms", Bar::AtMost(300.0));
    belay.stop()
}
