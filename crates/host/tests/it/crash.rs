//! A kv write that was acknowledged survives the death of the process.

use std::{
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use futures_util::future::join_all;
use serde_json::json;

use crate::world::{app, call, ok, open};

const DIRECTORY: &str = "BELAY_TEST_KV_WRITER";
const TEST: &str = "crash::acknowledged_writes_survive_kill_9";

/// Runs twice: as the judge, and, told by [`DIRECTORY`], as the writer that is killed.
#[test]
fn acknowledged_writes_survive_kill_9() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return write_for_ever(Path::new(&directory));
    }
    let directory = tempfile::TempDir::new().unwrap();
    let mut survivors = 0;
    for acknowledged in [1, 40, 400, 1_000] {
        let kept = kill_after(directory.path(), acknowledged);
        assert!(kept.len() >= acknowledged);
        check(directory.path(), &kept);
        survivors += kept.len();
    }
    assert!(survivors >= 1_441);
}

/// Four keys at a time, so that several writes share a transaction.
#[tokio::main(flavor = "current_thread")]
async fn write_for_ever(directory: &Path) {
    let shared = open(directory, Vec::new());
    let host = app(&shared, "shop", |_| {});
    let run = std::process::id();
    for round in 0_u32.. {
        let puts = (0..4).map(|lane| {
            let host = &host;
            async move {
                let key = format!("{run}/{round}/{lane}");
                ok(host, call("kv.put", json!({ "key": key, "json": key }))).await;
                // One write call, so that a line is whole or absent.
                std::io::stdout().write_all(format!("ack {key}\n").as_bytes()).unwrap();
            }
        });
        join_all(puts).await;
    }
}

/// Starts a writer, kills it after some acknowledgements, and returns all that it gave until then.
fn kill_after(directory: &Path, acknowledged: usize) -> Vec<String> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(writer.stdout.take().unwrap());
    let kept = acknowledgements(&mut writer, output, acknowledged);
    assert!(!writer.wait().unwrap().success());
    kept
}

fn acknowledgements(writer: &mut Child, output: impl BufRead, kill_at: usize) -> Vec<String> {
    let mut kept = Vec::new();
    for line in output.lines() {
        kept.extend(line.unwrap().strip_prefix("ack ").map(str::to_owned));
        if kept.len() == kill_at {
            writer.kill().unwrap();
        }
    }
    kept
}

#[tokio::main(flavor = "current_thread")]
async fn check(directory: &Path, keys: &[String]) {
    let shared = open(directory, Vec::new());
    let host = app(&shared, "shop", |_| {});
    for key in keys {
        let got = ok(&host, call("kv.get", json!({ "key": key }))).await.value;
        assert_eq!(got["json"], json!(key), "{key} was acknowledged and is lost");
    }
}
