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
    tape::Mark,
};

/// Where guest code runs: on threads that have the stack for it and that may be kept busy.
pub trait Runner: Sync {
    /// Steps the instance once.
    fn run(&self, instance: Instance) -> impl Future<Output = (Instance, Step)> + Send;

    /// As [`Self::run`], before others that wait: for what is of use only if it is ahead of somebody.
    fn run_first(&self, instance: Instance) -> impl Future<Output = (Instance, Step)> + Send {
        self.run(instance)
    }
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
    instance: Instance,
    host: &AppHost,
    trace: Option<Trace<'_>>,
    runner: &impl Runner,
    deadline: Instant,
    recorder: Option<&mut Recorder>,
) -> Finished {
    match begin((instance, host, trace), runner, deadline, recorder).await {
        Begun::Finished(finished) => finished,
        // Boxed, so that the future of a function without calls stays small.
        Begun::Driving(mut driving, asked) => {
            match Box::pin(driving.run(asked, runner, deadline, |_| false)).await {
                Turn::Finished(finished) => finished,
                Turn::Asked(_) => driving.abandoned(),
            }
        }
    }
}

/// An invocation after its first step.
pub enum Begun<'h, 'r> {
    Finished(Finished),
    /// It has made calls.
    Driving(Box<Driving<'h, 'r>>, Asked),
}

/// Has `instance` make its first step.
pub async fn begin<'h, 'r>(
    (mut instance, host, trace): (Instance, &'h AppHost, Option<Trace<'h>>),
    runner: &impl Runner,
    deadline: Instant,
    mut recorder: Option<&'r mut Recorder>,
) -> Begun<'h, 'r> {
    if let Some(recorder) = &mut recorder {
        recorder.begin(&mut instance, deadline);
    }
    let (mut instance, step) = runner.run(instance).await;
    if let Some(recorder) = &mut recorder {
        recorder.stepped(&mut instance);
    }
    match step {
        Step::Done(json) => Begun::Finished(finish(&mut instance, Ok(json))),
        Step::Failed(failure) => Begun::Finished(finish(&mut instance, Err(failure))),
        Step::Pending { calls, cancelled } => {
            let flight = Flight::new(host, trace, instance.limits());
            let driving = Driving { instance: Some(instance), flight, recorder };
            Begun::Driving(Box::new(driving), Asked { calls, cancelled })
        }
    }
}

/// What an invocation asks for when it waits.
#[derive(Debug, Default)]
pub struct Asked {
    pub calls: Vec<Call>,
    pub cancelled: Vec<CallId>,
}

/// An invocation that has made calls.
pub struct Driving<'h, 'r> {
    /// `None` only while a step is made, and for ever if the future of that was dropped.
    instance: Option<Instance>,
    pub flight: Flight<'h>,
    recorder: Option<&'r mut Recorder>,
}

/// Why driving has stopped.
pub enum Turn {
    Finished(Finished),
    /// It has made a call that its driver does not perform. None of these was started yet.
    Asked(Asked),
}

impl Driving<'_, '_> {
    /// Drives it to its end, or until it makes a call that is `special`.
    pub async fn run(
        &mut self,
        mut asked: Asked,
        runner: &impl Runner,
        deadline: Instant,
        special: impl Fn(&Call) -> bool + Send,
    ) -> Turn {
        loop {
            if asked.calls.iter().any(&special) {
                return Turn::Asked(asked);
            }
            self.note_asked(&asked.calls, &asked.cancelled);
            self.flight.cancel(&asked.cancelled);
            self.flight.start(asked.calls);
            let landed = self.flight.land(deadline).await;
            match self.step(landed, runner).await {
                Stepped::Asked(more) => asked = more,
                Stepped::Ended(result) => return Turn::Finished(self.finish(result)),
            }
        }
    }

    /// Notes on the tape what was asked.
    pub fn note_asked(&mut self, calls: &[Call], cancelled: &[CallId]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.asked(calls, cancelled);
        }
    }

    /// Gives it what has landed, and has it go on until it waits or ends. Other calls go on meanwhile.
    pub async fn step(&mut self, landed: Landed, runner: &impl Runner) -> Stepped {
        let Some(mut instance) = self.instance.take() else { return Stepped::Ended(Err(gone())) };
        if let Some(recorder) = &mut self.recorder {
            recorder.step_begins(&instance, &landed);
        }
        match landed {
            Landed::Some(answers) => {
                answers.into_iter().for_each(|(id, outcome)| instance.resolve(id, outcome));
            }
            Landed::Late => instance.abort(timeout(instance.limits().timeout_ms)),
            Landed::Nothing => instance.abort(deadlock()),
        }
        let (mut instance, step) = self.flight.beside(runner.run(instance)).await;
        if let Some(recorder) = &mut self.recorder {
            recorder.stepped(&mut instance);
        }
        self.instance = Some(instance);
        match step {
            Step::Done(json) => Stepped::Ended(Ok(json)),
            Step::Failed(failure) => Stepped::Ended(Err(failure)),
            Step::Pending { calls, cancelled } => Stepped::Asked(Asked { calls, cancelled }),
        }
    }

    /// The instance, between steps.
    pub fn instance(&mut self) -> Option<&mut Instance> {
        self.instance.as_mut()
    }

    /// Goes on with another fork of the same invocation; the tape forgets what came after `mark`.
    pub fn go_back(&mut self, mut instance: Instance, mark: Option<&Mark>) {
        if let Some(ended) = self.instance.take() {
            instance.succeed(ended);
        }
        if let (Some(recorder), Some(mark)) = (&mut self.recorder, mark) {
            recorder.rewind(mark, &mut instance);
        }
        self.instance = Some(instance);
    }

    /// Where the tape stands.
    pub fn mark(&self) -> Option<Mark> {
        self.recorder.as_ref().map(|recorder| recorder.mark())
    }

    /// The invocation has ended so.
    pub fn finish(&mut self, result: Result<String, Failure>) -> Finished {
        match &mut self.instance {
            Some(instance) => finish(instance, result),
            None => self.abandoned(),
        }
    }

    fn abandoned(&self) -> Finished {
        let (logs, usage, reached) = (Vec::new(), Usage::default(), Vec::new());
        Finished { result: Err(gone()), logs, usage, reached }
    }
}

/// What came of a step.
pub enum Stepped {
    Asked(Asked),
    Ended(Result<String, Failure>),
}

fn finish(instance: &mut Instance, result: Result<String, Failure>) -> Finished {
    let (logs, usage, reached) = (instance.take_logs(), instance.usage(), instance.reached());
    Finished { result, logs, usage, reached }
}

fn gone() -> Failure {
    Failure::new(Category::Engine, "Belay.Internal", "the invocation was given up in a step")
}

/// The failure of an invocation past its time limit.
pub fn timeout(limit_ms: u64) -> Failure {
    let message = format!("the function ran past its time limit of {limit_ms} ms");
    Failure::new(Category::Timeout, "Belay.Timeout", message)
}

/// The failure of an invocation that waits for nothing. The engine tells deadlocks itself; this keeps a driver from waiting for nothing if it ever does not.
pub(crate) fn deadlock() -> Failure {
    let message = "the handler waits for a promise that nothing in flight can settle";
    Failure::new(Category::Deadlock, "Belay.Deadlock", message)
}
