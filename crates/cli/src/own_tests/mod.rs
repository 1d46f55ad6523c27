//! The app's own tests on what a deploy would change, before it: on this machine, never on a server.
//!
//! What runs and what is to be deployed are woven into one program, as the server will, and the command runs it with all
//! parts on. If it fails, and passes with none, delta debugging finds the parts that it fails with; they begin taken back.
//! Each of the others is tried alone and left out, too, and parts that cannot be apart move together.
//!
//! Invariant: nothing of the user's is written to. What the tests did not show is held against nobody.

mod place;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use belay_model::{AppManifest, Hash, HunkInfo, PartId, PartInfo};
use belay_weave::{Bound, Tying, Weave, group_check, smallest, weave};

use self::place::{Ran, TestPlace};
use crate::exit::{CliError, CliResult};

/// How long the search for the guilty, and the group check, may take; a run that began goes on to its end.
const BUDGET: Duration = Duration::from_secs(60);

/// Two versions of an app, with their sources.
pub(crate) struct Versions<'v> {
    pub(crate) before: &'v AppManifest,
    pub(crate) after: &'v AppManifest,
    pub(crate) source: &'v dyn Fn(&Hash) -> Option<std::sync::Arc<str>>,
    /// Edits that run for everybody by now, and those that were taken back: neither are on trial.
    pub(crate) live: &'v BTreeSet<Hash>,
    pub(crate) taken_back: &'v BTreeSet<Hash>,
}

/// What the tests say.
#[derive(Debug, Default)]
pub(crate) struct Tested {
    /// Edits of parts with which they fail, one of each part.
    pub(crate) failed: Vec<Hash>,
    /// Edits of parts that move together, one of each part.
    pub(crate) tied: Vec<Vec<Hash>>,
    pub(crate) runs: usize,
    pub(crate) took: Duration,
    /// For people: what is worth knowing, with the end of what the tests said.
    pub(crate) notes: Vec<String>,
}

/// Runs `command` in a copy of the directory `root`. `None` if nothing differs that is on trial.
pub(crate) fn run(
    root: &Path,
    command: &str,
    versions: &Versions<'_>,
) -> CliResult<Option<Tested>> {
    let woven = weave(versions.before, versions.after, &versions.source, Tying::Default);
    let woven = woven.map_err(|hash| {
        CliError::failed("source", format!("the source {hash} of what runs is missing"))
    })?;
    let parts = woven.parts();
    let with = |edits: &BTreeSet<Hash>| -> BTreeSet<PartId> {
        let known = |hunk: &HunkInfo| edits.contains(&hunk.edit.fingerprint());
        parts.iter().filter(|part| part.hunks.iter().all(known)).map(|part| part.id).collect()
    };
    let (live, taken_back) = (with(versions.live), with(versions.taken_back));
    let on_trial = |part: &PartId| !live.contains(part) && !taken_back.contains(part);
    let all: BTreeSet<PartId> = parts.iter().map(|part| part.id).filter(on_trial).collect();
    if all.is_empty() {
        return Ok(None);
    }
    let place = TestPlace::new(root, command, &woven)?;
    let mut trial = Trial {
        parts,
        live,
        woven: &woven,
        place,
        known: BTreeMap::new(),
        deadline: None,
        found: Tested::default(),
    };
    let began = Instant::now();
    trial.all(command, &all)?;
    trial.found.took = began.elapsed();
    Ok(Some(trial.found))
}

/// Why a search ended early.
enum Stop {
    Late,
    Failed(CliError),
}

struct Trial<'w> {
    parts: Vec<PartInfo>,
    /// Parts that are always on.
    live: BTreeSet<PartId>,
    woven: &'w Weave,
    place: TestPlace,
    /// Parts that were on, and whether the tests passed.
    known: BTreeMap<BTreeSet<PartId>, bool>,
    /// None while it is not known whether the tests can tell anything.
    deadline: Option<Instant>,
    found: Tested,
}

impl Trial<'_> {
    fn all(&mut self, command: &str, all: &BTreeSet<PartId>) -> CliResult {
        let after = self.ran(all)?;
        if after.passed && all.len() == 1 {
            return Ok(());
        }
        let before = self.ran(&BTreeSet::new())?;
        if !before.passed {
            self.found.notes.push(match after.passed {
                true => format!(
                    "`{command}` passes; it fails on what runs now, so parts were not tried apart"
                ),
                false => format!(
                    "`{command}` fails on what runs now, too: nothing is held against the change\n{}",
                    before.tail
                ),
            });
            return Ok(());
        }
        // What fails once and not again is no reason.
        if !after.passed && self.ran(all)?.passed {
            self.found.notes.push(format!("`{command}` failed, and then passed on the same code"));
            self.known.insert(all.clone(), true);
        }
        self.deadline = Some(Instant::now() + BUDGET);
        let guilty = self.guilty(all)?;
        if !guilty.is_empty() {
            self.found.notes.push(format!("`{command}` fails\n{}", after.tail));
        }
        let on = all - &guilty;
        self.found.failed = guilty.iter().filter_map(|part| self.edit(*part)).collect();
        let tied = self.tied(&on)?.sets;
        let tied = tied.iter().map(|set| set.iter().filter_map(|part| self.edit(*part)).collect());
        self.found.tied = tied.collect();
        Ok(())
    }

    /// The parts without which the tests pass. Those that there is no time to tell apart are guilty together.
    fn guilty(&mut self, all: &BTreeSet<PartId>) -> CliResult<BTreeSet<PartId>> {
        let mut on = all.clone();
        loop {
            let searched = match self.fails(&on) {
                Ok(false) => break,
                Ok(true) => smallest(&on, &mut |set| self.fails(set)),
                Err(stop) => Err(stop),
            };
            match searched {
                Ok(found) => on = &on - &found,
                Err(Stop::Late) => {
                    self.found.notes.push(format!(
                        "the parts could not be told apart within {} s",
                        BUDGET.as_secs()
                    ));
                    return Ok(all.clone());
                }
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Ok(all - &on)
    }

    fn tied(&mut self, on: &BTreeSet<PartId>) -> CliResult<Bound> {
        let order: Vec<PartId> = on.iter().copied().collect();
        let places: Vec<_> = self.parts.iter().map(PartInfo::places).collect();
        match group_check(&order, on, &places, &mut |_, set| self.fails(set)) {
            (bound, Ok(())) => Ok(bound),
            (bound, Err(Stop::Late)) => {
                self.found.notes.push(format!(
                    "not all parts could be tried alone within {} s: those of one function move together",
                    BUDGET.as_secs()
                ));
                Ok(bound)
            }
            (_, Err(Stop::Failed(error))) => Err(error),
        }
    }

    fn fails(&mut self, on: &BTreeSet<PartId>) -> Result<bool, Stop> {
        if let Some(passed) = self.known.get(on) {
            return Ok(!passed);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Stop::Late);
        }
        self.ran(on).map(|ran| !ran.passed).map_err(Stop::Failed)
    }

    fn ran(&mut self, on: &BTreeSet<PartId>) -> CliResult<Ran> {
        let ran = self.place.run(self.woven, &(on | &self.live))?;
        self.found.runs += 1;
        self.known.insert(on.clone(), ran.passed);
        Ok(ran)
    }

    /// One edit tells which part is meant, also where the server has more in it.
    fn edit(&self, part: PartId) -> Option<Hash> {
        let part = self.parts.iter().find(|known| known.id == part)?;
        part.hunks.first().map(|hunk| hunk.edit.fingerprint())
    }
}
