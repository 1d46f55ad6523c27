//! The engine alone, without a server: what a request, a fork, a snapshot and a deploy cost.
//!
//! Fresh instances and warm reuse are measured in turns within one run, so that a busy machine slows both.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use belay_engine::{Engine, FunctionImage, Instance, Seed, Start, Step};
use belay_model::{Arm, EnvironmentName, Limits, Outcome};
use serde_json::json;

use crate::{
    Length,
    figure::{Bar, Report},
    functions::{ANSWER, ECHO, EVENT, WAITS, program},
    samples::Samples,
};

/// Guest code needs more native stack than a thread has by default.
pub(crate) const STACK_BYTES: usize = 32 << 20;

const CONTEXT: &str = r#"{"awsRequestId":"00000000-0000-4000-8000-000000000000","functionName":"bench.echo","functionVersion":"1","invokedFunctionArn":"arn:belay:bench.echo","memoryLimitInMB":"128","deadlineMs":4102444800000,"traceparent":"00-00000000000000000000000000000001-0000000000000001-00"}"#;

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    on_deep_stack(|| measure(length))
}

/// Runs `work` on a thread that guest code may run on.
pub(crate) fn on_deep_stack<T: Send>(
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Starts an invocation of the entry with the usual event.
pub(crate) fn start(image: &FunctionImage, entry: usize) -> anyhow::Result<Instance> {
    start_with(image, entry, EVENT, &[])
}

/// Starts an invocation of the entry, on the arms that hold for its parts.
pub(crate) fn start_with(
    image: &FunctionImage,
    entry: usize,
    event: &str,
    arms: &[Arm],
) -> anyhow::Result<Instance> {
    let limits = Limits::default();
    Ok(image.start(Start { entry, event, context: CONTEXT, limits, seed: [7; 32], arms })?)
}

/// A whole request: a fresh instance, the handler, and the reset of its memory.
pub(crate) fn echo_once(image: &FunctionImage) -> anyhow::Result<()> {
    answered(start(image, ECHO)?.step())
}

fn answered(step: Step) -> anyhow::Result<()> {
    match step {
        Step::Done(result) => {
            ensure!(result == ANSWER, "echo answered {result}");
            Ok(())
        }
        Step::Failed(failure) => bail!("echo failed: {failure}"),
        Step::Pending { .. } => bail!("echo waits for something"),
    }
}

fn measure(length: Length) -> anyhow::Result<()> {
    let cores = thread::available_parallelism()?.get();
    let report = Report::new(
        "engine",
        json!({ "cores": cores, "threads": 1, "short": length == Length::Short }),
    );
    let cache = tempfile::tempdir()?;
    let engine = open(&report, cache.path())?;
    let image = engine.build(&program(0)).context("building the functions")?.image;
    requests(&report, &image, length)?;
    waiting(&report, &image, length)?;
    forks(&report, &image, length)?;
    snapshots(&report, &image, length)?;
    deploys(&report, &engine, length)?;
    scaling(&image, length)
}

/// Opens the environment twice: the first time compiles the engine image, the second finds it on disk.
fn open(report: &Report, cache: &Path) -> anyhow::Result<Engine> {
    for figure in ["open.cold_cache", "open.warm_cache"] {
        let start = Instant::now();
        Engine::open(&EnvironmentName::default(), cache)?;
        report.figure(figure, start.elapsed().as_secs_f64() * 1e3, "ms");
    }
    Ok(Engine::open(&EnvironmentName::default(), cache)?)
}

fn requests(report: &Report, image: &FunctionImage, length: Length) -> anyhow::Result<()> {
    let (rounds, requests) = length.pick((20, 10_000), (3, 1_000));
    // Its limits cover the whole run, as it is one instance.
    let limits = Limits { timeout_ms: 900_000, cpu_ms: 900_000, ..Limits::default() };
    let mut warm = image.start(Start {
        entry: ECHO,
        event: EVENT,
        context: CONTEXT,
        limits,
        seed: [7; 32],
        arms: &[],
    })?;
    let (mut fresh_samples, mut warm_samples) = (Samples::default(), Samples::default());
    Samples::take(200, || echo_once(image))?;
    for _ in 0..rounds {
        fresh_samples.extend(Samples::take(requests, || echo_once(image))?);
        warm_samples.extend(Samples::take(requests, || {
            answered(warm.run_without_isolation(ECHO, EVENT, CONTEXT))
        })?);
    }
    let (fresh_p50, warm_p50) = (fresh_samples.percentile_us(0.5), warm_samples.percentile_us(0.5));
    report.figure("fresh.p50", fresh_p50, "us");
    report.figure("fresh.p99", fresh_samples.percentile_us(0.99), "us");
    report.figure("warm_reuse.p50", warm_p50, "us");
    report.promise("fresh_to_warm", fresh_p50 / warm_p50, "ratio", Bar::AtMost(3.0));
    let rate = crate::float(fresh_samples.count()) / fresh_samples.total().as_secs_f64();
    report.promise("fresh.rate", rate, "instances/s", Bar::AtLeast(40_000.0));
    Ok(())
}

/// A handler that waits three times: each wait leaves the guest and comes back.
fn waiting(report: &Report, image: &FunctionImage, length: Length) -> anyhow::Result<()> {
    let samples = Samples::take(length.pick(20_000, 500), || {
        let mut instance = start(image, WAITS)?;
        for _ in 0..3 {
            answer_calls(&mut instance)?;
        }
        answered_waits(instance.step())
    })?;
    report.figure("three_awaits.p50", samples.percentile_us(0.5), "us");
    Ok(())
}

/// Steps, and answers each call that the function then waits for.
fn answer_calls(instance: &mut Instance) -> anyhow::Result<()> {
    let Step::Pending { calls, .. } = instance.step() else { bail!("the function does not wait") };
    for call in calls {
        instance.resolve(call.id, Outcome::json(r#"{"found":false}"#));
    }
    Ok(())
}

fn answered_waits(step: Step) -> anyhow::Result<()> {
    let Step::Done(result) = step else { bail!("the function does not end: {step:?}") };
    ensure!(result == r#"{"n":44}"#, "waits answered {result}");
    Ok(())
}

/// Forks of an invocation that waits: into a slot that had the same image, and into a new one.
fn forks(report: &Report, image: &FunctionImage, length: Length) -> anyhow::Result<()> {
    let mut parent = paused(image)?;
    let hot = Samples::take(length.pick(5_000, 200), || parent.fork(Seed::Keep).map(drop))?;
    report.figure("fork.hot.p50", hot.percentile_us(0.5), "us");
    let mut children = Vec::new();
    let cold = Samples::take(length.pick(400, 50), || {
        parent.fork(Seed::Keep).map(|child| children.push(child))
    })?;
    report.figure("fork.cold.p50", cold.percentile_us(0.5), "us");
    for mut child in children.into_iter().take(3) {
        finish_paused(&mut child)?;
    }
    Ok(())
}

/// An invocation of `waits` at its first await.
pub(crate) fn paused(image: &FunctionImage) -> anyhow::Result<Instance> {
    let mut instance = start(image, WAITS)?;
    answer_calls(&mut instance)?;
    Ok(instance)
}

fn finish_paused(instance: &mut Instance) -> anyhow::Result<()> {
    answer_calls(instance)?;
    answer_calls(instance)?;
    answered_waits(instance.step())
}

fn snapshots(report: &Report, image: &FunctionImage, length: Length) -> anyhow::Result<()> {
    let mut instance = paused(image)?;
    let count = length.pick(500, 20);
    let bytes = instance.snapshot()?;
    let write = Samples::take(count, || instance.snapshot())?;
    let limits = Limits::default();
    let restore = Samples::take(count, || image.restore(&bytes, &limits))?;
    report.figure("snapshot.size", crate::float(bytes.len()) / 1e3, "kB");
    report.figure("snapshot.write.p50", write.percentile_us(0.5), "us");
    report.figure("snapshot.restore.p50", restore.percentile_us(0.5), "us");
    finish_paused(&mut image.restore(&bytes, &limits)?)
}

/// Building a function image from ready JavaScript, and loading a stored one.
fn deploys(report: &Report, engine: &Engine, length: Length) -> anyhow::Result<()> {
    let program = program(1);
    let count = length.pick(200, 10);
    let build = Samples::take(count, || engine.build(&program))?;
    let stored = engine.build(&program)?.image.to_bytes();
    let load = Samples::take(count, || {
        engine.load(&stored).map_err(anyhow::Error::from).and_then(|image| echo_once(&image))
    })?;
    report.figure("build.p50", build.percentile_us(0.5) / 1e3, "ms");
    report.figure("image.size", crate::float(stored.len()) / 1e3, "kB");
    report.figure("load_and_first_call.p50", load.percentile_us(0.5) / 1e3, "ms");
    Ok(())
}

/// The rate of fresh instances on one thread and on two.
fn scaling(image: &FunctionImage, length: Length) -> anyhow::Result<()> {
    let time = length.pick(Duration::from_secs(5), Duration::from_millis(300));
    let cores = thread::available_parallelism()?.get();
    let mut rates = Vec::new();
    for threads in [1, 2] {
        let report = Report::new("engine", json!({ "cores": cores, "threads": threads }));
        let rate = parallel_rate(image, threads, time)?;
        report.figure("scaling.rate", rate, "instances/s");
        rates.push(rate);
    }
    let report = Report::new("engine", json!({ "cores": cores, "threads": 2 }));
    report.figure("scaling.two_threads_to_one", rates[1] / rates[0], "ratio");
    Ok(())
}

fn parallel_rate(image: &FunctionImage, threads: u32, time: Duration) -> anyhow::Result<f64> {
    let worker = || on_deep_stack(|| count_within(image, time));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let counts = workers.into_iter().map(|worker| match worker.join() {
            Ok(count) => count,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let total: usize = counts.sum::<anyhow::Result<usize>>()?;
        Ok(crate::float(total) / time.as_secs_f64())
    })
}

fn count_within(image: &FunctionImage, time: Duration) -> anyhow::Result<usize> {
    let (end, mut count) = (Instant::now() + time, 0);
    while Instant::now() < end {
        echo_once(image)?;
        count += 1;
    }
    Ok(count)
}
