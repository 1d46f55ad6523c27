//! Transactions: transfers between accounts that pay a provider outside, as SmallBank's with a hot spot, when nothing is wrong, when
//! others are in the way, and when the provider is slow, fails, or is asked for orders that cannot be kept.
//!
//! The same function without `@predict` and with it, over the kv, SQLite and PostgreSQL, beside the same logic in Node with the `pg`
//! package and a retry loop. After each run all money is counted ([`money`]); that it is not all there fails the benchmark.
//!
//! `BELAY_BENCH_ONLY=kv.slow` runs the cells of which the names begin so, for whoever works on one of them. `BELAY_BENCH_HOT=0.5` sets
//! the share of orders that touch a hot account in the scenario `hot`, 0 to 1 (0.9 where nothing is said): how much others have to be in the
//! way before it pays to do something about it.

mod bank;
mod cell;
mod database;
mod load;
mod money;
mod order;
mod overhead;
mod provider;

use std::{thread, time::Duration};

use belay_engine::Seed;
use serde_json::{Value, json};

use self::{
    bank::{Competitor, Store, World},
    cell::Pool,
    order::{
        CALM, CLIENTS_MAX, HOT_SPOT, INVALID, RETRIES, SCENARIOS, SLOW, Scenario, TIMEOUT_MS,
        TROUBLE, hot_share,
    },
    provider::{Mood, USUAL_MS},
};
use crate::{
    Length, engine,
    figure::{Bar, Report},
    functions::program,
    samples::Samples,
};

const COMPETITORS: [Competitor; 3] = [Competitor::Plain, Competitor::Predict, Competitor::Node];
/// Runs with so many clients and more are what the promises are held against: with one, nobody is in the way.
const PROMISED_FROM: u32 = 4;

/// What the snapshot of a transaction and its mirror cost: two forks of an invocation that waits.
pub(crate) fn snapshot(length: Length) -> anyhow::Result<()> {
    engine::on_deep_stack(|| {
        let cache = tempfile::tempdir()?;
        let engine = belay_engine::Engine::open(&Default::default(), cache.path())?;
        let image = engine.build(&program(0))?.image;
        let mut instance = engine::paused(&image)?;
        let count = length.pick(5_000, 200);
        let taken = Samples::take(count, || -> anyhow::Result<_> {
            let mut snapshot = instance.fork(Seed::Keep)?;
            let mirror = snapshot.fork(Seed::Keep)?;
            Ok((snapshot, mirror))
        })?;
        let report = Report::new(
            "tx",
            json!({ "heap": "default", "count": count, "of": "two forks, and their end" }),
        );
        let p50 = taken.percentile_us(0.5);
        report.promise("snapshot.p50", p50, "us", Bar::AtMost(100.0));
        report.figure("snapshot.p99", taken.percentile_us(0.99), "us");
        Ok(())
    })
}

/// Every scenario, over every store, by all competitors.
pub(crate) fn cells(length: Length) -> anyhow::Result<()> {
    let hot = hot_share()?;
    let world = World::new(length)?;
    let report = Report::new("tx", conditions(&world, hot)?);
    for store in Store::ALL {
        let competitors = COMPETITORS.into_iter();
        let competitors: Vec<Competitor> =
            competitors.filter(|it| cell::is_there(&world, &report, store, *it)).collect();
        for scenario in scenarios(store, length).into_iter().map(|it| it.with_hot(hot)) {
            if !is_wanted(store, scenario) {
                continue;
            }
            compare(&world, &report, (store, scenario), &competitors, length)?;
        }
    }
    world.stop()
}

fn is_wanted(store: Store, scenario: Scenario) -> bool {
    let only = std::env::var("BELAY_BENCH_ONLY").unwrap_or_default();
    format!("{}.{}", store.name(), scenario.name).starts_with(&only)
}

/// A short run has one that fails by itself, or one where others are in the way.
fn scenarios(store: Store, length: Length) -> Vec<Scenario> {
    match (length, store) {
        (Length::Full, _) => SCENARIOS.to_vec(),
        (Length::Short, Store::Kv) => SCENARIOS.to_vec(),
        (Length::Short, Store::Sqlite) => vec![HOT_SPOT],
        (Length::Short, Store::Postgres) => vec![HOT_SPOT, INVALID],
    }
}

