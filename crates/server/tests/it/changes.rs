//! Changes: what a deploy changes, taken back part by part, restored, settled, and gone on with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use belay_fabric::{Collection, Transaction};
use belay_model::Hash;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    changes_load::unjudged,
    data_support::Reply,
    support::{App, Server, answer, edit},
};

const OK: StatusCode = StatusCode::OK;

/// Two functions that have nothing to do with each other.
const SHOP: &str = "\
export async function price(order) {
  let total = 0;
  for (const item of order.items) {
    total += item.price * item.n;
  }
  return { total, currency: 'EUR' };
}

export async function ship(order) {
  const days = order.to === 'CH' ? 3 : 2;
  return { days };
}
";

fn shop(code: &str) -> App {
    App::new("shop")
        .module("shop.js", code, &[])
        .function("price", "shop.js")
        .function("ship", "shop.js")
}

/// The second version: one right edit in each function, and a wrong one.
fn second() -> App {
    shop(&SHOP.replace("item.price * item.n", "item.price + item.n").replace("? 3", "? 4"))
}

fn order() -> Value {
    json!({ "items": [{ "price": 10, "n": 3 }], "to": "CH" })
}

async fn total(server: &Server) -> Value {
    server.call("shop.price", &order()).await["total"].clone()
}

async fn days(server: &Server) -> Value {
    server.call("shop.ship", &order()).await["days"].clone()
}

/// The part of a change that has a text in what it brought or replaced.
async fn part_with(server: &Server, change: &str, text: &str) -> String {
    let (_, detail) = server.get(&change.replace("shop/", "apps/shop/changes/")).await;
    let has = |part: &&Value| {
        let hunks = part["hunks"].as_array().unwrap();
        hunks.iter().any(|hunk| {
            ["before_text", "after_text"]
                .iter()
                .any(|key| hunk[key].as_str().unwrap().contains(text))
        })
    };
    let part = detail["contents"].as_array().unwrap().iter().find(has);
    part.unwrap_or_else(|| panic!("no part has {text:?}: {detail:#}"))["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn flip(server: &Server, verb: &str, change: u32, parts: &[&str]) -> Value {
    let path = format!("apps/shop/changes/{change}/{verb}");
    let (status, body) = server.post(&path, &json!({ "parts": parts })).await;
    assert_eq!(status, OK, "{body:#}");
    body
}

async fn both_versions() -> (Server, String) {
    both_versions_of([shop(SHOP), second()]).await
}

async fn both_versions_of([first, second]: [App; 2]) -> (Server, String) {
    let server = Server::start().await;
    assert_eq!(server.deploy(&first).await["change"], Value::Null, "there was nothing before");
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(3)));
    let deployed = server.deploy(&second).await;
    assert_eq!(deployed["change"]["id"], "shop/2", "{deployed:#}");
    assert_eq!(deployed["change"]["parts"], json!(["a", "b"]), "{deployed:#}");
    assert_eq!((total(&server).await, days(&server).await), (json!(13), json!(4)));
    let wrong = part_with(&server, "shop/2", "item.price + item.n").await;
    (server, wrong)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_part_is_taken_back_and_the_other_stays() {
    let (server, wrong) = both_versions().await;
    let taken = flip(&server, "take-back", 2, &[&wrong]).await;
    assert_eq!(taken["program"], "2+1");
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(4)));
    // A number means exactly that version, outside of all changes.
    for (version, expected) in [("1", 30), ("2", 13)] {
        let path = format!("functions/shop.price/invocations?qualifier={version}");
        let (_, answer) = server.post(&path, &order()).await;
        assert_eq!(answer["result"]["total"], expected, "version {version}");
    }
    flip(&server, "restore", 2, &[&wrong]).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(13), json!(4)));
    flip(&server, "take-back", 2, &[]).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_is_so_after_a_restart() {
    let (server, wrong) = both_versions().await;
    flip(&server, "take-back", 2, &[&wrong]).await;
    let dir = server.stop().await;
    let server = Server::start_in(dir, |_| {}).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(4)));
    flip(&server, "restore", 2, &[&wrong]).await;
    assert_eq!(total(&server).await, 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_can_be_had_as_sources() {
    let (server, wrong) = both_versions().await;
    flip(&server, "take-back", 2, &[&wrong]).await;
    let (_, program) = server.get("apps/shop/effective").await;
    assert_eq!(program["program"], "2+1");
    let file = &program["files"][0];
    assert_eq!(file["text"], SHOP.replace("? 3", "? 4"));
    assert_ne!(file["deployed"], file["text"]);
}

/// Makes the images of the change `shop/2` those of an older Belay, whose maps say nothing.
async fn age(dir: &std::path::Path) {
    edit(dir, async |store| {
        let (changes, key) = (Collection::constant("changes"), "shop/0000000002");
        let record = store.get(&changes, key).await.unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&record.value).unwrap();
        let faces = record["faces"].as_array_mut().unwrap();
        assert!(!faces.is_empty());
        for face in faces {
            face["engine"] = json!(Hash::of(b"an older engine"));
            face["maps"] = json!(Hash::of(b"maps that are not there"));
        }
        let edited = Transaction::new().put(&changes, key, record.to_string());
        store.commit(edited).await.unwrap();
    })
    .await;
}

