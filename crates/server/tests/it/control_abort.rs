//! Clients that go away: what they asked for is done wholly or not at all, in the store as in memory.

use std::{collections::BTreeMap, time::Duration};

use belay_server::queue::Backoff;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{App, Server};

const ROUNDS: usize = 150;
const APPS: [&str; 3] = ["a", "b", "c"];

/// Live version, aliases and names of secrets of each app.
type State = BTreeMap<String, (u64, Value, Value)>;

/// What the server has in memory, also when it has stopped.
fn in_memory(routes: &belay_server::routes::SharedRoutes) -> State {
    let state = |app: &std::sync::Arc<belay_server::routes::AppRoutes>| {
        let aliases = serde_json::to_value(&*app.aliases).unwrap();
        let secrets = json!(app.shared.secret_names());
        (app.name().to_string(), (u64::from(app.live.get()), aliases, secrets))
    };
    routes.load().apps().map(state).collect()
}

async fn answered(server: &Server) -> State {
    let (_, list) = server.get("apps").await;
    let state = |app: &Value| {
        let own = (app["live"].as_u64().unwrap(), app["aliases"].clone(), app["secrets"].clone());
        (app["app"].as_str().unwrap().to_owned(), own)
    };
    list["apps"].as_array().unwrap().iter().map(state).collect()
}

/// One of the changes that there are.
fn change(server: &Server, round: usize, letters: &[String]) -> RequestBuilder {
    let app = APPS[round / 7 % APPS.len()];
    let put = |path: String, body: Value| server.api(Method::PUT, &path).json(&body);
    match round % 7 {
        0 => put(format!("apps/{app}/aliases/r{round}"), json!({ "version": 1 })),
        1 => put(format!("apps/{app}/secrets/s{round}"), json!({ "value": "hush" })),
        2 => put(format!("apps/{app}/aliases/live"), json!({ "version": 1 + round / 21 % 2 })),
        3 => server.api(Method::DELETE, &format!("apps/{app}/aliases/r{}", round - 3)),
        4 => server.api(Method::DELETE, &format!("apps/{app}/secrets/s{}", round - 3)),
        5 => server.api(Method::POST, &format!("dead-letters/{}/retry", letters[round / 7])),
        _ => server.api(Method::DELETE, &format!("dead-letters/{}", letters[round / 7])),
    }
}

async fn dead_letters(server: &Server, count: usize) -> Vec<String> {
    for _ in 0..count {
        server.send_event("a.f", "{}").await;
    }
    server.parts.queue.idle().await;
    let (_, list) = server.get("dead-letters").await;
    let letters = list["dead_letters"].as_array().unwrap().iter();
    letters.map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn store_and_memory_stay_the_same_when_clients_go_away() {
    let never = |config: &mut belay_server::PlatformConfig| {
        config.queue.backoff = Backoff { pauses: Vec::new() };
    };
    let server = Server::start_with(never).await;
    for app in APPS {
        server.deploy(&App::of(app, "throw new Error('one');")).await;
        server.deploy(&App::of(app, "throw new Error('two');")).await;
    }
    let letters = dead_letters(&server, ROUNDS / 7 + 1).await;
    let mut runner = TestRunner::deterministic();
    for round in 0..ROUNDS {
        let patience = (0..4_000u64).new_tree(&mut runner).unwrap().current();
        let request = change(&server, round, &letters).send();
        drop(tokio::time::timeout(Duration::from_micros(patience), request).await);
    }
    let (routes, queue) = (server.parts.catalog.routes().clone(), server.parts.queue.clone());
    // It waits for all that had begun.
    let dir = server.stop().await;
    let (memory, letters) = (in_memory(&routes), queue.reading().dead_letters);
    drop((routes, queue));
    let server = Server::start_in(dir, never).await;
    server.parts.queue.idle().await;
    assert_eq!(answered(&server).await, memory);
    let kept = server.get("dead-letters").await.1["dead_letters"].as_array().unwrap().len() as u64;
    // Those that were retried just before the end die again after the start.
    assert!(kept >= letters, "{kept} {letters}");
    assert!(memory.values().any(|(_, aliases, _)| *aliases != json!({})), "some were made");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_removal_was_given_up_can_be_deployed_again() {
    let server = Server::start().await;
    let mut runner = TestRunner::deterministic();
    for round in 0..20 {
        let app = App::of("shop", &format!("return {round};"));
        let deployed = server.deploy(&app).await;
        assert_eq!(server.call("shop.f", &Value::Null).await, round);
        server.put("apps/shop/secrets/key", &json!({ "value": "hush" })).await;
        let patience = (0..4_000u64).new_tree(&mut runner).unwrap().current();
        let remove = server.api(Method::DELETE, "apps/shop").send();
        drop(tokio::time::timeout(Duration::from_micros(patience), remove).await);
        assert!(deployed["version"].as_u64().unwrap() <= round + 1);
    }
}
