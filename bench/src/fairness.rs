//! A function that burns CPU must not delay others: trivial calls alone, and while another function
//! spins on one core.

use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    Length,
    client::Client,
    figure::{Bar, Report},
    functions::{ANSWER, EVENT},
    samples::Samples,
    server::{Belay, Home, invoke_path},
};

const APP: &str = "bench";
/// However slow the machine is.
const TIME_MAX: Duration = Duration::from_secs(60);

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let home = Home::new()?;
    let belay = home.up()?;
    belay.deploy(APP)?;
    for connections in [1, 8] {
        compare(&belay, connections, length.pick(40_000, 2_000))?;
    }
    belay.stop()
}

fn compare(belay: &Belay, connections: u32, calls: u32) -> anyhow::Result<()> {
    time_calls(belay, connections, calls / 10)?;
    let alone = time_calls(belay, connections, calls)?;
    let beside = beside_spinning(belay, connections, calls)?;
    let cores = thread::available_parallelism()?.get();
    let spinning = "one function, one connection";
    let report = Report::new(
        "fairness",
        json!({ "cores": cores, "calls": calls, "connections": connections, "spinning": spinning }),
    );
    for (name, samples) in [("alone", &alone), ("beside_spinning", &beside)] {
        report.figure(&format!("{name}.p50"), samples.percentile_us(0.5), "us");
        report.figure(&format!("{name}.p99"), samples.percentile_us(0.99), "us");
    }
    let ratio = beside.percentile_us(0.99) / alone.percentile_us(0.99);
    report.promise("p99_beside_to_alone", ratio, "ratio", Bar::AtMost(5.0));
    Ok(())
}

/// Calls `echo`, on each connection one after the other.
fn time_calls(belay: &Belay, connections: u32, calls: u32) -> anyhow::Result<Samples> {
    let each = || time_connection(belay, calls / connections);
    let mut samples = Samples::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(each)).collect();
        for thread in threads {
            samples.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(samples)
    })
}

fn time_connection(belay: &Belay, calls: u32) -> anyhow::Result<Samples> {
    let (mut client, path, start) = (belay.client()?, invoke_path(APP, "echo"), Instant::now());
    let mut samples = Samples::default();
    for _ in 0..calls {
        samples.time(|| client.expect(&path, EVENT, ANSWER))?;
        if start.elapsed() > TIME_MAX {
            break;
        }
    }
    Ok(samples)
}

fn beside_spinning(belay: &Belay, connections: u32, calls: u32) -> anyhow::Result<Samples> {
    let (mut client, stop) = (belay.client()?, AtomicBool::new(false));
    thread::scope(|scope| {
        let spinner = scope.spawn(|| spin(&mut client, &stop));
        // So that the first calls already meet it.
        belay.client()?.expect(&invoke_path(APP, "spin"), r#"{"ms":20}"#, r#"{"spun":true}"#)?;
        let samples = time_calls(belay, connections, calls);
        stop.store(true, Ordering::Relaxed);
        spinner.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        samples
    })
}

/// Keeps one invocation of `spin` running at all times.
fn spin(client: &mut Client, stop: &AtomicBool) -> anyhow::Result<()> {
    let (path, start) = (invoke_path(APP, "spin"), Instant::now());
    while !stop.load(Ordering::Relaxed) && start.elapsed() < 2 * TIME_MAX {
        client.expect(&path, r#"{"ms":1000}"#, r#"{"spun":true}"#)?;
    }
    Ok(())
}
