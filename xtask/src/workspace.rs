//! The workspace as `cargo metadata` tells it, reduced to what the checks need.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde::Deserialize;

/// All packages of the workspace.
#[derive(Debug, Deserialize)]
pub struct Workspace {
    pub packages: Vec<Package>,
}

/// One package and what its manifest asks for, dev and build dependencies included.
#[derive(Debug, Deserialize)]
pub struct Package {
    pub name: String,
    pub manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub name: String,
    /// Set for packages of this workspace.
    pub path: Option<PathBuf>,
    pub kind: Option<Kind>,
}

/// What a dependency is for, when it is not the product itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Build,
    Dev,
}

impl Workspace {
    /// Asks cargo; needs no network.
    pub fn read() -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
            .output()
            .context("starting cargo metadata")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata failed: {errors}");
        serde_json::from_slice(&output.stdout).context("reading what cargo metadata wrote")
    }
}

impl Package {
    /// The folder of the package's sources.
    pub fn sources(&self) -> PathBuf {
        self.manifest_path.parent().unwrap_or(Path::new(".")).join("src")
    }
}
