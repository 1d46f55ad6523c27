//! A change on recorded requests, before it gets any: what does worse is switched off, and what does worse only without
//! something else goes with that.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use belay_engine::{EngineError, FunctionImage};
use belay_govern::Validated;
use belay_host::tape::{Criteria, Reason, Replayed, Tape, Verdict};
use belay_model::{Arm, FunctionName, PartId, TapePolicy};
use belay_weave::{Bound, group_check, smallest};

use super::{
    otherwise::{Line, Otherwise, TOLD_MAX, lines},
    ties::{covering, most_tied_first},
    trier::{Stop, Trier},
};
use crate::catalog::FunctionRecord;

/// Tapes of one function that a deploy is tried on.
pub const TAPES_MAX: usize = 200;
/// Failing tapes that the search for the guilty parts asks. Those that are left are asked when these have been cured.
const ASKED_MAX: usize = 4;
/// Tapes that a mixture is tried on.
const COVERING_MAX: usize = 6;
/// The share of the budget in which each tape is tried once.
const FIRST_RUN: f64 = 0.6;

/// Two versions in one program, as it is about to be deployed.
pub struct Program {
    pub after: Face,
    /// Where *before* has another image or other settings.
    pub before_face: Option<Face>,
    pub face_part: Option<PartId>,
    /// The arms of what runs until now.
    pub before: Vec<Arm>,
    /// Parts that are to be let in.
    pub trial: BTreeSet<PartId>,
    /// The functions that each part touches.
    pub places: Vec<BTreeSet<String>>,
}

/// An image with its settings.
pub struct Face {
    pub image: FunctionImage,
    pub functions: BTreeMap<FunctionName, FunctionRecord>,
    /// What functions promise of their results.
    pub criteria: BTreeMap<FunctionName, Criteria>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Validation {
    pub told: Validated,
    /// Parts that do worse, in sets that do so together, with what they did.
    pub guilty: Vec<(BTreeSet<PartId>, Vec<Did>)>,
    /// Parts that do worse one without the other.
    pub merged: Bound,
}

/// What a part did on a tape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Did {
    /// Such as `quote: exception: Error: no such discount`.
    pub text: String,
    /// Where, if it failed, in the coordinates of the image.
    pub frame: Option<String>,
}

impl Program {
    pub(super) fn arms(&self, on: &BTreeSet<PartId>) -> Vec<Arm> {
        let parts = (0..).map(PartId).zip(&self.before);
        parts.map(|(part, arm)| if on.contains(&part) { Arm::After } else { *arm }).collect()
    }

    /// What runs with these arms, and which of two images it is, if there are two.
    pub(super) fn face(&self, arms: &[Arm]) -> (&Face, Option<Arm>) {
        let arm = self.face_part.and_then(|part| arms.get(usize::from(part.0))).copied();
        let before = self.before_face.as_ref().filter(|_| arm == Some(Arm::Before));
        (before.unwrap_or(&self.after), arm)
    }
}

/// Tries a change, within the budget of the policy. To be called on a thread with a large stack.
///
/// # Errors
/// The engine cannot make instances.
pub fn validate(
    program: &Program,
    tapes: BTreeMap<FunctionName, Vec<Tape>>,
    policy: &TapePolicy,
) -> Result<Validation, EngineError> {
    let (began, budget) = (Instant::now(), Duration::from_millis(policy.budget_ms));
    let trier = Trier::new(program, policy, began + budget);
    let mut trial = Trial {
        trier,
        tried: Vec::new(),
        otherwise: Otherwise::default(),
        found: Validation::default(),
    };
    // What is left is for the search.
    let steps = [
        trial.first_run(tapes, began + budget.mul_f64(FIRST_RUN)),
        trial.whole(),
        trial.mixtures(),
    ];
    let mut found = trial.found;
    (found.told.differences, found.told.differences_more) = trial.otherwise.told();
    for step in steps {
        match step {
            Ok(()) => {}
            Err(Stop::Late) => found.told.cut = true,
            Err(Stop::Engine(error)) => return Err(error),
        }
    }
    found.told.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(found)
}

struct Trial<'p> {
    trier: Trier<'p>,
    tried: Vec<Tried>,
    otherwise: Otherwise,
    found: Validation,
}

