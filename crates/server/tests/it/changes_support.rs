//! What tests of changes do over and over: switch parts, find them, settle, move `live`.

use std::{fs, io::Write, path::PathBuf, time::Duration};

use belay_model::Hash;
use reqwest::StatusCode;
use rustix::fs::{FileType, Mode};
use serde_json::{Value, json};

use crate::support::{App, Server};

/// Two functions that have nothing to do with each other: `price` gives `n`, `ship` gives `m`.
pub(crate) fn numbers(n: u32, m: u32) -> App {
    let code = format!(
        "export async function price() {{\n  return {n};\n}}\n\
         export async function ship() {{\n  return {m};\n}}\n"
    );
    two("shop", &code)
}

/// An app with the functions `price` and `ship` in one module.
pub(crate) fn two(name: &str, code: &str) -> App {
    let app = App::new(name).module("shop.js", code, &[]);
    app.function("price", "shop.js").function("ship", "shop.js")
}

/// What both functions answer.
pub(crate) async fn both(server: &Server) -> [Value; 2] {
    [server.call("shop.price", &json!(0)).await, server.call("shop.ship", &json!(0)).await]
}

/// `verb` is that of the API: `take-back`, `restore` or `settle`.
pub(crate) async fn try_do(
    server: &Server,
    verb: &str,
    change: u32,
    parts: &[&str],
) -> (StatusCode, Value) {
    let body = if verb == "settle" { json!({}) } else { json!({ "parts": parts }) };
    server.post(&format!("apps/shop/changes/{change}/{verb}"), &body).await
}

pub(crate) async fn done(server: &Server, verb: &str, change: u32, parts: &[&str]) -> Value {
    let (status, body) = try_do(server, verb, change, parts).await;
    assert_eq!(status, StatusCode::OK, "{verb} {change} {parts:?}: {body:#}");
    body
}

pub(crate) async fn try_move_live(server: &Server, version: u32) -> (StatusCode, Value) {
    server.put("apps/shop/aliases/live", &json!({ "version": version })).await
}

pub(crate) async fn move_live(server: &Server, version: u32) {
    let (status, body) = try_move_live(server, version).await;
    assert_eq!(status, StatusCode::OK, "{body:#}");
}

pub(crate) async fn detail(server: &Server, change: u32) -> Value {
    let (status, body) = server.get(&format!("apps/shop/changes/{change}")).await;
    assert_eq!(status, StatusCode::OK, "{body:#}");
    body
}

/// What a deploy says of parts that were taken back before, or go on.
pub(crate) fn kinds(deployed: &Value) -> Vec<&str> {
    let notes = deployed["change"]["notes"].as_array().unwrap();
    notes.iter().map(|note| note["kind"].as_str().unwrap()).collect()
}

/// A stored source that cannot be read for now: a pipe is in its place, which whoever reads it waits at.
pub(crate) struct Held {
    place: PathBuf,
    kept: PathBuf,
    pipe: PathBuf,
}

impl Held {
    pub(crate) fn new(server: &Server, source: &str) -> Self {
        let hex = Hash::of(source.as_bytes()).to_hex();
        let objects = server.data_dir().join("data/blobs/objects");
        let place = objects.join(&hex[..2]).join(&hex[2..4]).join(&hex);
        let (kept, pipe) = (server.data_dir().join("kept"), server.data_dir().join("pipe"));
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
        fs::copy(&place, &kept).unwrap();
        let link = server.data_dir().join("link");
        fs::hard_link(&pipe, &link).unwrap();
        fs::rename(&link, &place).unwrap();
        Self { place, kept, pipe }
    }

    /// Returns when somebody reads it, who waits from then on.
    pub(crate) async fn reached(&self) -> fs::File {
        let pipe = self.pipe.clone();
        let open = move || fs::OpenOptions::new().write(true).open(pipe).unwrap();
        tokio::task::spawn_blocking(open).await.unwrap()
    }

    /// The source is there again, also for who waits.
    pub(crate) fn let_go(self, mut waiting: fs::File) {
        let content = fs::read(&self.kept).unwrap();
        fs::rename(&self.kept, &self.place).unwrap();
        waiting.write_all(&content).unwrap();
        fs::remove_file(&self.pipe).unwrap();
    }
}

/// What must not have to wait: an answer that never comes is a failure.
pub(crate) async fn at_once<T>(answer: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(Duration::from_secs(120), answer).await;
    answer.expect("it waits for what waits for this test")
}
