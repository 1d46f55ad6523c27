//! Commits whose answer is lost: what became of them is found out, where it can be.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use belay_host::CommitError;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::world::{Databases, POSTGRES, changed, within};

/// What a proxy does when it sees the commit.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    /// It never gets to the server.
    Before,
    /// Nor does the server hear that anybody is gone.
    Silently,
    /// The server carries it out, and its answer gets lost.
    After,
    /// As after, and nobody gets to the server any more.
    ForGood,
}

/// A way to the server that is cut once, at the commit. Answers its port.
async fn proxy(server: String, cut: Cut) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let done = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let was_cut = done.load(Ordering::SeqCst);
            if was_cut && cut == Cut::ForGood {
                continue;
            }
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(pass(client, server, cut, Arc::clone(&done)));
        }
    });
    port
}

async fn pass(client: TcpStream, server: TcpStream, cut: Cut, done: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        (from_server, to_client)
    });
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from_client.read(&mut bytes).await.unwrap_or(0);
        if count == 0 {
            return back.abort();
        }
        let commits = bytes[..count].windows(7).any(|part| part == b"COMMIT\0");
        if !commits || done.swap(true, Ordering::SeqCst) {
            to_server.write_all(&bytes[..count]).await.unwrap();
            continue;
        }
        if cut == Cut::Silently {
            back.abort();
            drop(from_client);
            // The way to the server stays open for as long as the test runs.
            std::mem::forget(to_server);
            return;
        }
        if cut == Cut::Before {
            return back.abort();
        }
        // The way back ends first, so that the answer gets lost; then the server is given the time to carry it out:
        // it closes the connection when it has, and reads that nobody is there.
        back.abort();
        let _ = back.await;
        to_server.write_all(&bytes[..count]).await.unwrap();
        to_server.shutdown().await.unwrap();
        return;
    }
}

async fn cut_at_commit(cut: Cut) -> (Databases, Result<(), CommitError>) {
    let world = Databases::both().await;
    world.run(POSTGRES, "CREATE TABLE t (n int)").await;
    let direct = world.url.lock().unwrap().clone();
    let rest = direct.split_once('@').unwrap().1;
    let (address, name) = rest.split_once('/').unwrap();
    let port = proxy(address.to_owned(), cut).await;
    let user = direct.split_once('@').unwrap().0;
    *world.url.lock().unwrap() = format!("{user}@127.0.0.1:{port}/{name}");
    let mut transaction = world.begin(POSTGRES).await;
    let insert = within(&mut transaction, "INSERT INTO t VALUES (1)").await;
    assert_eq!(changed(insert), 1);
    let ended = transaction.commit().await;
    *world.url.lock().unwrap() = direct;
    (world, ended)
}

async fn count(world: &Databases) -> serde_json::Value {
    world.rows(POSTGRES, "SELECT count(*) AS n FROM t", json!([])).await[0][0].clone()
}

#[tokio::test]
async fn a_commit_that_the_server_never_got_was_not_made() {
    for cut in [Cut::Before, Cut::Silently] {
        let (world, ended) = cut_at_commit(cut).await;
        assert!(matches!(ended, Err(CommitError::NotCommitted(_))), "{ended:?}");
        assert_eq!(count(&world).await, 0);
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_was_made() {
    let (world, ended) = cut_at_commit(Cut::After).await;
    assert_eq!(ended, Ok(()));
    assert_eq!(count(&world).await, 1);
}

#[tokio::test]
async fn where_nobody_can_be_asked_nothing_is_claimed() {
    let (_world, ended) = cut_at_commit(Cut::ForGood).await;
    assert!(matches!(ended, Err(CommitError::Unknown(_))), "{ended:?}");
}

/// The server ends the connection in the middle of the transaction: it is not committed, and that is known.
#[tokio::test]
async fn a_connection_that_the_server_ends_takes_its_transaction_along() {
    let world = Databases::both().await;
    world.run(POSTGRES, "CREATE TABLE t (n int)").await;
    let mut transaction = world.begin(POSTGRES).await;
    within(&mut transaction, "INSERT INTO t VALUES (1)").await;
    let pid = super::world::rows(within(&mut transaction, "SELECT pg_backend_pid() AS pid").await);
    let end = format!("SELECT pg_terminate_backend({}, 5000) AS done", pid[0][0]);
    world.rows(POSTGRES, &end, json!([])).await;
    let ended = transaction.commit().await;
    assert!(matches!(ended, Err(CommitError::NotCommitted(_))), "{ended:?}");
    assert_eq!(count(&world).await, 0);
}
