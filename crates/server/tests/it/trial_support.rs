//! A shop whose changes are on trial, and its customers.

use std::net::SocketAddr;

use belay_model::{Decimal, Policy};
use futures_util::{StreamExt, stream};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::support::{App, Server};

/// What the stock says when it is broken: a third of the requests fail.
pub(crate) const FAULT: &str = "if (n % 3 === 0) throw new Error('no stock'); return n + 2;";
/// More requests than any of these tests should need.
pub(crate) const REQUESTS_MAX: usize = 12_000;

/// Three edits that have nothing to do with each other.
pub(crate) fn shop(price: &str, stock: &str, label: &str) -> App {
    let code = format!(
        "function price(n) {{ {price} }}\n\
         function stock(n) {{ {stock} }}\n\
         function label(n) {{ {label} }}\n\
         export async function f({{ n }}) {{ return [price(n), stock(n), label(n)]; }}\n"
    );
    let mut app = App::new("shop").module("main.js", &code, &[]).function("f", "main.js");
    app.manifest.policy = quick();
    app
}

pub(crate) fn first() -> App {
    shop("return n;", "return n + 1;", "return String(n);")
}

/// Steps that last as long as it takes to see enough.
pub(crate) fn quick() -> Policy {
    let mut policy = Policy::default();
    policy.canary.ramp = [20, 50].map(Decimal::whole).into();
    policy.canary.step_min_ms = 0;
    policy.canary.step_max_ms = 3_600_000;
    policy.judge.harmless_below = Decimal::whole(20);
    // Neither must it be a matter of how busy this machine is.
    policy.tapes.budget_ms = 120_000;
    // What these tests see must not be luck.
    policy.judge.take_back = Decimal::new(0.000_01).unwrap();
    policy
}

/// Calls `shop.f`; the Invoke API answers 200 also where it fails.
pub(crate) async fn call(
    client: &Client,
    http: SocketAddr,
    n: usize,
    user: Option<&str>,
) -> (StatusCode, Value) {
    let url = format!("http://{http}/2015-03-31/functions/shop.f/invocations");
    let mut request = client.post(url).json(&json!({ "n": n }));
    if let Some(user) = user {
        request = request.header("x-user", user);
    }
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

pub(crate) async fn request(server: &Server, n: usize, user: Option<&str>) -> (StatusCode, Value) {
    call(&server.client, server.http, n, user).await
}

pub(crate) async fn story(server: &Server, change: u32) -> Value {
    let (status, story) = server.get(&format!("apps/shop/changes/{change}/story")).await;
    assert_eq!(status, StatusCode::OK, "{story:#}");
    story
}

/// The story once the judge has said something of the trial, and that is as wanted.
pub(crate) async fn on_trial(
    server: &Server,
    change: u32,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    for _ in 0..REQUESTS_MAX {
        let story = story(server, change).await;
        if story["trial"].is_object() && wanted(&story) {
            return story;
        }
    }
    panic!("{:#}", story(server, change).await);
}

pub(crate) fn told<'s>(story: &'s Value, what: &str) -> Vec<&'s Value> {
    let decisions = story["decisions"].as_array().unwrap();
    decisions.iter().filter(|entry| entry["told"] == what).collect()
}

pub(crate) fn state(story: &Value) -> &str {
    story["state"].as_str().unwrap()
}

/// Sends requests until the story is as wanted.
pub(crate) async fn requests_until(
    server: &Server,
    change: u32,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    for batch in 0..REQUESTS_MAX / 100 {
        let numbers = (batch * 100..(batch + 1) * 100).map(|n| request(server, n, None));
        let answers: Vec<_> = stream::iter(numbers).buffer_unordered(8).collect().await;
        assert!(answers.iter().all(|(status, _)| *status == StatusCode::OK));
        let story = story(server, change).await;
        if wanted(&story) {
            return story;
        }
    }
    // On a busy machine the judge hears of them later.
    for _ in 0..REQUESTS_MAX {
        let story = story(server, change).await;
        if wanted(&story) {
            return story;
        }
    }
    panic!("{:#}", story(server, change).await);
}

/// So many requests, one after another; the answers.
pub(crate) async fn requests(server: &Server, count: usize) -> Vec<Value> {
    let mut answers = Vec::new();
    for n in 0..count {
        answers.push(request(server, n, None).await.1);
    }
    answers
}
