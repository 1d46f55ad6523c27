//! What a store promises while nothing goes wrong.

use belay_fabric::{
    Collection, CommitError, Expect, KeyRange, LogName, Record, Revision, Sequence, Store,
    StoreError, Transaction,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const ITEMS: Collection = Collection::constant("items");
const OTHERS: Collection = Collection::constant("others");
const EVENTS: LogName = LogName::constant("events");

async fn open() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).await.unwrap();
    (directory, store)
}

async fn keys(store: &Store, range: KeyRange) -> Vec<String> {
    store.list(&ITEMS, range).await.unwrap().into_iter().map(|record| record.key).collect()
}

async fn fill(store: &Store, keys: &[&str]) {
    let put = |tx: Transaction, key: &&str| tx.put(&ITEMS, *key, *key);
    store.commit(keys.iter().fold(Transaction::new(), put)).await.unwrap();
}

#[tokio::test]
async fn a_record_has_the_revision_of_its_last_write() {
    let (_directory, store) = open().await;
    let first = store.commit(Transaction::new().put(&ITEMS, "a", "1")).await.unwrap();
    let second = store.commit(Transaction::new().put(&ITEMS, "b", "2")).await.unwrap();
    assert_eq!((first.revision, second.revision), (Revision(1), Revision(2)));
    let found = store.get(&ITEMS, "a").await.unwrap();
    assert_eq!(found, Some(Record { key: "a".into(), revision: Revision(1), value: b"1".into() }));
    assert_eq!(store.get(&OTHERS, "a").await.unwrap(), None);
}

#[tokio::test]
async fn checks_see_the_state_before_the_transaction() {
    let (_directory, store) = open().await;
    let create = Transaction::new().put(&ITEMS, "a", "1").check(&ITEMS, "a", Expect::Absent);
    let made = store.commit(create.clone()).await.unwrap();
    let again = store.commit(create.put(&OTHERS, "x", "")).await.unwrap_err();
    assert_eq!(again.to_string(), "items/a is at revision 1, which is not what was expected");
    assert_eq!(store.get(&OTHERS, "x").await.unwrap(), None, "a conflict changes nothing");
    let update = |revision| {
        let tx = Transaction::new().check(&ITEMS, "a", Expect::Revision(revision));
        tx.delete(&ITEMS, "a")
    };
    store.commit(update(made.revision)).await.unwrap();
    let gone = store.commit(update(made.revision)).await.unwrap_err();
    assert!(matches!(gone, CommitError::Conflict { found: None, .. }), "{gone}");
}

#[tokio::test]
async fn the_last_write_to_a_key_wins() {
    let (_directory, store) = open().await;
    let tx = Transaction::new().put(&ITEMS, "a", "1").delete(&ITEMS, "a").put(&ITEMS, "a", "2");
    store.commit(tx).await.unwrap();
    assert_eq!(store.get(&ITEMS, "a").await.unwrap().unwrap().value, b"2");
}

#[tokio::test]
async fn ranges_are_in_the_order_of_bytes() {
    let (_directory, store) = open().await;
    fill(&store, &["b", "a", "a/2", "a/1", "a0", "ä", "z", "\u{10ffff}x", "\u{10ffff}"]).await;
    let all = ["a", "a/1", "a/2", "a0", "b", "z", "ä", "\u{10ffff}", "\u{10ffff}x"];
    assert_eq!(keys(&store, KeyRange::all()).await, all);
    assert_eq!(keys(&store, KeyRange::prefix("a/")).await, ["a/1", "a/2"]);
    assert_eq!(keys(&store, KeyRange::prefix("a")).await, ["a", "a/1", "a/2", "a0"]);
    let all_max = ["\u{10ffff}", "\u{10ffff}x"];
    assert_eq!(keys(&store, KeyRange::prefix("\u{10ffff}")).await, all_max);
    let empty: [&str; 0] = [];
    assert_eq!(keys(&store, KeyRange::prefix("nothing")).await, empty);
}