/// One scenario, with more and more clients; then what is promised of it.
fn compare(
    world: &World,
    report: &Report,
    (store, scenario): (Store, Scenario),
    competitors: &[Competitor],
    length: Length,
) -> anyhow::Result<()> {
    let mut pools: Vec<Pool> = competitors.iter().map(|_| Pool::default()).collect();
    let mut foreseen = Pool::default();
    let time = Duration::from_secs_f64(length.pick(scenario.seconds.0, scenario.seconds.1));
    for clients in length.pick(vec![1, PROMISED_FROM, CLIENTS_MAX], vec![PROMISED_FROM]) {
        let mut interval = None;
        for (competitor, pool) in competitors.iter().zip(&mut pools) {
            let what = (store, scenario, *competitor);
            let cell = cell::measure(world, report, what, (clients, time), interval)?;
            interval = Some(cell.interval);
            if clients >= PROMISED_FROM {
                cell.add_to(pool);
            }
            if *competitor == Competitor::Predict && cell.is_truth_known() {
                cell.add_to(&mut foreseen);
            }
        }
    }
    let of = |wanted| competitors.iter().zip(&pools).find(|(it, _)| **it == wanted);
    if let (Some((_, plain)), Some((_, predict))) = (of(Competitor::Plain), of(Competitor::Predict))
    {
        promises(report, (store, scenario), plain, predict);
        forecasts(report, (store, scenario), &foreseen);
    }
    Ok(())
}

fn promises(report: &Report, (store, scenario): (Store, Scenario), plain: &Pool, predict: &Pool) {
    let name = format!("{}.{}", store.name(), scenario.name);
    // Whoever diverts everything wastes nothing, and does nothing either.
    let goodput = predict.goodput() / plain.goodput();
    report.figure(&format!("{name}.goodput.predict_to_plain"), goodput, "ratio");
    if scenario.hot > 0.0 || scenario.mood != Mood::Well {
        let fewer = plain.wasted_to(predict);
        report.promise(
            &format!("{name}.wasted.plain_to_predict"),
            fewer,
            "ratio",
            Bar::AtLeast(2.0),
        );
        let p99 = predict.p99_ms() / plain.p99_ms();
        report.promise(&format!("{name}.p99.predict_to_plain"), p99, "ratio", Bar::AtMost(1.0));
        let answered = predict.answered_p99_ms() / plain.answered_p99_ms();
        report.figure(&format!("{name}.answered.p99.predict_to_plain"), answered, "ratio");
    }
}

/// The classes of failures of which it is promised that they are foreseen: held against what the benchmark did to each order.
fn forecasts(report: &Report, (store, scenario): (Store, Scenario), foreseen: &Pool) {
    if ![INVALID.name, SLOW.name].contains(&scenario.name) {
        return;
    }
    let promise = |what: &str, value: Option<f64>, unit: &str, bar: f64| {
        // What was never called has found nothing.
        let (value, bar) = (value.unwrap_or_default(), Bar::AtLeast(bar));
        let name = format!("{}.{}.{what}", store.name(), scenario.name);
        report.promise(&name, value, unit, bar);
    };
    promise("precision", foreseen.precision(), "of orders diverted or given time", 0.9);
    promise("recall", foreseen.recall(), "of orders that had to fail", 0.7);
}

/// What looking ahead costs when nothing fails.
pub(crate) fn overhead(length: Length) -> anyhow::Result<()> {
    let world = World::new(length)?;
    let report = Report::new("tx", conditions(&world, CALM.hot)?);
    for store in length.pick(&Store::ALL[..], &Store::ALL[..1]) {
        if cell::is_there(&world, &report, *store, Competitor::Predict) {
            overhead::measure(&world, &report, *store, length)?;
        }
    }
    world.stop()
}

/// `hot`: the share of orders that touch a hot account, where the scenario has such.
fn conditions(world: &World, hot: f64) -> anyhow::Result<Value> {
    let postgres = world.database.as_ref().map_or("none", |database| &database.version);
    Ok(json!({
        "cores": thread::available_parallelism()?.get(),
        "postgres": postgres,
        "provider_ms": USUAL_MS,
        "timeout_ms": TIMEOUT_MS,
        "retries": RETRIES,
        "trouble": TROUBLE,
        "hot": hot,
        "wasted": "attempts that did not commit, but for those diverted in time",
        "p50, p99": "until a transfer is done or put off: one that failed is ordered again; corrected for coordinated omission",
        "answered": "until a client is told anything, also that it failed",
    }))
}
