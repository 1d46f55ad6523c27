//! One invocation from admission to the record of its end, whoever asked for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use belay_engine::{LogLine, Start};
use belay_host::{
    Finished, Trace,
    tape::{Invoked, Recorder},
};
use belay_mirror::drive;
use belay_model::{Arm, Category, Failure};
use rand::RngCore;
use serde_json::value::RawValue;

use super::{context::Context, ending::ending_of};
use crate::{
    routes::Target,
    run::{Executor, Gate, Permit},
    telemetry::{
        Ending, Level, LogRecord, Logs, RequestId, Sample, Timestamp, TraceContext,
        logs::FailureNote,
    },
    trial::{Drawn, Observation, Observer, Parts},
};

/// Runs invocations within the bounds of the node. Cheap to clone.
#[derive(Clone)]
pub struct Invoker {
    executor: Executor,
    logs: Logs,
    /// Bounds the invocations of all functions together.
    node: Arc<Gate>,
    observer: Observer,
}

/// What names one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    pub request: RequestId,
    pub trace: TraceContext,
}

/// A request to run a function once.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    pub target: &'a Arc<Target>,
    /// A JSON text; whoever makes an invocation has checked that it is one.
    pub event: &'a str,
    pub ids: Ids,
    /// As the caller wrote it, once it was found to be one.
    pub qualifier: Option<&'a str>,
    pub client_context: Option<&'a RawValue>,
    /// Other arms than the target's, of the same image.
    pub arms: Option<&'a [Arm]>,
    /// How these came about, if they were drawn.
    pub drawn: Option<&'a Drawn>,
}

/// An invocation that has ended.
#[derive(Debug, Clone)]
pub struct Completed<T = String> {
    /// A failure has its stack in the user's own files.
    pub result: Result<T, Failure>,
    /// What the function logged, in order; it can be queried already.
    pub logs: Vec<Arc<LogRecord>>,
    pub sample: Sample,
}

/// Why an invocation was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the function already runs as often as its concurrency limit allows")]
    FunctionBusy,
    #[error("the server already runs as much as it may")]
    NodeBusy,
    #[error("the function is off for {seconds} s")]
    Disabled { seconds: u64 },
}

/// What `read` made of a result, and how that counts.
pub(super) type Reading<T> = Result<(T, Ending), Failure>;

impl Ids {
    /// New ones, in the trace that `traceparent` names if it is valid.
    pub fn new(traceparent: Option<&str>) -> Self {
        let mut bytes = [0; 40];
        rand::rng().fill_bytes(&mut bytes);
        let (mut request, mut trace) = ([0; 16], [0; 24]);
        request.copy_from_slice(&bytes[..16]);
        trace.copy_from_slice(&bytes[16..]);
        Self {
            request: RequestId::from_random(request),
            trace: TraceContext::continued(traceparent, trace),
        }
    }
}

impl Invoker {
    /// At most `concurrency` invocations run at the same time.
    pub fn new(executor: Executor, logs: Logs, concurrency: u32, observer: Observer) -> Self {
        Self { executor, logs, node: Gate::new(concurrency), observer }
    }

    /// Requests that the judge could not hear of.
    pub fn unheard(&self) -> u64 {
        self.observer.lost()
    }

    /// Invocations that run now.
    pub fn running(&self) -> u32 {
        self.node.inside()
    }

    /// Runs the function and gives its result as it is. Dropping the future aborts the invocation, uncounted.
    pub async fn invoke(&self, invocation: Invocation<'_>) -> Result<Completed, Refused> {
        self.invoke_and_read(invocation, |result| {
            let ending = ending_of(&result);
            Ok((result, ending))
        })
        .await
    }