#[tokio::test]
async fn a_range_goes_on_behind_a_key() {
    let (_directory, store) = open().await;
    fill(&store, &["a/1", "a/2", "a/3", "b"]).await;
    let page = |after: &str| KeyRange::prefix("a/").after(after).limit(2);
    assert_eq!(keys(&store, page("")).await, ["a/1", "a/2"]);
    assert_eq!(keys(&store, page("a/2")).await, ["a/3"]);
    assert_eq!(keys(&store, page("a/25")).await, ["a/3"], "the key need not exist");
    assert_eq!(keys(&store, page("b")).await, [""; 0]);
    assert_eq!(keys(&store, page("A")).await, ["a/1", "a/2"], "before the prefix");
}

#[tokio::test]
async fn a_log_is_read_and_trimmed_in_order() {
    let (_directory, store) = open().await;
    let other = LogName::constant("other");
    let tx = Transaction::new().append(&EVENTS, "1").append(&other, "x").append(&EVENTS, "2");
    let done = store.commit(tx).await.unwrap();
    assert_eq!(done.sequences, [Sequence(1), Sequence(2), Sequence(3)]);
    let read = async |after| {
        let entries = store.read_log(&EVENTS, Sequence(after), 10).await.unwrap();
        entries.into_iter().map(|entry| entry.sequence.0).collect::<Vec<_>>()
    };
    assert_eq!((read(0).await, read(1).await, read(3).await), (vec![1, 3], vec![3], vec![]));
    assert_eq!(store.trim(&EVENTS, Sequence(3)).await.unwrap(), 1);
    assert_eq!(read(0).await, [3]);
    assert_eq!(store.trim(&EVENTS, Sequence(u64::MAX)).await.unwrap(), 1);
    let next = store.commit(Transaction::new().append(&EVENTS, "3")).await.unwrap();
    assert_eq!(next.sequences, [Sequence(4)], "a sequence is not used again");
    assert_eq!(store.read_log(&other, Sequence(0), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn trimming_goes_beyond_the_limit_of_one_operation() {
    let (_directory, store) = open().await;
    for _ in 0..3 {
        let append = |tx: Transaction, _| tx.append(&EVENTS, "");
        store.commit((0..7_000).fold(Transaction::new(), append)).await.unwrap();
    }
    assert_eq!(store.trim(&EVENTS, Sequence(20_500)).await.unwrap(), 20_499);
    assert_eq!(store.read_log(&EVENTS, Sequence(0), 10_000).await.unwrap().len(), 501);
}

#[tokio::test]
async fn the_watch_shows_what_is_durable() {
    let (_directory, store) = open().await;
    let mut newest = store.watch();
    assert_eq!(*newest.borrow_and_update(), Revision(0));
    let done = store.commit(Transaction::new().put(&ITEMS, "a", "")).await.unwrap();
    newest.changed().await.unwrap();
    assert_eq!(*newest.borrow_and_update(), done.revision);
    let empty = store.commit(Transaction::new().check(&ITEMS, "b", Expect::Absent)).await.unwrap();
    assert_eq!(empty.revision, done.revision, "only writes make revisions");
    assert!(!newest.has_changed().unwrap());
}

#[tokio::test]
async fn revisions_and_sequences_go_on_after_a_restart() {
    let (directory, store) = open().await;
    let tx = Transaction::new().put(&ITEMS, "a", "").append(&EVENTS, "");
    store.commit(tx.clone()).await.unwrap();
    let emptied = Transaction::new().delete(&ITEMS, "a").trim(&EVENTS, Sequence(2));
    store.commit(emptied).await.unwrap();
    store.close().await;
    assert!(!directory.path().join("store.sqlite-wal").exists(), "the log is in the file");
    let store = Store::open(directory.path()).await.unwrap();
    assert_eq!(*store.watch().borrow(), Revision(2));
    let done = store.commit(tx).await.unwrap();
    assert_eq!((done.revision, &done.sequences[..]), (Revision(3), &[Sequence(2)][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost_among_many_writers() {
    let (_directory, store) = open().await;
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..25 {
                increment(&store).await;
            }
        });
    }
    tasks.join_all().await;
    let counter = store.get(&ITEMS, "counter").await.unwrap().unwrap();
    assert_eq!((counter.value.as_slice(), counter.revision), (&b"400"[..], Revision(400)));
}

async fn increment(store: &Store) {
    loop {
        let old = store.get(&ITEMS, "counter").await.unwrap();
        let expect = old.as_ref().map_or(Expect::Absent, |old| Expect::Revision(old.revision));
        let old =
            old.map_or(0, |old| String::from_utf8(old.value).unwrap().parse::<u32>().unwrap());
        let tx = Transaction::new().check(&ITEMS, "counter", expect);
        match store.commit(tx.put(&ITEMS, "counter", (old + 1).to_string())).await {
            Ok(_) => return,
            Err(CommitError::Conflict { .. }) => {}
            Err(error @ CommitError::Store(_)) => panic!("{error}"),
        }
    }
}

/// More than the queue holds, so that callers have to wait; every third conflicts, in the middle of groups.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_does_not_disturb_its_group() {
    let (_directory, store) = open().await;
    let mut tasks = JoinSet::new();
    for number in 0..3_000 {
        let store = store.clone();
        tasks.spawn(async move {
            let tx = Transaction::new().put(&ITEMS, format!("{number:04}"), "").append(&EVENTS, "");
            let expect =
                if number % 3 == 0 { Expect::Revision(Revision(7)) } else { Expect::Absent };
            (number % 3 == 0, store.commit(tx.check(&OTHERS, "absent", expect)).await)
        });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|(conflict, answer)| *conflict == answer.is_err()));
    let mut revisions: Vec<_> =
        answers.into_iter().filter_map(|(_, answer)| Some(answer.ok()?.revision.0)).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=2_000).collect::<Vec<_>>(), "conflicts leave no gap");
    assert_eq!(keys(&store, KeyRange::all()).await.len(), 2_000);
    let log = store.read_log(&EVENTS, Sequence(0), 10_000).await.unwrap();
    assert!(log.iter().all(|entry| entry.sequence.0 == entry.revision.0));
    assert_eq!(log.len(), 2_000);
}

