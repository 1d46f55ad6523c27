//! `kill -9` at any moment: what was acknowledged is there, and what is there is whole.
//!
//! The process that is killed is this test binary itself, run again with `BELAY_TEST_DIRECTORY` set: then the test that
//! it is asked to run writes without end and prints a line for every acknowledgement. Without the variable the same
//! test writes a little and checks it, so that the writers themselves are tested too.
//!
//! A killed process loses none of what it handed to the kernel, so this shows atomicity and the order of answers, not
//! that every sync is where it should be.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use belay_fabric::{
    Blobs, Collection, Expect, KeyRange, LogName, Record, Revision, Sequence, Store, StoreError,
    Transaction,
};
use belay_model::Hash;
use tokio::task::JoinSet;

const DIRECTORY: &str = "BELAY_TEST_DIRECTORY";
const ROUNDS: usize = 15;
const WORKERS: u32 = 6;
const PIECE: usize = 20_000;
const HEADS: Collection = Collection::constant("heads");
const ITEMS: Collection = Collection::constant("items");

fn directory_to_fill() -> Option<PathBuf> {
    env::var_os(DIRECTORY).map(PathBuf::from)
}

/// One write to the pipe, so that a line arrives whole or not at all.
fn acknowledge(what: &str) {
    if directory_to_fill().is_some() {
        std::io::stdout().lock().write_all(format!("ack {what}\n").as_bytes()).unwrap();
    }
}

/// Runs a writer until it has acknowledged `count` times, kills it, and returns all that it acknowledged.
fn kill_after(count: usize, writer: &str, directory: &Path) -> Vec<String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", writer, "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged =
        lines.filter_map(|line| Some(line.unwrap().split_once("ack ")?.1.to_owned()));
    let mut seen: Vec<_> = acknowledged.by_ref().take(count).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    seen.extend(acknowledged);
    assert!(seen.len() >= count, "the writer ended by itself: {seen:?}");
    seen
}

fn log_of(worker: u32) -> LogName {
    format!("worker/{worker}").parse().unwrap()
}

fn item(worker: u32, number: u64, part: char) -> String {
    format!("{worker}/{number:08}/{part}")
}

/// Transaction `number` of a worker: writes three items, deletes one of the transaction before, moves the head, and
/// appends to the log. Values are long enough to span pages.
fn transaction(worker: u32, number: u64, head: Expect) -> Transaction {
    let long = number.to_string().repeat(1 + usize::try_from(number % 7).unwrap() * 600);
    Transaction::new()
        .check(&HEADS, worker.to_string(), head)
        .put(&HEADS, worker.to_string(), number.to_string())
        .put(&ITEMS, item(worker, number, 'a'), "a")
        .put(&ITEMS, item(worker, number, 'b'), long)
        .put(&ITEMS, item(worker, number, 'c'), "deleted by the next one")
        .delete(&ITEMS, item(worker, number - 1, 'c'))
        .append(&log_of(worker), number.to_string())
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

/// Goes on where the store ends.
async fn work(store: Store, worker: u32, transactions: u64) {
    let head = store.get(&HEADS, &worker.to_string()).await.unwrap();
    let first = head.as_ref().map_or(1, |head| number(&head.value) + 1);
    let mut expect = head.map_or(Expect::Absent, |head| Expect::Revision(head.revision));
    for number in (first..).take(usize::try_from(transactions).unwrap_or(usize::MAX)) {
        let done = store.commit(transaction(worker, number, expect)).await.unwrap();
        acknowledge(&format!("{worker} {number}"));
        expect = Expect::Revision(done.revision);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_whole_transactions() {
    let scratch = tempfile::tempdir().unwrap();
    let (directory, count) =
        directory_to_fill().map_or((scratch.path().to_owned(), 20), |given| (given, u64::MAX));
    let store = Store::open(&directory).await.unwrap();
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn(work(store.clone(), worker, count));
    }
    workers.join_all().await;
    let heads = check_whole(&store).await;
    assert_eq!(heads, (0..WORKERS).map(|worker| (worker, 20)).collect());
}

#[tokio::test]
async fn a_killed_store_keeps_what_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let writer = "crash::writers_of_whole_transactions";
        let acknowledged = kill_after(1 + round * 17 % 60, writer, directory.path());
        let store = Store::open(directory.path()).await.unwrap();
        let heads = check_whole(&store).await;
        for line in acknowledged {
            let (worker, number) = line.split_once(' ').unwrap();
            let head = heads.get(&worker.parse().unwrap()).copied().unwrap_or(0);
            assert!(number.parse::<u64>().unwrap() <= head, "{line} is lost, the head is {head}");
        }
        store.close().await;
    }
}

/// Checks that the store holds exactly the transactions up to each worker's head, and returns the heads.
async fn check_whole(store: &Store) -> BTreeMap<u32, u64> {
    let mut heads = BTreeMap::new();
    for worker in 0..WORKERS {
        let head = store.get(&HEADS, &worker.to_string()).await.unwrap();
        let head = head.map_or(0, |head| number(&head.value));
        check_worker(store, worker, head).await;
        heads.insert(worker, head);
    }
    assert_eq!(*store.watch().borrow(), Revision(heads.values().sum()), "revisions have no gap");
    heads
}

