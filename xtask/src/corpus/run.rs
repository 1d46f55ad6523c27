//! Runs woven texts under the tests that came with the code.
//!
//! All-after must pass the tests of the version after, all-before those of the version before, wherever the plain
//! version does. Mixtures run under the tests that both woven versions pass: first, as in a deploy, each part alone and all
//! but it, which binds parts that break each other; then what requests would draw, a coin for each group that is left.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use belay_model::{Arm, Hash, PartId};
use belay_weave::{Bound, NODE_ARMS, NODE_PRELUDE, Sources, Weave, group_check, node_arms};

use super::{Change, Origin, Version, npm::scratch};

/// Runs of the tests of one change for its group check; what they do not cover is bound by function, as in a deploy.
const CHECKS_MAX: usize = 160;
/// Vectors of arms that are drawn for one change.
const DRAWN_MAX: usize = 12;

/// How the tests went.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Versions whose tests pass by themselves.
    pub(super) sound: usize,
    /// Of those, the ones whose woven text fails.
    pub(super) broken: Vec<String>,
    /// Each part alone, and all but it.
    pub(super) checked: usize,
    pub(super) broken_checked: usize,
    /// Changes that have mixtures, and those of them that had too many for all to be checked.
    pub(super) mixed: usize,
    pub(super) cut: usize,
    /// Vectors that were drawn after the group check.
    pub(super) mixtures: usize,
    pub(super) broken_mixtures: Vec<String>,
}

impl Runs {
    pub(super) fn add(&mut self, other: &Self) {
        self.sound += other.sound;
        self.checked += other.checked;
        self.broken_checked += other.broken_checked;
        self.mixed += other.mixed;
        self.cut += other.cut;
        self.mixtures += other.mixtures;
        self.broken.extend(other.broken.iter().cloned());
        self.broken_mixtures.extend(other.broken_mixtures.iter().cloned());
    }
}

pub(super) fn run(
    origin: &dyn Origin,
    change: &Change,
    weave: &Weave,
    command: &str,
) -> anyhow::Result<Runs> {
    let mut runs = Runs::default();
    if weave.is_empty() {
        return Ok(runs);
    }
    let bench = Bench { origin, change, weave, command };
    let mut common = None;
    for (version, arm) in [(Version::Before, Arm::Before), (Version::After, Arm::After)] {
        if !bench.passes(version, None)? {
            continue;
        }
        runs.sound += 1;
        if !bench.passes(version, Some(&vec![arm; weave.parts_len()]))? {
            runs.broken.push(format!(
                "{} all-{}",
                change.name,
                if arm == Arm::After { "after" } else { "before" }
            ));
        } else if bench.passes(version, Some(&vec![other(arm); weave.parts_len()]))? {
            common = Some(version);
        }
    }
    if let Some(version) = common.filter(|_| weave.parts_len() > 1) {
        Mixing { bench, version, known: BTreeMap::new() }.run(&mut runs)?;
    }
    Ok(runs)
}

fn other(arm: Arm) -> Arm {
    match arm {
        Arm::Before => Arm::After,
        Arm::After => Arm::Before,
    }
}

/// The mixtures of one change.
struct Mixing<'b> {
    bench: Bench<'b>,
    version: Version,
    /// Parts that were on, and whether the tests passed.
    known: BTreeMap<BTreeSet<PartId>, bool>,
}

/// Why a check ended.
enum Stop {
    TooMany,
    Failed(anyhow::Error),
}