#[tokio::test]
async fn a_caller_may_stop_waiting() {
    let (_directory, store) = open().await;
    for _ in 0..100 {
        let commit = store.commit(Transaction::new().append(&EVENTS, ""));
        tokio::select! { biased; _ = commit => {}, () = std::future::ready(()) => {} }
    }
    let last = store.commit(Transaction::new().append(&EVENTS, "")).await.unwrap();
    let entries = store.read_log(&EVENTS, Sequence(0), 1_000).await.unwrap();
    assert_eq!(last.sequences, [Sequence(entries.len() as u64)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_completes_what_is_queued() {
    let (directory, store) = open().await;
    let mut tasks = JoinSet::new();
    for number in 0..500 {
        let store = store.clone();
        tasks.spawn(async move {
            let key = format!("{number:03}");
            store.commit(Transaction::new().put(&ITEMS, &key, "")).await.is_ok().then_some(key)
        });
    }
    tasks.join_next().await.unwrap().unwrap();
    let other = store.clone();
    tokio::join!(store.close(), other.close());
    let mut acknowledged: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let refused = store.commit(Transaction::new().put(&ITEMS, "late", "")).await.unwrap_err();
    assert!(matches!(refused, CommitError::Store(StoreError::Closed)), "{refused}");
    let refused = store.get(&ITEMS, "late").await.unwrap_err();
    assert!(matches!(refused, StoreError::Closed), "{refused}");
    assert!(store.watch().has_changed().is_err(), "a watcher is told");
    let again = Store::open(directory.path()).await.unwrap();
    let kept = keys(&again, KeyRange::all()).await;
    acknowledged.retain(|key| !kept.contains(key));
    assert!(acknowledged.is_empty(), "lost: {acknowledged:?}");
}