    /// As [`Self::invoke`], with a result that must make sense to `read`.
    pub(super) async fn invoke_and_read<T>(
        &self,
        invocation: Invocation<'_>,
        read: impl FnOnce(String) -> Reading<T>,
    ) -> Result<Completed<T>, Refused> {
        let _permits = self.admit(invocation.target)?;
        let started = Instant::now();
        let mut waiting =
            Waiting { invocation: Some(&invocation), observer: &self.observer, started };
        let (finished, begun) = self.run(&invocation, started).await;
        waiting.invocation = None;
        let (result, ending) = match finished.result.and_then(read) {
            Ok((value, ending)) => (Ok(value), ending),
            Err(failure) => {
                let ending = Ending::Failed(failure.category);
                (Err(with_mapped_stack(invocation.target, failure).await), ending)
            }
        };
        let usage = finished.usage;
        let sample = Sample {
            ending,
            duration: started.elapsed(),
            cpu: usage.cpu,
            peak_bytes: usage.peak_bytes,
            written_bytes: usage.written_bytes,
        };
        invocation.target.stats.record(&sample);
        if let Some(chosen) = &invocation.target.chosen {
            chosen.counters.record(&finished.reached, ending);
        }
        // That an image had to be read is no fault of what it holds.
        let observed = Sample { duration: begun.elapsed(), ..sample };
        invocation.observe(&self.observer, observed, Parts::of(&finished.reached), false);
        let lines = with_mapped_stacks(invocation.target, finished.logs).await;
        let logs = self.keep_logs(&invocation, lines, ending, result.as_ref().err());
        Ok(Completed { result, logs, sample })
    }

    fn admit(&self, target: &Target) -> Result<[Permit; 2], Refused> {
        if let Some(seconds) = target.off.seconds(Timestamp::now().0) {
            return Err(Refused::Disabled { seconds });
        }
        let admitted = if self.executor.saturated() {
            Err(Refused::NodeBusy)
        } else {
            let node = self.node.enter().ok_or(Refused::NodeBusy);
            node.and_then(|node| Ok([node, target.gate.enter().ok_or(Refused::FunctionBusy)?]))
        };
        admitted.inspect_err(|_| target.stats.record_throttled())
    }

    /// How it ended, and when it began to run.
    async fn run(&self, invocation: &Invocation<'_>, started: Instant) -> (Finished, Instant) {
        let target = invocation.target;
        let timeout = Duration::from_millis(target.limits.timeout_ms);
        let context = invocation.context(timeout).to_json();
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let image = match target.image.get().await {
            Ok(image) => image,
            Err(error) => return (never_started(&error), Instant::now()),
        };
        let begun = Instant::now();
        let chosen = target.chosen.as_ref().map_or(&[][..], |chosen| &chosen.arms);
        let instance = image.start(Start {
            entry: target.entry,
            event: invocation.event,
            context: &context,
            limits: target.limits,
            seed,
            arms: invocation.arms.unwrap_or(chosen),
        });
        let finished = match instance {
            Ok(instance) => {
                let trace = Some(Trace(&invocation.ids.trace));
                let (host, deadline) = (&target.host, started + timeout);
                let invoked = Invoked {
                    function: target.function.as_str(),
                    event: invocation.event,
                    context: &context,
                    seed,
                };
                let mut recorder = invocation.recorder(invoked);
                let request = invocation.ids.request.to_string();
                let driven = drive(
                    (instance, host, trace),
                    &self.executor,
                    deadline,
                    recorder.as_mut(),
                    belay_mirror::Invocation {
                        request: &request,
                        book: &target.transactions,
                        load: f64::from(self.node.inside()) / f64::from(self.node.limit().max(1)),
                    },
                );
                let finished = driven.await;
                if let (Some(recorder), Some(tapes)) = (recorder, &target.tapes) {
                    // What cannot be kept is no tape.
                    if let Ok(tape) = recorder.finish(&finished) {
                        tapes.put(tape);
                    }
                }
                finished
            }
            Err(error) => never_started(&error),
        };
        (finished, begun)
    }

    /// Keeps what the function logged, and one line more if it failed.
    fn keep_logs(
        &self,
        invocation: &Invocation<'_>,
        lines: Vec<LogLine>,
        ending: Ending,
        failure: Option<&Failure>,
    ) -> Vec<Arc<LogRecord>> {
        let mut records: Vec<_> = lines.into_iter().map(|line| invocation.record(line)).collect();
        records.extend(failure.map(|failure| invocation.failed(failure)).or_else(|| {
            (ending == Ending::Failed(Category::Exception)).then(|| invocation.answered_badly())
        }));
        let target = invocation.target;
        self.logs.append(&target.app, &target.function, records)
    }
}

