//! Runs woven texts under the tests that came with the code.
//!
//! All-after must pass the tests of the version after, all-before those of the version before, wherever the plain
//! version does. Mixtures run under the tests that both woven versions pass: a part alone, and all but it.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use belay_model::Arm;
use belay_weave::{Sources, Weave};

use super::{Change, Origin, Version, npm::scratch};

/// Mixtures of one change that are tried.
const MIXTURES_MAX: usize = 6;
const CELLS: usize = 256;

/// How the tests went.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Versions whose tests pass by themselves.
    pub(super) sound: usize,
    /// Of those, the ones whose woven text fails.
    pub(super) broken: Vec<String>,
    pub(super) mixtures: usize,
    pub(super) broken_mixtures: Vec<String>,
}

impl Runs {
    pub(super) fn add(&mut self, other: &Self) {
        self.sound += other.sound;
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
    let Some(version) = common.filter(|_| weave.parts_len() > 1) else { return Ok(runs) };
    for arms in mixtures(weave.parts_len()) {
        runs.mixtures += 1;
        if !bench.passes(version, Some(&arms))? {
            let letters: String =
                arms.iter().map(|arm| if *arm == Arm::After { 'a' } else { 'b' }).collect();
            runs.broken_mixtures.push(format!("{} {letters}", change.name));
        }
    }
    Ok(runs)
}

fn other(arm: Arm) -> Arm {
    match arm {
        Arm::Before => Arm::After,
        Arm::After => Arm::Before,
    }
}

/// Each part alone, and each alone absent.
fn mixtures(parts: usize) -> BTreeSet<Vec<Arm>> {
    let one = |part: usize, arm: Arm| {
        let mut arms = vec![other(arm); parts];
        arms[part] = arm;
        arms
    };
    let all = (0..parts).flat_map(|part| [one(part, Arm::After), one(part, Arm::Before)]);
    let mut distinct = BTreeSet::new();
    for arms in all {
        if distinct.len() < MIXTURES_MAX {
            distinct.insert(arms);
        }
    }
    distinct
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
            fs::write(&prelude, cells(arms))?;
            let options = std::env::var("NODE_OPTIONS").unwrap_or_default();
            let options = format!("{options} --require {}", prelude.display());
            command.env("NODE_OPTIONS", options);
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

/// A module that provides the cells of guards.
fn cells(arms: &[Arm]) -> String {
    let arms: Vec<&str> =
        arms.iter().map(|arm| if *arm == Arm::After { "1" } else { "0" }).collect();
    format!(
        "globalThis.$belay = new Uint8Array({CELLS}); globalThis.$belay.set([{}]);\nglobalThis.$belay_arm = () => 0;\nglobalThis.$belay_enter = globalThis.$belay_leave = globalThis.$belay_settable = () => {{}};\n",
        arms.join(",")
    )
}
