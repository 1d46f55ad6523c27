//! Sources in pieces: what versions and apps have in common is stored once, and nothing is lost by it.
//!
//! Sources are cut in the background. A report of blocks waits for that, so the tests ask for one before they look.

use std::{
    fs,
    path::{Path, PathBuf},
};

use belay_model::{Hash, ModuleEntry};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    deploy_memory::age,
    support::{App, Server},
};

/// About 200 kB, of which `f` gives `answer`.
fn large(name: &str, answer: u32) -> App {
    let function = |number: u32| {
        format!(
            "/** Number {number}. */\nexport function step{number}(list) {{\n  let sum = {number};\n  \
             for (const item of list) {{\n    if (item > sum) sum += item * {number};\n  }}\n  return sum;\n}}\n\n"
        )
    };
    let (first, second): (String, String) =
        ((0..700).map(function).collect(), (700..1_400).map(function).collect());
    let code = format!("{first}export const f = () => {answer};\n\n{second}");
    assert!((180_000..260_000).contains(&code.len()), "{}", code.len());
    App::new(name).module("main.js", &code, &[]).function("f", "main.js")
}

fn source(app: &App) -> (&ModuleEntry, &[u8]) {
    let module = &app.manifest.modules[0];
    (module, app.sources[&module.source.to_hex()].as_bytes())
}

fn blobs(server: &Server) -> PathBuf {
    server.data_dir().join("data/blobs")
}

fn object(blobs: &Path, hash: &Hash) -> PathBuf {
    let hex = hash.to_hex();
    blobs.join("objects").join(&hex[..2]).join(&hex[2..4]).join(hex)
}

/// Pieces, and what they take together with the lists of these apps' sources.
fn on_disk(blobs: &Path, apps: &[&App]) -> (usize, u64) {
    let bytes = |path: PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    let pieces: Vec<_> = fs::read_dir(blobs.join("pieces"))
        .unwrap()
        .map(|entry| bytes(entry.unwrap().path()))
        .collect();
    let sources = apps.iter().map(|app| object(blobs, &source(app).0.source));
    let forms = sources.map(|path| bytes(path.with_extension("pieces")) + bytes(path));
    (pieces.len(), pieces.iter().sum::<u64>() + forms.sum::<u64>())
}

async fn blocks(server: &Server, app: &str) -> Value {
    let (status, report) = server.get(&format!("apps/{app}/blocks")).await;
    assert_eq!(status, StatusCode::OK, "{report:#}");
    report
}