impl Mixing<'_> {
    fn run(mut self, runs: &mut Runs) -> anyhow::Result<()> {
        let parts = self.bench.weave.parts();
        let on: BTreeSet<PartId> = parts.iter().map(|part| part.id).collect();
        let order: Vec<PartId> = on.iter().copied().collect();
        let places: Vec<_> = parts.iter().map(belay_model::PartInfo::places).collect();
        let (bound, ended) = group_check(&order, &on, &places, &mut |_, set| self.check(set));
        match ended {
            Ok(()) => {}
            Err(Stop::TooMany) => runs.cut += 1,
            Err(Stop::Failed(error)) => return Err(error),
        }
        runs.mixed += 1;
        let lone = |set: &BTreeSet<PartId>| set.len() == 1 || set.len() + 1 == on.len();
        let checked: Vec<bool> =
            self.known.iter().filter(|(set, _)| lone(set)).map(|(_, passed)| *passed).collect();
        runs.checked += checked.len();
        runs.broken_checked += checked.iter().filter(|passed| !**passed).count();
        for drawn in drawn(&self.bench.change.name, &on, &bound) {
            runs.mixtures += 1;
            if !self.passes(&drawn)? {
                let letters = node_arms(&self.arms(&drawn));
                runs.broken_mixtures.push(format!("{} {letters}", self.bench.change.name));
            }
        }
        Ok(())
    }

    /// Whether the tests fail with these parts on.
    fn check(&mut self, on: &BTreeSet<PartId>) -> Result<bool, Stop> {
        if self.known.len() >= CHECKS_MAX && !self.known.contains_key(on) {
            return Err(Stop::TooMany);
        }
        self.passes(on).map(|passed| !passed).map_err(Stop::Failed)
    }

    fn passes(&mut self, on: &BTreeSet<PartId>) -> anyhow::Result<bool> {
        if let Some(known) = self.known.get(on) {
            return Ok(*known);
        }
        let passed = self.bench.passes(self.version, Some(&self.arms(on)))?;
        self.known.insert(on.clone(), passed);
        Ok(passed)
    }

    fn arms(&self, on: &BTreeSet<PartId>) -> Vec<Arm> {
        let parts = self.bench.weave.parts();
        let arm = |part: PartId| if on.contains(&part) { Arm::After } else { Arm::Before };
        parts.iter().map(|part| arm(part.id)).collect()
    }
}

/// Mixtures as requests draw them: a coin for each group. The same ones whenever the same change is tried.
fn drawn(change: &str, on: &BTreeSet<PartId>, bound: &Bound) -> BTreeSet<BTreeSet<PartId>> {
    let groups: BTreeSet<BTreeSet<PartId>> = on.iter().map(|part| bound.of(*part)).collect();
    let mut drawn = BTreeSet::new();
    for draw in 0..DRAWN_MAX * 4 {
        let coins = Hash::of(format!("{change} {draw}").as_bytes()).to_hex();
        let heads = coins.bytes().map(|digit| digit % 2 == 0).cycle();
        let set: BTreeSet<PartId> = groups
            .iter()
            .zip(heads)
            .filter(|(_, head)| *head)
            .flat_map(|(set, _)| set)
            .copied()
            .collect();
        if !set.is_empty() && set != *on && drawn.len() < DRAWN_MAX {
            drawn.insert(set);
        }
    }
    drawn
}

struct Bench<'b> {
    origin: &'b dyn Origin,
    change: &'b Change,
    weave: &'b Weave,
    command: &'b str,
}

impl Bench<'_> {
    /// Whether the tests of a version pass: of the plain code, or of the woven one with these arms.
    fn passes(&self, version: Version, arms: Option<&Vec<Arm>>) -> anyhow::Result<bool> {
        let directory = scratch("checkout")?;
        self.origin.check_out(self.change, version, &directory)?;
        let mut command = Command::new("sh");
        command.args(["-c", self.command]).current_dir(&directory);
        if let Some(arms) = arms {
            let image = self.weave.image_part().and_then(|part| arms.get(usize::from(part.0)));
            write(&self.weave.sources(image.copied().unwrap_or(Arm::After)), &directory)?;
            let prelude = scratch("belay-cells.cjs")?;
            fs::write(&prelude, NODE_PRELUDE)?;
            let options = std::env::var("NODE_OPTIONS").unwrap_or_default();
            let options = format!("{options} --require {}", prelude.display());
            command.env("NODE_OPTIONS", options).env(NODE_ARMS, node_arms(arms));
        }
        Ok(command.output()?.status.success())
    }
}

fn write(sources: &Sources, directory: &Path) -> anyhow::Result<()> {
    for (path, text) in sources {
        let file = directory.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, text.as_bytes())?;
    }
    Ok(())
}