/// Nothing can be made of the sources of an app any more.
async fn lose(server: &Server, app: &App) {
    for source in app.sources.values() {
        let hash = Hash::of(source.as_bytes());
        assert!(server.parts.catalog.blobs().remove(&hash).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn woven_images_of_another_engine_are_made_anew_once() {
    let (server, wrong) = both_versions().await;
    let broken = json!({ "items": null });
    let stack = server.invoke("shop.price", &broken).await["failure"]["stack"].clone();
    assert!(stack[0].as_str().unwrap().contains("shop.js:3:"), "{stack}");
    let dir = server.stop().await;
    age(dir.path()).await;

    let server = Server::start_in(dir, |_| {}).await;
    let failed = server.invoke("shop.price", &broken).await;
    assert_eq!(failed["failure"]["stack"], stack, "the new maps are used");
    lose(&server, &shop(SHOP)).await;
    lose(&server, &second()).await;
    let images = server.parts.catalog.images();
    (0..6).for_each(|_| images.tick());
    assert_eq!(images.loaded(), 0);
    // What is written of the change from now on has the new image.
    flip(&server, "take-back", 2, &[&wrong]).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(4)));
    assert_eq!(server.parts.catalog.collect().await.unwrap(), 0, "what was made is not garbage");
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(4)));
    flip(&server, "restore", 2, &[&wrong]).await;
    let failed = server.invoke("shop.price", &broken).await;
    assert_eq!(failed["failure"]["stack"], stack, "read from where they were kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_of_a_settled_change_is_made_anew_once() {
    let (server, wrong) = both_versions().await;
    flip(&server, "take-back", 2, &[&wrong]).await;
    flip_settle(&server, 2).await;
    let dir = server.stop().await;
    age(dir.path()).await;
    let server = Server::start_in(dir, |_| {}).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(4)));
    lose(&server, &shop(&SHOP.replace("? 3", "? 4"))).await;
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_what_runs_stores_nothing() {
    let (server, wrong) = both_versions().await;
    flip(&server, "take-back", 2, &[&wrong]).await;
    let blobs = server.parts.catalog.blobs().clone();
    let before = blobs.list(None, 10_000).await.unwrap();
    let (_, program) = server.get("apps/shop/effective").await;
    let text = program["files"][0]["text"].as_str().unwrap();
    assert!(!blobs.has(&Hash::of(text.as_bytes())).await.unwrap(), "it was deployed by nobody");
    assert_eq!(blobs.list(None, 10_000).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_edit_stays_taken_back_until_it_is_restored() {
    let (server, wrong) = both_versions().await;
    flip(&server, "take-back", 2, &[&wrong]).await;
    flip_settle(&server, 2).await;
    assert_eq!(
        (total(&server).await, days(&server).await),
        (json!(30), json!(4)),
        "settling keeps what runs"
    );
    // Settling lifted it: the same source brings it again.
    let again = server.deploy(&second().env("A", "1")).await;
    assert_eq!(total(&server).await, 13, "{again:#}");

    let id = again["change"]["id"].as_str().unwrap();
    let wrong = part_with(&server, id, "item.price + item.n").await;
    flip(&server, "take-back", 3, &[&wrong]).await;
    assert_eq!(total(&server).await, 30);
    // Another deploy that still has it, with an edit elsewhere.
    let source = second().sources.values().next().unwrap().clone();
    let guard =
        "export async function ship(order) {\n  if (!order.to) throw new Error('where to?');";
    let code = source.replace("export async function ship(order) {", guard);
    let deployed = server.deploy(&shop(&code).env("A", "1")).await;
    assert_eq!(total(&server).await, 30, "{deployed:#}");
    assert_eq!(server.invoke("shop.ship", &json!({})).await["category"], "exception");
    // With an edit that it is tied to, by the variable `total`, it is a new part, which runs.
    let code = code.replace("'EUR'", "'CHF'");
    let deployed = server.deploy(&shop(&code).env("A", "1")).await;
    assert_eq!(total(&server).await, 13, "{deployed:#}");
    let notes = deployed["change"]["notes"].as_array().unwrap();
    assert!(notes.iter().any(|note| note["kind"] == "was_taken_back_in_part"), "{deployed:#}");
}

async fn flip_settle(server: &Server, change: u32) -> Value {
    let (status, body) =
        server.post(&format!("apps/shop/changes/{change}/settle"), &json!({})).await;
    assert_eq!(status, OK, "{body:#}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_takes_over_what_it_does_not_touch_and_asks_about_the_rest() {
    let (server, wrong) = both_versions().await;
    // It touches the days, not the price.
    let code = second().sources.values().next().unwrap().replace("? 4", "? 5");
    let app = shop(&code);
    let hash = app.manifest.modules[0].source.to_hex();
    let (_, put) =
        answer(server.api(Method::PUT, &format!("blobs/{hash}")).body(code.clone())).await;
    drop(put);
    let manifest = serde_json::to_value(&app.manifest).unwrap();
    let (status, refused) = server.post("apps/shop/versions", &manifest).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (StatusCode::CONFLICT, &json!("way-back-lost"))
    );
    assert_eq!(
        (total(&server).await, days(&server).await),
        (json!(13), json!(4)),
        "nothing changed"
    );

    let deployed = server.deploy_anyway(&app).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(13), json!(5)));
    let carried = deployed["change"]["notes"].as_array().unwrap();
    let about = format!("shop/2:{wrong}");
    assert!(
        carried.iter().any(|note| note["kind"] == "carried" && note["about"] == *about),
        "{deployed:#}"
    );
    // By the name that it got first.
    flip(&server, "take-back", 2, &[&wrong]).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(5)));
    let (_, changes) = server.get("apps/shop/changes").await;
    assert_eq!(changes["changes"][0]["id"], "shop/3");
    assert_eq!(changes["changes"][1]["state"], "superseded");
}

