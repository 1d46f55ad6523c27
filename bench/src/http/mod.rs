//! Requests per second over HTTP beside the peers: a JSON echo `{n}` → `{n + 1}`, 16 connections, `wrk -t1`.
//!
//! All servers run on the same machine at the same time and are loaded in turns, several rounds, so that a
//! busy machine slows all of them; what counts are the ratios.

pub(crate) mod install;
pub(crate) mod peers;
mod wrk;

use std::thread;

use anyhow::ensure;
use serde_json::json;

use self::{peers::Peer, wrk::Load};
use crate::{
    Length,
    client::Client,
    figure::{Bar, Report},
    functions::{ANSWER, EVENT},
    samples::median,
    server::{Home, invoke_path},
};

const CONNECTIONS: u32 = 16;

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let cores = thread::available_parallelism()?.get();
    let (rounds, seconds) = length.pick((5, 4), (1, 1));
    let conditions =
        json!({ "cores": cores, "connections": CONNECTIONS, "rounds": rounds, "seconds": seconds });
    let report = Report::new("http", conditions);
    if !wrk::is_there() {
        report.skipped("all", "wrk is not installed");
        return Ok(());
    }
    let home = Home::new()?;
    let belay = home.up()?;
    belay.deploy("bench")?;
    let own = Peer::belay(&belay, &invoke_path("bench", "echo"));
    let mut peers = vec![own];
    peers.extend(peers::start_all(&report, length));
    let loads = in_turns(&peers, rounds, seconds)?;
    for (peer, loads) in peers.iter().zip(&loads) {
        print(&report, peer, loads)?;
    }
    promises(&report, &peers, &loads);
    drop(peers);
    belay.stop()
}

/// The rounds of each peer, in the order of `peers`.
fn in_turns(peers: &[Peer], rounds: u32, seconds: u32) -> anyhow::Result<Vec<Vec<Load>>> {
    let mut loads = vec![Vec::new(); peers.len()];
    for peer in peers {
        let mut client = Client::connect(peer.address)?;
        client.expect(&peer.path, EVENT, ANSWER)?;
    }
    for _ in 0..rounds {
        for (peer, loads) in peers.iter().zip(&mut loads) {
            let load = wrk::load(peer.address, &peer.path, CONNECTIONS, seconds)?;
            ensure!(load.failed == 0.0, "{} failed {} requests", peer.name, load.failed);
            loads.push(load);
        }
    }
    Ok(loads)
}

fn print(report: &Report, peer: &Peer, loads: &[Load]) -> anyhow::Result<()> {
    let name = |what: &str| format!("{}.{what}", peer.name);
    report.figure(&name("rate"), rate(loads), "requests/s");
    report.figure(&name("p50"), median(loads.iter().map(|load| load.p50_us)), "us");
    report.figure(&name("p99"), median(loads.iter().map(|load| load.p99_us)), "us");
    report.figure(&name("resident"), peer.process.resident_mb()?, "MB");
    Ok(())
}

fn rate(loads: &[Load]) -> f64 {
    median(loads.iter().map(|load| load.requests / load.seconds))
}

fn promises(report: &Report, peers: &[Peer], loads: &[Vec<Load>]) {
    let rate_of = |name: &str| {
        peers.iter().zip(loads).find(|(peer, _)| peer.name == name).map(|(_, loads)| rate(loads))
    };
    let own = rate(&loads[0]);
    for (peer, bar) in [(peers::NODE, 0.35), (peers::WASMTIME, 8.0)] {
        if let Some(theirs) = rate_of(peer) {
            report.promise(&format!("belay_to_{peer}"), own / theirs, "ratio", Bar::AtLeast(bar));
        }
    }
}
