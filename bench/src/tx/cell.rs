//! One run of one competitor, and what is printed of it.
//!
//! An attempt is *wasted* that ended without a commit, but for one that was stopped in time because its failure was foreseen: it has
//! called nobody. Wasted attempts are told for each order that was *tried*, that is, not diverted: orders that are put off at once
//! are quick, and would make any share look small.
//!
//! A transfer that failed is ordered again ([`load`]): its time is that until it was done or put off. A client that is kept waiting
//! orders nothing else meanwhile; that others would have is counted in ([`Samples::with_omitted`]), one for each time that half of the transfers
//! of the first competitor take. `answered` is the time until a client was told anything, also that it failed, as it was measured.
//!
//! How good forecasts are is told twice. By the server, as in `belay tx`: of the orders whose outcome is known, where each that was
//! let go on stands for those that were diverted before it. And by the benchmark, which knows what it did to each order: of those
//! that were diverted, or given more time than an attempt has, the share that would have failed; and of those that had to fail, the
//! share that was.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::Value;

use super::{
    bank::{Bank, Competitor, Store, World},
    load::{self, Became, Record, Run},
    money::{self, InVain},
    order::{RETRIES, Scenario, TIMEOUT_MS},
};
use crate::{figure::Report, float, samples::Samples};

/// What several runs came to.
#[derive(Default)]
pub(super) struct Pool {
    /// Until a transfer was done or put off, and until its client was told anything.
    took: Samples,
    answered: Samples,
    done: f64,
    seconds: f64,
    tried: f64,
    wasted: f64,
    /// Diverted, and would have failed; diverted, and would not; not diverted, and had to fail.
    right: f64,
    wrong: f64,
    missed: f64,
}

pub(super) struct Cell {
    name: String,
    /// Others may be in the way of its orders.
    contended: bool,
    run: Run,
    /// What half of the transfers of the first competitor took: so often others would have come while one was kept waiting.
    pub(super) interval: Duration,
    in_vain: InVain,
    known: Option<Value>,
    deadlocks: Option<f64>,
}

/// Runs it, checks the money, and prints its figures. `interval`: between two that would have come ([`Cell::interval`]), where there was
/// another competitor before.
pub(super) fn measure(
    world: &World,
    report: &Report,
    (store, scenario, competitor): (Store, Scenario, Competitor),
    (clients, time): (u32, Duration),
    interval: Option<Duration>,
) -> anyhow::Result<Cell> {
    let deadlocks = deadlocks(world, store)?;
    let name = format!("{}.{}.{clients}.{}", store.name(), scenario.name, competitor.name());
    eprintln!("bench: tx {name}");
    let bank = world.open(store, competitor, 1)?;
    let run = load::run(world, &bank, scenario, (clients, time));
    let run = run.with_context(|| format!("{name}: {}", world.counts(&bank)))?;
    run.insist()?;
    let in_vain = money::check(&run.records, &bank.audit()?, &world.provider)?;
    let known = world.known(&bank)?;
    world.close(bank)?;
    let deadlocks = deadlocks.map(|before| after(world, before)).transpose()?;
    let contended = scenario.hot > 0.0;
    let own = || Duration::from_secs_f64(run.settled().percentile_us(0.5) / 1e6);
    let interval = interval.unwrap_or_else(own);
    let cell = Cell { name, contended, run, interval, in_vain, known, deadlocks };
    cell.print(report);
    if competitor == Competitor::Predict {
        cell.print_forecasts(report);
    }
    Ok(cell)
}

/// None but PostgreSQL has any.
fn deadlocks(world: &World, store: Store) -> anyhow::Result<Option<f64>> {
    match (store, &world.database) {
        (Store::Postgres, Ok(database)) => database.deadlocks().map(Some),
        _ => Ok(None),
    }
}

/// Since there were so many. A connection tells what it has seen when it is closed.
fn after(world: &World, before: f64) -> anyhow::Result<f64> {
    let Ok(database) = &world.database else { return Ok(0.0) };
    let start = Instant::now();
    while database.connections()? > 0 && start.elapsed() < Duration::from_secs(1) {
        thread::sleep(Duration::from_millis(20));
    }
    Ok(database.deadlocks()? - before)
}

/// Whether it was sent another way before it could fail, rather than after all attempts.
fn is_diverted(record: &Record) -> bool {
    record.became == Became::Later && record.attempts <= RETRIES + 1
}

/// Whether it was given more time than an attempt has, before it could be late.
fn is_given_time(record: &Record) -> bool {
    let allowed = Duration::from_millis(TIMEOUT_MS);
    record.became == Became::Done && record.attempts == 1 && record.took > allowed
}

fn wasted(record: &Record) -> u32 {
    match record.became {
        Became::Failed => record.attempts,
        // One was stopped in time, and the last one committed.
        Became::Later if is_diverted(record) => record.attempts.saturating_sub(2),
        Became::Done | Became::Later => record.attempts.saturating_sub(1),
    }
}