/// Both versions, and a third one over them that touches the days, not the price.
async fn three_versions() -> (Server, String, String) {
    let (server, wrong) = both_versions().await;
    let right = if wrong == "a" { "b" } else { "a" }.to_owned();
    let code = second().sources.values().next().unwrap().replace("? 4", "? 5");
    server.deploy_anyway(&shop(&code)).await;
    (server, wrong, right)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parts_that_are_named_all_are_switched_or_none() {
    let (server, wrong, right) = three_versions().await;
    let now = part_with(&server, "shop/3", "item.price + item.n").await;
    let parts = json!({ "parts": [right, wrong] });
    let (status, refused) = server.post("apps/shop/changes/2/take-back", &parts).await;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::CONFLICT, &json!("parts-gone")));
    let told = format!(
        "of change shop/2, {right} was settled by a later deploy, {wrong} goes on as shop/3:{now}; nothing was switched"
    );
    assert_eq!(refused["error"]["message"], told);
    assert_eq!(refused["error"]["help"], format!("name those that are left: shop/3:{now}"));
    assert_eq!((total(&server).await, days(&server).await), (json!(13), json!(5)));
    let (status, settled) =
        server.post("apps/shop/changes/2/take-back", &json!({ "parts": [right] })).await;
    assert_eq!((status, &settled["error"]["code"]), (StatusCode::CONFLICT, &json!("not-live")));

    // The whole change is what is left of it.
    let taken = flip(&server, "take-back", 2, &[]).await;
    assert_eq!(
        (&taken["id"], &taken["settled"]),
        (&json!("shop/3"), &json!([format!("shop/2:{right}")]))
    );
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(5)));
    let taken = flip(&server, "restore", 3, &[&now, &now]).await;
    assert_eq!((&taken["settled"], &taken["program"]), (&Value::Null, &json!("3+2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_settles_the_change_that_is_named() {
    let (server, ..) = three_versions().await;
    let (status, refused) = server.post("apps/shop/changes/2/settle", &json!({})).await;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::CONFLICT, &json!("not-live")));
    let (_, changes) = server.get("apps/shop/changes").await;
    assert_eq!(changes["changes"][0]["state"], "live", "the one that has its parts is not settled");
    flip_settle(&server, 3).await;
}

/// State, and whether it runs, of all changes, newest first.
async fn standing(server: &Server) -> Vec<(String, bool)> {
    let (_, changes) = server.get("apps/shop/changes").await;
    let standing = |change: &Value| {
        (change["state"].as_str().unwrap().to_owned(), change["running"].as_bool().unwrap())
    };
    changes["changes"].as_array().unwrap().iter().map(standing).collect()
}

async fn move_live(server: &Server, version: u32) {
    let (status, body) = server.put("apps/shop/aliases/live", &json!({ "version": version })).await;
    assert_eq!(status, OK, "{body:#}");
}

fn states<const N: usize>(expected: [(&str, bool); N]) -> Vec<(String, bool)> {
    expected.map(|(state, running)| (state.to_owned(), running)).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_version_is_not_live_does_not_run_until_it_is() {
    let (server, wrong) = both_versions().await;
    flip(&server, "take-back", 2, &[&wrong]).await;
    assert_eq!(standing(&server).await, states([("live", true)]));
    move_live(&server, 1).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(3)));
    assert_eq!(standing(&server).await, states([("not_running", false)]));
    let (_, detail) = server.get("apps/shop/changes/2").await;
    assert_eq!((&detail["state"], &detail["program"]), (&json!("not_running"), &json!("2+1")));
    for verb in ["take-back", "restore", "settle"] {
        let (status, refused) =
            server.post(&format!("apps/shop/changes/2/{verb}"), &json!({})).await;
        assert_eq!(
            (status, &refused["error"]["code"]),
            (StatusCode::CONFLICT, &json!("not-running"))
        );
        assert_eq!(refused["error"]["help"], "`belay alias shop live 2` makes it run again");
    }
    // Also after a restart.
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(standing(&server).await, states([("not_running", false)]));
    move_live(&server, 2).await;
    assert_eq!(standing(&server).await, states([("live", true)]));
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(4)), "as it was");
    move_live(&server, 2).await;
    flip(&server, "restore", 2, &[&wrong]).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(13), json!(4)));
    flip_settle(&server, 2).await;
    assert_eq!(standing(&server).await, states([("settled", true)]));
    move_live(&server, 1).await;
    assert_eq!(standing(&server).await, states([("settled", false)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_behind_a_deploy_brings_nothing_back_that_was_taken_back() {
    let (server, wrong, right) = three_versions().await;
    flip(&server, "take-back", 3, &[&part_with(&server, "shop/3", "item.price + item.n").await])
        .await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(5)));
    // It was taken back under its later name.
    move_live(&server, 2).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(4)));
    assert_eq!(standing(&server).await, states([("not_running", false), ("live", true)]));
    flip(&server, "take-back", 2, &[&right]).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(3)));
    flip(&server, "restore", 2, &[&wrong]).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(13), json!(3)));
    // And forward again.
    move_live(&server, 3).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(5)));
    assert_eq!(standing(&server).await, states([("live", true), ("not_running", false)]));
    // The old names lead to what runs.
    flip(&server, "restore", 2, &[&wrong]).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(13), json!(5)));
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(13), json!(5)));
    // What stays of a settled change is what runs when live is moved back to it.
    flip(&server, "take-back", 3, &[]).await;
    flip_settle(&server, 3).await;
    move_live(&server, 1).await;
    move_live(&server, 3).await;
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(4)));
    assert_eq!(standing(&server).await[0], ("settled".to_owned(), true));
}