async fn check_worker(store: &Store, worker: u32, head: u64) {
    let entries = store.read_log(&log_of(worker), Sequence(0), 10_000).await.unwrap();
    let numbers: Vec<_> = entries.iter().map(|entry| number(&entry.value)).collect();
    assert_eq!(numbers, (1..=head).collect::<Vec<_>>());
    let items = all_items(store, &format!("{worker}/")).await;
    let expected = entries.iter().flat_map(|entry| {
        let number = number(&entry.value);
        let parts = if number == head { "abc" } else { "ab" };
        parts.chars().map(move |part| (item(worker, number, part), entry.revision))
    });
    let found = items.into_iter().map(|item| (item.key, item.revision));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

async fn all_items(store: &Store, prefix: &str) -> Vec<Record> {
    let mut items: Vec<Record> = Vec::new();
    loop {
        let after = items.last().map(|item| item.key.clone()).unwrap_or_default();
        let range = KeyRange::prefix(prefix).after(after).limit(1_000);
        let page = store.list(&ITEMS, range).await.unwrap();
        let is_last = page.len() < 1_000;
        items.extend(page);
        if is_last {
            return items;
        }
    }
}

/// The error that ends the writing is expected of a disk that takes no more; without one this writes a little.
#[tokio::test]
async fn a_writer_that_meets_a_broken_disk() {
    let scratch = tempfile::tempdir().unwrap();
    let given = directory_to_fill();
    let store = Store::open(given.as_deref().unwrap_or(scratch.path())).await.unwrap();
    let limit = if given.is_some() { 10_000 } else { 20 };
    let mut written = 0;
    let put = |number: u32| Transaction::new().put(&ITEMS, number.to_string(), vec![7; 10_000]);
    let failed = loop {
        match store.commit(put(written)).await {
            Ok(_) if written < limit => written += 1,
            Ok(_) => break None,
            Err(error) => break Some(error),
        }
    };
    assert_eq!(failed.is_some(), given.is_some(), "{failed:?}");
    for number in 0..written {
        assert!(store.get(&ITEMS, &number.to_string()).await.unwrap().is_some());
        acknowledge(&number.to_string());
    }
    let then = store.commit(put(0)).await.err().map(|error| format!("{error:?}"));
    assert_eq!(then.is_some_and(|then| then.contains("Halted")), given.is_some());
}

/// A limit on the length of files stands for the broken disk: the shell ignores the signal, so writes fail.
#[tokio::test]
async fn a_store_halts_on_a_broken_disk_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"trap "" XFSZ; ulimit -f 2000; exec "$0" --exact "$1" --nocapture"#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(env::current_exe().unwrap())
        .arg("crash::a_writer_that_meets_a_broken_disk")
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    let acknowledged: Vec<_> = stdout.lines().filter_map(|line| line.split_once("ack ")).collect();
    assert!(!acknowledged.is_empty());
    let store = Store::open(directory.path()).await.unwrap();
    for (_, key) in &acknowledged {
        assert_eq!(store.get(&ITEMS, key).await.unwrap().unwrap().value, vec![7; 10_000]);
    }
    assert_eq!(*store.watch().borrow(), Revision(acknowledged.len() as u64));
    store.commit(Transaction::new().put(&ITEMS, "again", "")).await.unwrap();
}

async fn put_blobs(blobs: Blobs, worker: u32, count: usize) {
    let first = blobs.list(None, usize::MAX).await.unwrap().len();
    for number in (first..).take(count) {
        let content = format!("{worker} {number} ").repeat(1 + number % 5 * 9_000);
        let hash = blobs.put(content.as_bytes()).await.unwrap();
        acknowledge(&hash.to_hex());
        // Pieces of other blobs of this worker are among these.
        let cuts: Vec<_> = (1..content.len().div_ceil(PIECE)).map(|piece| piece * PIECE).collect();
        blobs.cut(&hash, &cuts).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_blobs() {
    let scratch = tempfile::tempdir().unwrap();
    let (directory, count) =
        directory_to_fill().map_or((scratch.path().to_owned(), 10), |given| (given, usize::MAX));
    let blobs = Blobs::open(&directory).await.unwrap();
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn(put_blobs(blobs.clone(), worker, count));
    }
    workers.join_all().await;
    assert_eq!(blobs.list(None, 1_000).await.unwrap().len(), 10 * WORKERS as usize);
}

#[tokio::test]
async fn killed_blobs_keep_what_they_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let acknowledged =
            kill_after(1 + round * 7 % 25, "crash::writers_of_blobs", directory.path());
        let blobs = Blobs::open(directory.path()).await.unwrap();
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
        let hashes = acknowledged.iter().map(|line| line.parse().unwrap());
        let missing = blobs.missing(&hashes.collect::<Vec<Hash>>()).await.unwrap();
        assert!(missing.is_empty(), "lost: {missing:?}");
        for hash in blobs.list(None, usize::MAX).await.unwrap() {
            blobs.get(&hash).await.map_err(|error: StoreError| error.to_string()).unwrap();
        }
        // What a cut that was killed left is garbage, and nothing else is.
        blobs.sweep().await.unwrap();
        for hash in blobs.list(None, usize::MAX).await.unwrap() {
            assert!(blobs.get(&hash).await.unwrap().is_some());
        }
    }
    assert!(fs::read_dir(directory.path().join("pieces")).unwrap().count() > 0);
}
