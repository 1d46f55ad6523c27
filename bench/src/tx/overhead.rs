//! What it costs to look ahead when nothing fails.
//!
//! Two apps that differ in `@predict` alone take the same orders in turns, in short windows, so that a busy machine slows both. First
//! right after the start, when every transaction is mirrored: what is known is kept by transaction, so each of many functions
//! takes a few orders only. Then when mirroring has been sampled down as far as it goes.

use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    bank::{Bank, Store, World},
    cell,
    load::{self, Became, Record},
    money,
    order::{CALM, Orders},
};
use crate::{
    Length,
    client::Client,
    figure::{Bar, Report},
    float,
    samples::{Samples, median},
};

/// Functions, each a transaction of its own name.
const FUNCTIONS: u32 = 40;
const CLIENTS: u32 = 4;
/// Orders that each of them takes in a turn.
const EACH: u32 = 2;
/// From here on it is sampled down: twice the least share.
const ADAPTED: f64 = 0.1;
/// Windows within which it has to be.
const PATIENCE: u32 = 30;

/// What both have done.
#[derive(Default)]
struct Side {
    records: Vec<Record>,
    windows: Vec<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    goodput: f64,
    cpu_ms: f64,
    orders: f64,
    p50_us: f64,
}

pub(super) fn measure(
    world: &World,
    report: &Report,
    store: Store,
    length: Length,
) -> anyhow::Result<()> {
    let (plain, predict) = cell::banks(world, store, FUNCTIONS)?;
    let mut sides = [Side::default(), Side::default()];
    let banks = [&plain, &predict];
    for turn in 0..length.pick(4, 1) {
        in_turns(turn, |side| {
            let (records, window) = burst(world, banks[side])?;
            sides[side].add(records, window);
            Ok(())
        })?;
    }
    let sampled = world.known_of_all(&predict)?;
    let sampled: Vec<f64> = sampled.iter().filter_map(|known| known["sampled"].as_f64()).collect();
    let sampled = sampled.iter().sum::<f64>() / float(sampled.len().max(1));
    let name = format!("overhead.{}", store.name());
    print(report, &format!("{name}.start"), &mut sides, (sampled, None));
    adapt(world, &predict, &mut sides[1])?;
    for turn in 0..length.pick(6, 1) {
        in_turns(turn, |side| {
            let time = length.pick(Duration::from_millis(500), Duration::from_millis(250));
            sides[side].load(world, banks[side], time)
        })?;
    }
    let known = world.known(&predict)?.unwrap_or_default();
    let sampled = known["sampled"].as_f64().unwrap_or_default();
    let bar = Bar::AtLeast(0.9);
    print(report, &format!("{name}.adapted"), &mut sides, (sampled, Some(bar)));
    check(world, store, &banks, &sides)?;
    world.close(plain)?;
    world.close(predict)
}

/// Counts the money of both.
fn check(world: &World, store: Store, banks: &[&Bank; 2], sides: &[Side; 2]) -> anyhow::Result<()> {
    let [plain, predict] = sides.each_ref().map(|side| &side.records);
    let of = |bank: &Bank, records: &[Record]| {
        money::check(records, &bank.audit()?, &world.provider).map(drop)
    };
    match store {
        Store::Kv | Store::Sqlite => {
            of(banks[0], plain)?;
            of(banks[1], predict)
        }
        // There both have one database, so one set of books.
        Store::Postgres => of(banks[0], &[plain.clone(), predict.clone()].concat()),
    }
}

/// Who is first changes.
fn in_turns(turn: u32, mut side: impl FnMut(usize) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let first = usize::from(turn % 2 == 1);
    side(first)?;
    side(1 - first)
}

impl Side {
    fn add(&mut self, records: Vec<Record>, window: Window) {
        self.records.extend(records);
        self.windows.push(window);
    }

