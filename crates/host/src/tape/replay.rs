//! Runs a candidate on a tape.
//!
//! Invariants: no I/O, no wait, no clock but the CPU's: the candidate's time is virtual, and its random numbers are
//! those of the recording. What is computed counts against its limits, with the tolerance on top, as another run on
//! another day needs not exactly the same.

use belay_engine::{
    EngineError, FunctionImage, Instance, Reached, Readings, Start, Step, Usage, VirtualTime,
};
use belay_model::{Arm, Failure, Limits};

use super::{
    Difference, Divergence, End, Json, StepReadings, Tape, Tolerance, Verdict,
    player::{Next, Player},
    verdict::{Ran, end_differs, judge},
};
use crate::drive::{deadlock, timeout};

/// The code that is tried.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    pub image: &'a FunctionImage,
    /// Index of the handler in the program's entries.
    pub entry: usize,
    pub limits: Limits,
    /// Of a woven program.
    pub arms: &'a [Arm],
}

/// What came of a replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    pub verdict: Verdict,
    /// As far as it went.
    pub differences: Vec<Difference>,
    pub usage: Usage,
    /// The parts of a woven program that it came by.
    pub reached: Vec<Reached>,
}

/// Replays `tape`. To be called on a thread with at least 16 MiB of stack. Fails where no instance can be had.
pub fn replay(
    candidate: &Candidate<'_>,
    tape: &Tape,
    tolerance: &Tolerance,
) -> Result<Replayed, EngineError> {
    let instance = start(candidate, tape, tolerance)?;
    let limits = candidate.limits;
    let player = Player::new(tape, limits.calls_in_flight as usize, deadline_us(tape, &limits));
    let run = Run { instance, player, tape, timeout_ms: limits.timeout_ms };
    Ok(run.judged(tolerance))
}

/// Replays the program that `tape` was recorded of; if the result is the same, whatever the tape lacks does not
/// matter to it, and from then on the tape can be held against others. Says whether that is so.
pub fn prove(
    recorded_of: &Candidate<'_>,
    tape: &mut Tape,
    tolerance: &Tolerance,
) -> Result<bool, EngineError> {
    tape.proven = replay(recorded_of, tape, tolerance)?.verdict == Verdict::Same;
    Ok(tape.proven)
}

fn start(
    candidate: &Candidate<'_>,
    tape: &Tape,
    tolerance: &Tolerance,
) -> Result<Instance, EngineError> {
    let more_us = tolerance.cpu_us(tape.usage.cpu_us).saturating_sub(tape.usage.cpu_us);
    let more_ms = more_us.div_ceil(1_000);
    let Limits { cpu_ms, timeout_ms, .. } = candidate.limits;
    candidate.image.start(Start {
        entry: candidate.entry,
        event: tape.event.as_str(),
        context: tape.context.as_str(),
        limits: Limits {
            cpu_ms: cpu_ms.saturating_add(more_ms),
            timeout_ms: timeout_ms.saturating_add(more_ms),
            ..candidate.limits
        },
        seed: tape.seed,
        arms: candidate.arms,
    })
}

/// The recording's, moved by as much as the time limit was.
fn deadline_us(tape: &Tape, limits: &Limits) -> u64 {
    let (was_ms, now_ms) = (tape.limits.timeout_ms, limits.timeout_ms);
    let us = |ms: u64| ms.saturating_mul(1_000);
    let later = tape.deadline_us.saturating_add(us(now_ms.saturating_sub(was_ms)));
    later.saturating_sub(us(was_ms.saturating_sub(now_ms)))
}

struct Run<'t> {
    instance: Instance,
    player: Player<'t>,
    tape: &'t Tape,
    timeout_ms: u64,
}

impl Run<'_> {
    fn judged(mut self, tolerance: &Tolerance) -> Replayed {
        let ended = self.run();
        let Self { instance, player, tape, .. } = self;
        let (usage, reached) = (instance.usage(), instance.reached());
        let calls = player.differences(ended.is_ok());
        let (verdict, differences) = match ended {
            Err(divergence) => (Verdict::Diverged(divergence), calls),
            Ok(end) => {
                let differences: Vec<_> =
                    end_differs(&tape.end, &end).into_iter().chain(calls).collect();
                let ran = Ran { end, usage };
                (judge(tape, &ran, tolerance, &differences), differences)
            }
        };
        Replayed { verdict, differences, usage, reached }
    }

    fn run(&mut self) -> Result<End, Divergence> {
        loop {
            self.instance.set_time(self.time());
            match self.instance.step() {
                Step::Done(result) => return Ok(self.result(&result)),
                Step::Failed(failure) => return Ok(End::Failure(failure)),
                Step::Pending { calls, cancelled } => self.player.ask(calls, &cancelled)?,
            }
            match self.player.next()? {
                Next::Answers(answers) => {
                    let instance = &mut self.instance;
                    answers.into_iter().for_each(|(id, outcome)| instance.resolve(id, outcome));
                }
                Next::Late => return Ok(self.aborted(timeout(self.timeout_ms))),
                Next::Nothing => return Ok(self.aborted(deadlock())),
            }
        }
    }

    /// Has the instance end as the driver would, so that its usage is told.
    fn aborted(&mut self, failure: Failure) -> End {
        self.instance.abort(failure.clone());
        self.instance.step();
        End::Failure(failure)
    }

    fn result(&self, result: &str) -> End {
        let redacted = self.player.redacted_result(result);
        End::Result(redacted.unwrap_or_else(|| Json::trusted("null".to_owned())))
    }

    /// The time of the step that begins now, with what the recording read in the step that began then.
    fn time(&self) -> VirtualTime {
        let (tape, now_us) = (self.tape, self.player.now_us());
        let at = tape.readings.binary_search_by_key(&now_us, |step| step.at_us).ok();
        let readings = at.map(|index| readings(tape, &tape.readings[index]));
        VirtualTime {
            wall_us: tape.start_us.saturating_add(now_us),
            monotonic_us: now_us,
            readings: readings.unwrap_or_default(),
        }
    }
}

fn readings(tape: &Tape, step: &StepReadings) -> Readings {
    let wall = step.wall_us.iter().map(|us| tape.start_us.saturating_add_signed(*us));
    Readings { wall_us: wall.collect(), monotonic_us: step.monotonic_us.clone() }
}