/// The text of the one file in an effective version.
async fn text_at(server: &Server, program: &str) -> String {
    let (status, body) = server.get(&format!("apps/shop/effective?at={program}")).await;
    assert_eq!(status, OK, "{body:#}");
    assert_eq!(body["program"], program.replace("%2B", "+").trim_end_matches("+0"));
    body["files"][0]["text"].as_str().unwrap().to_owned()
}

/// A list whose pages have two items at most.
async fn in_pages(server: &Server, path: &str, key: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = server.get(&format!("{path}?limit=2{after}")).await;
        assert_eq!(status, OK, "{page:#}");
        let items = page[key].as_array().unwrap();
        assert!((1..=2).contains(&items.len()), "{page:#}");
        all.extend(items.iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_listed_in_pages() {
    let server = Server::start().await;
    for n in 0..6 {
        server.deploy_anyway(&App::of("shop", &format!("return {n};"))).await;
    }
    let (_, list) = server.get("apps/shop/changes").await;
    let all = list["changes"].as_array().unwrap();
    let ids: Vec<_> = all.iter().map(|change| change["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["shop/6", "shop/5", "shop/4", "shop/3", "shop/2"]);
    assert_eq!(in_pages(&server, "apps/shop/changes", "changes").await, *all);
    assert_eq!(server.get("apps/shop/changes?after=x").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_effective_version_is_listed_and_can_be_had_for_good() {
    let (server, wrong) = both_versions().await;
    flip(&server, "take-back", 2, &[&wrong]).await;
    flip(&server, "take-back", 2, &[]).await;
    flip(&server, "restore", 2, &[]).await;
    flip(&server, "take-back", 2, &[&wrong]).await;
    let (_, listed) = server.get("apps/shop/changes/2/programs").await;
    assert_eq!(listed["next"], Value::Null);
    let programs = listed["programs"].as_array().unwrap();
    let part = |at: usize, part: &str| {
        let parts = programs[at]["parts"].as_array().unwrap();
        parts.iter().find(|p| p["part"] == part).unwrap()["arm"].as_str().unwrap().to_owned()
    };
    let right = if wrong == "a" { "b" } else { "a" };
    let told: Vec<_> = (0..programs.len())
        .map(|at| {
            let name = programs[at]["program"].as_str().unwrap();
            (name, part(at, &wrong), part(at, right), programs[at]["running"].as_bool().unwrap())
        })
        .collect();
    let (before, after) = ("before".to_owned(), "after".to_owned());
    let expected = [
        ("2", after.clone(), after.clone(), false),
        ("2+1", before.clone(), after.clone(), false),
        ("2+2", before.clone(), before.clone(), false),
        ("2+3", after.clone(), after.clone(), false),
        ("2+4", before, after, true),
    ];
    assert_eq!(told, expected);
    assert_eq!(programs[0]["flipped"], Value::Null);
    assert_eq!(programs[2]["flipped"], json!({ "parts": [right], "arm": "before" }));
    assert!(programs[4]["at_ms"].as_u64() >= programs[0]["at_ms"].as_u64());
    assert_eq!(in_pages(&server, "apps/shop/changes/2/programs", "programs").await, *programs);

    let both = second().sources.values().next().unwrap().clone();
    let had = async |server: &Server| {
        assert_eq!(text_at(server, "1").await, SHOP);
        assert_eq!(text_at(server, "2").await, both);
        assert_eq!(text_at(server, "2+0").await, both);
        assert_eq!(text_at(server, "2+1").await, SHOP.replace("? 3", "? 4"));
        assert_eq!(text_at(server, "2%2B2").await, SHOP);
        assert_eq!(text_at(server, "2+3").await, both);
        assert_eq!(text_at(server, "2+4").await, SHOP.replace("? 3", "? 4"));
    };
    had(&server).await;
    // A part that was taken back before starts so: that is the effective version 3.
    let code = both.replace("? 4", "? 5");
    server.deploy_anyway(&shop(&code)).await;
    assert_eq!(text_at(&server, "3").await, SHOP.replace("? 3", "? 5"));
    flip(&server, "restore", 3, &[]).await;
    assert_eq!(text_at(&server, "3+0").await, SHOP.replace("? 3", "? 5"));
    had(&server).await;
    flip(&server, "take-back", 3, &[]).await;
    flip_settle(&server, 3).await;
    server.parts.catalog.collect().await.unwrap();
    let server = Server::start_in(server.stop().await, |_| {}).await;
    server.parts.catalog.collect().await.unwrap();
    had(&server).await;
    assert_eq!(text_at(&server, "3").await, SHOP.replace("? 3", "? 5"));
    assert_eq!(text_at(&server, "3+1").await, code);
    assert_eq!(text_at(&server, "3+2").await, SHOP.replace("? 3", "? 4"));
    for (unknown, status) in [("2+5", 404), ("1+1", 404), ("4", 404), ("2+", 400), ("x", 400)] {
        let (found, body) = server.get(&format!("apps/shop/effective?at={unknown}")).await;
        assert_eq!(found, status, "{unknown}: {body:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_code_elsewhere_is_innocent() {
    let server = Server::start().await;
    let of = |first: &str, second: &str| {
        let code = format!(
            "export async function price(n) {{\n  return n {first} 2;\n}}\n\nexport async function ship(n) {{\n  return n {second} 2;\n}}\n"
        );
        shop(&code)
    };
    server.deploy(&of("*", "*")).await;
    server.deploy(&of("+", "*")).await;
    flip(&server, "take-back", 2, &[]).await;
    assert_eq!(server.call("shop.price", &json!(10)).await, 20);
    let deployed = server.deploy(&of("+", "+")).await;
    assert_eq!(server.call("shop.price", &json!(10)).await, 20, "{deployed:#}");
    assert_eq!(
        server.call("shop.ship", &json!(10)).await,
        12,
        "the same edit, in another function"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_stays_taken_back() {
    let server = Server::start().await;
    let full = "export async function price(n) {\n  if (n < 0) throw new Error('negative');\n  return n * 2;\n}\nexport async function ship(n) {\n  return n;\n}\n";
    let without = full.replace("  if (n < 0) throw new Error('negative');\n", "");
    server.deploy(&shop(full)).await;
    server.deploy(&shop(&without)).await;
    assert_eq!(server.call("shop.price", &json!(-1)).await, -2);
    flip(&server, "take-back", 2, &[]).await;
    assert_eq!(server.invoke("shop.price", &json!(-1)).await["category"], "exception");
    let deployed = server.deploy(&shop(&without.replace("return n;", "return n + 1;"))).await;
    assert_eq!(
        server.invoke("shop.price", &json!(-1)).await["category"],
        "exception",
        "{deployed:#}"
    );
    assert_eq!(server.call("shop.ship", &json!(1)).await, 2);
    let notes = deployed["change"]["notes"].as_array().unwrap();
    assert!(!notes.is_empty(), "{deployed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stacks_name_the_version_that_ran() {
    let server = Server::start().await;
    let of = |body: &str| {
        App::new("shop")
            .module(
                "main.js",
                &format!("export async function price(n) {{\n{body}\n  return n;\n}}\n"),
                &[],
            )
            .function("price", "main.js")
    };
    server.deploy(&of("  if (n > 1) throw new Error('old');")).await;
    server.deploy(&of("  // A comment.\n  if (n > 1) throw new Error('new');")).await;
    let stack = |answer: &Value| answer["failure"]["stack"].to_string();
    let after = server.invoke("shop.price", &json!(2)).await;
    assert!(stack(&after).contains("main.js:3:"), "{after:#}");
    flip(&server, "take-back", 2, &[]).await;
    let before = server.invoke("shop.price", &json!(2)).await;
    assert!(stack(&before).contains("main.js@v1:2:"), "{before:#}");
    assert!(!stack(&before).contains("belay:"), "{before:#}");
}

/// The lines of a stack are found in the version that it names, also where a part goes on from an older change.
#[tokio::test(flavor = "multi_thread")]
async fn stacks_name_a_version_that_has_their_lines() {
    let server = Server::start().await;
    let fails = |name: &str, text: &str| {
        let lines = "  // …\n".repeat(text.len());
        format!("export async function {name}() {{\n{lines}  throw new Error('{text}');\n}}\n")
    };
    // How many lines are above each `throw` is told by the length of its text.
    let of = |price: &str, ship: &str, one: &str, two: &str| {
        let both = fails("one", one) + &fails("two", two);
        let app = App::new("shop").module("price.js", &fails("price", price), &[]);
        let app = app.module("ship.js", &fails("ship", ship), &[]).module("both.js", &both, &[]);
        let app = app.function("price", "price.js").function("ship", "ship.js");
        app.function("one", "both.js").function("two", "both.js")
    };
    let frame = async |function: &str| {
        let answer = server.invoke(&format!("shop.{function}"), &json!(0)).await;
        let frame = answer["failure"]["stack"][0].as_str().unwrap().to_owned();
        frame.split_once('(').unwrap().1.rsplit_once(':').unwrap().0.to_owned()
    };
    server.deploy(&of("p", "s", "a", "b")).await;
    server.deploy(&of("pp", "ss", "aa", "bb")).await;
    let ship = part_with(&server, "shop/2", "ss").await;
    flip(&server, "take-back", 2, &[&ship]).await;
    assert_eq!((&*frame("price").await, &*frame("ship").await), ("price.js:4", "ship.js@v1:3"));
    // `price` and `two` go on, `ship` and `one` are touched.
    server.deploy_anyway(&of("pp", "ssss", "aaaa", "bb")).await;
    for (function, there) in [
        ("price", "price.js:4"),
        ("ship", "ship.js:6"),
        ("one", "both.js:6"),
        ("two", "both.js:11"),
    ] {
        assert_eq!(frame(function).await, there);
    }
    flip(&server, "take-back", 3, &[]).await;
    assert_eq!((&*frame("price").await, &*frame("ship").await), ("price.js@v1:3", "ship.js@v1:3"));
    // With one edit of the second version and not the other it never ran.
    assert_eq!(
        (&*frame("one").await, &*frame("two").await),
        ("both.js@before:4", "both.js@before:9")
    );
    let one = part_with(&server, "shop/3", "aaaa").await;
    flip(&server, "restore", 3, &[&one]).await;
    flip_settle(&server, 3).await;
    server.deploy_anyway(&of("pp", "ssss", "aaaa", "bbb")).await;
    let (_, change) = server.get("apps/shop/changes/4").await;
    assert_eq!(change["from"], "3+2", "{change:#}");
    flip(&server, "take-back", 4, &[]).await;
    assert_eq!((&*frame("one").await, &*frame("two").await), ("both.js:6", "both.js@v3+2:11"));
}

/// A part that goes on and was taken back makes no mixture: the text is what ran.
#[tokio::test(flavor = "multi_thread")]
async fn stacks_name_what_ran_where_a_part_goes_on_that_is_off() {
    let server = Server::start().await;
    let of = |price: &str, ship: &str| {
        let fails = |name: &str, text: &str| {
            let lines = "  // …\n".repeat(text.len());
            format!("export async function {name}() {{\n{lines}  throw new Error('{text}');\n}}\n")
        };
        shop(&(fails("price", price) + &fails("ship", ship)))
    };
    server.deploy(&of("a", "b")).await;
    server.deploy(&of("aa", "bb")).await;
    let price = part_with(&server, "shop/2", "aa").await;
    flip(&server, "take-back", 2, &[&price]).await;
    server.deploy_anyway(&of("aa", "bbbb")).await;
    flip(&server, "take-back", 3, &[]).await;
    for (function, line) in [("price", "@v2+1:4:"), ("ship", "@v2+1:9:")] {
        let answer = server.invoke(&format!("shop.{function}"), &json!(0)).await;
        assert!(answer["failure"]["stack"][0].as_str().unwrap().contains(line), "{answer:#}");
    }
}

/// Stacks that a function logs, and those of a function of which both versions are there, have no woven code in them.
#[tokio::test(flavor = "multi_thread")]
async fn stacks_have_no_woven_code_in_them() {
    let server = Server::start().await;
    let of = |parameters: &str, first: &str| {
        let code = format!(
            "function deep({parameters}) {{\n  {first}\n  throw new Error('no');\n}}\nexport async function price(n) {{\n  \
             try {{\n    deep(n, []);\n  }} catch (error) {{\n    console.error('failed', error);\n    throw error;\n  }}\n}}\n"
        );
        App::new("shop").module("main.js", &code, &[]).function("price", "main.js")
    };
    server.deploy(&of("a, b", "a += 1;")).await;
    server.deploy(&of("b, [c] = [5], d = 1", "b += 2;")).await;
    for (arm, version) in [("after", ""), ("before", "@v1")] {
        if arm == "before" {
            flip(&server, "take-back", 2, &[]).await;
        }
        let failed = server.invoke("shop.price", &json!(2)).await;
        let thrown = format!("at deep (main.js{version}:3:");
        let caller = "at price (main.js:7:";
        let stack = failed["failure"]["stack"].as_array().unwrap();
        assert!(stack[0].as_str().unwrap().starts_with(&thrown), "{failed:#}");
        assert!(stack[1].as_str().unwrap().starts_with(caller), "{failed:#}");
        let logged = server.messages("shop.price").await;
        let logged = logged.iter().rev().find(|line| line.starts_with("failed")).unwrap();
        assert!(logged.contains(&thrown) && logged.contains(caller), "{logged}");
        assert!(!logged.contains("native"), "{logged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_chosen_per_request_is_two_images() {
    let server = Server::start().await;
    let of = |first: u32, message: &str| {
        let code = format!(
            "const table = [];\nfor (let n = {first}; n < 10; n++) table.push(n);\nexport async function price(n) {{\n  return table.length;\n}}\nexport async function ship(n) {{\n  return '{message}';\n}}\n"
        );
        shop(&code)
    };
    server.deploy(&of(0, "old")).await;
    let deployed = server.deploy(&of(5, "new")).await;
    assert_eq!(deployed["change"]["parts"].as_array().unwrap().len(), 2, "{deployed:#}");
    assert_eq!(server.call("shop.price", &json!(0)).await, 5);
    let image = part_with(&server, "shop/2", "table.push").await;
    let message = part_with(&server, "shop/2", "new").await;
    flip(&server, "take-back", 2, &[&image]).await;
    assert_eq!(server.call("shop.price", &json!(0)).await, 10);
    assert_eq!(
        server.call("shop.ship", &json!(0)).await,
        "new",
        "woven parts keep their selectors in both"
    );
    flip(&server, "take-back", 2, &[&message]).await;
    assert_eq!(server.call("shop.ship", &json!(0)).await, "old");
    flip(&server, "restore", 2, &[&image]).await;
    assert_eq!(server.call("shop.price", &json!(0)).await, 5);
    assert_eq!(server.call("shop.ship", &json!(0)).await, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_when_a_module_is_loaded_is_not_frozen_at_one_arm() {
    let server = Server::start().await;
    let of = |factor: u32| {
        let code = format!(
            "function scaled(n) {{\n  return n * {factor};\n}}\nconst table = scaled(10);\nexport async function price(n) {{\n  return [table, scaled(n)];\n}}\nexport async function ship(n) {{\n  return n;\n}}\n"
        );
        shop(&code)
    };
    server.deploy(&of(2)).await;
    server.deploy(&of(3)).await;
    assert_eq!(server.call("shop.price", &json!(1)).await, json!([30, 3]));
    flip(&server, "take-back", 2, &[]).await;
    assert_eq!(server.call("shop.price", &json!(1)).await, json!([20, 2]));
}

/// What a module exports to nobody but its own functions is not read when it is loaded, which would freeze it.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_a_commonjs_module_is_chosen_per_request() {
    let server = Server::start().await;
    let of = |limit: u32| {
        let code = format!(
            "exports.LIMIT = {limit};\nexports.price = async (n) => n + exports.LIMIT;\nexports.ship = async (n) => n;\n"
        );
        let app = App::new("shop").module("main.cjs", &code, &[]).commonjs();
        app.function("price", "main.cjs").function("ship", "main.cjs")
    };
    server.deploy(&of(10)).await;
    server.deploy(&of(20)).await;
    assert_eq!(server.call("shop.price", &json!(1)).await, 21);
    let (_, change) = server.get("apps/shop/changes/2").await;
    assert_eq!(change["contents"][0]["image"], false, "{change:#}");
    flip(&server, "take-back", 2, &[]).await;
    assert_eq!(server.call("shop.price", &json!(1)).await, 11);
}

/// What another module takes when it is loaded has both values there, so that nothing is frozen.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_required_by_name_are_chosen_per_request() {
    let server = Server::start().await;
    let of = |limit: u32, rate: u32| {
        let limits = format!("exports.LIMIT = {limit};\nexports.RATE = {rate};\n");
        let main = "const { LIMIT, RATE: rate } = require('./limits.cjs');\nconst twice = LIMIT * 2;\n\
                    exports.price = async (n) => [n + LIMIT, twice];\nexports.ship = async (n) => n * rate;\n";
        let app = App::new("shop").module("limits.cjs", &limits, &[]).commonjs();
        let app = app.module("main.cjs", main, &[("./limits.cjs", "limits.cjs")]).commonjs();
        app.function("price", "main.cjs").function("ship", "main.cjs")
    };
    server.deploy(&of(10, 2)).await;
    server.deploy(&of(20, 3)).await;
    let (_, change) = server.get("apps/shop/changes/2").await;
    let parts = change["contents"].as_array().unwrap();
    assert_eq!(parts.len(), 2, "{change:#}");
    assert!(parts.iter().all(|part| part["image"] == false), "{change:#}");
    assert_eq!(server.call("shop.price", &json!(1)).await, json!([21, 40]));
    let limit = part_with(&server, "shop/2", "20").await;
    flip(&server, "take-back", 2, &[&limit]).await;
    assert_eq!(server.call("shop.price", &json!(1)).await, json!([11, 20]));
    assert_eq!(server.call("shop.ship", &json!(1)).await, 3);
    flip(&server, "take-back", 2, &[]).await;
    assert_eq!(server.call("shop.ship", &json!(1)).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_functions_are_a_part_too() {
    let server = Server::start().await;
    let of = |timeout_ms: u64| {
        let limits = belay_model::Limits { timeout_ms, ..Default::default() };
        App::of("shop", "return context.getRemainingTimeInMillis() > 2000;")
            .limited("f", "main.js", limits)
    };
    server.deploy(&of(5_000)).await;
    server.deploy(&of(1_000).function("g", "main.js").module_export()).await;
    assert_eq!(server.call("shop.f", &json!(0)).await, false);
    assert_eq!(server.call("shop.g", &json!(0)).await, 1);
    flip(&server, "take-back", 2, &[]).await;
    assert_eq!(server.call("shop.f", &json!(0)).await, true);
    let (status, _) = server.post("functions/shop.g/invocations", &json!(0)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

impl App {
    /// The module `main.js` with one function more.
    fn module_export(mut self) -> Self {
        let module = self.manifest.modules.remove(0);
        let code = self.sources[&module.source.to_hex()].clone();
        self.module(
            "main.js",
            &format!("{code}export async function g() {{\n  return 1;\n}}\n"),
            &[],
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_tell_the_arms_apart() {
    let server = Server::start().await;
    let of = |text: &str| App::of("shop", &format!("if (event > 1) {{ {text} }}\n  return event;"));
    server.deploy(&of("event += 1;")).await;
    server.deploy(&of("throw new Error('broken');")).await;
    for n in 0..4 {
        server.invoke("shop.f", &json!(n)).await;
    }
    flip(&server, "take-back", 2, &[]).await;
    server.call("shop.f", &json!(2)).await;
    let (_, detail) = server.get("apps/shop/changes/2").await;
    let counters = &detail["contents"][0]["counters"];
    assert_eq!(counters["after"]["reached"], 2, "{detail:#}");
    assert_eq!(counters["after"]["failed"], json!({ "exception": 2 }));
    assert_eq!(counters["before"]["reached"], 1);
    assert_eq!(counters["before"]["failed"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn time_inside_a_part_is_counted_with_its_waiting() {
    let server = Server::start().await;
    let of = |wait: u32| {
        App::of(
            "shop",
            &format!("await new Promise((done) => setTimeout(done, {wait}));\n  return 1;"),
        )
    };
    server.deploy(&of(1)).await;
    server.deploy(&of(20)).await;
    server.call("shop.f", &json!(0)).await;
    let (_, detail) = server.get("apps/shop/changes/2").await;
    let time = detail["contents"][0]["counters"]["after"]["time_ms"].as_f64().unwrap();
    assert!(time >= 19.0, "{detail:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn importers_choose_between_two_values() {
    let server = Server::start().await;
    let app = |limit: u32, name: &str| {
        App::new("shop")
            .module("values.js", &format!("export const limit = {limit}, name = '{name}';"), &[])
            .module(
                "table.js",
                "import { limit } from './values.js';\nexport default { limit };",
                &[("./values.js", "values.js")],
            )
            .module(
                "main.js",
                "import { name } from './values.js';\nimport table from './table.js';\n\
                 export const f = () => [table.limit, name];",
                &[("./values.js", "values.js"), ("./table.js", "table.js")],
            )
            .function("f", "main.js")
    };
    server.deploy(&app(5, "a")).await;
    server.deploy(&app(10, "a")).await;
    assert_eq!(server.call("shop.f", &json!(0)).await, json!([10, "a"]));
    let (_, detail) = server.get("apps/shop/changes/2").await;
    assert_eq!(detail["contents"][0]["image"], false, "{detail:#}");
    flip(&server, "take-back", 2, &[]).await;
    assert_eq!(server.call("shop.f", &json!(0)).await, json!([5, "a"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_may_try_an_arm() {
    let (server, wrong) = both_versions().await;
    flip(&server, "take-back", 2, &[&wrong]).await;
    let call = |arms: String, token: &'static str| {
        let url = format!("http://{}/2015-03-31/functions/shop.price/invocations", server.http);
        let request = server.client.post(url).header("x-belay-arms", arms).json(&order());
        answer(request.header("x-belay-token", token))
    };
    let (status, tried) = call(format!("shop/2:{wrong}=after"), "").await;
    assert_eq!((status, &tried["total"]), (OK, &json!(13)));
    assert_eq!(total(&server).await, 30, "only that request");
    assert_eq!(call("shop/2:z=after".to_owned(), "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(call("b=after".to_owned(), "").await.0, StatusCode::BAD_REQUEST);

    let server =
        Server::start_with(|config| config.token = Some("a-token-of-some-length".to_owned())).await;
    let url = format!("http://{}/fn/shop.price", server.http);
    let refused = server.client.post(url).header("x-belay-arms", "shop/2:a=after").send().await;
    assert_eq!(refused.unwrap().status(), StatusCode::FORBIDDEN, "before it is even looked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn arms_are_chosen_for_answers_and_not_for_the_queue() {
    let (server, wrong) = both_versions().await;
    flip(&server, "take-back", 2, &[&wrong]).await;
    let arms = format!("shop/2:{wrong}=after");
    let lambda = |kind: &str, arms: &str| {
        let request = server.lambda("shop.price", order().to_string());
        Reply::of(request.header("x-amz-invocation-type", kind).header("x-belay-arms", arms))
    };
    let queued = lambda("Event", &arms).await;
    assert_eq!(queued.status, StatusCode::BAD_REQUEST, "{}", queued.text());
    assert_eq!(queued.header("x-amzn-errortype"), "InvalidParameterValueException");
    assert!(queued.text().contains("not for queued ones"), "{}", queued.text());
    // A dry run says whether they could be chosen.
    assert_eq!(lambda("DryRun", &arms).await.status, StatusCode::NO_CONTENT);
    assert_eq!(lambda("DryRun", "shop/2:z=after").await.status, StatusCode::NOT_FOUND);

    // The control plane's own way of calling is no other.
    let call = |query: &str, arms: &str| {
        let path = format!("functions/shop.price/invocations{query}");
        answer(server.api(Method::POST, &path).header("x-belay-arms", arms).json(&order()))
    };
    let (status, tried) = call("", &arms).await;
    assert_eq!((status, &tried["result"]["total"]), (OK, &json!(13)));
    let (status, queued) = call("?type=event", &arms).await;
    assert_eq!(
        (status, &queued["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!("bad-request"))
    );
    assert_eq!(call("", "shop/2:z=after").await.0, StatusCode::NOT_FOUND);
    assert_eq!(call("", "b").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(total(&server).await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn flipping_under_load_fails_no_request() {
    let (server, wrong) = both_versions_of([shop(SHOP), second()].map(unjudged)).await;
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let url = format!("http://{}/2015-03-31/functions/shop.price/invocations", server.http);
    let mut callers = Vec::new();
    for _ in 0..8 {
        let (client, url) = (server.client.clone(), url.clone());
        let (stop, calls) = (stop.clone(), calls.clone());
        callers.push(tokio::spawn(async move {
            while !stop.load(Relaxed) {
                let (status, body) = answer(client.post(&url).json(&order())).await;
                assert_eq!(status, OK, "{body}");
                assert!(body["total"] == 13 || body["total"] == 30, "{body}");
                calls.fetch_add(1, Relaxed);
            }
        }));
    }
    let mut flips = 0;
    while calls.load(Relaxed) < 3_000 || flips < 20 {
        for (verb, expected) in [("take-back", 30), ("restore", 13)] {
            flip(&server, verb, 2, &[&wrong]).await;
            let told = total(&server).await;
            let change = server.get("apps/shop/changes/2").await;
            assert_eq!(told, expected, "the next request obeys: {change:?}");
            flips += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.store(true, Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_flipped_says_why() {
    let (server, _) = both_versions().await;
    let post = |path: &str, parts: Value| {
        let path = format!("apps/shop/changes/{path}");
        let server = &server;
        async move { server.post(&path, &json!({ "parts": parts })).await }
    };
    assert_eq!(post("9/take-back", json!([])).await.1["error"]["code"], "unknown-change");
    assert_eq!(post("2/take-back", json!(["z"])).await.1["error"]["code"], "unknown-part");
    assert_eq!(post("2/take-back", json!(["1"])).await.0, StatusCode::BAD_REQUEST);
    // The first version has no change.
    let (_, first) = post("1/take-back", json!([])).await;
    assert_eq!(first["error"]["code"], "unknown-change");
    let told =
        "version 1 of app shop brought no change: nothing ran before it, or nothing differed";
    assert_eq!(first["error"]["message"], told);
    // What stays has a word, but no letter.
    for word in ["never", "stays"] {
        let (status, stays) = post("2/take-back", json!([word])).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let message = stays["error"]["message"].as_str().unwrap();
        assert!(message.contains("`@rollback never` stay, whatever is taken back"), "{message}");
        assert!(stays["error"]["help"].as_str().unwrap().contains("belay show shop/2"));
    }
    flip_settle(&server, 2).await;
    let (status, settled) = post("2/take-back", json!([])).await;
    assert_eq!((status, &settled["error"]["code"]), (StatusCode::CONFLICT, &json!("not-live")));
}
