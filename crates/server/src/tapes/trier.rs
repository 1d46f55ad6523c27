//! One program on recorded requests: at which arms it does worse than what ran before.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use belay_engine::EngineError;
use belay_host::tape::{Candidate, Replayed, Tape, Tolerance, prove, replay};
use belay_model::{Arm, FunctionName, PartId};

use super::validate::Program;

/// A recorded request on which the program as it was does what was recorded.
pub(super) struct Proven {
    pub(super) function: FunctionName,
    pub(super) tape: Tape,
}

/// Replays tapes on one program.
pub(super) struct Trier<'p> {
    program: &'p Program,
    tolerance: Tolerance,
    deadline: Instant,
}

impl<'p> Trier<'p> {
    pub(super) fn new(program: &'p Program, deadline: Instant) -> Self {
        Self { program, tolerance: Tolerance::default(), deadline }
    }

    pub(super) fn program(&self) -> &'p Program {
        self.program
    }

    /// The budget is over.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// The tapes that can be held against the change, in turns of the functions; until the budget is over.
    pub(super) fn prove(
        &self,
        tapes: BTreeMap<FunctionName, Vec<Tape>>,
    ) -> Result<Vec<Proven>, EngineError> {
        let mut queues: Vec<_> =
            tapes.into_iter().map(|(function, tapes)| (function, tapes.into_iter())).collect();
        let mut proven = Vec::new();
        while !queues.is_empty() && !self.is_late() {
            let mut left = Vec::new();
            for (function, mut tapes) in queues {
                let Some(mut tape) = tapes.next() else { continue };
                if self.is_as_recorded(&function, &mut tape)? {
                    proven.push(Proven { function: function.clone(), tape });
                }
                left.push((function, tapes));
            }
            queues = left;
        }
        Ok(proven)
    }

    fn is_as_recorded(
        &self,
        function: &FunctionName,
        tape: &mut Tape,
    ) -> Result<bool, EngineError> {
        match self.candidate(function, &self.program.before) {
            Some(candidate) => prove(&candidate, tape, &self.tolerance),
            None => Ok(false),
        }
    }

    /// What comes of a tape with the parts `on`; `None` if the program then has no such function.
    pub(super) fn replay(
        &self,
        proven: &Proven,
        on: &BTreeSet<PartId>,
    ) -> Result<Option<Replayed>, EngineError> {
        let arms = self.program.arms(on);
        let candidate = self.candidate(&proven.function, &arms);
        candidate.map(|it| replay(&it, &proven.tape, &self.tolerance)).transpose()
    }

    fn candidate<'a>(&'a self, function: &FunctionName, arms: &'a [Arm]) -> Option<Candidate<'a>> {
        let (image, functions) = self.program.face(arms);
        let record = functions.get(function)?;
        Some(Candidate { image, entry: record.entry, limits: record.limits, arms })
    }
}
