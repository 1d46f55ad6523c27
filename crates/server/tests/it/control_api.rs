//! The resources of the control plane that are not about deploys: lists, calls, logs, stats, events, dead letters.

use std::time::Duration;

use belay_server::queue::Backoff;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{App, Server, answer};

#[tokio::test(flavor = "multi_thread")]
async fn health_says_what_the_server_can_run_and_where() {
    let server = Server::start().await;
    let (status, health) = server.get("health").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(health["status"], "ok");
    assert_eq!(health["environments"], json!(["quickjs-ng@0.16"]));
    assert_eq!(health["data_plane"], format!("http://{}", server.http));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_listed_with_where_to_call_them() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return event;")).await;
    let (_, list) = server.get("functions").await;
    let function = &list["functions"][0];
    assert_eq!((&function["app"], &function["function"]), (&json!("shop"), &json!("f")));
    let url = function["urls"]["invoke"].as_str().unwrap();
    let (status, result) = answer(server.client.post(url).json(&json!({"a": 1}))).await;
    assert_eq!((status, result), (StatusCode::OK, json!({"a": 1})));
    let url = function["urls"]["http"].as_str().unwrap();
    assert_eq!(server.client.get(url).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() {
    let server = Server::start().await;
    for app in ["a", "a-b", "b", "c"] {
        server.deploy(&App::of(app, "return 1;")).await;
    }
    for (list, key) in [("apps", "app"), ("functions", "app")] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let (_, page) = server.get(&format!("{list}?limit=2{after}")).await;
            let items = page[list].as_array().unwrap();
            assert!(items.len() <= 2);
            seen.extend(items.iter().map(|item| item[key].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(seen, ["a", "a-b", "b", "c"], "{list}");
    }
    for n in 2..=5 {
        server.deploy_anyway(&App::of("a", &format!("return {n};"))).await;
    }
    let (_, page) = server.get("apps/a/versions?limit=2&after=4").await;
    let versions: Vec<_> =
        page["versions"].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
    assert_eq!((versions, &page["next"]), (vec![json!(3), json!(2)], &json!("2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_shows_its_manifest() {
    let server = Server::start().await;
    let app = App::of("shop", "return 1;").env("COLOR", "red");
    server.deploy(&app).await;
    let (_, version) = server.get("apps/shop/versions/1").await;
    assert_eq!(version["manifest"], serde_json::to_value(&app.manifest).unwrap());
    assert_eq!(version["live"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_answered_with_its_failure_and_its_logs() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "console.warn('careful'); throw new RangeError('out');")).await;
    let answer = server.invoke("shop.f", &json!(null)).await;
    assert_eq!((&answer["status"], &answer["category"]), (&json!("failed"), &json!("exception")));
    assert_eq!(answer["failure"]["error_type"], "RangeError");
    assert_eq!(answer["logs"][0]["message"], "careful");
    assert!(answer["usage"]["duration_ms"].as_f64().unwrap() > 0.0);

    let id = answer["request_id"].as_str().unwrap();
    let (_, logs) = server.get(&format!("functions/shop.f/logs?request_id={id}")).await;
    assert_eq!(logs["logs"], answer["logs"]);
    let (_, stats) = server.get("functions/shop.f/stats").await;
    assert_eq!(stats["total"]["failures"], json!({"exception": 1}));
    assert_eq!(stats["versions"][0]["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_can_be_followed() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "console.log('line', event);")).await;
    server.call("shop.f", &json!(1)).await;
    let mut stream =
        server.api(Method::GET, "functions/shop.f/logs?follow=true").send().await.unwrap();
    server.call("shop.f", &json!(2)).await;
    let mut text = String::new();
    while text.matches('\n').count() < 2 {
        text += std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap();
    }
    let messages: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].clone())
        .collect();
    assert_eq!(messages, ["line 1", "line 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_in_the_prometheus_format() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return 1;")).await;
    server.call("shop.f", &json!(1)).await;
    let response =
        server.client.get(format!("http://{}/metrics", server.control)).send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let text = response.text().await.unwrap();
    for needle in [
        r#"app="shop""#,
        "# TYPE",
        "belay_images_loaded{",
        "belay_images_ready_bytes{",
        "belay_slots{",
        "belay_slots_in_use{",
    ] {
        assert!(text.contains(needle), "{needle} in {text}");
    }
    let (_, stats) = server.get("stats").await;
    assert_eq!(stats["functions"][0]["ok"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_ends_as_a_dead_letter_and_can_be_retried() {
    let server = Server::start_with(|config| {
        config.queue.backoff = Backoff { pauses: vec![Duration::from_millis(1)] };
    })
    .await;
    server.deploy(&App::of("shop", "throw new Error('not yet');")).await;
    let (status, queued) =
        server.post("functions/shop.f/invocations?type=event", &json!({"a": 1})).await;
    assert_eq!((status, &queued["status"]), (StatusCode::ACCEPTED, &json!("queued")));
    server.parts.queue.idle().await;
    let (_, letters) = server.get("dead-letters?app=shop").await;
    let letter = &letters["dead_letters"][0];
    assert_eq!(letter["id"], queued["request_id"]);
    assert_eq!(letter["message"], "not yet");
    let id = letter["id"].as_str().unwrap();
    let (status, open) = server.get(&format!("dead-letters/{id}")).await;
    assert_eq!((status, &open["event"]), (StatusCode::OK, &json!({"a": 1})));
    assert!(
        open["failure"]["stack"][0].as_str().unwrap().starts_with("at f (main.js:2:"),
        "{open:#}"
    );
    for (key, value) in letter.as_object().unwrap() {
        assert_eq!(&open[key], value, "{key}");
    }

    server.deploy(&App::of("shop", "await context.kv.put('seen', event);")).await;
    assert_eq!(
        server.post(&format!("dead-letters/{id}/retry"), &json!(null)).await.0,
        StatusCode::OK
    );
    server.parts.queue.idle().await;
    assert_eq!(server.get("dead-letters").await.1["dead_letters"], json!([]));
    let (_, stats) = server.get("functions/shop.f/stats").await;
    assert_eq!(stats["total"]["ok"], 1);
}
