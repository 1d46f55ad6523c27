//! Clients that order one transfer after the other, and what became of each.
//!
//! Whoever is told that a transfer has failed wants it all the same, and orders it again, as a new one, until it is done or put off:
//! who gives up early is not quick. One for more than there is fails for good.

use std::{
    panic::resume_unwind,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::{
    bank::{Bank, World},
    order::{Order, Orders, Scenario, TROUBLE},
    provider::Mood,
};
use crate::{client::Client, samples::Samples};

/// Of each client before it is measured: connections are opened, pages are there.
const WARM_UP: usize = 5;
/// Trouble has passed long before the end of a run, so whatever was ordered by then is done soon after it.
const SETTLED_BY: Duration = Duration::from_secs(20);
/// Of each client; time ends a run long before.
const ORDERS_MAX: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    Done,
    /// Another way was taken, which pays nobody.
    Later,
    Failed,
}

#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) order: Order,
    pub(super) became: Became,
    pub(super) attempts: u32,
    pub(super) began: Instant,
    pub(super) took: Duration,
    /// Since the transfer was first ordered; nothing where it is ordered again.
    pub(super) settled: Option<Duration>,
    /// What the client was told of a failure.
    pub(super) why: String,
}

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    /// Also those before the start.
    pub(super) records: Vec<Record>,
    pub(super) start: Instant,
    /// Nothing new is ordered after that.
    pub(super) end: Instant,
    /// When the provider was not well.
    pub(super) trouble: Option<(Instant, Instant)>,
    /// Of the server that was asked.
    pub(super) cpu_ms: f64,
}

impl Run {
    /// What counts for the figures.
    pub(super) fn measured(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.began >= self.start)
    }

    /// Those of them that were answered by the end: what counts for rates.
    pub(super) fn in_time(&self) -> impl Iterator<Item = &Record> {
        self.measured().filter(|record| record.began + record.took <= self.end)
    }

    /// How long it was until transfers were done or put off.
    pub(super) fn settled(&self) -> Samples {
        let mut settled = Samples::default();
        self.measured().filter_map(|record| record.settled).for_each(|took| settled.add(took));
        settled
    }

    /// One in which nothing is done shows nothing.
    pub(super) fn insist(&self) -> anyhow::Result<()> {
        let done = self.records.iter().any(|record| record.became == Became::Done);
        let why = self.records.iter().map(|record| &record.why).find(|why| !why.is_empty());
        ensure!(done, "no order was done; the first that failed did so for {why:?}");
        Ok(())
    }

    pub(super) fn seconds(&self) -> f64 {
        (self.end - self.start).as_secs_f64()
    }
}

/// So many clients order for so long.
pub(super) fn run(
    world: &World,
    bank: &Bank,
    scenario: Scenario,
    (clients, time): (u32, Duration),
) -> anyhow::Result<Run> {
    let barrier = Barrier::new(clients as usize + 1);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..clients)
            .map(|client| {
                let (barrier, orders) = (&barrier, Orders::new(client, scenario, &world.ids));
                scope.spawn(move || call(bank, orders, barrier, time))
            })
            .collect();
        barrier.wait();
        let (start, cpu_ms) = (Instant::now(), bank.process.cpu_ms()?);
        let trouble = troubled(world, scenario.mood, (start, time));
        let mut records = Vec::new();
        let mut failed = None;
        for caller in callers {
            match caller.join().unwrap_or_else(|panic| resume_unwind(panic)) {
                Ok(own) => records.extend(own),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let cpu_ms = bank.process.cpu_ms()? - cpu_ms;
        Ok(Run { records, start, end: start + time, trouble, cpu_ms })
    })
}

/// Has the provider be so in the middle of the run.
fn troubled(
    world: &World,
    mood: Mood,
    (start, time): (Instant, Duration),
) -> Option<(Instant, Instant)> {
    if mood == Mood::Well {
        return None;
    }
    let until = |share| {
        let at = start + time.mul_f64(share);
        thread::sleep(at.saturating_duration_since(Instant::now()));
    };
    until(TROUBLE.0);
    world.provider.be(mood);
    let from = Instant::now();
    until(TROUBLE.1);
    world.provider.be(Mood::Well);
    Some((from, Instant::now()))
}

/// One client.
fn call(
    bank: &Bank,
    mut orders: Orders,
    barrier: &Barrier,
    time: Duration,
) -> anyhow::Result<Vec<Record>> {
    let (mut records, path) = (Vec::new(), bank.path("order0"));
    let mut client = Client::connect(bank.address);
    let mut ask = |order| match &mut client {
        Ok(client) => ask(client, &path, order),
        Err(error) => bail!("{error:#}"),
    };
    let warm: anyhow::Result<Vec<Record>> =
        (0..WARM_UP).map(|_| ask(Orders::next(&mut orders))).collect();
    // Whatever has happened, the others wait for this one.
    barrier.wait();
    records.extend(warm?);
    let end = Instant::now() + time;
    while Instant::now() < end && records.len() < ORDERS_MAX {
        let (mut order, first) = (orders.next(), Instant::now());
        loop {
            let mut record = ask(order)?;
            let again = record.became == Became::Failed && !order.is_invalid();
            ensure!(
                Instant::now() < end + SETTLED_BY,
                "{order:?} fails again and again: {}",
                record.why
            );
            record.settled = (!again).then(|| first.elapsed());
            records.push(record);
            if !again {
                break;
            }
            order = orders.again(order);
        }
    }
    Ok(records)
}

/// One order.
pub(super) fn ask(client: &mut Client, path: &str, order: Order) -> anyhow::Result<Record> {
    let began = Instant::now();
    let answer = client.ask(path, &order.event()).with_context(|| format!("{path}: {order:?}"))?;
    let took = began.elapsed();
    let told: Value = serde_json::from_str(&answer).unwrap_or_default();
    let became = match told["status"].as_str() {
        Some("done") => Became::Done,
        Some("later") => Became::Later,
        Some("failed") => Became::Failed,
        _ => bail!("{path} answered {answer:?}"),
    };
    let why = told["why"].as_str().unwrap_or_default();
    if why.starts_with("TX_UNKNOWN") {
        bail!("nobody knows what became of {order:?}, though no connection was cut: {why}");
    }
    let attempts = told["attempts"].as_u64().and_then(|attempts| attempts.try_into().ok());
    let attempts = attempts.with_context(|| format!("no attempts: {answer}"))?;
    Ok(Record { order, became, attempts, began, took, settled: Some(took), why: why.to_owned() })
}
