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
    AppHost, Recorder, Trace,
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
    drive_recorded(instance, host, trace, runner, deadline, None).await
}

/// As [`drive`]; what happens is noted in `recorder`, if there is one.
pub async fn drive_recorded(
    mut instance: Instance,
    host: &AppHost,
    trace: Option<Trace<'_>>,
    runner: &impl Runner,
    deadline: Instant,
    mut recorder: Option<&mut Recorder>,
) -> Finished {
    if let Some(recorder) = &mut recorder {
        recorder.begin(&mut instance, deadline);
    }
    let (mut instance, step) = runner.run(instance).await;
    if let Some(recorder) = &mut recorder {
        recorder.stepped(&mut instance);
    }
    match step {
        Step::Done(json) => finish(instance, Ok(json)),
        Step::Failed(failure) => finish(instance, Err(failure)),
        Step::Pending { calls, cancelled } => {
            let flight = Flight::new(host, trace, instance.limits());
            let attended = Attended { instance, flight, recorder };
            // Boxed, so that the future of a function without calls stays small.
            Box::pin(attended.run(calls, cancelled, runner, deadline)).await
        }
    }
}

/// An invocation that has made calls.
struct Attended<'h, 'r> {
    instance: Instance,
    flight: Flight<'h>,
    recorder: Option<&'r mut Recorder>,
}

impl Attended<'_, '_> {
    async fn run(
        mut self,
        mut calls: Vec<Call>,
        mut cancelled: Vec<CallId>,
        runner: &impl Runner,
        deadline: Instant,
    ) -> Finished {
        loop {
            self.ask(calls, &cancelled);
            let landed = self.flight.land(deadline).await;
            self.hear(landed);
            let (stepped, step) = self.flight.beside(runner.run(self.instance)).await;
            self.instance = stepped;
            if let Some(recorder) = &mut self.recorder {
                recorder.stepped(&mut self.instance);
            }
            match step {
                Step::Done(json) => return finish(self.instance, Ok(json)),
                Step::Failed(failure) => return finish(self.instance, Err(failure)),
                Step::Pending { calls: made, cancelled: dropped } => {
                    (calls, cancelled) = (made, dropped);
                }
            }
        }
    }

    fn ask(&mut self, calls: Vec<Call>, cancelled: &[CallId]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.asked(&calls, cancelled);
        }
        self.flight.cancel(cancelled);
        self.flight.start(calls);
    }

    fn hear(&mut self, landed: Landed) {
        let instance = &mut self.instance;
        if let Some(recorder) = &mut self.recorder {
            recorder.step_begins(instance, &landed);
        }
        match landed {
            Landed::Some(answers) => {
                answers.into_iter().for_each(|(id, outcome)| instance.resolve(id, outcome));
            }
            Landed::Late => instance.abort(timeout(instance.limits().timeout_ms)),
            Landed::Nothing => instance.abort(deadlock()),
        }
    }
}

fn finish(mut instance: Instance, result: Result<String, Failure>) -> Finished {
    let (logs, usage, reached) = (instance.take_logs(), instance.usage(), instance.reached());
    Finished { result, logs, usage, reached }
}

pub(crate) fn timeout(limit_ms: u64) -> Failure {
    let message = format!("the function ran past its time limit of {limit_ms} ms");
    Failure::new(Category::Timeout, "Belay.Timeout", message)
}

/// The engine tells deadlocks itself; this keeps a driver from waiting for nothing if it ever does not.
pub(crate) fn deadlock() -> Failure {
    let message = "the handler waits for a promise that nothing in flight can settle";
    Failure::new(Category::Deadlock, "Belay.Deadlock", message)
}