    /// Orders of one function, for so long.
    fn load(&mut self, world: &World, bank: &Bank, time: Duration) -> anyhow::Result<()> {
        let run = load::run(world, bank, CALM, (CLIENTS, time))?;
        let measured: Vec<Record> = run.in_time().cloned().collect();
        let window = Window::of(&measured, run.seconds(), run.cpu_ms);
        self.add(run.records, window);
        Ok(())
    }
}

impl Window {
    fn of(records: &[Record], seconds: f64, cpu_ms: f64) -> Self {
        let done = records.iter().filter(|record| record.became == Became::Done).count();
        let mut took = Samples::default();
        records.iter().for_each(|record| took.add(record.took));
        let orders = float(records.len());
        Self { goodput: float(done) / seconds, cpu_ms, orders, p50_us: took.percentile_us(0.5) }
    }
}

/// A few orders for each of the functions.
fn burst(world: &World, bank: &Bank) -> anyhow::Result<(Vec<Record>, Window)> {
    let (next, cpu_ms, start) = (AtomicU32::new(0), bank.process.cpu_ms()?, Instant::now());
    let records = thread::scope(|scope| {
        let callers: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (next, orders) = (&next, Orders::new(client, CALM, &world.ids));
                scope.spawn(move || call_each(bank, orders, next))
            })
            .collect();
        let joined = callers
            .into_iter()
            .map(|caller| caller.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.collect::<anyhow::Result<Vec<Vec<Record>>>>()
    })?;
    let records = records.concat();
    let window =
        Window::of(&records, start.elapsed().as_secs_f64(), bank.process.cpu_ms()? - cpu_ms);
    Ok((records, window))
}

fn call_each(bank: &Bank, mut orders: Orders, next: &AtomicU32) -> anyhow::Result<Vec<Record>> {
    let (mut client, mut records) = (Client::connect(bank.address)?, Vec::new());
    loop {
        let number = next.fetch_add(1, Relaxed);
        if number >= FUNCTIONS * EACH {
            return Ok(records);
        }
        let path = bank.path(&format!("order{}", number % FUNCTIONS));
        records.push(load::ask(&mut client, &path, orders.next())?);
    }
}

/// Has one function called until it is sampled down.
fn adapt(world: &World, bank: &Bank, side: &mut Side) -> anyhow::Result<()> {
    for _ in 0..PATIENCE {
        let known: Value = world.known(bank)?.unwrap_or_default();
        if known["sampled"].as_f64().is_some_and(|sampled| sampled <= ADAPTED) {
            break;
        }
        side.load(world, bank, Duration::from_millis(100))?;
    }
    side.windows.clear();
    Ok(())
}

/// Ratios of the windows since the last time, those with prediction to those without.
fn print(report: &Report, name: &str, sides: &mut [Side; 2], (sampled, bar): (f64, Option<Bar>)) {
    let [plain, predict] = sides.each_mut().map(|side| std::mem::take(&mut side.windows));
    let of = |windows: &[Window], value: fn(&Window) -> f64| median(windows.iter().map(value));
    let ratio = |value: fn(&Window) -> f64| of(&predict, value) / of(&plain, value);
    // Summed up, as ticks are coarse.
    let cpu = |windows: &[Window]| {
        let sum = |value: fn(&Window) -> f64| windows.iter().map(value).sum::<f64>();
        sum(|window| window.cpu_ms) / sum(|window| window.orders)
    };
    let goodput = format!("{name}.goodput");
    match bar {
        Some(bar) => {
            report.promise(&goodput, ratio(|window| window.goodput), "of that without", bar);
        }
        None => report.figure(&goodput, ratio(|window| window.goodput), "of that without"),
    }
    report.figure(&format!("{name}.p50"), ratio(|window| window.p50_us), "of that without");
    report.figure(&format!("{name}.cpu"), cpu(&predict) / cpu(&plain), "of that without");
    report.figure(&format!("{name}.sampled"), sampled, "of transactions");
    report.figure(&format!("{name}.plain.cpu"), cpu(&plain), "ms an order");
    report.figure(&format!("{name}.plain.goodput"), of(&plain, |it| it.goodput), "done/s");
}
