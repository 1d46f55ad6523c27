//! Whether a result is what its function promises (`@success`).
//!
//! A criterion is an entry of the program, and is asked in an instance of its own: it sees the result and what its module
//! has, and nothing that it does comes back.
//!
//! Of a woven program there are two. Who ran only old code, or came by nothing that differs, is held to the old one, who ran
//! only new code to the new one. Who ran both kept the promise if either says so: which of the two the result was made
//! for cannot be told, and what cannot be told is held against nobody.

use belay_engine::{EngineError, Reached, Start, Step, VirtualTime};
use belay_model::{Arm, Failure};

use super::{Candidate, Tape};

/// What a function promises of its results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    /// Index of its function in the program's entries: a result is its event, and it answers whether that is fine.
    pub entry: usize,
    /// As its author wrote it.
    pub text: String,
}

/// What the two versions of a function promise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Criteria {
    pub before: Option<Criterion>,
    pub after: Option<Criterion>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) criterion: String,
    /// What kept it from being answered; `None` if the answer is no.
    pub(super) why: Option<String>,
}

/// What a result violates, of a run that came by `reached`.
pub(super) fn violated(
    candidate: &Candidate<'_>,
    tape: &Tape,
    (result, reached, time): (&str, &[Reached], &VirtualTime),
) -> Result<Option<Violation>, EngineError> {
    let mut found = None;
    for criterion in held(candidate, reached) {
        let Some(criterion) = criterion else { return Ok(None) };
        match ask(candidate, criterion, tape, (result, time))? {
            None => return Ok(None),
            Some(violation) => found = Some(violation),
        }
    }
    Ok(found)
}

/// The criteria of which one has to hold, the one that tells most last. `None` among them is one that nothing violates.
fn held<'c>(candidate: &Candidate<'c>, reached: &[Reached]) -> Vec<Option<&'c Criterion>> {
    let Some(Criteria { before, after }) = candidate.criteria else { return Vec::new() };
    let arms = reached.iter().map(|reached| reached.arm).chain(candidate.face);
    let (mut old, mut new) = (false, false);
    for arm in arms {
        match arm {
            Arm::Before => old = true,
            Arm::After => new = true,
        }
    }
    match (old, new) {
        (_, false) => vec![before.as_ref()],
        (false, true) => vec![after.as_ref()],
        (true, true) => vec![before.as_ref(), after.as_ref()],
    }
}

fn ask(
    candidate: &Candidate<'_>,
    criterion: &Criterion,
    tape: &Tape,
    (result, time): (&str, &VirtualTime),
) -> Result<Option<Violation>, EngineError> {
    let mut instance = candidate.image.start(Start {
        entry: criterion.entry,
        event: result,
        context: tape.context.as_str(),
        limits: candidate.limits,
        seed: tape.seed,
        arms: candidate.arms,
    })?;
    instance.set_time(time.clone());
    let why = match instance.step() {
        Step::Done(answer) if answer == "true" => return Ok(None),
        Step::Done(_) => None,
        Step::Failed(Failure { error_type, message, .. }) => {
            Some(format!("{error_type}: {message}"))
        }
        Step::Pending { .. } => Some("it waits for a call".to_owned()),
    };
    Ok(Some(Violation { criterion: criterion.text.clone(), why }))
}