impl Cell {
    fn print(&self, report: &Report) {
        let figure = |what: &str, value: f64, unit: &str| {
            report.figure(&format!("{}.{what}", self.name), value, unit);
        };
        let rate = |wanted: fn(&Record) -> bool| {
            float(self.run.in_time().filter(|record| wanted(record)).count()) / self.run.seconds()
        };
        figure("goodput", rate(|record| record.became == Became::Done), "done/s");
        figure("diverted", rate(is_diverted), "orders/s");
        let later = |record: &Record| record.became == Became::Later && !is_diverted(record);
        figure("later", rate(later), "orders/s");
        figure("failed", rate(|record| record.became == Became::Failed), "orders/s");
        let mut pool = Pool::default();
        self.add_to(&mut pool);
        figure("p50", pool.took.percentile_us(0.5) / 1e3, "ms");
        figure("p99", pool.p99_ms(), "ms");
        figure("answered.p99", pool.answered_p99_ms(), "ms");
        figure("aborted", pool.wasted, "attempts");
        figure("wasted", pool.wasted_each(), "attempts an order tried");
        // These two are of all orders, as the books are.
        figure("calls_in_vain", float(self.in_vain.calls), "calls");
        figure("paid_in_vain", float(self.in_vain.payments), "payments");
        let orders = float(self.run.measured().count()).max(1.0);
        figure("cpu", self.run.cpu_ms / orders, "ms an order");
        if let Some(deadlocks) = self.deadlocks {
            figure("deadlocks", deadlocks, "deadlocks");
        }
    }

    /// What the server says of its forecasts, and what the benchmark knows of them.
    fn print_forecasts(&self, report: &Report) {
        let figure = |what: &str, value: Option<f64>, unit: &str| {
            if let Some(value) = value {
                report.figure(&format!("{}.{what}", self.name), value, unit);
            }
        };
        let Some(known) = &self.known else { return };
        let told = |path: &str| known.pointer(path).and_then(Value::as_f64);
        figure("told.precision", told("/quality/precision"), "of forecasts of a failure");
        figure("told.recall", told("/quality/recall"), "of failures");
        figure("told.brier", told("/quality/brier/0"), "mean square");
        figure("told.brier_of_rate", told("/quality/brier/1"), "mean square");
        figure("told.lead", told("/quality/lead_ms"), "ms");
        let trusted = known.pointer("/quality/trusted").and_then(Value::as_bool);
        figure("told.trusted", trusted.map(|it| f64::from(u8::from(it))), "at the end");
        figure("told.diverted", told("/diverted"), "transactions");
        figure("told.called", told("/called"), "forecasts");
        figure("told.mirrored", told("/mirrored"), "transactions");
        figure("told.unmodelled", told("/unmodelled"), "mirrors");
        figure("told.sampled", told("/sampled"), "of transactions");
        figure("told.mirror_cpu", told("/cost_ms"), "ms a mirror");
        figure("told.saved", told("/saved_ms"), "ms a mirror");
        if !self.is_truth_known() {
            return;
        }
        let mut pool = Pool::default();
        self.add_to(&mut pool);
        figure("seen.precision", pool.precision(), "of orders diverted");
        figure("seen.recall", pool.recall(), "of orders that had to fail");
    }

    /// Whether it is known of each order if it would have failed.
    pub(super) fn is_truth_known(&self) -> bool {
        !self.contended
    }

    pub(super) fn add_to(&self, pool: &mut Pool) {
        pool.seconds += self.run.seconds();
        let done = self.run.in_time().filter(|record| record.became == Became::Done);
        pool.done += float(done.count());
        pool.took.extend(self.run.settled().with_omitted(self.interval));
        for record in self.run.measured() {
            pool.answered.add(record.took);
            pool.tried += f64::from(u8::from(!is_diverted(record)));
            pool.wasted += f64::from(wasted(record));
            let foreseen = is_diverted(record) || (!self.contended && is_given_time(record));
            let count = match (foreseen, self.has_to_fail(record)) {
                (true, true) => &mut pool.right,
                (true, false) => &mut pool.wrong,
                (false, true) => &mut pool.missed,
                (false, false) => continue,
            };
            *count += 1.0;
        }
    }

    /// Its first attempt, if it is made. Nobody knows that of orders that others are in the way of.
    fn has_to_fail(&self, record: &Record) -> bool {
        let troubled =
            self.run.trouble.is_some_and(|(from, to)| (from..to).contains(&record.began));
        record.order.is_invalid() || troubled
    }
}

impl Pool {
    pub(super) fn p99_ms(&self) -> f64 {
        self.took.percentile_us(0.99) / 1e3
    }

    pub(super) fn answered_p99_ms(&self) -> f64 {
        self.answered.percentile_us(0.99) / 1e3
    }

    pub(super) fn goodput(&self) -> f64 {
        self.done / self.seconds.max(f64::EPSILON)
    }

    fn wasted_each(&self) -> f64 {
        self.wasted / self.tried.max(1.0)
    }

    /// How many times fewer attempts `other` wastes. What has wasted none counts as half an attempt, here as there.
    pub(super) fn wasted_to(&self, other: &Self) -> f64 {
        let each = |pool: &Self| pool.wasted.max(0.5) / pool.tried.max(1.0);
        each(self) / each(other)
    }

    pub(super) fn precision(&self) -> Option<f64> {
        share(self.right, self.right + self.wrong)
    }

    pub(super) fn recall(&self) -> Option<f64> {
        share(self.right, self.right + self.missed)
    }
}

fn share(part: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| part / of)
}

/// Whether there is such a competitor for the store; if not, it says so.
pub(super) fn is_there(
    world: &World,
    report: &Report,
    store: Store,
    competitor: Competitor,
) -> bool {
    let reason = match (store, competitor, &world.database, &world.node) {
        (Store::Postgres, _, Err(reason), _)
        | (Store::Postgres, Competitor::Node, _, Err(reason)) => reason,
        (Store::Kv | Store::Sqlite, Competitor::Node, ..) => return false,
        _ => return true,
    };
    report.skipped(&format!("{}.{}", store.name(), competitor.name()), reason);
    false
}

/// Opens one whose runs are not printed by themselves.
pub(super) fn banks(world: &World, store: Store, functions: u32) -> anyhow::Result<(Bank, Bank)> {
    let plain = world.open(store, Competitor::Plain, functions)?;
    Ok((plain, world.open(store, Competitor::Predict, functions)?))
}
