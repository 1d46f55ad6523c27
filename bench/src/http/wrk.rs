//! The load generator: `wrk`, with a script that prints its figures as JSON.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;
use serde_json::Value;

use crate::process;

/// What one round of load gave.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// Connections, reads, writes and answers that failed or came too late.
    pub(crate) failed: f64,
}

pub(crate) fn is_there() -> bool {
    Command::new("wrk")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Loads a server from one thread.
pub(crate) fn load(
    address: SocketAddr,
    path: &str,
    connections: u32,
    seconds: u32,
) -> anyhow::Result<Load> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/wrk.lua");
    let arguments =
        [format!("-c{connections}"), format!("-d{seconds}s"), "-t1".to_owned(), "-s".to_owned()];
    let url = format!("http://{address}{path}");
    let written = process::run(Command::new("wrk").args(arguments).arg(script).arg(url))?;
    let line =
        written.lines().find(|line| line.starts_with('{')).context("wrk printed no figures")?;
    let figures: Value = serde_json::from_str(line)?;
    let figure =
        |name: &str| figures[name].as_f64().with_context(|| format!("wrk printed no {name}"));
    Ok(Load {
        requests: figure("requests")?,
        seconds: figure("seconds")?,
        p50_us: figure("p50_us")?,
        p99_us: figure("p99_us")?,
        failed: figure("failed")?,
    })
}
