//! One program on recorded requests: whether it does worse at some arms than what ran before.

use std::{collections::BTreeSet, time::Instant};

use belay_engine::EngineError;
use belay_host::tape::{Candidate, Replayed, Tape, Tolerance, prove, replay};
use belay_model::{Arm, FunctionName, Outputs, PartId, TapePolicy};

use super::validate::Program;

/// Why something was not found out.
#[derive(Debug)]
pub(super) enum Stop {
    /// The budget is over.
    Late,
    Engine(EngineError),
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

fn tolerance(policy: &TapePolicy) -> Tolerance {
    Tolerance {
        cpu_factor: policy.cpu_tolerated.get(),
        memory_factor: policy.memory_tolerated.get(),
        outputs: policy.outputs == Outputs::Report,
        ..Tolerance::default()
    }
}

/// Replays tapes on one program.
pub(super) struct Trier<'p> {
    program: &'p Program,
    tolerance: Tolerance,
    deadline: Instant,
}

impl<'p> Trier<'p> {
    pub(super) fn new(program: &'p Program, policy: &TapePolicy, deadline: Instant) -> Self {
        Self { program, tolerance: tolerance(policy), deadline }
    }

    pub(super) fn program(&self) -> &'p Program {
        self.program
    }

    fn check(&self) -> Result<(), Stop> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(Stop::Late) }
    }

    /// Whether the program as it was does what was recorded; if not, the tape says nothing of the change.
    pub(super) fn prove(&self, function: &FunctionName, tape: &mut Tape) -> Result<bool, Stop> {
        self.check()?;
        match self.candidate(function, &self.program.before) {
            Some(candidate) => Ok(prove(&candidate, tape, &self.tolerance)?),
            None => Ok(false),
        }
    }

    /// What comes of a tape with the parts `on`; `None` if the program then has no such function.
    pub(super) fn replay(
        &self,
        function: &FunctionName,
        tape: &Tape,
        on: &BTreeSet<PartId>,
    ) -> Result<Option<Replayed>, Stop> {
        self.check()?;
        let arms = self.program.arms(on);
        let candidate = self.candidate(function, &arms);
        Ok(candidate.map(|it| replay(&it, tape, &self.tolerance)).transpose()?)
    }

    fn candidate<'a>(&'a self, function: &FunctionName, arms: &'a [Arm]) -> Option<Candidate<'a>> {
        let (own, face) = self.program.face(arms);
        let record = own.functions.get(function)?;
        let (image, criteria) = (&own.image, own.criteria.get(function));
        let (entry, limits) = (record.entry, record.limits);
        Some(Candidate { image, entry, limits, arms, face, criteria })
    }
}
