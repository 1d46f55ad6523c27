//! Checks of this repository that no existing tool does: `cargo xtask arrows`, `cargo xtask weave-corpus`.
//!
//! Not part of the product; nothing depends on it.

use std::process::ExitCode;

use anyhow::Context;
use xtask::corpus;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("arrows") => arrows(),
        Some("weave-corpus") => {
            let right = corpus::weave_corpus(&corpus::Options::parse(arguments)?)?;
            Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ => anyhow::bail!("usage: cargo xtask arrows | {}", corpus::USAGE),
    }
}

/// Prints each finding; the exit status is 0 only when there is none.
fn arrows() -> anyhow::Result<ExitCode> {
    let workspace = xtask::Workspace::read()?;
    let mut findings = xtask::arrows::findings(&workspace.packages, xtask::ROWS);
    findings.extend(xtask::purity::findings(&workspace, xtask::ROWS).context("reading sources")?);
    for finding in &findings {
        eprintln!("error: {finding}");
    }
    if !findings.is_empty() {
        eprintln!("The rules and their reasons are in ARCHITECTURE.md and xtask/src/rules.rs.");
        return Ok(ExitCode::FAILURE);
    }
    eprintln!("arrows: {} packages, no new arrow", workspace.packages.len());
    Ok(ExitCode::SUCCESS)
}
