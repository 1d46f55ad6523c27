//! Cold starts: a function's first call after the server started, and the server itself.

use serde_json::json;

use crate::{
    Length,
    figure::{Bar, Report},
    functions::{ANSWER, EVENT},
    samples::{Samples, median},
    server::{Belay, Home, invoke_path},
};

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let apps = length.pick(50, 3);
    let home = Home::new()?;
    let belay = home.up()?;
    for app in 0..apps {
        belay.deploy(&name(app))?;
    }
    belay.stop()?;
    servers(&home, apps, length)?;
    functions(&home, apps)
}

fn name(app: usize) -> String {
    format!("app{app}")
}

/// From the start of the process until it answers, with some apps deployed.
fn servers(home: &Home, apps: usize, length: Length) -> anyhow::Result<()> {
    let starts = length.pick(10, 2);
    let mut warm = Vec::new();
    for _ in 0..starts {
        let belay = home.up()?;
        warm.push(belay.started_in.as_secs_f64() * 1e3);
        belay.stop()?;
    }
    let report = Report::new("cold", json!({ "apps": apps, "starts": starts }));
    report.promise("server.warm_cache.p50", median(warm), "ms", Bar::AtMost(150.0));
    let empty = Home::with_cache(home.path().join("empty-cache"))?;
    let belay = empty.up()?;
    let report = Report::new("cold", json!({ "apps": 0, "starts": 1 }));
    report.figure("server.cold_cache", belay.started_in.as_secs_f64() * 1e3, "ms");
    belay.stop()
}

fn functions(home: &Home, apps: usize) -> anyhow::Result<()> {
    let belay = home.up()?;
    let first = call_each(&belay, apps)?;
    let second = call_each(&belay, apps)?;
    let report = Report::new("cold", json!({ "functions": apps, "connections": 1 }));
    report.figure("function.first_call.p50", first.percentile_us(0.5), "us");
    report.figure("function.first_call.max", first.percentile_us(1.0), "us");
    report.figure("function.second_call.p50", second.percentile_us(0.5), "us");
    belay.stop()
}

fn call_each(belay: &Belay, apps: usize) -> anyhow::Result<Samples> {
    let mut client = belay.client()?;
    let mut samples = Samples::default();
    for app in 0..apps {
        let path = invoke_path(&name(app), "echo");
        samples.time(|| client.expect(&path, EVENT, ANSWER))?;
    }
    Ok(samples)
}
