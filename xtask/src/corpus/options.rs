//! What was asked for on the command line.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};

pub const USAGE: &str =
    "weave-corpus (--git DIR | --npm PKG)… [--paths GLOB]… [--max N] [--tests CMD] [--verbose]";

/// How many changes of each origin, if nothing else is asked for.
const MAX: usize = 90;

/// What `weave-corpus` is to do.
#[derive(Debug, Default)]
pub struct Options {
    /// Repositories, bare or not.
    pub git: Vec<PathBuf>,
    /// Packages of the registry.
    pub npm: Vec<String>,
    /// What of the repositories; all sources if empty.
    pub paths: Vec<String>,
    /// Changes of each.
    pub max: usize,
    /// Runs in a checkout; its status says whether the tests pass.
    pub tests: Option<String>,
    /// A line for each hunk that cannot be chosen per request.
    pub verbose: bool,
}

impl Options {
    /// # Errors What is not an option, or lacks its value.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self { max: MAX, ..Self::default() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--git" => options.git.push(value()?.into()),
                "--npm" => options.npm.push(value()?),
                "--paths" => options.paths.push(value()?),
                "--max" => options.max = value()?.parse().context("--max needs a number")?,
                "--tests" => options.tests = Some(value()?),
                "--verbose" => options.verbose = true,
                other => bail!("there is no option '{other}'; usage: {USAGE}"),
            }
        }
        ensure!(!options.git.is_empty() || !options.npm.is_empty(), "usage: {USAGE}");
        Ok(options)
    }
}
