//! Taking back applies in memory first, then durably, then is acknowledged; restoring is durable first. The store is the
//! real one, whose file somebody else keeps locked, or refuses writes to.

use std::sync::Arc;

use reqwest::StatusCode;
use rusqlite::Connection;
use serde_json::json;

use crate::{
    changes_support::{both, detail, done, move_live, numbers, try_do},
    support::Server,
};

/// Calls while something waits for the store: what is wrong would show in one of them.
const CALLS: usize = 50;

async fn two_versions() -> Arc<Server> {
    let server = Server::start().await;
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 1)).await;
    Arc::new(server)
}

/// Another connection to the file of a server's store.
fn connect(server: &Server) -> Connection {
    Connection::open(server.data_dir().join("data/store.sqlite")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_back_acts_before_the_store_has_it_and_is_acknowledged_after() {
    let server = two_versions().await;
    let other = connect(&server);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let beside = server.clone();
    let taking = tokio::spawn(async move { try_do(&beside, "take-back", 2, &[]).await });
    // It would never come to be if it waited for the store.
    while both(&server).await[0] != 1 {}
    for _ in 0..CALLS {
        assert_eq!(both(&server).await[0], 1);
    }
    assert!(!taking.is_finished(), "it is not acknowledged before it is durable");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(taking.await.unwrap().0, StatusCode::OK);
    let server = Arc::into_inner(server).unwrap();
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(both(&server).await[0], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_is_durable_before_it_acts() {
    let server = two_versions().await;
    done(&server, "take-back", 2, &[]).await;
    let other = connect(&server);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let beside = server.clone();
    let restoring = tokio::spawn(async move { try_do(&beside, "restore", 2, &[]).await });
    for _ in 0..CALLS {
        assert_eq!(both(&server).await[0], 1, "nothing is durable yet");
    }
    assert!(!restoring.is_finished());
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(restoring.await.unwrap().0, StatusCode::OK);
    assert_eq!(both(&server).await[0], 2, "the next request obeys");
}

/// Refuses every write to a collection, until the trigger is dropped.
const REFUSE: &str = "CREATE TRIGGER refuse BEFORE INSERT ON records WHEN NEW.collection = 'apps'
    BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_refuses_is_as_it_was() {
    for (verb, price) in [("take-back", 2), ("restore", 1)] {
        let server = two_versions().await;
        if verb == "restore" {
            done(&server, "take-back", 2, &[]).await;
        }
        let before = detail(&server, 2).await;
        let other = connect(&server);
        other.execute_batch(REFUSE).unwrap();
        for _ in 0..2 {
            let (status, refused) = try_do(&server, verb, 2, &[]).await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{refused:#}");
            assert_eq!(both(&server).await[0], price, "{verb}");
            assert_eq!(detail(&server, 2).await["parts"], before["parts"]);
        }
        for settle in [true, false] {
            let (status, refused) = if settle {
                try_do(&server, "settle", 2, &[]).await
            } else {
                server.put("apps/shop/aliases/live", &json!({ "version": 1 })).await
            };
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{refused:#}");
            assert_eq!(both(&server).await[0], price, "{verb}");
        }
        let (status, _) = server.try_deploy(&numbers(3, 3)).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(detail(&server, 2).await["program"], before["program"]);
        other.execute_batch("DROP TRIGGER refuse").unwrap();
        drop(other);

        let server = Arc::into_inner(server).unwrap();
        let server = Server::start_in(server.stop().await, |_| {}).await;
        assert_eq!(both(&server).await[0], price, "nor was anything stored");
        assert_eq!(detail(&server, 2).await["parts"], before["parts"]);
        done(&server, verb, 2, &[]).await;
        assert_eq!(both(&server).await[0], 3 - price);
        move_live(&server, 1).await;
        assert_eq!(both(&server).await[0], 1);
    }
}
