//! What this and every older version wrote can be read: `tests/fixtures`, made by `examples/fabric_fixtures.rs`.

use std::{fs, path::Path};

use belay_fabric::{
    Blobs, Collection, KeyRange, LogName, Revision, Sequence, Store, Stored, Transaction,
};
use tempfile::TempDir;

/// A copy, because opening writes.
fn fixture(name: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name),
        directory.path(),
    );
    directory
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test]
async fn store_version_1() {
    let directory = fixture("store-1");
    let store = Store::open(directory.path()).await.unwrap();
    let (apps, aliases) = (Collection::constant("apps"), Collection::constant("apps/aliases"));
    let (events, other) = (LogName::constant("events"), LogName::constant("other"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut held = Vec::new();
    for record in store.list(&apps, KeyRange::all()).await.unwrap() {
        held.push(format!("{} {} {:?}", record.key, record.revision, text(record.value)));
    }
    assert_eq!(store.list(&aliases, KeyRange::all()).await.unwrap(), []);
    for log in [&events, &other] {
        for entry in store.read_log(log, Sequence(0), 10).await.unwrap() {
            held.push(format!(
                "{log} {} {} {:?}",
                entry.sequence,
                entry.revision,
                text(entry.value)
            ));
        }
    }
    insta::assert_snapshot!(held.join("\n"), @r#"
    kasse-ä 2 ""
    shop 2 "two"
    events 3 2 "changed"
    events 4 3 "unaliased"
    other 2 1 "else"
    "#);
    let next = store.commit(Transaction::new().append(&events, "next")).await.unwrap();
    assert_eq!((next.revision, &next.sequences[..]), (Revision(5), &[Sequence(5)][..]));
}

#[tokio::test]
async fn blobs_version_1() {
    let directory = fixture("blobs-1");
    let blobs = Blobs::open(directory.path()).await.unwrap();
    let mut contents = Vec::new();
    for hash in blobs.list(None, 10).await.unwrap() {
        contents.push(blobs.get(&hash).await.unwrap().unwrap());
    }
    contents.sort();
    assert_eq!(contents, [&b""[..], b"export const handler = () => 1;\n"]);
}

#[tokio::test]
async fn blobs_version_2() {
    let directory = fixture("blobs-2");
    let blobs = Blobs::open(directory.path()).await.unwrap();
    let [first, second] = blobs.list(None, 10).await.unwrap().try_into().unwrap();
    let mut forms = Vec::new();
    let mut contents = Vec::new();
    for hash in [first, second] {
        contents.push(blobs.get(&hash).await.unwrap().unwrap());
        forms.extend(blobs.stored(&[hash]).await.unwrap());
    }
    contents.sort();
    assert_eq!(
        contents,
        [&b"const a = 1;\nconst b = 2;\n"[..], b"export const handler = () => 1;\n"]
    );
    let pieces = forms.iter().filter(|form| matches!(form, Some(Stored::Pieces { .. })));
    assert_eq!(pieces.count(), 1);
    assert_eq!(blobs.sweep().await.unwrap(), 0);
}

/// So that a program that does not know pieces says so, rather than that blobs are missing.
#[tokio::test]
async fn an_older_directory_becomes_one_of_the_current_version() {
    let directory = fixture("blobs-1");
    let format = || fs::read_to_string(directory.path().join("format")).unwrap();
    assert_eq!(format(), "belay-blobs 1\n");
    drop(Blobs::open(directory.path()).await.unwrap());
    assert_eq!(format(), "belay-blobs 2\n");
    drop(Blobs::open(directory.path()).await.unwrap());
}