/// A request that runs. Dropped before its end, as its caller gave it up, it says how long that took: else a change that makes
/// callers go away would leave no trace.
struct Waiting<'i, 'o> {
    invocation: Option<&'i Invocation<'i>>,
    observer: &'o Observer,
    started: Instant,
}

impl Drop for Waiting<'_, '_> {
    fn drop(&mut self) {
        let Some(invocation) = self.invocation else { return };
        let duration = self.started.elapsed();
        let (ending, cpu) = (Ending::Ok, Duration::ZERO);
        let sample = Sample { ending, duration, cpu, peak_bytes: 0, written_bytes: 0 };
        invocation.observe(self.observer, sample, Parts::any(), true);
    }
}

impl<'a> Invocation<'a> {
    /// Tells the judge. Who asks for arms says nothing of those that others get.
    fn observe(&self, observer: &Observer, sample: Sample, reached: Parts, abandoned: bool) {
        if self.arms.is_none() || self.drawn.is_some() {
            let (target, drawn) = (self.target.clone(), self.drawn.cloned());
            observer.note(Observation { target, sample, drawn, reached, abandoned });
        }
    }

    /// If it is to be recorded. Who asks for arms tries something, which is no request like others.
    fn recorder(&self, invoked: Invoked<'_>) -> Option<Recorder> {
        if self.arms.is_some() && self.drawn.is_none() {
            return None;
        }
        let options = self.target.tapes.as_ref()?.takes(rand::random())?;
        Some(Recorder::new(invoked, options))
    }

    fn context(&self, timeout: Duration) -> Context<'a> {
        let target = self.target;
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Context {
            app: target.app.as_str(),
            function: &target.function,
            version: target.version,
            qualifier: self.qualifier,
            request_id: self.ids.request,
            trace: self.ids.trace,
            memory_bytes: target.limits.memory_bytes,
            deadline_ms: Timestamp::now().0.saturating_add(timeout_ms),
            client: self.client_context,
        }
    }

    fn record(&self, line: LogLine) -> LogRecord {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time of this host's clock; a float saturates"
        )]
        let time = Timestamp(line.time_ms as u64);
        self.line(time, line.level.into(), line.text)
    }

    fn failed(&self, failure: &Failure) -> LogRecord {
        let message = failure.to_string();
        let line = self.line(Timestamp::now(), Level::Error, message);
        LogRecord { failure: Some(FailureNote::from(failure)), ..line }
    }

    fn answered_badly(&self) -> LogRecord {
        let message = "the function answered with a statusCode of 500 or more".to_owned();
        let note = FailureNote {
            category: Category::Exception,
            error_type: "Belay.StatusCode".to_owned(),
            stack: Vec::new(),
        };
        let line = self.line(Timestamp::now(), Level::Error, message);
        LogRecord { failure: Some(note), ..line }
    }

    fn line(&self, time: Timestamp, level: Level, message: String) -> LogRecord {
        let target = self.target;
        LogRecord {
            seq: 0,
            time,
            level,
            app: target.app.clone(),
            function: target.function.clone(),
            version: target.version,
            request_id: self.ids.request,
            trace_id: self.ids.trace.trace,
            message,
            failure: None,
        }
    }
}

async fn with_mapped_stack(target: &Target, mut failure: Failure) -> Failure {
    let stack = target.maps.map_stack(failure.stack).await;
    // Engines indent their frames.
    failure.stack = stack.iter().map(|frame| frame.trim().to_owned()).collect();
    failure
}

/// Stacks that the function has logged.
async fn with_mapped_stacks(target: &Target, mut lines: Vec<LogLine>) -> Vec<LogLine> {
    let is_frame = |line: &str| line.trim_start().starts_with("at ");
    for line in lines.iter_mut().filter(|line| line.text.split('\n').any(is_frame)) {
        let stack = line.text.split('\n').map(str::to_owned).collect();
        line.text = target.maps.map_stack(stack).await.join("\n");
    }
    lines
}

fn never_started(error: &dyn std::fmt::Display) -> Finished {
    let failure = Failure::new(Category::Engine, "Belay.Engine", error.to_string());
    let (usage, logs, reached) = (belay_engine::Usage::default(), Vec::new(), Vec::new());
    Finished { result: Err(failure), logs, usage, reached }
}
