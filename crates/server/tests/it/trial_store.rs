//! What the judge decides acts in memory first, then durably; whatever happens to the store or the server meanwhile, it
//! ends taken back.

use reqwest::StatusCode;
use rusqlite::Connection;
use serde_json::Value;

use crate::{
    child::ChildServer,
    support::{Server, client, deploy},
    trial_support::{FAULT, REQUESTS_MAX, call, first, requests_until, shop, story, told},
};

fn second() -> crate::support::App {
    shop("return n * 2;", FAULT, "return `#${n}`;")
}

/// Requests until so many in a row are not hurt.
async fn requests_until_nobody_is_hurt(http: std::net::SocketAddr) {
    let (client, mut unhurt) = (client(), 0);
    for n in 0..REQUESTS_MAX {
        let (status, answer) = call(&client, http, 3 * n, None).await;
        assert_eq!(status, StatusCode::OK);
        unhurt = if answer["errorType"].is_null() { unhurt + 1 } else { 0 };
        if unhurt == 200 {
            return;
        }
    }
    panic!("it was never taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_acts_before_the_store_has_it() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    server.deploy_in_steps(&second()).await;
    let other = Connection::open(server.data_dir().join("data/store.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    requests_until_nobody_is_hurt(server.http).await;
    assert_eq!(told(&story(&server, 2).await, "taken_back"), Vec::<&Value>::new());
    other.execute_batch("ROLLBACK").unwrap();
    let story = requests_until(&server, 2, |story| !told(story, "taken_back").is_empty()).await;
    assert_eq!(told(&story, "taken_back").len(), 1, "once: {story:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_refuses_is_decided_again() {
    const REFUSE: &str =
        "CREATE TRIGGER refuse BEFORE INSERT ON records WHEN NEW.collection = 'apps'
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    let server = Server::start().await;
    server.deploy(&first()).await;
    server.deploy_in_steps(&second()).await;
    let other = Connection::open(server.data_dir().join("data/store.sqlite")).unwrap();
    other.execute_batch(REFUSE).unwrap();
    for n in 0..600 {
        call(&server.client, server.http, n, None).await;
    }
    assert_eq!(told(&story(&server, 2).await, "taken_back"), Vec::<&Value>::new());
    other.execute_batch("DROP TRIGGER refuse").unwrap();
    let story = requests_until(&server, 2, |story| !told(story, "taken_back").is_empty()).await;
    assert_eq!(told(&story, "taken_back").len(), 1, "{story:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_take_back_ends_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = ChildServer::start(dir.path());
    for (app, query) in [(first(), "?now=true"), (second(), "")] {
        let (status, body) = deploy(client(), server.control, app, query).await;
        assert!(status.is_success(), "{body:#}");
    }
    let other = Connection::open(dir.path().join("data/store.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    requests_until_nobody_is_hurt(server.http).await;
    // Nothing of it is durable.
    server.kill();
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    let server = Server::start_in(dir, |_| {}).await;
    let story = requests_until(&server, 2, |story| !told(story, "taken_back").is_empty()).await;
    assert_eq!(told(&story, "taken_back").len(), 1, "{story:#}");
    server.stop().await;
}
