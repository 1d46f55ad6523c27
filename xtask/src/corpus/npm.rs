//! Consecutive versions of a package, as they were published, newest last.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use belay_weave::Sources;

use super::{Change, Origin, Version, git::output, is_source};

pub(super) struct Package {
    pub(super) name: String,
}

impl Package {
    /// Released versions in the order of the registry.
    fn versions(&self) -> anyhow::Result<Vec<String>> {
        let mut view = Command::new("npm");
        view.args(["view", "--json", &self.name, "versions"]);
        let listed = output(view).context("is the npm registry reachable?")?;
        let versions: Vec<String> = serde_json::from_slice(&listed).context("what npm listed")?;
        Ok(versions.into_iter().filter(|version| !version.contains('-')).collect())
    }

    fn unpack(&self, version: &str, directory: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(directory)?;
        let mut pack = Command::new("npm");
        pack.args(["pack", "--silent", "--ignore-scripts"]).current_dir(directory);
        pack.arg(format!("{}@{version}", self.name));
        let written = output(pack).context("is the npm registry reachable?")?;
        let archive = String::from_utf8_lossy(&written).trim().to_owned();
        ensure!(!archive.is_empty(), "npm packed nothing for {version}");
        let mut tar = Command::new("tar");
        tar.args(["-xf", &archive, "--strip-components=1"]).current_dir(directory);
        output(tar)?;
        Ok(fs::remove_file(directory.join(archive))?)
    }
}

impl Origin for Package {
    fn changes(&self, max: usize) -> anyhow::Result<Vec<Change>> {
        let versions = self.versions()?;
        let last = &versions[versions.len().saturating_sub(max + 1)..];
        let mut changes = Vec::new();
        let mut before: Option<(&String, Sources)> = None;
        for version in last {
            let directory = scratch(&format!("{}-{version}", self.name.replace('/', "-")))?;
            self.unpack(version, &directory)?;
            let after = sources(&directory)?;
            fs::remove_dir_all(&directory)?;
            if let Some((old, before)) = before.replace((version, after.clone())) {
                changes.push(Change { name: format!("{old}..{version}"), before, after });
            }
        }
        Ok(changes)
    }

    fn check_out(&self, change: &Change, version: Version, directory: &Path) -> anyhow::Result<()> {
        let (before, after) = change.name.split_once("..").context("a pair of versions")?;
        let kept = directory.join("node_modules");
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() && path != kept {
                fs::remove_dir_all(path)?;
            } else if !path.is_dir() {
                fs::remove_file(path)?;
            }
        }
        self.unpack(if version == Version::Before { before } else { after }, directory)
    }
}

/// A directory of this process alone.
pub(super) fn scratch(name: &str) -> anyhow::Result<PathBuf> {
    let directory = std::env::temp_dir().join(format!("weave-corpus-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    Ok(directory.join(name))
}

fn sources(root: &Path) -> anyhow::Result<Sources> {
    let (mut found, mut open) = (Sources::new(), vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if is_source(&name)
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.insert(name, text.into());
            }
        }
    }
    Ok(found)
}
