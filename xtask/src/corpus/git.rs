//! Commits of a git repository, newest first.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use belay_weave::Sources;

use super::{Change, Origin, Version, is_source};

/// Texts by the names that git gives them; none for what is not text.
type Known = HashMap<String, Option<Arc<str>>>;

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

    /// All sources that a revision has; what is not text is left out. `known`: those that were read before, by their names
    /// in git.
    fn sources(&self, revision: &str, known: &mut Known) -> anyhow::Result<Sources> {
        let mut arguments = vec!["ls-tree", "-r", "-z", revision, "--"];
        let directories: Vec<&str> = self.paths.iter().map(|path| directory(path)).collect();
        if !directories.contains(&"") {
            arguments.extend(directories);
        }
        let listed = self.git(&arguments)?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let mut sources = Sources::new();
        for line in listed.split('\0').filter(|line| !line.is_empty()) {
            let (entry, path) = line.split_once('\t').context("what git lists")?;
            let object = entry.rsplit(' ').next().unwrap_or_default();
            if !is_source(path) {
                continue;
            }
            if !known.contains_key(object) {
                let bytes = self.git(&["cat-file", "blob", object])?;
                known.insert(object.to_owned(), String::from_utf8(bytes).ok().map(Into::into));
            }
            if let Some(Some(text)) = known.get(object) {
                sources.insert(path.to_owned(), text.clone());
            }
        }
        Ok(sources)
    }
}

impl Origin for Repository {
    /// Commits that change a source that both versions have.
    fn changes(&self, max: usize) -> anyhow::Result<Vec<Change>> {
        let mut log = vec!["log", "--no-merges", "--format=%H", "--"];
        log.extend(self.paths.iter().map(String::as_str));
        let commits = self.git(&log)?;
        let (mut changes, mut known) = (Vec::new(), Known::new());
        for commit in String::from_utf8_lossy(&commits).lines() {
            if changes.len() == max {
                break;
            }
            let paths = self.changed(commit)?;
            if paths.is_empty() {
                continue;
            }
            let before = self.sources(&format!("{commit}^"), &mut known)?;
            let after = self.sources(commit, &mut known)?;
            if paths.iter().any(|path| before.contains_key(path) && after.contains_key(path)) {
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

/// The directory of a pattern of paths.
fn directory(pattern: &str) -> &str {
    let plain = pattern.split(['*', '?', '[', ':']).next().unwrap_or_default();
    plain.rfind('/').map_or("", |end| &plain[..=end])
}

/// What a program writes, if it succeeds.
pub(super) fn output(mut command: Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {errors}");
    Ok(output.stdout)
}