async fn call_version(server: &Server, version: u32) -> Value {
    let path = format!("functions/shop.f/invocations?qualifier={version}");
    server.post(&path, &json!(null)).await.1["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_one_line_stores_little() {
    let (first, second) = (large("shop", 1), large("shop", 2));
    let length = source(&first).1.len() as u64;
    let server = Server::start().await;
    let blobs = blobs(&server);
    server.deploy(&first).await;
    let report = blocks(&server, "shop").await;
    let (pieces, before) = on_disk(&blobs, &[&first]);
    assert!(pieces > 10 && !object(&blobs, &source(&first).0.source).exists(), "{report:#}");
    assert!((length..length * 11 / 10).contains(&before), "{before} for {length}");
    assert_eq!(report["sources"]["stored_bytes"], before);
    assert_eq!(report["sources"]["saved_bytes"], 0);

    server.deploy(&second).await;
    let report = blocks(&server, "shop").await;
    let (_, after) = on_disk(&blobs, &[&first, &second]);
    let grown = after - before;
    assert!(grown > 0 && grown * 10 < length, "{grown} for {length}");
    let sources = &report["sources"];
    assert_eq!(sources["stored_bytes"], after, "what is told is what is there");
    assert_eq!(report["versions"][1]["stored_bytes"], grown);
    assert_eq!(sources["whole_bytes"], 2 * length);
    assert_eq!(sources["saved_bytes"], 2 * length - after);
    assert_eq!(server.call("shop.f", &json!(null)).await, 2);
    assert_eq!(call_version(&server, 1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_pieces_need_not_be_uploaded_and_stays_so() {
    let app = large("shop", 1);
    let (module, content) = source(&app);
    let server = Server::start().await;
    server.deploy(&app).await;
    blocks(&server, "shop").await;
    let asked = json!({ "hashes": [module.source, Hash::of(b"none")] });
    let (_, answer) = server.post("blobs/missing", &asked).await;
    assert_eq!(answer["missing"], json!([Hash::of(b"none")]));
    let put = server.api(reqwest::Method::PUT, &format!("blobs/{}", module.source));
    assert!(put.body(content.to_vec()).send().await.unwrap().status().is_success());
    assert!(!object(&blobs(&server), &module.source).exists(), "it is not written again");
    assert_eq!(server.parts.catalog.blobs().get(&module.source).await.unwrap().unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_run_after_garbage_is_gone_and_images_are_made_anew() {
    let (first, second, other) = (large("shop", 1), large("shop", 2), large("other", 3));
    let server = Server::start().await;
    for app in [&first, &second, &other] {
        server.deploy(app).await;
        blocks(&server, app.manifest.app.as_str()).await;
    }
    let blobs = blobs(&server);
    let (with_other, _) = on_disk(&blobs, &[&first]);
    assert_eq!(server.delete("apps/other").await.0, StatusCode::OK);
    server.parts.catalog.collect().await.unwrap();
    let (pieces, bytes) = on_disk(&blobs, &[&first, &second]);
    assert!(pieces < with_other, "what only the removed app had is gone: {pieces} of {with_other}");
    assert_eq!(blocks(&server, "shop").await["sources"]["stored_bytes"], bytes, "and nothing else");

    let dir = server.stop().await;
    age(dir.path()).await;
    let server = Server::start_in(dir, |_| {}).await;
    assert_eq!(call_version(&server, 1).await, 1, "from its source, in pieces");
    assert_eq!(call_version(&server, 2).await, 2);
    assert_eq!(server.deploy(&other).await["version"], 1);
    assert_eq!(server.call("other.f", &json!(null)).await, 3);
    blocks(&server, "other").await;

    for app in ["shop", "other"] {
        server.delete(&format!("apps/{app}")).await;
    }
    server.parts.catalog.collect().await.unwrap();
    assert_eq!(on_disk(&blobs, &[&first, &second, &other]), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_an_older_belay_stored_whole_run_and_are_cut() {
    let app = large("shop", 1);
    let (module, content) = source(&app);
    let server = Server::start().await;
    let blobs = blobs(&server);
    server.deploy(&app).await;
    blocks(&server, "shop").await;
    let (_, in_pieces) = on_disk(&blobs, &[&app]);
    let dir = server.stop().await;
    // As if it had never been cut.
    let whole = object(&blobs, &module.source);
    fs::write(&whole, content).unwrap();
    fs::remove_file(whole.with_extension("pieces")).unwrap();
    fs::remove_dir_all(blobs.join("pieces")).unwrap();
    fs::write(blobs.join("format"), "belay-blobs 1\n").unwrap();
    age(dir.path()).await;

    let server = Server::start_in(dir, |_| {}).await;
    assert_eq!(server.call("shop.f", &json!(null)).await, 1);
    blocks(&server, "shop").await;
    assert!(!whole.exists());
    assert_eq!(on_disk(&blobs, &[&app]).1, in_pieces);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_apps_have_too_is_told() {
    let (shop, other) = (large("shop", 1), large("other", 2));
    let server = Server::start().await;
    server.deploy(&shop).await;
    let alone = blocks(&server, "shop").await;
    let none = json!({ "saved_bytes": 0, "pieces": 0, "compared": 0, "left_out": 0, "apps": [] });
    assert_eq!(alone["shared"], none);
    server.deploy(&other).await;
    server.deploy(&App::of("small", "return 1;")).await;
    for app in ["other", "small"] {
        blocks(&server, app).await;
    }
    let blobs = blobs(&server);
    let (pieces, both) = on_disk(&blobs, &[&shop, &other]);
    let report = blocks(&server, "shop").await;
    let (own, shared) = (&report["sources"], &report["shared"]);
    // Each by itself would take its own; what both take is less by what is shared.
    let theirs = blocks(&server, "other").await["sources"]["stored_bytes"].clone();
    let sum = own["stored_bytes"].as_u64().unwrap() + theirs.as_u64().unwrap();
    let saved = sum - both;
    assert_eq!(shared["saved_bytes"], saved, "{report:#}");
    assert!(saved * 10 > sum * 4, "nearly all of one of them: {saved} of {sum}");
    let told = json!([{ "app": "other", "bytes": saved, "pieces": shared["pieces"] }]);
    assert_eq!((&shared["apps"], &shared["compared"]), (&told, &json!(2)));
    assert!(shared["pieces"].as_u64().unwrap() < pieces as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_versions_are_summed_and_the_newest_are_compared() {
    let server = Server::start().await;
    for n in 1..=23 {
        server.deploy_anyway(&App::of("shop", &format!("return {n};"))).await;
    }
    let report = blocks(&server, "shop").await;
    let versions = report["versions"].as_array().unwrap();
    let shown: Vec<_> =
        versions.iter().map(|version| version["version"].as_u64().unwrap()).collect();
    assert_eq!(shown, (4..=23).collect::<Vec<_>>());
    assert_eq!(report["sources"]["versions"], 23);
    let lengths = (1..=23).map(|n| App::of("shop", &format!("return {n};")));
    let lengths: usize = lengths.flat_map(|app| app.sources.into_values()).map(|s| s.len()).sum();
    assert_eq!(report["sources"]["whole_bytes"], lengths);
    assert_eq!(report["sources"]["stored_bytes"], lengths);
    assert!(versions.iter().all(|version| version["stored_bytes"].as_u64() > Some(0)));
}
