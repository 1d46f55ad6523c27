//! The servers that are compared: how each is started, and what isolation it gives.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::install;
use crate::{
    Length,
    figure::Report,
    process::{Guard, Process},
    server::Belay,
};

pub(crate) const NODE: &str = "node";
pub(crate) const WORKERD: &str = "workerd";
/// The true peer: a fresh instance for each request. The others share one isolate.
pub(crate) const WASMTIME: &str = "wasmtime_serve";

const START_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) process: Process,
    /// Ends the server with the peer; Belay ends by itself.
    _guard: Option<Guard>,
}

impl Peer {
    pub(crate) fn belay(belay: &Belay, path: &str) -> Self {
        let (address, process) = (belay.http, belay.process());
        Self { name: "belay", address, path: path.to_owned(), process, _guard: None }
    }

    /// Starts a server that listens on `address`, and waits until it does.
    fn spawn(
        name: &'static str,
        address: SocketAddr,
        command: &mut Command,
    ) -> anyhow::Result<Self> {
        let guard = Guard::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(start.elapsed() < START_MAX, "it does not listen on {address}");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Self {
            name,
            address,
            path: "/".to_owned(),
            process: guard.process(),
            _guard: Some(guard),
        })
    }
}

/// Every peer that can be had; the others are reported as skipped, with the reason.
pub(crate) fn start_all(report: &Report, length: Length) -> Vec<Peer> {
    let node = (NODE, node());
    let workerd = (WORKERD, install::folder(length).and_then(|folder| workerd(&folder)));
    let fresh = (WASMTIME, install::folder(length).and_then(|folder| wasmtime(&folder, length)));
    let mut peers = Vec::new();
    for (name, peer) in [node, workerd, fresh] {
        match peer {
            Ok(peer) => peers.push(peer),
            Err(reason) => report.skipped(name, &format!("{reason:#}")),
        }
    }
    peers
}

/// Free at the time of asking, as these servers cannot be asked which port they took.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn node() -> anyhow::Result<Peer> {
    let address = free_address()?;
    let script = install::sources().join("node.mjs");
    Peer::spawn(NODE, address, Command::new("node").arg(script).arg(address.port().to_string()))
}

fn workerd(folder: &Path) -> anyhow::Result<Peer> {
    let address = free_address()?;
    let arguments =
        ["serve".to_owned(), "workerd.capnp".to_owned(), format!("--socket-addr=http={address}")];
    let binary = folder.join("node_modules/@cloudflare/workerd-linux-64/bin/workerd");
    Peer::spawn(WORKERD, address, Command::new(binary).args(arguments).current_dir(folder))
}

fn wasmtime(folder: &Path, length: Length) -> anyhow::Result<Peer> {
    let wasmtime = install::wasmtime(folder, length)?;
    let component = install::component(folder, &wasmtime)?;
    let address = free_address()?;
    let arguments = [
        "serve",
        "-S",
        "cli=y",
        "--allow-precompiled",
        "--max-instance-reuse-count",
        "1",
        "--addr",
    ];
    Peer::spawn(
        WASMTIME,
        address,
        Command::new(wasmtime).args(arguments).arg(address.to_string()).arg(component),
    )
}
