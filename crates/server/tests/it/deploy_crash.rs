//! `kill -9` at any moment loses nothing that was acknowledged: deploys, aliases, queued events.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    child::ChildServer,
    support::{App, YES, answer, client, deploy},
};

const ROUNDS: u32 = 10;

/// What a client was told.
#[derive(Default)]
struct Told {
    /// The newest version that was acknowledged, and what it returns.
    deployed: Option<(u64, u64)>,
    alias: Option<u64>,
    /// Events that were acknowledged; each puts its own key.
    events: Vec<String>,
}

/// Asks until the server dies under it; keeps what was acknowledged.
async fn work(client: &Client, server: &ChildServer, round: u32, told: &mut Told) {
    let base = format!("http://{}/api/v1", server.control);
    for step in 0.. {
        let number = u64::from(round) * 1_000 + step;
        let app = numbered(number);
        // The upload of the source may die as well as the deploy itself.
        let Some(body) = try_deploy(client, server, &app).await else { return };
        told.deployed = Some((body["version"].as_u64().unwrap(), number));

        let alias = client.put(format!("{base}/apps/shop/aliases/blue"));
        let alias = alias.json(&json!({ "version": body["version"] }));
        let Some(set) = acknowledged(alias).await else { return };
        told.alias = set["version"].as_u64();

        let key = format!("e{number}");
        let event = client
            .request(Method::POST, format!("{base}/functions/shop.record/invocations?type=event"));
        let Some(_) = acknowledged(event.json(&json!({ "key": key }))).await else { return };
        told.events.push(key);
    }
}

fn numbered(number: u64) -> App {
    let code = format!(
        "export const f = () => {number};\n\
         export const record = async (event, {{ kv }}) => {{ await kv.put(event.key, 1); }};\n\
         export const has = async (keys, {{ kv }}) => {{\n  const missing = [];\n  for (const key of keys) if ((await kv.get(key)) == null) missing.push(key);\n  return missing;\n}};\n"
    );
    let app = App::new("shop").module("main.js", &code, &[]);
    app.function("f", "main.js").function("record", "main.js").function("has", "main.js")
}

async fn try_deploy(client: &Client, server: &ChildServer, app: &App) -> Option<Value> {
    let base = format!("http://{}/api/v1", server.control);
    for (hash, source) in &app.sources {
        let put = client.put(format!("{base}/blobs/{hash}")).body(source.clone());
        acknowledged(put).await?;
    }
    acknowledged(client.post(format!("{base}/apps/shop/versions?yes=true")).json(&app.manifest))
        .await
}

/// The answer, if there was a whole one.
async fn acknowledged(request: reqwest::RequestBuilder) -> Option<Value> {
    let response = request.send().await.ok()?;
    let status = response.status();
    let body = response.json().await.ok()?;
    assert!(status.is_success(), "{status} {body:#}");
    Some(body)
}

async fn check(client: &Client, server: &ChildServer, told: &Told) {
    let base = format!("http://{}/api/v1", server.control);
    let get = |path: &str| answer(client.get(format!("{base}/{path}")));
    let call = |function: &str, event: Value| {
        let url = format!("{base}/functions/{function}/invocations");
        let request = client.post(url).json(&event);
        async { answer(request).await.1["result"].clone() }
    };
    let Some((version, number)) = told.deployed else { return };
    let (_, app) = get("apps/shop").await;
    // A deploy whose answer was lost may be there too, but none is missing and there are no gaps.
    let latest = app["latest"].as_u64().unwrap();
    assert!(latest >= version && latest <= version + 1, "{latest} {version}");
    let (_, list) = get("apps/shop/versions?limit=1000").await;
    assert_eq!(list["versions"].as_array().unwrap().len() as u64, latest);
    let url = format!("{base}/functions/shop.f/invocations?qualifier={version}");
    assert_eq!(answer(client.post(url)).await.1["result"], number);
    if let Some(alias) = told.alias {
        let blue = app["aliases"]["blue"].as_u64().unwrap();
        assert!(blue >= alias, "{blue} {alias}");
    }
    // Events run at least once, in their own time.
    let idle = async {
        while call("shop.has", json!(told.events)).await != json!([]) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), idle).await.expect("all events to run");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let client = client();
    let mut told = Told::default();
    for round in 0..ROUNDS {
        let server = ChildServer::start(dir.path());
        check(&client, &server, &told).await;
        // Ends at another step of the work each time: the work itself sets the pace.
        let moment = Duration::from_millis(40 + u64::from(round) * 37);
        drop(tokio::time::timeout(moment, work(&client, &server, round + 1, &mut told)).await);
        server.kill();
    }
    let server = ChildServer::start(dir.path());
    check(&client, &server, &told).await;
    assert!(told.deployed.is_some_and(|(version, _)| version > 1), "the work came somewhere");
    assert!(!told.events.is_empty());
    let (status, _) = deploy(client.clone(), server.control, numbered(0), YES).await;
    assert_eq!(status, StatusCode::CREATED);
    let calls = (0..4).map(|_| client.post(format!("http://{}/fn/shop.f", server.http)).send());
    assert!(join_all(calls).await.iter().all(Result::is_ok));
}
