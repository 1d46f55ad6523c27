//! Commits of a git repository, newest first.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use belay_weave::Sources;

use super::{Change, Origin, Version, is_source};

pub(super) struct Repository {
    pub(super) directory: PathBuf,
    pub(super) paths: Vec<String>,
}

impl Repository {
    fn git(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.directory).args(arguments);
        output(command)
    }

    /// Paths of sources that a commit changed, added or removed.
    fn changed(&self, commit: &str) -> anyhow::Result<Vec<String>> {
        let mut arguments =
            vec!["diff-tree", "-r", "--no-commit-id", "--no-renames", "--name-only", commit, "--"];
        arguments.extend(self.paths.iter().map(String::as_str));
        let paths = self.git(&arguments)?;
        let paths = String::from_utf8_lossy(&paths).into_owned();
        Ok(paths.lines().filter(|path| is_source(path)).map(str::to_owned).collect())
    }

    /// The sources at `paths` that a revision has; what is not text is left out.
    fn sources(&self, revision: &str, paths: &[String]) -> Sources {
        let read = |path: &String| {
            let bytes = self.git(&["show", &format!("{revision}:{path}")]).ok()?;
            Some((path.clone(), String::from_utf8(bytes).ok()?.into()))
        };
        paths.iter().filter_map(read).collect()
    }
}

impl Origin for Repository {
    /// Commits that change a source that both versions have.
    fn changes(&self, max: usize) -> anyhow::Result<Vec<Change>> {
        let mut log = vec!["log", "--no-merges", "--format=%H", "--"];
        log.extend(self.paths.iter().map(String::as_str));
        let commits = self.git(&log)?;
        let mut changes = Vec::new();
        for commit in String::from_utf8_lossy(&commits).lines() {
            if changes.len() == max {
                break;
            }
            let paths = self.changed(commit)?;
            if paths.is_empty() {
                continue;
            }
            let before = self.sources(&format!("{commit}^"), &paths);
            let after = self.sources(commit, &paths);
            if before.keys().any(|path| after.contains_key(path)) {
                changes.push(Change { name: commit.to_owned(), before, after });
            }
        }
        Ok(changes)
    }

    /// What is not of the repository, such as installed packages, stays from one checkout to the next.
    fn check_out(&self, change: &Change, version: Version, directory: &Path) -> anyhow::Result<()> {
        if !directory.join(".git").exists() {
            let mut clone = Command::new("git");
            clone.args(["clone", "--quiet", "--shared", "--no-checkout"]);
            clone.arg(&self.directory).arg(directory);
            output(clone)?;
        }
        let parent = if version == Version::Before { "^" } else { "" };
        let mut checkout = Command::new("git");
        checkout.arg("-C").arg(directory);
        checkout.args(["checkout", "--quiet", "--force", "--detach"]);
        checkout.arg(format!("{}{parent}", change.name));
        output(checkout)?;
        Ok(())
    }
}

/// What a program writes, if it succeeds.
pub(super) fn output(mut command: Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {errors}");
    Ok(output.stdout)
}
