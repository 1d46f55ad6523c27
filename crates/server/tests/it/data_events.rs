//! Events: durable before they are acknowledged, retried, and in the end dead letters.

use std::time::Duration;

use belay_server::{PlatformConfig, queue::Backoff};
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    child::ChildServer,
    data_support::Reply,
    support::{App, Server, YES, answer, client, deploy},
};

fn quick(config: &mut PlatformConfig) {
    config.queue.backoff = Backoff { pauses: vec![Duration::from_millis(1); 2] };
}

async fn letters(server: &Server, app: &str) -> Vec<Value> {
    let (status, answer) = server.get(&format!("dead-letters?app={app}")).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
    answer["dead_letters"].as_array().unwrap().clone()
}

const FAILS: &str = "console.log(`got ${event.n}`); throw new RangeError('always');";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_runs_once_if_it_succeeds() {
    let server = Server::start_with(quick).await;
    server
        .deploy(&App::of("shop", "console.log(`got ${event.n} as ${context.awsRequestId}`);"))
        .await;
    let id = server.send_event("f", r#"{"n":1}"#).await;
    server.parts.queue.idle().await;
    assert_eq!(server.messages("f").await, [format!("got 1 as {id}")]);
    assert!(letters(&server, "shop").await.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_event_is_tried_three_times_and_then_a_dead_letter() {
    let server = Server::start_with(quick).await;
    server.deploy(&App::of("shop", FAILS)).await;
    let id = server.send_event("shop.f", r#"{"n":7}"#).await;
    server.parts.queue.idle().await;
    let got = server.messages("f").await;
    assert_eq!(got.iter().filter(|line| *line == "got 7").count(), 3, "{got:?}");

    let letters = letters(&server, "shop").await;
    let [letter] = &letters[..] else { panic!("{letters:#?}") };
    assert_eq!(letter["id"], id.as_str());
    assert_eq!((&letter["function"], &letter["attempts"]), (&"f".into(), &3.into()));
    assert_eq!(letter["failure"]["category"], "exception");
    assert_eq!(letter["message"], "always");
    let frame = letter["failure"]["stack"][0].as_str().unwrap();
    assert!(frame.starts_with("at f (main.js:2:"), "{frame}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_can_be_retried_after_a_fix_or_deleted() {
    let server = Server::start_with(quick).await;
    server.deploy(&App::of("shop", FAILS)).await;
    let first = server.send_event("f", r#"{"n":1}"#).await;
    let second = server.send_event("f", r#"{"n":2}"#).await;
    server.parts.queue.idle().await;
    assert_eq!(letters(&server, "shop").await.len(), 2);

    server.deploy(&App::of("shop", "console.log(`fixed ${event.n}`);")).await;
    let retry = format!("dead-letters/{first}/retry");
    assert!(server.post(&retry, &Value::Null).await.0.is_success());
    server.parts.queue.idle().await;
    assert_eq!(server.messages("f").await.last().unwrap(), "fixed 1");
    assert_eq!(server.post(&retry, &Value::Null).await.0, StatusCode::NOT_FOUND);

    let delete = format!("dead-letters/{second}");
    assert!(server.delete(&delete).await.0.is_success());
    assert_eq!(server.delete(&delete).await.0, StatusCode::NOT_FOUND);
    assert!(letters(&server, "shop").await.is_empty());
    assert_eq!(server.parts.queue.reading(), Default::default());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_dead_letters_survive_a_restart() {
    // The first retry would come in an hour.
    let slow = |config: &mut PlatformConfig| {
        config.queue.backoff = Backoff { pauses: vec![Duration::from_secs(3600)] };
    };
    let server = Server::start_with(slow).await;
    server.deploy(&App::of("shop", FAILS)).await;
    server.send_event("f", r#"{"n":1}"#).await;
    while server.messages("f").await.is_empty() {
        tokio::task::yield_now().await;
    }
    let dir = server.stop().await;

    let never = |config: &mut PlatformConfig| {
        config.queue.backoff = Backoff { pauses: Vec::new() };
    };
    let server = Server::start_in(dir, never).await;
    assert_eq!(server.parts.queue.reading().events, 1);
    assert!(letters(&server, "shop").await.is_empty());
    server.send_event("f", r#"{"n":2}"#).await;
    while letters(&server, "shop").await.is_empty() {
        tokio::task::yield_now().await;
    }
    let dir = server.stop().await;
    let server = Server::start_in(dir, quick).await;
    assert_eq!(letters(&server, "shop").await.len(), 1);
    assert_eq!(server.parts.queue.reading().events, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_event_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let body = "await context.kv.put(`got/${event.n}`, true);";
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let child = ChildServer::start(dir.path());
        if round == 0 {
            let (status, _) = deploy(client(), child.control, App::of("shop", body), YES).await;
            assert!(status.is_success());
        }
        acknowledged.extend(send_until_killed(child, round).await);
    }
    let server = Server::start_in(dir, quick).await;
    server.parts.queue.idle().await;
    let list = "const { entries } = await context.kv.list({ prefix: 'got/', limit: 1000 });\n\
                return entries.map((entry) => entry.key);";
    server.deploy(&App::of("shop", list)).await;
    let got = server.call("shop.f", &Value::Null).await;
    let got: Vec<_> = got.as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    for n in acknowledged {
        assert!(got.contains(&format!("got/{n}").as_str()), "{n} of {got:?}");
    }
    server.stop().await;
}

/// Sends events from several connections and kills the server in the midst of them; gives what it acknowledged.
async fn send_until_killed(child: ChildServer, round: u32) -> Vec<u32> {
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    for sender in 0..4 {
        let (url, acknowledge) = (child.http, acknowledge.clone());
        tokio::spawn(async move {
            let client = client();
            for n in (0..1000).map(|n| round * 10_000 + sender * 1000 + n) {
                let url = format!("http://{url}/2015-03-31/functions/shop.f/invocations");
                let send = client.post(url).header("x-amz-invocation-type", "Event");
                let reply = send.body(format!("{{\"n\":{n}}}")).send().await;
                if reply.is_ok_and(|reply| reply.status() == 202) {
                    // The test may have counted enough already.
                    let _ = acknowledge.send(n);
                } else {
                    return;
                }
            }
        });
    }
    drop(acknowledge);
    let mut all = Vec::new();
    while all.len() < 10 {
        all.push(acknowledged.recv().await.unwrap());
    }
    child.kill();
    while let Some(n) = acknowledged.recv().await {
        all.push(n);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_removed_app_are_dropped() {
    let server = Server::start_with(|config| {
        config.queue.backoff = Backoff { pauses: vec![Duration::from_secs(3600)] };
    })
    .await;
    server.deploy(&App::of("shop", FAILS)).await;
    server.send_event("f", r#"{"n":1}"#).await;
    while server.messages("f").await.is_empty() {
        tokio::task::yield_now().await;
    }
    let removed = server.delete("apps/shop").await;
    assert!(removed.0.is_success(), "{removed:?}");
    // Another app of the same name does not inherit them.
    server.deploy(&App::of("shop", "console.log('inherited');")).await;
    let dir: TempDir = server.stop().await;
    let server = Server::start_in(dir, quick).await;
    assert!(letters(&server, "shop").await.is_empty());
    assert!(!server.messages("f").await.contains(&"inherited".to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backlog_is_bounded() {
    let server = Server::start_with(|config| {
        config.queue.events_max = 1;
        config.queue.backoff = Backoff { pauses: vec![Duration::from_secs(3600)] };
    })
    .await;
    server.deploy(&App::of("shop", FAILS)).await;
    server.send_event("f", r#"{"n":1}"#).await;
    let second = server.lambda("f", "{}").header("x-amz-invocation-type", "Event");
    let reply = Reply::of(second).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(reply.header("x-amzn-errortype"), "TooManyRequestsException");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_events_count_also_after_a_restart() {
    let narrow = |config: &mut PlatformConfig| {
        config.queue.bytes_max = 20;
        config.queue.backoff = Backoff { pauses: vec![Duration::from_secs(3600)] };
    };
    let server = Server::start_with(narrow).await;
    server.deploy(&App::of("shop", FAILS)).await;
    server.send_event("f", r#"{"n":1,"pad":"xxx"}"#).await;
    while server.messages("f").await.is_empty() {
        tokio::task::yield_now().await;
    }
    let server = Server::start_in(server.stop().await, narrow).await;
    let second = server.lambda("f", "{}").header("x-amz-invocation-type", "Event");
    assert_eq!(Reply::of(second).await.status, StatusCode::TOO_MANY_REQUESTS);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_must_be_good_before_it_is_taken() {
    let server = Server::start_with(|config| config.queue.event_bytes_max = 100).await;
    server.deploy(&App::of("shop", "return 1;")).await;
    let send = |name: &str, body: String| {
        server.lambda(name, body).header("x-amz-invocation-type", "Event")
    };
    assert_eq!(Reply::of(send("f", "{".to_owned())).await.status, 400);
    assert_eq!(Reply::of(send("g", "{}".to_owned())).await.status, 404);
    assert_eq!(Reply::of(send("f", format!("\"{}\"", "x".repeat(100)))).await.status, 413);
    assert_eq!(server.parts.queue.reading().events, 0);
    let (status, _) = answer(server.api(reqwest::Method::GET, "dead-letters")).await;
    assert_eq!(status, StatusCode::OK);
    server.stop().await;
}
