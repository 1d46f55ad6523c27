//! A change on recorded requests, before it gets any: what does worse is switched off, and what does worse only without
//! something else goes with that.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use belay_engine::{EngineError, FunctionImage};
use belay_govern::Validated;
use belay_host::tape::{Difference, Reason, Replayed, Tape, Verdict};
use belay_model::{Arm, FunctionName, PartId};

use super::{
    search::smallest,
    trier::{Proven, Trier},
};
use crate::catalog::FunctionRecord;

/// Tapes of one function that a deploy is tried on.
pub const TAPES_MAX: usize = 200;
/// Failing tapes that the search for the guilty parts asks.
const ASKED_MAX: usize = 12;
/// Tapes that a mixture is tried on.
const COVERING_MAX: usize = 6;
/// Differences that are told.
const TOLD_MAX: usize = 12;

/// Two versions in one program, as it is about to be deployed.
pub struct Program {
    /// Of the image and the settings of *after*, and of *before* where these are others.
    pub after: (FunctionImage, BTreeMap<FunctionName, FunctionRecord>),
    pub before_face: Option<(FunctionImage, BTreeMap<FunctionName, FunctionRecord>)>,
    pub face_part: Option<PartId>,
    /// The arms of what runs until now.
    pub before: Vec<Arm>,
    /// Parts that are to be let in.
    pub trial: BTreeSet<PartId>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Validation {
    pub told: Validated,
    /// Parts that do worse, in sets that do so together, with what they did.
    pub guilty: Vec<(BTreeSet<PartId>, Vec<Did>)>,
    /// Parts that do worse one without the other.
    pub merged: Vec<BTreeSet<PartId>>,
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

    pub(super) fn face(
        &self,
        arms: &[Arm],
    ) -> (&FunctionImage, &BTreeMap<FunctionName, FunctionRecord>) {
        let arm = self.face_part.and_then(|part| arms.get(usize::from(part.0)));
        let before = self.before_face.as_ref().filter(|_| arm == Some(&Arm::Before));
        let (image, functions) = before.unwrap_or(&self.after);
        (image, functions)
    }
}

/// Tries a change. To be called on a thread with a large stack.
///
/// # Errors
/// The engine cannot make instances.
pub fn validate(
    program: &Program,
    tapes: BTreeMap<FunctionName, Vec<Tape>>,
    budget: Duration,
) -> Result<Validation, EngineError> {
    let began = Instant::now();
    let trier = Trier::new(program, began + budget);
    let proven = trier.prove(tapes)?;
    let mut trial = Trial { trier, proven, found: Validation::default() };
    trial.whole()?;
    trial.mixtures()?;
    let mut found = trial.found;
    found.told.cut = trial.trier.is_late();
    found.told.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(found)
}

struct Trial<'p> {
    trier: Trier<'p>,
    proven: Vec<Proven>,
    found: Validation,
}

/// A tape that does worse, and why.
struct Worse {
    tape: usize,
    reasons: Vec<Did>,
}

