//! What becomes of transactions when Belay, the database or the way to it dies in the middle: all or nothing, and what the
//! client is told is true.
//!
//! Each test knows where a transaction is by the requests that it makes, which wait for as long as the test wants.

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    child::ChildServer,
    support::{Server, answer},
    transactions_support::{Bank, Cut, Postgres, Service, Store, Way},
};

const NOTHING: [u32; 2] = [100, 100];
const ALL: [u32; 2] = [70, 130];

fn sent(request: RequestBuilder) -> JoinHandle<Value> {
    tokio::spawn(async move { answer(request).await.1 })
}

/// Kills Belay in the middle of a transfer, before its commit or after that.
async fn check_kill(store: Store, committed: bool) {
    let postgres = if store == Store::Postgres { Some(Postgres::new().await) } else { None };
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start().await;
    let child = ChildServer::start(dir.path());
    let bank = Bank::at(child.http, child.control);
    let url = postgres.as_ref().map(Postgres::url);
    bank.open(store, &service, url.as_deref()).await;

    let transfer = tokio::spawn(bank.transfer().send());
    service.serve(&["/pay"]).await;
    let mut waits = service.next("/notify").await;
    if committed {
        waits.answer();
        waits = service.next("/done").await;
    }
    child.kill();
    let answered = transfer.await.unwrap();
    assert!(answered.is_err(), "nobody can have answered {store:?}: {answered:?}");
    drop(waits);

    let child = ChildServer::start(dir.path());
    let bank = Bank::at(child.http, child.control);
    let found = bank.sums().await;
    let expected = if committed { ALL } else { NOTHING };
    assert_eq!(found, json!(expected), "{store:?} {committed}");
    // Nothing is left in the way of the next one.
    let transfer = sent(bank.transfer());
    service.serve(&["/pay", "/notify", "/done"]).await;
    assert_eq!(transfer.await.unwrap()["result"], json!({ "attempt": 1 }), "{store:?}");
    let [a, b] = expected;
    assert_eq!(bank.sums().await, json!([a - 30, b + 30]), "{store:?} {committed}");
    child.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_before_the_commit_leaves_nothing() {
    for store in Store::ALL {
        check_kill(store, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_after_the_commit_leaves_all_of_it() {
    for store in Store::ALL {
        check_kill(store, true).await;
    }
}

/// An event that was killed in its transaction is run again from its start, and is the same one to those it calls.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_run_again_after_kill_9_has_the_same_keys() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start().await;
    let mut child = ChildServer::start(dir.path());
    let bank = Bank::at(child.http, child.control);
    bank.open(Store::Kv, &service, None).await;

    let id = bank.send_transfer().await;
    let pay = service.next("/pay").await;
    let pay_key = pay.key.clone().expect("a key");
    assert!(pay_key.starts_with(&id), "{pay_key} is of {id}");
    // Nobody knows what became of this one: the first time it is not even answered.
    child.kill();
    drop(pay);
    child = ChildServer::start(dir.path());
    let pay = service.next("/pay").await;
    assert_eq!(pay.key.as_deref(), Some(&*pay_key));
    pay.answer();
    let notify = service.next("/notify").await;
    let notify_key = notify.key.clone().expect("a key");
    assert_ne!(notify_key, pay_key);
    // This time the first of them was answered, which the process knows that is killed, and nobody else.
    child.kill();
    drop(notify);
    child = ChildServer::start(dir.path());
    let bank = Bank::at(child.http, child.control);
    assert_eq!(bank.sums().await, json!(NOTHING));
    for (path, key) in [("/pay", &pay_key), ("/notify", &notify_key)] {
        let again = service.next(path).await;
        assert_eq!(again.key.as_ref(), Some(key));
        again.answer();
    }
    let done = service.next("/done").await;
    assert_eq!(done.key, None, "it is no part of the transaction");
    assert_eq!(bank.sums().await, json!(ALL), "it was made once");
    done.answer();
    child.kill();
}

/// A bank on PostgreSQL, behind a way that can be cut.
struct Ledger {
    server: Server,
    bank: Bank,
    service: Service,
    way: Way,
    _postgres: Postgres,
}

impl Ledger {
    async fn open() -> Self {
        let postgres = Postgres::new().await;
        let way = Way::to(&postgres).await;
        let service = Service::start().await;
        let server = Server::start().await;
        let bank = Bank::at(server.http, server.control);
        bank.open(Store::Postgres, &service, Some(&postgres.url_by(&way))).await;
        Self { server, bank, service, way, _postgres: postgres }
    }

    /// A transfer as if nothing had happened.
    async fn check_works(&mut self, expected: [u32; 2]) {
        let transfer = sent(self.bank.transfer());
        self.service.serve(&["/pay", "/notify", "/done"]).await;
        let done = transfer.await.unwrap();
        assert_eq!(done["result"], json!({ "attempt": 1 }), "{done:#}");
        assert_eq!(self.bank.sums().await, json!(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_fails_it_and_nothing_is_half_done() {
    let mut ledger = Ledger::open().await;
    let transfer = sent(ledger.bank.transfer());
    let pay = ledger.service.next("/pay").await;
    ledger.way.close();
    pay.answer();
    // What was done is not done again.
    ledger.service.serve(&["/failed"]).await;
    let failed = transfer.await.unwrap();
    let failure = &failed["failure"];
    assert_eq!(failure["error_type"], "TransactionError", "{failed:#}");
    assert_eq!(failure["category"], "dependency", "{failed:#}");
    let message = failure["message"].as_str().unwrap();
    assert!(message.starts_with("the transaction transfer failed after 3 attempts"), "{message}");
    assert!(message.contains("ledger"), "it says which database: {message}");

    ledger.way.mend();
    assert_eq!(ledger.bank.sums().await, json!(NOTHING));
    ledger.check_works(ALL).await;
    ledger.server.stop().await;
}

/// It is tried again on another connection, and what was done outside is not done again.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_off_is_survived() {
    let mut ledger = Ledger::open().await;
    let transfer = sent(ledger.bank.transfer());
    let pay = ledger.service.next("/pay").await;
    ledger.way.cut();
    pay.answer();
    ledger.service.serve(&["/notify", "/done"]).await;
    let done = transfer.await.unwrap();
    assert_eq!(done["result"], json!({ "attempt": 2 }), "{done:#}");
    assert_eq!(ledger.bank.sums().await, json!(ALL));
    ledger.server.stop().await;
}

/// The way is cut at the commit, and open again at once: it is found out what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_cut_off_is_found_out_about() {
    for (cut, attempt) in [(Cut::Before, 2), (Cut::After, 1)] {
        let mut ledger = Ledger::open().await;
        let transfer = sent(ledger.bank.transfer());
        ledger.service.serve(&["/pay"]).await;
        let notify = ledger.service.next("/notify").await;
        ledger.way.cut_commit(cut, false);
        notify.answer();
        ledger.service.serve(&["/done"]).await;
        let done = transfer.await.unwrap();
        assert_eq!(done["result"], json!({ "attempt": attempt }), "{cut:?}: {done:#}");
        assert_eq!(ledger.bank.sums().await, json!(ALL), "{cut:?}: once");
        ledger.server.stop().await;
    }
}

/// An event of which nobody knows if it was committed is not run again, as that might do it twice: it is kept for people to look at.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_doubt_is_not_run_again() {
    let mut ledger = Ledger::open().await;
    ledger.bank.send_transfer().await;
    ledger.service.serve(&["/pay"]).await;
    let notify = ledger.service.next("/notify").await;
    ledger.way.cut_commit(Cut::After, true);
    notify.answer();
    ledger.service.serve(&["/failed"]).await;
    let letter = loop {
        let (_, letters) = ledger.server.get("dead-letters").await;
        if let Some(letter) = letters["dead_letters"].get(0) {
            break letter.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let told = letter["message"].as_str().unwrap_or_default();
    assert!(told.contains("was committed is not known"), "{letter:#}");
    ledger.way.mend();
    assert_eq!(ledger.bank.sums().await, json!(ALL), "it was made once");
    ledger.server.stop().await;
}

/// Nobody can be asked what became of it: that is what is told, and nothing is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_which_nobody_knows_is_called_unknown() {
    for (cut, made) in [(Cut::Before, NOTHING), (Cut::After, ALL)] {
        let mut ledger = Ledger::open().await;
        let transfer = sent(ledger.bank.transfer());
        ledger.service.serve(&["/pay"]).await;
        let notify = ledger.service.next("/notify").await;
        ledger.way.cut_commit(cut, true);
        notify.answer();
        ledger.service.serve(&["/failed"]).await;
        let failed = transfer.await.unwrap();
        let failure = &failed["failure"];
        assert_eq!(failure["error_type"], "TransactionError", "{cut:?}: {failed:#}");
        let message = failure["message"].as_str().unwrap();
        let unknown = "whether the transaction transfer was committed is not known";
        assert!(message.starts_with(unknown), "{cut:?}: {message}");
        let story = ledger.bank.story().await;
        assert_eq!((&story["became"], &story["attempts"]), (&json!("unknown"), &json!([])));

        ledger.way.mend();
        assert_eq!(ledger.bank.sums().await, json!(made), "{cut:?}: who looks, sees");
        let [a, b] = made;
        ledger.check_works([a - 30, b + 30]).await;
        ledger.server.stop().await;
    }
}
