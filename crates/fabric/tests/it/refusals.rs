//! What is refused, and in which words.

use std::{error::Error, fs, path::Path};

use belay_fabric::{
    Blobs, Collection, KEY_BYTES_MAX, KeyRange, LIST_MAX, LogName, OPERATIONS_MAX, Sequence, Store,
    Transaction, VALUE_BYTES_MAX,
};
use insta::assert_snapshot;

const ITEMS: Collection = Collection::constant("items");

/// The message with its causes; `root` and the id of this process are replaced.
fn words(error: &dyn Error, root: &Path) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    let pid = format!("pid {}", std::process::id());
    words.replace(&root.display().to_string(), "ROOT").replace(&pid, "pid PID")
}

async fn opening(root: &Path, directory: impl AsRef<Path>) -> String {
    let directory = root.join(directory);
    let store = words(&Store::open(&directory).await.unwrap_err(), root);
    let blobs = words(&Blobs::open(&directory).await.unwrap_err(), root);
    if store == blobs { store } else { format!("{store}\n{blobs}") }
}

#[tokio::test]
async fn directories() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    fs::write(root.join("file"), "").unwrap();
    assert_snapshot!(opening(root, "no/such").await, @"cannot create ROOT/no/such: its parent directory does not exist");
    assert_snapshot!(opening(root, "file").await, @"ROOT/file is not a directory");
    assert_snapshot!(opening(root, "file/below").await, @"ROOT/file is not a directory");
    // Not even root can: the kernel says so, or that it is mounted read-only.
    let unwritable = opening(root, "/sys").await;
    assert!(unwritable.starts_with("cannot write in /sys: "), "{unwritable}");
}

#[tokio::test]
async fn a_second_owner() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let store = Store::open(&root.join("owned")).await.unwrap();
    assert_snapshot!(opening(root, "owned").await, @"ROOT/owned is in use by the process with pid PID; stop it, or use another directory");
    store.close().await;
    Store::open(&root.join("owned")).await.unwrap();
}

#[tokio::test]
async fn newer_formats_are_left_untouched() {
    let root = tempfile::tempdir().unwrap();
    let (store, blobs) = (root.path().join("store"), root.path().join("blobs"));
    Store::open(&store).await.unwrap().close().await;
    drop(Blobs::open(&blobs).await.unwrap());
    let file = store.join("store.sqlite");
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    fs::write(blobs.join("format"), "belay-blobs 99\n").unwrap();
    let before = fs::read(&file).unwrap();
    let error = Store::open(&store).await.unwrap_err();
    assert_snapshot!(words(&error, root.path()), @"ROOT/store/store.sqlite has format version 99, and this program knows versions up to 1: use a newer program");
    let error = Blobs::open(&blobs).await.unwrap_err();
    assert_snapshot!(words(&error, root.path()), @"ROOT/blobs has format version 99, and this program knows versions up to 2: use a newer program");
    assert_eq!(before, fs::read(&file).unwrap());
}

#[tokio::test]
async fn files_of_others_are_left_untouched() {
    let root = tempfile::tempdir().unwrap();
    let (text, database) = (root.path().join("text"), root.path().join("database"));
    fs::create_dir(&text).unwrap();
    fs::create_dir(&database).unwrap();
    fs::write(text.join("store.sqlite"), "a text that is no database at all\n".repeat(40)).unwrap();
    let other = rusqlite::Connection::open(database.join("store.sqlite")).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(other);
    for directory in [text, database] {
        let file = directory.join("store.sqlite");
        let before = fs::read(&file).unwrap();
        let store = Store::open(&directory).await.unwrap_err().to_string();
        let blobs = Blobs::open(&directory).await.unwrap_err().to_string();
        assert!(
            store.ends_with("store.sqlite is not a store of Belay, and is left untouched"),
            "{store}"
        );
        assert!(blobs.ends_with("is not a directory of blobs, and is left untouched"), "{blobs}");
        assert_eq!(before, fs::read(&file).unwrap());
    }
}

async fn committing(store: &Store, transaction: Transaction) -> String {
    let error = store.commit(transaction).await.unwrap_err().to_string();
    assert_eq!(store.list(&ITEMS, KeyRange::all()).await.unwrap(), []);
    error
}

#[tokio::test]
async fn transactions_beyond_a_limit() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let put = |key: &str, bytes| Transaction::new().put(&ITEMS, key, vec![0; bytes]);
    assert_snapshot!(committing(&store, put("", 0)).await, @r#"a key is 1 to 512 bytes without U+0000, and this one has 0 bytes: """#);
    assert_snapshot!(committing(&store, put("a\0b", 0)).await, @r#"a key is 1 to 512 bytes without U+0000, and this one has 3 bytes: "a\0b""#);
    assert_snapshot!(committing(&store, put(&"ä".repeat(300), 0)).await, @r#"a key is 1 to 512 bytes without U+0000, and this one has 600 bytes: "ääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääää""#);
    assert_snapshot!(committing(&store, put("a", VALUE_BYTES_MAX + 1)).await, @"bytes of a value: 16777217 is more than the limit of 16777216");
    let append =
        |tx: Transaction, _| tx.append(&LogName::constant("log"), vec![0; VALUE_BYTES_MAX]);
    let large = (0..5).fold(put("a", 0), append);
    assert_snapshot!(committing(&store, large).await, @"bytes of a transaction: 83886081 is more than the limit of 67108864");
    let many = (0..=OPERATIONS_MAX).fold(Transaction::new(), |tx, _| tx.put(&ITEMS, "a", ""));
    assert_snapshot!(committing(&store, many).await, @"operations of a transaction: 10001 is more than the limit of 10000");
    let largest = put(&"k".repeat(KEY_BYTES_MAX), VALUE_BYTES_MAX);
    store.commit(largest).await.unwrap();
}

#[tokio::test]
async fn reads_beyond_a_limit() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let log = LogName::constant("log");
    for key in 0..5 {
        let value = vec![0; VALUE_BYTES_MAX];
        let tx = Transaction::new().put(&ITEMS, key.to_string(), value.clone()).append(&log, value);
        store.commit(tx).await.unwrap();
    }
    let error = store.list(&ITEMS, KeyRange::all()).await.unwrap_err();
    assert_snapshot!(error, @"bytes of the records listed: 83886080 is more than the limit of 67108864");
    assert_eq!(store.list(&ITEMS, KeyRange::all().limit(4)).await.unwrap().len(), 4);
    let entries = store.read_log(&log, Sequence(0), 10).await.unwrap();
    assert!(
        (1..5).contains(&entries.len()),
        "{} entries are cut to what may be read",
        entries.len()
    );
    let error = store.list(&ITEMS, KeyRange::all().limit(LIST_MAX + 1)).await.unwrap_err();
    assert_snapshot!(error, @"entries asked for: 10001 is more than the limit of 10000");
    let error = store.get(&ITEMS, "").await.unwrap_err();
    assert_snapshot!(error, @r#"a key is 1 to 512 bytes without U+0000, and this one has 0 bytes: """#);
}

#[test]
fn names() {
    let error = "a b".parse::<Collection>().unwrap_err();
    assert_snapshot!(error, @r#"a collection name "a b" is not 1 to 128 of the characters A-Z a-z 0-9 - _ . / :"#);
    assert!("".parse::<LogName>().is_err());
    assert!("x".repeat(129).parse::<LogName>().is_err());
    assert_eq!("apps/a-b_c.d:1".parse::<LogName>().unwrap().as_str(), "apps/a-b_c.d:1");
}
