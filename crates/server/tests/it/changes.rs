//! Changes: what a deploy changes, taken back part by part, restored, settled, and gone on with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{App, Server, answer};

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
    let server = Server::start().await;
    assert_eq!(server.deploy(&shop(SHOP)).await["change"], Value::Null, "there was nothing before");
    assert_eq!((total(&server).await, days(&server).await), (json!(30), json!(3)));
    let deployed = server.deploy(&second()).await;
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

    let deployed = server.deploy(&app).await;
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
async fn flipping_under_load_fails_no_request() {
    let (server, wrong) = both_versions().await;
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
        flip(&server, "take-back", 2, &[&wrong]).await;
        assert_eq!(total(&server).await, 30, "the next request obeys");
        flip(&server, "restore", 2, &[&wrong]).await;
        assert_eq!(total(&server).await, 13, "the next request obeys");
        flips += 2;
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
    flip_settle(&server, 2).await;
    let (status, settled) = post("2/take-back", json!([])).await;
    assert_eq!((status, &settled["error"]["code"]), (StatusCode::CONFLICT, &json!("not-live")));
}
