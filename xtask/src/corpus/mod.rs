//! Weaves code that nobody here wrote, and says how it went: `cargo xtask weave-corpus`.
//!
//! A *change* is two versions of some sources: a commit of a repository ([`git`]), or two consecutive versions of a
//! package ([`npm`]). Each is woven, folded back (which every weave is), and counted ([`table`]); with a command that
//! tests it, its woven texts are also run ([`run`]).

mod git;
mod npm;
mod options;
mod run;
mod table;

use std::{path::Path, time::Instant};

use anyhow::Context as _;
use belay_weave::{Loose, Sources, Tying, Weave};

pub use options::{Options, USAGE};
use run::Runs;
use table::Table;

/// Two versions of some sources.
struct Change {
    name: String,
    before: Sources,
    after: Sources,
}

/// Where changes come from.
trait Origin {
    fn changes(&self, max: usize) -> anyhow::Result<Vec<Change>>;

    /// Puts one version of a change into `directory`, with all that its tests need.
    fn check_out(&self, change: &Change, version: Version, directory: &Path) -> anyhow::Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Before,
    After,
}

/// Prints a table of all that was asked for. The result tells whether nothing failed.
///
/// # Errors A repository, a registry or a directory that cannot be read.
pub fn weave_corpus(options: &Options) -> anyhow::Result<bool> {
    let mut origins: Vec<(String, Box<dyn Origin>)> = Vec::new();
    for directory in &options.git {
        let repository =
            git::Repository { directory: directory.clone(), paths: options.paths.clone() };
        origins.push((name_of(directory), Box::new(repository)));
    }
    for package in &options.npm {
        origins.push((package.clone(), Box::new(npm::Package { name: package.clone() })));
    }
    let mut total = Table::default();
    table::heading()?;
    for (name, origin) in &origins {
        let table = corpus(&**origin, options).with_context(|| format!("weaving {name}"))?;
        table.row(name)?;
        total.add(table);
    }
    if origins.len() > 1 {
        total.row("all")?;
    }
    total.summary(options)?;
    anyhow::ensure!(
        options.tests.is_none() || total.runs.sound > 0,
        "the tests passed for no version as it is, so nothing was shown: try the command by hand"
    );
    Ok(total.is_right())
}

fn corpus(origin: &dyn Origin, options: &Options) -> anyhow::Result<Table> {
    let mut table = Table::default();
    for change in origin.changes(options.max)? {
        // A deploy knows what each module imports.
        let sources = Loose::read(&change.before, &change.after);
        let start = Instant::now();
        let weave = sources.weave(Tying::Default);
        let elapsed = start.elapsed();
        table.note(&change, &weave, elapsed);
        if options.verbose {
            table::explain(&change, &weave)?;
        }
        if let Some(command) = &options.tests {
            table.runs.add(&run(origin, &change, &weave, command)?);
        }
    }
    Ok(table)
}

fn run(origin: &dyn Origin, change: &Change, weave: &Weave, command: &str) -> anyhow::Result<Runs> {
    run::run(origin, change, weave, command).with_context(|| format!("running {}", change.name))
}

/// The last part of a path that says something: `express` of `mirror/express/repo`.
fn name_of(directory: &Path) -> String {
    let parts = directory.iter().map(|part| part.to_string_lossy().into_owned());
    let mut parts = parts.filter(|part| !matches!(part.as_str(), "repo" | ".git" | "."));
    parts.next_back().unwrap_or_default()
}

/// Sources that are woven: JavaScript and TypeScript that runs, neither tests nor what tools made of other sources.
fn is_source(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let code = matches!(extension, "js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx");
    let made = [".d.ts", ".d.mts", ".d.cts", ".min.js", ".config.js", ".config.mjs", ".config.ts"];
    let tested = |part: &str| {
        matches!(part, "test" | "tests" | "__tests__" | "node_modules" | "dist" | "bench")
            || matches!(part, "benchmark" | "benchmarks" | "examples" | "deno_dist")
            || part.contains(".test.")
            || part.contains(".spec.")
            // Tests of types, which never run.
            || part.contains(".test-d.")
            || part.contains(".tst.")
            || part.starts_with('.')
    };
    code && !made.iter().any(|end| path.ends_with(end)) && !path.split('/').any(tested)
}
