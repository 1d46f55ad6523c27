//! Switching while thousands of requests run, whatever the part is made of; and everything at once on one app.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use belay_model::Limits;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    changes_support::{both, done, numbers, try_do, try_move_live, two},
    support::{App, Server, answer},
};

const REQUESTS: usize = 3_000;
const FLIPS: usize = 20;

/// That many requests make each other slow is nothing that the change did.
pub(crate) fn unjudged(mut app: App) -> App {
    app.manifest.policy.canary.dry_run = true;
    app
}

/// Takes the change 2 back and restores it while others call `function`: each request is answered by one of the arms,
/// and the one behind a flip obeys it.
async fn flip_under_load(server: Server, function: &str, before: Value, after: Value) {
    let server = Arc::new(server);
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let url = format!("http://{}/2015-03-31/functions/{function}/invocations", server.http);
    let callers = (0..8).map(|_| {
        let (client, url) = (server.client.clone(), url.clone());
        let (stop, calls) = (stop.clone(), calls.clone());
        let expected = [before.clone(), after.clone()];
        tokio::spawn(async move {
            while !stop.load(Relaxed) {
                let (status, body) = answer(client.post(&url).json(&json!(0))).await;
                assert_eq!(status, StatusCode::OK, "{body}");
                assert!(expected.contains(&body), "{body}");
                calls.fetch_add(1, Relaxed);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut flips = 0;
    while calls.load(Relaxed) < REQUESTS || flips < FLIPS {
        assert!(callers.iter().all(|caller| !caller.is_finished()), "a request failed");
        done(&server, "take-back", 2, &[]).await;
        assert_eq!(server.call(function, &json!(0)).await, before);
        done(&server, "restore", 2, &[]).await;
        assert_eq!(server.call(function, &json!(0)).await, after);
        flips += 2;
    }
    stop.store(true, Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flipping_two_images_under_load_fails_no_request() {
    let server = Server::start().await;
    let of = |first: u32| {
        let code = format!(
            "const table = [];\nfor (let n = {first}; n < 10; n++) table.push(n);\n\
             export async function price() {{\n  return table.length;\n}}\n\
             export async function ship() {{\n  return 0;\n}}\n"
        );
        unjudged(two("shop", &code))
    };
    server.deploy(&of(0)).await;
    server.deploy(&of(5)).await;
    let (_, detail) = server.get("apps/shop/changes/2").await;
    assert_eq!(detail["contents"][0]["image"], true, "{detail:#}");
    flip_under_load(server, "shop.price", json!(10), json!(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flipping_settings_under_load_fails_no_request() {
    let server = Server::start().await;
    let of = |timeout_ms: u64| {
        let limits = Limits { timeout_ms, ..Limits::default() };
        let app = App::of("shop", "return context.getRemainingTimeInMillis() > 30000;");
        unjudged(app.limited("f", "main.js", limits))
    };
    server.deploy(&of(60_000)).await;
    server.deploy(&of(20_000)).await;
    let (_, detail) = server.get("apps/shop/changes/2").await;
    assert_eq!(detail["contents"][0]["hunks"][0]["kind"], "settings", "{detail:#}");
    flip_under_load(server, "shop.f", json!(true), json!(false)).await;
}

/// Everything that is told of an app but what is counted, and what its versions answer.
async fn standing(server: &Server) -> Value {
    let (_, apps) = server.get("apps").await;
    let (_, changes) = server.get("apps/shop/changes?limit=1000").await;
    let (_, versions) = server.get("apps/shop/versions?limit=1000").await;
    let (_, program) = server.get("apps/shop/effective").await;
    let mut answers = Vec::new();
    for version in versions["versions"].as_array().unwrap() {
        let path = format!("functions/shop.price/invocations?qualifier={}", version["version"]);
        answers.push(server.post(&path, &json!(0)).await.1["result"].clone());
    }
    let live = both(server).await;
    json!([apps["apps"][0]["live"], changes, versions, program, answers, live])
}

/// One of the things that may happen to an app at any time. It may be refused, but not fail.
async fn one_of_them(server: Arc<Server>, round: u32, racer: u32) {
    let change = 2 + (round + racer / 4) % (round + 1);
    let (status, body) = match racer {
        0 | 1 => server.try_deploy(&numbers(10 * round + racer, round)).await,
        2 | 4 => try_do(&server, "take-back", change, &[]).await,
        3 | 5 => try_do(&server, "restore", change, &[]).await,
        6 => try_do(&server, "settle", change, &[]).await,
        _ => try_move_live(&server, 1 + round % 2).await,
    };
    assert!(status.is_success() || status.is_client_error(), "{racer}: {status} {body:#}");
}

/// Whoever comes first: in the end there is one state, which is the same in memory and in the store.
#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once_leaves_one_state() {
    let server = Arc::new(Server::start().await);
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 2)).await;
    for round in 0..6 {
        let racing = (0..8).map(|racer| tokio::spawn(one_of_them(server.clone(), round, racer)));
        for racer in racing.collect::<Vec<_>>() {
            racer.await.unwrap();
        }
        let (_, changes) = server.get("apps/shop/changes?limit=1000").await;
        let running = changes["changes"].as_array().unwrap().iter();
        assert!(running.filter(|change| change["running"] == true).count() <= 1, "{changes:#}");
        // What runs is what is told of it.
        let (_, program) = server.get("apps/shop/effective").await;
        let text = program["files"][0]["text"].as_str().unwrap().to_owned();
        let [price, ship] = both(&server).await;
        assert!(text.contains(&format!("return {price};")), "{price} {text}");
        assert!(text.contains(&format!("return {ship};")), "{ship} {text}");
    }
    let before = standing(&server).await;
    let server = Arc::into_inner(server).unwrap();
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(standing(&server).await, before);
}