/// A recorded request on which what runs now does what was recorded, with what all parts together do on it.
struct Tried {
    function: FunctionName,
    tape: Tape,
    reached: BTreeSet<PartId>,
    worse: Vec<Reasoned>,
}

/// What was done worse, with the name of what is told once, whatever the tape.
struct Reasoned {
    name: String,
    did: Did,
}

impl Trial<'_> {
    /// Each tape once, with all parts on, the functions in turns.
    fn first_run(
        &mut self,
        tapes: BTreeMap<FunctionName, Vec<Tape>>,
        deadline: Instant,
    ) -> Result<(), Stop> {
        let on = self.on();
        let mut queues: Vec<_> =
            tapes.into_iter().map(|(function, tapes)| (function, tapes.into_iter())).collect();
        while !queues.is_empty() {
            let mut left = Vec::new();
            for (function, mut tapes) in queues {
                if Instant::now() >= deadline {
                    return Err(Stop::Late);
                }
                let Some(tape) = tapes.next() else { continue };
                self.try_one(&function, tape, &on)?;
                left.push((function, tapes));
            }
            queues = left;
        }
        Ok(())
    }

    fn try_one(
        &mut self,
        function: &FunctionName,
        mut tape: Tape,
        on: &BTreeSet<PartId>,
    ) -> Result<(), Stop> {
        if !self.trier.prove(function, &mut tape)? {
            return Ok(());
        }
        let Some(replayed) = self.trier.replay(function, &tape, on)? else { return Ok(()) };
        self.count(function, &replayed);
        let everywhere = self.trier.program().face_part;
        let reached = replayed.reached.iter().map(|reached| PartId(reached.part));
        let reached = reached.chain(everywhere).collect();
        let worse = worse(function, &replayed);
        self.tried.push(Tried { function: function.clone(), tape, reached, worse });
        Ok(())
    }

    /// All parts together; what does worse is taken out until nothing does.
    fn whole(&mut self) -> Result<(), Stop> {
        let worse = |tried: &Tried| !tried.worse.is_empty();
        let mut left: Vec<usize> =
            (0..self.tried.len()).filter(|at| worse(&self.tried[*at])).collect();
        loop {
            let on = self.on();
            if left.is_empty() || on.is_empty() {
                return Ok(());
            }
            let searched = self.search(&mut left, &on);
            if let Err(Stop::Late) = searched {
                // Without the time to find out who it is, none of those that it may be is let in.
                let came_by = left.iter().flat_map(|at| self.tried[*at].reached.iter().copied());
                let came_by: BTreeSet<PartId> = came_by.filter(|part| on.contains(part)).collect();
                self.blame(if came_by.is_empty() { on } else { came_by }, &left);
            }
            searched?;
        }
    }

    /// One smallest set that does worse on the tapes that are `left`, which are those that do so without it from then on.
    fn search(&mut self, left: &mut Vec<usize>, on: &BTreeSet<PartId>) -> Result<(), Stop> {
        let asked = self.confirmed(left, on)?;
        if asked.is_empty() {
            return Ok(());
        }
        let guilty = smallest(on, &mut |set| self.is_worse(&asked, set))?;
        self.blame(guilty, left);
        let on = self.on();
        self.keep_worse(left, &on)
    }

    /// The first tapes of those that are `left` that do worse again. What does not, as it took time that another needed, is no
    /// reason, and leaves.
    fn confirmed(&self, left: &mut Vec<usize>, on: &BTreeSet<PartId>) -> Result<Vec<usize>, Stop> {
        let mut asked = Vec::new();
        while let Some(tape) = left.get(asked.len()).copied().filter(|_| asked.len() < ASKED_MAX) {
            if self.is_worse(&[tape], on)? {
                asked.push(tape);
            } else {
                left.remove(asked.len());
            }
        }
        Ok(asked)
    }

    fn keep_worse(&self, tapes: &mut Vec<usize>, on: &BTreeSet<PartId>) -> Result<(), Stop> {
        let mut kept = Vec::new();
        for tape in tapes.iter() {
            if self.is_worse(&[*tape], on)? {
                kept.push(*tape);
            }
        }
        *tapes = kept;
        Ok(())
    }

    fn blame(&mut self, parts: BTreeSet<PartId>, tapes: &[usize]) {
        let mut names = BTreeSet::new();
        let all = tapes.iter().flat_map(|at| &self.tried[*at].worse);
        let first = all.filter(|reasoned| names.insert(&reasoned.name));
        let mut reasons: Vec<Did> = first.map(|reasoned| reasoned.did.clone()).collect();
        reasons.truncate(TOLD_MAX);
        self.found.guilty.push((parts, reasons));
    }

    /// Parts that are on.
    fn on(&self) -> BTreeSet<PartId> {
        let guilty = |part: &PartId| self.found.guilty.iter().any(|(set, _)| set.contains(part));
        self.trier.program().trial.iter().copied().filter(|part| !guilty(part)).collect()
    }

    fn count(&mut self, function: &FunctionName, replayed: &Replayed) {
        let told = &mut self.found.told;
        told.tapes += 1;
        match replayed.verdict {
            Verdict::Same => told.same += 1,
            Verdict::Changed => told.changed += 1,
            Verdict::Worse(_) => told.worse += 1,
            Verdict::Diverged(_) => told.diverged += 1,
        }
        if replayed.verdict != Verdict::Changed {
            return;
        }
        self.otherwise.note(function, &replayed.differences);
    }

    fn is_worse(&self, tapes: &[usize], on: &BTreeSet<PartId>) -> Result<bool, Stop> {
        for tape in tapes {
            let Tried { function, tape, .. } = &self.tried[*tape];
            let replayed = self.trier.replay(function, tape, on)?;
            if replayed.is_some_and(|it| matches!(it.verdict, Verdict::Worse(_))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Each part alone, and all without it: requests that toss coins will run such mixtures. Those that there is no time for
    /// are merged with what touches the same function.
    fn mixtures(&mut self) -> Result<(), Stop> {
        let (on, places) = (self.on(), &self.trier.program().places);
        let reached: Vec<_> = self.tried.iter().map(|tried| &tried.reached).collect();
        let order = most_tied_first(&on, places, reached.iter().copied());
        let tapes = order.iter().map(|part| (*part, covering(*part, &reached, COVERING_MAX)));
        let (tapes, mut replays): (BTreeMap<_, _>, _) = (tapes.collect(), 0);
        let mut bad = |part: PartId, set: &BTreeSet<PartId>| {
            let tapes = &tapes[&part];
            replays += tapes.len() as u64;
            self.is_worse(tapes, set)
        };
        let (bound, ended) = group_check(&order, &on, places, &mut bad);
        self.found.told.mixtures += replays;
        self.found.merged = bound;
        ended
    }
}

/// What a candidate did worse.
fn worse(function: &FunctionName, replayed: &Replayed) -> Vec<Reasoned> {
    match &replayed.verdict {
        Verdict::Worse(reasons) => {
            reasons.iter().flat_map(|reason| did(function, reason)).collect()
        }
        Verdict::Same | Verdict::Changed | Verdict::Diverged(_) => Vec::new(),
    }
}

fn did(function: &FunctionName, reason: &Reason) -> Vec<Reasoned> {
    let named = |text: String| format!("{function}: {text}");
    let (text, frame) = match reason {
        Reason::Otherwise { differences } => {
            let lines = differences.iter().flat_map(lines);
            let did = |line: Line| Reasoned {
                name: named(line.name),
                did: Did { text: named(line.text), frame: None },
            };
            return lines.map(did).collect();
        }
        Reason::Failed { now, error_type, message, stack, .. } => {
            let text = format!("{}: {error_type}: {message}", now.as_str());
            (text, stack.first().cloned())
        }
        Reason::Violated { criterion, why: None } => {
            (format!("success: {} is false", on_one_line(criterion)), None)
        }
        Reason::Violated { criterion, why: Some(why) } => {
            (format!("success: {} cannot be told: {why}", on_one_line(criterion)), None)
        }
        Reason::Cpu { was_us, now_us, .. } => {
            (format!("{} ms of CPU time, not {} ms", now_us / 1_000, was_us / 1_000), None)
        }
        Reason::Memory { was_bytes, now_bytes, .. } => {
            (format!("{} kB of memory, not {} kB", now_bytes >> 10, was_bytes >> 10), None)
        }
    };
    let text = named(text);
    vec![Reasoned { name: text.clone(), did: Did { text, frame } }]
}

fn on_one_line(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}
