//! Nothing grows: a million requests, and a thousand functions that are deployed and called once.

use std::time::{Duration, Instant};

use anyhow::Context;
use belay_engine::Engine;
use belay_model::EnvironmentName;
use serde_json::json;

use crate::{
    Length,
    engine::{echo_once, on_deep_stack},
    figure::{Bar, Report},
    functions::{ANSWER, EVENT, program},
    process::Process,
    server::{Home, invoke_path},
};

/// However slow the machine is.
const TIME_MAX: Duration = Duration::from_secs(600);

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    functions(length.pick(1_000, 50))?;
    on_deep_stack(|| requests(length.pick(1_000_000, 50_000)))
}

/// What must not grow.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    resident_mb: f64,
    descriptors: usize,
    mappings: usize,
    slots: usize,
}

impl Footprint {
    fn of(engine: &Engine) -> anyhow::Result<Self> {
        let own = Process::own();
        let pool = engine.pool_stats();
        Ok(Self {
            resident_mb: own.resident_mb()?,
            descriptors: own.descriptors()?,
            mappings: own.mappings()?,
            slots: pool.slots,
        })
    }
}

/// The first requests fill caches; growth is counted from there on.
fn requests(count: usize) -> anyhow::Result<()> {
    let cache = tempfile::tempdir()?;
    let engine = Engine::open(&EnvironmentName::default(), cache.path())?;
    let image = engine.build(&program(0)).context("building the functions")?.image;
    for _ in 0..1_000 {
        echo_once(&image)?;
    }
    let (before, start) = (Footprint::of(&engine)?, Instant::now());
    let mut done = 0;
    while done < count && start.elapsed() < TIME_MAX {
        echo_once(&image)?;
        done += 1;
    }
    let after = Footprint::of(&engine)?;
    let report = Report::new("soak", json!({ "requests": done, "threads": 1 }));
    let growth = |now: usize, then: usize| crate::float(now) - crate::float(then);
    report.figure("resident.before", before.resident_mb, "MB");
    let grown = after.resident_mb - before.resident_mb;
    report.promise("resident.growth", grown, "MB", Bar::AtMost(1.0));
    let descriptors = growth(after.descriptors, before.descriptors);
    report.promise("descriptors.growth", descriptors, "count", Bar::AtMost(0.0));
    report.promise("slots.growth", growth(after.slots, before.slots), "count", Bar::AtMost(0.0));
    report.promise(
        "mappings.growth",
        growth(after.mappings, before.mappings),
        "count",
        Bar::AtMost(0.0),
    );
    report.figure("rate", crate::float(done) / start.elapsed().as_secs_f64(), "requests/s");
    Ok(())
}

/// Apps that share nothing but the engine, all deployed on one server, each called once.
fn functions(count: usize) -> anyhow::Result<()> {
    let home = Home::new()?;
    // The first start compiles the engine image, which leaves its traces in the allocator.
    home.up()?.stop()?;
    let belay = home.up()?;
    let report = Report::new("soak", json!({ "functions": count, "each": "an app of its own" }));
    report.figure("server.resident", belay.process().resident_mb()?, "MB");
    let name = |number: usize| format!("app{number}");
    for number in 0..count {
        belay.deploy(&name(number))?;
    }
    let limit = Bar::AtMost(150.0);
    report.promise("functions.deployed.resident", belay.process().resident_mb()?, "MB", limit);
    let mut client = belay.client()?;
    for number in 0..count {
        client.expect(&invoke_path(&name(number), "echo"), EVENT, ANSWER)?;
    }
    report.promise("functions.called_once.resident", belay.process().resident_mb()?, "MB", limit);
    belay.stop()
}
