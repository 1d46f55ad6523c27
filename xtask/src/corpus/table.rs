//! What was counted, and how it is shown.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use belay_model::{Arm, HunkInfo, HunkKind};
use belay_weave::Weave;

use super::{Change, options::Options, run::Runs};

/// Counts of changes, pairs of files and hunks.
#[derive(Debug, Default)]
pub(super) struct Table {
    changes: usize,
    /// Of them, those that change what is said.
    changed: usize,
    /// By the coarsest hunk of a change.
    inline: usize,
    function: usize,
    dual: usize,
    refused: usize,
    /// Changes with more than one part.
    multi: usize,
    pairs: usize,
    hunks: usize,
    /// Hunks that differ between the images.
    image_hunks: usize,
    /// Pairs with such a hunk.
    image_pairs: usize,
    mismatches: Vec<String>,
    elapsed: Duration,
    /// Woven size by new size, of each pair.
    sizes: Vec<f64>,
    pub(super) runs: Runs,
}

impl Table {
    pub(super) fn note(&mut self, change: &Change, weave: &Weave, elapsed: Duration) {
        self.changes += 1;
        self.elapsed += elapsed;
        let parts = weave.parts();
        let hunks: Vec<&HunkInfo> = parts.iter().flat_map(|part| &part.hunks).collect();
        self.hunks += hunks.len();
        let images = hunks.iter().filter(|hunk| hunk.kind == HunkKind::Image);
        let image_paths: Vec<&str> = images.map(|hunk| hunk.edit.module.as_str()).collect();
        self.image_hunks += image_paths.len();
        let woven = weave.sources(Arm::After);
        let pairs = change
            .after
            .iter()
            .filter(|(path, new)| change.before.get(*path).is_some_and(|old| old != *new));
        for (path, new) in pairs {
            self.pairs += 1;
            self.image_pairs += usize::from(image_paths.contains(&path.as_str()));
            let (woven, new) = (woven.get(path).map_or(0, |text| text.len()), new.len().max(1));
            self.sizes.push(ratio(woven, new));
        }
        let found = weave.mismatches();
        self.mismatches.extend(found.map(|(path, what)| format!("{} {path}: {what}", change.name)));
        self.multi += usize::from(parts.len() > 1);
        if hunks.is_empty() {
            return;
        }
        self.changed += 1;
        let level = hunks.iter().map(|hunk| level(hunk.kind)).max().unwrap_or(0);
        let counts = [&mut self.inline, &mut self.function, &mut self.dual, &mut self.refused];
        if let Some(count) = counts.into_iter().nth(level) {
            *count += 1;
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.changes += other.changes;
        self.changed += other.changed;
        self.inline += other.inline;
        self.function += other.function;
        self.dual += other.dual;
        self.refused += other.refused;
        self.multi += other.multi;
        self.pairs += other.pairs;
        self.hunks += other.hunks;
        self.image_hunks += other.image_hunks;
        self.image_pairs += other.image_pairs;
        self.mismatches.extend(other.mismatches);
        self.elapsed += other.elapsed;
        self.sizes.extend(other.sizes);
        self.runs.add(&other.runs);
    }

    /// Neither a mismatch, nor a woven version that fails where the plain one does not.
    pub(super) fn is_right(&self) -> bool {
        self.mismatches.is_empty() && self.runs.broken.is_empty()
    }

    fn ms_per_pair(&self) -> f64 {
        self.elapsed.as_secs_f64() * 1e3 / ratio(self.pairs.max(1), 1)
    }

    pub(super) fn row(&self, name: &str) -> io::Result<()> {
        let name: String = name.chars().take(24).collect();
        writeln!(
            io::stdout(),
            "{name:24} {:6} {:7} {:6} {:8} {:5} {:7} {:7} {:10} {:7.2}",
            self.changes,
            self.changed,
            self.inline,
            self.function,
            self.dual,
            self.refused,
            self.multi,
            self.mismatches.len(),
            self.ms_per_pair()
        )
    }

    /// What the table has no room for.
    pub(super) fn summary(&self, options: &Options) -> io::Result<()> {
        let mut out = io::stdout();
        let share = |part: usize, whole: usize| 100.0 * ratio(part, whole.max(1));
        let mut sizes = self.sizes.clone();
        sizes.sort_by(f64::total_cmp);
        let quantile = |per_cent: usize| sizes.get(sizes.len() * per_cent / 100).unwrap_or(&1.0);
        writeln!(
            out,
            "\nswitchable per request: {:.1} % of changes, {:.1} % of {} pairs of files, {:.1} % of {} hunks",
            share(self.changed - self.refused, self.changed),
            share(self.pairs - self.image_pairs, self.pairs),
            self.pairs,
            share(self.hunks - self.image_hunks, self.hunks),
            self.hunks
        )?;
        writeln!(
            out,
            "more than one part: {:.1} % of changes; woven size by new size: median {:.2}, p90 {:.2}",
            share(self.multi, self.changed),
            quantile(50),
            quantile(90)
        )?;
        let runs = &self.runs;
        if options.tests.is_some() {
            writeln!(
                out,
                "versions that pass their tests: {}, of which {} fail when woven",
                runs.sound,
                runs.broken.len(),
            )?;
            writeln!(
                out,
                "changes with mixtures: {} ({} too large to check all); a part alone, or all but it: {} of {} broken ({:.1} %); drawn after the group check: {} of {} broken ({:.1} %)",
                runs.mixed,
                runs.cut,
                runs.broken_checked,
                runs.checked,
                share(runs.broken_checked, runs.checked),
                runs.broken_mixtures.len(),
                runs.mixtures,
                share(runs.broken_mixtures.len(), runs.mixtures)
            )?;
        }
        let broken = runs.broken.iter().map(|what| format!("fails when woven: {what}"));
        let mixed = runs.broken_mixtures.iter().map(|what| format!("broken mixture: {what}"));
        let wrong = self.mismatches.iter().map(|what| format!("mismatch: {what}"));
        for line in wrong.chain(broken).chain(mixed) {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

pub(super) fn heading() -> io::Result<()> {
    writeln!(
        io::stdout(),
        "{:24} {:>6} {:>7} {:>6} {:>8} {:>5} {:>7} {:>7} {:>10} {:>7}",
        "",
        "parsed",
        "changed",
        "inline",
        "function",
        "dual",
        "refused",
        "parts>1",
        "mismatches",
        "ms/pair"
    )
}

/// Why hunks differ between the images.
pub(super) fn explain(change: &Change, weave: &Weave) -> io::Result<()> {
    for hunk in weave.parts().iter().flat_map(|part| &part.hunks) {
        if hunk.kind != HunkKind::Image {
            continue;
        }
        let reason = hunk.reason.as_ref().map_or("", |reason| &reason.message);
        let (path, line) = (&hunk.edit.module, hunk.after_lines.map_or(0, |lines| lines.0));
        let name: String = change.name.chars().take(20).collect();
        writeln!(io::stdout(), "{name} {path}:{line}: {reason}")?;
    }
    Ok(())
}

/// How coarse a kind of hunk is: inline, by function, bound twice, refused.
fn level(kind: HunkKind) -> usize {
    match kind {
        HunkKind::Statements
        | HunkKind::Expression
        | HunkKind::Property
        | HunkKind::Parameters
        | HunkKind::Settings => 0,
        HunkKind::Function => 1,
        HunkKind::Binding | HunkKind::Additive => 2,
        HunkKind::Image => 3,
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    let float = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    float(part) / float(whole)
}
