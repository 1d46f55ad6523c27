//! Takes an instance from its start to its end: steps it, performs the calls it makes, and answers them.
//!
//! ```text
//! runner.run ──▶ Done, Failed ──▶ Finished
//!     ▲
//!     │       └▶ Pending ──▶ start calls, drop cancelled ones ──▶ wait for an answer, or for the deadline
//!     └──────────────── resolve all answers there are ◀───────────────────────┘
//! ```
//!
//! Invariants: a function that makes no call costs no allocation and no task here. Everything in flight belongs to
//! the returned future: when that is dropped, or the run ends, nothing of it is left. Only [`Runner`] runs guest
//! code.

use std::{future::Future, time::Instant};

use belay_engine::{Instance, LogLine, Reached, Step, Usage};
use belay_model::{Call, CallId, Category, Failure};

use crate::{
    AppHost, Trace,
    flight::{Flight, Landed},
};

/// Where guest code runs: on threads that have the stack for it and that may be kept busy.
pub trait Runner: Sync {
    /// Steps the instance once.
    fn run(&self, instance: Instance) -> impl Future<Output = (Instance, Step)> + Send;
}

/// An invocation that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The result as JSON.
    pub result: Result<String, Failure>,
    pub logs: Vec<LogLine>,
    pub usage: Usage,
    /// The parts of a woven program that the invocation came by.
    pub reached: Vec<Reached>,
}

/// Drives `instance` to its end. Past `deadline`, an instance that waits is ended with a timeout (one that runs is
/// ended by the engine). Requests that it makes go out with `trace`.
pub async fn drive(
    instance: Instance,
    host: &AppHost,
    trace: Option<Trace<'_>>,
    runner: &impl Runner,
    deadline: Instant,
) -> Finished {
    let (instance, step) = runner.run(instance).await;
    match step {
        Step::Done(json) => finish(instance, Ok(json)),
        Step::Failed(failure) => finish(instance, Err(failure)),
        Step::Pending { calls, cancelled } => {
            let flight = Flight::new(host, trace, instance.limits());
            // Boxed, so that the future of a function without calls stays small.
            Box::pin(attend(instance, flight, calls, cancelled, runner, deadline)).await
        }
    }
}

async fn attend(
    mut instance: Instance,
    mut flight: Flight<'_>,
    mut calls: Vec<Call>,
    mut cancelled: Vec<CallId>,
    runner: &impl Runner,
    deadline: Instant,
) -> Finished {
    loop {
        flight.cancel(&cancelled);
        flight.start(calls);
        match flight.land(deadline).await {
            Landed::Some(answers) => {
                answers.into_iter().for_each(|(id, outcome)| instance.resolve(id, outcome));
            }
            Landed::Late => instance.abort(timeout(instance.limits().timeout_ms)),
            Landed::Nothing => instance.abort(deadlock()),
        }
        let (stepped, step) = flight.beside(runner.run(instance)).await;
        instance = stepped;
        match step {
            Step::Done(json) => return finish(instance, Ok(json)),
            Step::Failed(failure) => return finish(instance, Err(failure)),
            Step::Pending { calls: made, cancelled: dropped } => {
                (calls, cancelled) = (made, dropped);
            }
        }
    }
}

fn finish(mut instance: Instance, result: Result<String, Failure>) -> Finished {
    let (logs, usage, reached) = (instance.take_logs(), instance.usage(), instance.reached());
    Finished { result, logs, usage, reached }
}

fn timeout(limit_ms: u64) -> Failure {
    let message = format!("the function ran past its time limit of {limit_ms} ms");
    Failure::new(Category::Timeout, "Belay.Timeout", message)
}

/// The engine tells deadlocks itself; this keeps a driver from waiting for nothing if it ever does not.
fn deadlock() -> Failure {
    let message = "the handler waits for a promise that nothing in flight can settle";
    Failure::new(Category::Deadlock, "Belay.Deadlock", message)
}
