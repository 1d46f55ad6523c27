//! The Prometheus text format (<https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4).

use std::{fmt::Write, sync::Arc};

use super::{
    Telemetry,
    histogram::below_power,
    process::ProcessReading,
    stats::{Ending, FunctionStats, Labels, Totals},
};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A figure of the whole node that is read when asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    pub name: &'static str,
    pub help: &'static str,
    /// `counter` only ever rises.
    pub counter: bool,
    pub value: u64,
}

impl Gauge {
    pub fn now(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, counter: false, value }
    }

    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, counter: true, value }
    }
}

/// Bucket borders of the duration histogram, as powers of two of a microsecond: 128 µs to 16.8 s. At these borders the
/// recorded scale is exact.
const POWERS: std::ops::RangeInclusive<u32> = 7..=24;

/// All metrics of the node: per function version, then `gauges`, then the process.
pub fn render(telemetry: &Telemetry, gauges: &[Gauge]) -> String {
    let functions: Vec<_> =
        telemetry.all().into_iter().map(|s| Series::of(&s, telemetry)).collect();
    let mut text = String::with_capacity(4096 + functions.len() * 4096);
    invocations(&mut text, &functions);
    durations(&mut text, &functions);
    plain(&mut text, &functions, "belay_throttled_total", "counter", "Refused with 429.", |t| {
        t.throttled.to_string()
    });
    plain(&mut text, &functions, "belay_cpu_seconds_total", "counter", "CPU time.", |t| {
        seconds(t.cpu_ns)
    });
    plain(
        &mut text,
        &functions,
        "belay_memory_peak_bytes",
        "gauge",
        "Largest memory of one invocation.",
        |t| t.peak_bytes.to_string(),
    );
    gauges.iter().for_each(|gauge| node_gauge(&mut text, telemetry.node(), gauge));
    process_gauges(ProcessReading::take())
        .iter()
        .for_each(|gauge| node_gauge(&mut text, telemetry.node(), gauge));
    text
}

struct Series {
    /// `app="…",function="…",…`, escaped, without braces.
    labels: String,
    totals: Totals,
}

impl Series {
    fn of(stats: &Arc<FunctionStats>, telemetry: &Telemetry) -> Self {
        let Labels { app, function, version, environment } = &stats.labels;
        let (environment, node) = (escape(&environment.0), escape(telemetry.node()));
        let labels = format!(
            r#"app="{app}",function="{function}",version="{version}",environment="{environment}",node="{node}""#
        );
        Self { labels, totals: stats.totals() }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    put(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = text.write_fmt(line);
}

fn invocations(text: &mut String, functions: &[Series]) {
    let name = "belay_invocations_total";
    head(text, name, "counter", "Finished invocations by outcome.");
    for Series { labels, totals } in functions {
        for ending in Ending::all() {
            let (outcome, count) = (ending.as_str(), totals.endings[ending.index()]);
            put(text, format_args!("{name}{{{labels},outcome=\"{outcome}\"}} {count}\n"));
        }
    }
}

fn durations(text: &mut String, functions: &[Series]) {
    let name = "belay_invocation_duration_seconds";
    head(text, name, "histogram", "Wall-clock time of invocations, waits included.");
    for Series { labels, totals } in functions {
        for power in POWERS {
            let le = seconds(1000 << power);
            let count = below_power(&totals.durations, power);
            put(text, format_args!("{name}_bucket{{{labels},le=\"{le}\"}} {count}\n"));
        }
        let count: u64 = totals.durations.iter().sum();
        put(text, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}\n"));
        put(text, format_args!("{name}_sum{{{labels}}} {}\n", seconds(totals.duration_ns)));
        put(text, format_args!("{name}_count{{{labels}}} {count}\n"));
    }
}

fn plain(
    text: &mut String,
    functions: &[Series],
    name: &str,
    kind: &str,
    help: &str,
    value: impl Fn(&Totals) -> String,
) {
    head(text, name, kind, help);
    for Series { labels, totals } in functions {
        put(text, format_args!("{name}{{{labels}}} {}\n", value(totals)));
    }
}

fn process_gauges(reading: ProcessReading) -> Vec<Gauge> {
    let readings = [
        ("process_resident_memory_bytes", "Resident memory.", reading.resident_bytes),
        ("process_open_fds", "Open file descriptors.", reading.open_fds),
        ("process_threads", "Threads of the process.", reading.threads),
    ];
    let gauge = |(name, help, value): (_, _, Option<u64>)| Some(Gauge::now(name, help, value?));
    readings.into_iter().filter_map(gauge).collect()
}

fn node_gauge(text: &mut String, node: &str, gauge: &Gauge) {
    let Gauge { name, help, counter, value } = gauge;
    head(text, name, if *counter { "counter" } else { "gauge" }, help);
    put(text, format_args!("{name}{{node=\"{}\"}} {value}\n", escape(node)));
}

/// Nanoseconds as seconds, exactly, without superfluous zeros.
fn seconds(nanos: u64) -> String {
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let text = format!("{whole}.{rest:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(crate) fn escape(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use belay_model::{Category, EnvironmentName, VersionNumber};

    use super::*;
    use crate::telemetry::Sample;

    #[test]
    fn a_page_of_metrics() {
        let telemetry = Telemetry::new("node \"a\"");
        let stats = telemetry.function(&Labels {
            app: "shop".parse().unwrap(),
            function: "price".parse().unwrap(),
            version: VersionNumber::FIRST,
            environment: EnvironmentName::default(),
        });
        let sample = |ending, us| Sample {
            ending,
            duration: Duration::from_micros(us),
            cpu: Duration::from_micros(us / 2),
            peak_bytes: us,
            written_bytes: us,
        };
        stats.record(&sample(Ending::Ok, 100));
        stats.record(&sample(Ending::Ok, 128));
        stats.record(&sample(Ending::Failed(Category::Timeout), 10_000_000));
        let text = render(&telemetry, &[Gauge::now("belay_slots", "Slots.", 3)]);
        let own: Vec<_> = text.lines().filter(|line| !line.contains("process_")).collect();
        insta::assert_snapshot!(own.join("\n"));
    }

    #[test]
    fn seconds_are_exact() {
        assert_eq!(seconds(128_000), "0.000128");
        assert_eq!(seconds(2_000_000_000), "2");
        assert_eq!(seconds(0), "0");
        assert_eq!(seconds(10_500_000_000), "10.5");
    }
}
