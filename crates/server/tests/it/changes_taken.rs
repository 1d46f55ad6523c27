//! What was taken back stays so, and can be reached: beside other settings, behind tags, in larger parts, and while a
//! deploy is at work.

use belay_model::Limits;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{App, Server, answer};

async fn flip(server: &Server, verb: &str, change: u32, parts: &[&str]) -> (StatusCode, Value) {
    server.post(&format!("apps/shop/changes/{change}/{verb}"), &json!({ "parts": parts })).await
}

async fn taken_back(server: &Server, change: u32, parts: &[&str]) -> Value {
    let (status, body) = flip(server, "take-back", change, parts).await;
    assert_eq!(status, StatusCode::OK, "{body:#}");
    body
}

fn kinds(deployed: &Value) -> Vec<&str> {
    let notes = deployed["change"]["notes"].as_array().unwrap();
    notes.iter().map(|note| note["kind"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_is_known_beside_others() {
    let server = Server::start().await;
    let of = |timeout_ms: u64, hosts: &[&str]| {
        let limits = Limits { timeout_ms, ..Limits::default() };
        let mut app = App::of("shop", "return context.getRemainingTimeInMillis() > 2000;")
            .limited("f", "main.js", limits);
        app.manifest.egress.allow = hosts.iter().map(|host| (*host).to_owned()).collect();
        app
    };
    server.deploy(&of(5_000, &[])).await;
    server.deploy(&of(1_000, &[])).await;
    taken_back(&server, 2, &[]).await;
    // The same with another setting is a larger part, which runs; and the deploy says what is in it.
    let deployed = server.deploy(&of(1_000, &["example.com"])).await;
    assert_eq!(kinds(&deployed), ["was_taken_back_in_part"], "{deployed:#}");
    assert_eq!(server.call("shop.f", &json!(0)).await, false);
    // The old name leads to it.
    let taken = taken_back(&server, 2, &["a"]).await;
    assert_eq!(taken["id"], "shop/3", "{taken:#}");
    assert_eq!(server.call("shop.f", &json!(0)).await, true);
    // Alone it stays taken back.
    server.deploy(&of(5_000, &[])).await;
    let deployed = server.deploy(&of(1_000, &[])).await;
    assert_eq!(kinds(&deployed), ["stays_taken_back"], "{deployed:#}");
    assert_eq!(server.call("shop.f", &json!(0)).await, true);
}

/// Restoring what runs already says that all of it is innocent.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_in_part_is_lifted_by_restoring_the_larger_part() {
    for restored in [false, true] {
        let server = Server::start().await;
        let of = |timeout_ms: u64, hosts: &[&str]| {
            let limits = Limits { timeout_ms, ..Limits::default() };
            let mut app = App::of("shop", "return context.getRemainingTimeInMillis() > 2000;")
                .limited("f", "main.js", limits);
            app.manifest.egress.allow = hosts.iter().map(|host| (*host).to_owned()).collect();
            app
        };
        server.deploy(&of(5_000, &[])).await;
        server.deploy(&of(1_000, &[])).await;
        taken_back(&server, 2, &[]).await;
        let deployed = server.deploy(&of(1_000, &["example.com"])).await;
        assert_eq!(kinds(&deployed), ["was_taken_back_in_part"], "{deployed:#}");
        if restored {
            assert_eq!(flip(&server, "restore", 3, &[]).await.0, StatusCode::OK);
        }
        server.deploy_anyway(&of(5_000, &[])).await;
        let deployed = server.deploy_anyway(&of(1_000, &[])).await;
        let told: &[&str] = if restored { &[] } else { &["stays_taken_back"] };
        assert_eq!(kinds(&deployed), told, "{deployed:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_does_not_come_back_as_what_stays() {
    let server = Server::start().await;
    let of = |n: u8, tag: &str| {
        let code = format!(
            "export async function price(order) {{\n  let total = order.n;\n  {tag}\n  total *= {n};\n  return total;\n}}\n"
        );
        App::new("shop").module("shop.js", &code, &[]).function("price", "shop.js")
    };
    let tagged = of(2, "/** @rollback never */");
    server.deploy(&of(1, "")).await;
    server.deploy(&of(2, "")).await;
    taken_back(&server, 2, &[]).await;
    // Uploads, and asks nobody.
    let (status, refused) = server.try_deploy_asking(&tagged).await;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::CONFLICT, &json!("comes-back")));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("shop/2:a"), "{message}");
    assert_eq!(server.call("shop.price", &json!({ "n": 10 })).await, 10);
    let deployed = server.deploy_anyway(&tagged).await;
    assert_eq!(deployed["change"]["staying"], 1, "{deployed:#}");
    assert_eq!(server.call("shop.price", &json!({ "n": 10 })).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_try_a_function_that_only_one_arm_has() {
    let server = Server::start().await;
    let code = "export async function f() {\n  return 1;\n}\n";
    let more = format!("{code}export async function g() {{\n  return 2;\n}}\n");
    let of = |code: &str| App::new("shop").module("main.js", code, &[]).function("f", "main.js");
    server.deploy(&of(code)).await;
    server.deploy(&of(&more).function("g", "main.js")).await;
    let taken = taken_back(&server, 2, &[]).await;
    let parts = taken["parts"].as_array().unwrap().iter();
    let arms: Vec<_> =
        parts.map(|part| format!("shop/2:{}=after", part["part"].as_str().unwrap())).collect();
    let path = "functions/shop.g/invocations";
    assert_eq!(server.post(path, &json!(0)).await.0, StatusCode::NOT_FOUND);
    let url = format!("http://{}/2015-03-31/functions/shop.g/invocations", server.http);
    let request = server.client.post(url).header("x-belay-arms", arms.join(", ")).json(&json!(0));
    assert_eq!(answer(request).await, (StatusCode::OK, json!(2)));
}

/// A deploy weaves and makes images; who takes something back meanwhile does not wait for it, and is heeded by it.
#[tokio::test(flavor = "multi_thread")]
async fn taking_back_goes_on_beside_a_deploy() {
    let server = Server::start().await;
    // Making an image takes a while.
    let of = |n: u8, m: u8| {
        let code = format!(
            "let turns = 0;\nfor (let i = 0; i < 2e6; i++) turns += 1;\n\
             export async function price() {{\n  return {n};\n}}\n\
             export async function ship() {{\n  return {m};\n}}\n"
        );
        let app = App::new("shop").module("shop.js", &code, &[]);
        app.function("price", "shop.js").function("ship", "shop.js")
    };
    server.deploy(&of(1, 1)).await;
    server.deploy(&of(2, 1)).await;
    for (round, arm) in [(3, "take-back"), (4, "restore"), (5, "take-back")] {
        let deploying = tokio::spawn(server.deploy_anyway(&of(2, round)));
        loop {
            for verb in ["restore", "take-back"] {
                assert_eq!(flip(&server, verb, 2, &["a"]).await.0, StatusCode::OK);
            }
            if deploying.is_finished() {
                break;
            }
        }
        deploying.await.unwrap();
        assert_eq!(flip(&server, arm, 2, &["a"]).await.0, StatusCode::OK);
        let price = if arm == "restore" { 2 } else { 1 };
        assert_eq!(server.call("shop.price", &json!(0)).await, price);
        assert_eq!(server.call("shop.ship", &json!(0)).await, round);
    }
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(server.call("shop.price", &json!(0)).await, 1);
}

/// A request that waits ends on the arms that it began with, whatever happens to the change meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_keeps_its_arms() {
    let server = Server::start().await;
    let of = |n: u8| {
        let code = format!(
            "export async function f(event, {{ kv }}) {{\n  const first = {n};\n  await kv.put('begun', true);\n  \
             while (!(await kv.get('go'))) await new Promise((on) => setTimeout(on, 5));\n  \
             return [first, later()];\n}}\nfunction later() {{\n  return {n};\n}}\n\
             export const go = async (event, {{ kv }}) => kv.put('go', true);\n\
             export const begun = async (event, {{ kv }}) => kv.get('begun');\n"
        );
        let app = App::new("shop").module("shop.js", &code, &[]);
        ["f", "go", "begun"].into_iter().fold(app, |app, name| app.function(name, "shop.js"))
    };
    let apps = [of(1), of(2), of(3)];
    server.deploy(&apps[0]).await;
    server.deploy(&apps[1]).await;
    let url = format!("http://{}/2015-03-31/functions/shop.f/invocations", server.http);
    let waiting = tokio::spawn(answer(server.client.post(url).json(&json!(0))));
    while server.call("shop.begun", &json!(0)).await.is_null() {}
    taken_back(&server, 2, &[]).await;
    let (status, _) = server.post("apps/shop/changes/2/settle", &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    server.deploy(&apps[2]).await;
    server.call("shop.go", &json!(0)).await;
    assert_eq!(waiting.await.unwrap(), (StatusCode::OK, json!([2, 2])));
    assert_eq!(server.call("shop.f", &json!(0)).await, json!([3, 3]));
}

/// A number that is counted up when the module is loaded, and one that is when a request comes.
fn counting(start: u32, step: u32) -> App {
    let code = format!(
        "let loaded = {start};\nfor (let i = 0; i < 3; i++) loaded += {step};\nlet count = 0;\n\
         const seen = [];\n\
         export async function f(event) {{\n  count += {step};\n  loaded += 1;\n  seen.push(event);\n  \
         globalThis.left = (globalThis.left ?? 0) + {step};\n  \
         return [count, loaded, seen.length, globalThis.left];\n}}\n"
    );
    App::new("shop").module("shop.js", &code, &[]).function("f", "shop.js")
}

/// State of modules does not outlive a request: not in either arm, whether woven or by two images, nor from one arm to
/// the other.
#[tokio::test(flavor = "multi_thread")]
async fn no_state_of_modules_outlives_a_request_in_either_arm() {
    let server = Server::start().await;
    server.deploy(&counting(0, 1)).await;
    let deployed = server.deploy(&counting(0, 10)).await;
    let after = json!([10, 31, 1, 10]);
    let before = json!([1, 4, 1, 1]);
    for _ in 0..3 {
        for _ in 0..5 {
            assert_eq!(server.call("shop.f", &json!(1)).await, after, "{deployed:#}");
        }
        taken_back(&server, 2, &[]).await;
        for _ in 0..5 {
            assert_eq!(server.call("shop.f", &json!(1)).await, before, "{deployed:#}");
        }
        assert_eq!(flip(&server, "restore", 2, &[]).await.0, StatusCode::OK);
    }
    let (_, detail) = server.get("apps/shop/changes/2").await;
    let parts = detail["contents"].as_array().unwrap();
    assert!(parts.iter().any(|part| part["image"] == true), "{detail:#}");
}

/// What runs in parts that are woven alone: the counters are only counted up by requests.
#[tokio::test(flavor = "multi_thread")]
async fn no_state_of_modules_outlives_a_request_of_a_woven_app() {
    let server = Server::start().await;
    let of = |step: u32| {
        App::new("shop")
            .module(
                "shop.js",
                &format!(
                    "let count = 0;\nexport async function f() {{\n  count += {step};\n  return count;\n}}\n"
                ),
                &[],
            )
            .function("f", "shop.js")
    };
    server.deploy(&of(1)).await;
    server.deploy(&of(10)).await;
    let (_, detail) = server.get("apps/shop/changes/2").await;
    assert_eq!(detail["contents"][0]["image"], false, "{detail:#}");
    for _ in 0..3 {
        for (verb, count) in [("take-back", 1), ("restore", 10)] {
            assert_eq!(flip(&server, verb, 2, &[]).await.0, StatusCode::OK);
            for _ in 0..5 {
                assert_eq!(server.call("shop.f", &json!(0)).await, count);
            }
        }
    }
}

/// What differs between two images is held as anything else is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_two_images_stays_taken_back() {
    let server = Server::start().await;
    let of = |first: u32, last: u32, ship: u32| {
        let code = format!(
            "const table = [];\nfor (let n = {first}; n < {last}; n++) table.push(n);\n\
             export async function price() {{\n  return table.length;\n}}\n\
             export async function ship() {{\n  return {ship};\n}}\n"
        );
        let app = App::new("shop").module("shop.js", &code, &[]);
        app.function("price", "shop.js").function("ship", "shop.js")
    };
    server.deploy(&of(0, 10, 1)).await;
    server.deploy(&of(5, 10, 1)).await;
    let (_, detail) = server.get("apps/shop/changes/2").await;
    assert_eq!(detail["contents"][0]["image"], true, "{detail:#}");
    taken_back(&server, 2, &[]).await;
    assert_eq!(server.call("shop.price", &json!(0)).await, 10);
    // It goes on where it is not touched.
    let deployed = server.deploy(&of(5, 10, 2)).await;
    assert_eq!(kinds(&deployed), ["carried"], "{deployed:#}");
    assert_eq!(server.call("shop.price", &json!(0)).await, 10);
    assert_eq!(server.call("shop.ship", &json!(0)).await, 2);
    // It is gone, and comes again.
    server.deploy(&of(0, 10, 2)).await;
    let deployed = server.deploy(&of(5, 10, 2)).await;
    assert!(kinds(&deployed).contains(&"stays_taken_back"), "{deployed:#}");
    assert_eq!(server.call("shop.price", &json!(0)).await, 10);
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(server.call("shop.price", &json!(0)).await, 10);
    let notes = deployed["change"]["notes"].as_array().unwrap();
    let stays = notes.iter().find(|note| note["kind"] == "stays_taken_back").unwrap();
    let part = stays["part"].as_str().unwrap();
    assert_eq!(flip(&server, "restore", 5, &[part]).await.0, StatusCode::OK);
    assert_eq!(server.call("shop.price", &json!(0)).await, 5);
    // What is restored is lifted.
    server.deploy_anyway(&of(0, 10, 2)).await;
    let deployed = server.deploy_anyway(&of(5, 10, 2)).await;
    assert!(!kinds(&deployed).contains(&"stays_taken_back"), "{deployed:#}");
    assert_eq!(server.call("shop.price", &json!(0)).await, 5);
}