impl Trial<'_> {
    /// All parts together; what does worse is taken out until nothing does.
    fn whole(&mut self) -> Result<(), EngineError> {
        let mut worse = self.first_run()?;
        while !worse.is_empty() && !self.trier.is_late() {
            let on = self.on();
            if on.is_empty() {
                return Ok(());
            }
            let asked: Vec<usize> = worse.iter().take(ASKED_MAX).map(|it| it.tape).collect();
            let guilty = smallest(&on, &mut |set| self.is_worse(&asked, set))?;
            let reasons = worse.iter().flat_map(|it| it.reasons.iter().cloned());
            let mut reasons: Vec<Did> = reasons.collect();
            reasons.dedup();
            reasons.truncate(TOLD_MAX);
            self.found.guilty.push((guilty, reasons));
            worse = self.worse_of(&worse.iter().map(|it| it.tape).collect::<Vec<_>>())?;
        }
        // Without the time to find out who it is, nothing of it is let in.
        if !worse.is_empty() && !self.on().is_empty() {
            let reasons = worse.into_iter().flat_map(|it| it.reasons).take(TOLD_MAX).collect();
            let on = self.on();
            self.found.guilty.push((on, reasons));
        }
        Ok(())
    }

    /// Parts that are on.
    fn on(&self) -> BTreeSet<PartId> {
        let guilty = |part: &PartId| self.found.guilty.iter().any(|(set, _)| set.contains(part));
        self.trier.program().trial.iter().copied().filter(|part| !guilty(part)).collect()
    }

    /// Each tape once, with all parts on; counted.
    fn first_run(&mut self) -> Result<Vec<Worse>, EngineError> {
        let (on, mut worse) = (self.on(), Vec::new());
        for at in 0..self.proven.len() {
            if self.trier.is_late() {
                break;
            }
            let Some(replayed) = self.trier.replay(&self.proven[at], &on)? else { continue };
            self.count(at, &replayed);
            if let Verdict::Worse(reasons) = &replayed.verdict {
                worse.push(self.worse(at, reasons));
            }
        }
        Ok(worse)
    }

    fn count(&mut self, tape: usize, replayed: &Replayed) {
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
        let function = &self.proven[tape].function;
        for line in replayed.differences.iter().flat_map(lines) {
            let line = format!("{function}: {line}");
            if told.differences.len() < TOLD_MAX && !told.differences.contains(&line) {
                told.differences.push(line);
            }
        }
    }

    fn worse_of(&self, tapes: &[usize]) -> Result<Vec<Worse>, EngineError> {
        let (on, mut worse) = (self.on(), Vec::new());
        for tape in tapes {
            let replayed = self.trier.replay(&self.proven[*tape], &on)?;
            if let Some(Verdict::Worse(reasons)) = replayed.map(|it| it.verdict) {
                worse.push(self.worse(*tape, &reasons));
            }
        }
        Ok(worse)
    }

    fn worse(&self, tape: usize, reasons: &[Reason]) -> Worse {
        let function = &self.proven[tape].function;
        Worse { tape, reasons: reasons.iter().map(|reason| did(function, reason)).collect() }
    }

    fn is_worse(&self, tapes: &[usize], on: &BTreeSet<PartId>) -> Result<bool, EngineError> {
        for tape in tapes {
            let replayed = self.trier.replay(&self.proven[*tape], on)?;
            if replayed.is_some_and(|it| matches!(it.verdict, Verdict::Worse(_))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Each part alone, and all without it: requests that toss coins will run such mixtures.
    fn mixtures(&mut self) -> Result<(), EngineError> {
        let on = self.on();
        if on.len() < 2 {
            return Ok(());
        }
        let covering = self.covering(&on)?;
        for part in &on {
            let tapes = covering.get(part).map_or(&[][..], Vec::as_slice);
            if self.trier.is_late() {
                return Ok(());
            }
            self.found.told.mixtures += 2 * tapes.len() as u64;
            let with = self.grown(*part, &on, tapes, |set, _| set.clone())?;
            let without = self.grown(*part, &on, tapes, |set, on| on - set)?;
            if with.len().max(without.len()) > 1 {
                self.merge(&with | &without);
            }
        }
        Ok(())
    }

    /// A part with the fewest others that it has to go with, for what `run` makes of the set not to do worse.
    fn grown(
        &self,
        part: PartId,
        on: &BTreeSet<PartId>,
        tapes: &[usize],
        run: impl Fn(&BTreeSet<PartId>, &BTreeSet<PartId>) -> BTreeSet<PartId>,
    ) -> Result<BTreeSet<PartId>, EngineError> {
        let mut set = BTreeSet::from([part]);
        while set.len() < on.len() && !self.trier.is_late() {
            if !self.is_worse(tapes, &run(&set, on))? {
                break;
            }
            let others = on - &set;
            // Those of the others that it does worse on the other side of.
            let apart = |apart: &BTreeSet<PartId>| run(&(on - apart), on);
            set.extend(smallest(&others, &mut |some| self.is_worse(tapes, &apart(some)))?);
        }
        Ok(set)
    }

    /// By part, some tapes that come by it.
    fn covering(&self, on: &BTreeSet<PartId>) -> Result<BTreeMap<PartId, Vec<usize>>, EngineError> {
        let mut covering: BTreeMap<PartId, Vec<usize>> = BTreeMap::new();
        for (at, proven) in self.proven.iter().enumerate() {
            if self.trier.is_late() {
                break;
            }
            let Some(replayed) = self.trier.replay(proven, on)? else { continue };
            for reached in &replayed.reached {
                let tapes = covering.entry(PartId(reached.part)).or_default();
                if tapes.len() < COVERING_MAX {
                    tapes.push(at);
                }
            }
        }
        Ok(covering)
    }

    fn merge(&mut self, mut set: BTreeSet<PartId>) {
        let merged = std::mem::take(&mut self.found.merged);
        let (touching, mut apart): (Vec<_>, Vec<_>) =
            merged.into_iter().partition(|other| !other.is_disjoint(&set));
        set.extend(touching.into_iter().flatten());
        apart.push(set);
        self.found.merged = apart;
    }
}

/// What a candidate did worse, in a line.
fn did(function: &FunctionName, reason: &Reason) -> Did {
    let (text, frame) = match reason {
        Reason::Failed { now, error_type, message, stack, .. } => {
            let text = format!("{}: {error_type}: {message}", now.as_str());
            (text, stack.first().cloned())
        }
        Reason::Cpu { was_us, now_us, .. } => {
            (format!("{} ms of CPU time, not {} ms", now_us / 1_000, was_us / 1_000), None)
        }
        Reason::Memory { was_bytes, now_bytes, .. } => {
            (format!("{} kB of memory, not {} kB", now_bytes >> 10, was_bytes >> 10), None)
        }
    };
    Did { text: format!("{function}: {text}"), frame }
}

fn lines(difference: &Difference) -> Vec<String> {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let fields = |of: &str, fields: &[belay_host::tape::Field]| {
        let line = |field: &belay_host::tape::Field| {
            format!("{of}{} was {}, now {}", field.path, shown(&field.was), shown(&field.now))
        };
        fields.iter().map(line).collect()
    };
    match difference {
        Difference::Result { fields: all } => fields("", all),
        Difference::Ending { was, now } => vec![format!("ended with {was}, now with {now}")],
        Difference::Changed { op, subject, fields: all } => {
            fields(&format!("{op} {subject} "), all)
        }
        Difference::Missing { op, subject } => vec![format!("{op} {subject} is not made any more")],
        Difference::Additional { op, subject } => vec![format!("{op} {subject} is new")],
    }
}
