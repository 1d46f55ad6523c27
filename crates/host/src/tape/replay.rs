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
    success::{Criteria, violated},
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
    /// Which of the two versions the image itself is, where there are two images.
    pub face: Option<Arm>,
    /// What the function promises of its results.
    pub criteria: Option<&'a Criteria>,
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
    /// Its result is not what the function promises.
    pub violated: bool,
}

/// Replays `tape`. To be called on a thread with at least 16 MiB of stack. Fails where no instance can be had.
pub fn replay(
    candidate: &Candidate<'_>,
    tape: &Tape,
    tolerance: &Tolerance,
) -> Result<Replayed, EngineError> {
    let limits = candidate.limits;
    let enough_ms = enough_ms(tape, tolerance);
    let instance = start(candidate, tape, tolerance, enough_ms)?;
    let player = Player::new(tape, limits.calls_in_flight as usize, deadline_us(tape, &limits));
    let timeout_ms = limits.timeout_ms;
    let stops_early = enough_ms < limits.cpu_ms;
    let run = Run { instance, player, tape, timeout_ms, stops_early, given: None };
    run.judged(candidate, tolerance)
}

/// Replays the program that `tape` was recorded of; if the result is the same, whatever the tape lacks does not
/// matter to it, and from then on the tape can be held against others. Says whether that is so. A promise that this
/// program does not keep is noted: it is not held against others.
pub fn prove(
    recorded_of: &Candidate<'_>,
    tape: &mut Tape,
    tolerance: &Tolerance,
) -> Result<bool, EngineError> {
    tape.violated = true;
    let Replayed { verdict, violated, .. } = replay(recorded_of, tape, tolerance)?;
    tape.violated = violated;
    tape.proven = verdict == Verdict::Same;
    Ok(tape.proven)
}

/// CPU time after which a replay is stopped: it is worse in any case, and a loop without end would use up the time that is
/// meant for all tapes.
fn enough_ms(tape: &Tape, tolerance: &Tolerance) -> u64 {
    let allowed_us = tolerance.cpu_us(tape.usage.cpu_us);
    allowed_us.saturating_add(allowed_us / 4).div_ceil(1_000)
}

fn start(
    candidate: &Candidate<'_>,
    tape: &Tape,
    tolerance: &Tolerance,
    enough_ms: u64,
) -> Result<Instance, EngineError> {
    let more_us = tolerance.cpu_us(tape.usage.cpu_us).saturating_sub(tape.usage.cpu_us);
    let more_ms = more_us.div_ceil(1_000);
    let Limits { cpu_ms, timeout_ms, .. } = candidate.limits;
    candidate.image.start(Start {
        entry: candidate.entry,
        event: tape.event.as_str(),
        context: tape.context.as_str(),
        limits: Limits {
            cpu_ms: cpu_ms.saturating_add(more_ms).min(enough_ms),
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
    /// Past the tolerance, and within what the function may use.
    stops_early: bool,
    /// The result as it was given.
    given: Option<String>,
}

impl Run<'_> {
    fn judged(
        mut self,
        candidate: &Candidate<'_>,
        tolerance: &Tolerance,
    ) -> Result<Replayed, EngineError> {
        let (ended, time) = (self.run(), self.time());
        let Self { instance, player, tape, given, stops_early, .. } = self;
        let (usage, reached) = (instance.usage(), instance.reached());
        // Its place in memory is free for those that are to come.
        drop(instance);
        let asked = given.map(|given| violated(candidate, tape, (&given, &reached, &time)));
        let violation = asked.transpose()?.flatten();
        let violated = violation.is_some();
        let calls = player.differences(ended.is_ok());
        let (verdict, differences) = match ended {
            Err(divergence) => (Verdict::Diverged(divergence), calls),
            Ok(end) => {
                let differences: Vec<_> =
                    end_differs(&tape.end, &end).into_iter().chain(calls).collect();
                let ran = Ran { end, usage, violation, stops_early };
                (judge(tape, &ran, tolerance, &differences), differences)
            }
        };
        Ok(Replayed { verdict, differences, usage, reached, violated })
    }

    fn run(&mut self) -> Result<End, Divergence> {
        loop {
            self.instance.set_time(self.time());
            match self.instance.step() {
                Step::Done(result) => {
                    let end = self.result(&result);
                    self.given = Some(result);
                    return Ok(end);
                }
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
