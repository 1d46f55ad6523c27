//! Content goes in and comes out unchanged, or not at all.

use std::{fs, path::PathBuf};

use belay_fabric::{BLOB_BYTES_MAX, Blobs, StoreError};
use belay_model::Hash;
use tempfile::TempDir;

async fn open() -> (TempDir, Blobs) {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(directory.path()).await.unwrap();
    (directory, blobs)
}

fn path(directory: &TempDir, hash: &Hash) -> PathBuf {
    let hex = hash.to_hex();
    directory.path().join("objects").join(&hex[..2]).join(&hex[2..4]).join(hex)
}

#[tokio::test]
async fn what_is_put_is_there() {
    let (directory, blobs) = open().await;
    for content in [&b""[..], b"x", &[7; 1 << 20]] {
        let hash = blobs.put(content).await.unwrap();
        assert_eq!(hash, Hash::of(content));
        assert_eq!(blobs.put(content).await.unwrap(), hash);
        assert_eq!(blobs.get(&hash).await.unwrap().as_deref(), Some(content));
        assert_eq!(fs::read(path(&directory, &hash)).unwrap(), content);
    }
    let absent = Hash::of(b"absent");
    assert_eq!(blobs.get(&absent).await.unwrap(), None);
    assert!(!blobs.has(&absent).await.unwrap());
}

#[tokio::test]
async fn what_is_there_is_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let (directory, blobs) = open().await;
    let hash = blobs.put(b"once").await.unwrap();
    let inode = || fs::metadata(path(&directory, &hash)).unwrap().ino();
    let first = inode();
    blobs.put(b"once").await.unwrap();
    assert_eq!(first, inode());
}

#[tokio::test]
async fn damaged_content_is_not_returned_and_can_be_put_again() {
    let (directory, blobs) = open().await;
    let hash = blobs.put(b"sound").await.unwrap();
    for damage in [&b"s0und"[..], b"", b"sound and more"] {
        fs::write(path(&directory, &hash), damage).unwrap();
        let error = blobs.get(&hash).await.unwrap_err();
        let StoreError::CorruptBlob { path: named, expected, found } = error else {
            panic!("{error}");
        };
        assert_eq!((named, expected), (path(&directory, &hash), hash));
        assert_eq!(found, Hash::of(damage));
        blobs.put(b"sound").await.unwrap();
        assert_eq!(blobs.get(&hash).await.unwrap().as_deref(), Some(&b"sound"[..]));
    }
}

#[tokio::test]
async fn missing_blobs_are_named_once_in_order() {
    let (_directory, blobs) = open().await;
    let there = blobs.put(b"there").await.unwrap();
    let (a, b) = (Hash::of(b"a"), Hash::of(b"b"));
    assert_eq!(blobs.missing(&[b, there, a, b]).await.unwrap(), [b, a]);
    assert_eq!(blobs.missing(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn removing_is_repeatable() {
    let (_directory, blobs) = open().await;
    let hash = blobs.put(b"x").await.unwrap();
    assert!(blobs.remove(&hash).await.unwrap());
    assert!(!blobs.remove(&hash).await.unwrap());
    assert_eq!(blobs.get(&hash).await.unwrap(), None);
    assert_eq!(blobs.put(b"x").await.unwrap(), hash);
}

#[tokio::test]
async fn a_list_is_sorted_and_goes_on_behind_a_hash() {
    let (directory, blobs) = open().await;
    let mut all = Vec::new();
    for number in 0..300_u32 {
        all.push(blobs.put(&number.to_le_bytes()).await.unwrap());
    }
    all.sort_unstable();
    fs::write(directory.path().join("objects").join("stray"), "").unwrap();
    assert_eq!(blobs.list(None, usize::MAX).await.unwrap(), all);
    for (position, hash) in all.iter().enumerate().step_by(29) {
        let rest = &all[position + 1..];
        assert_eq!(blobs.list(Some(hash), 7).await.unwrap(), rest[..rest.len().min(7)]);
    }
    let between = Hash::of(b"not among them");
    let behind: Vec<_> = all.iter().copied().filter(|hash| *hash > between).collect();
    assert_eq!(blobs.list(Some(&between), 1_000).await.unwrap(), behind);
}

#[tokio::test]
async fn a_blob_may_not_be_too_large() {
    let (directory, blobs) = open().await;
    let error = blobs.put(&vec![0; BLOB_BYTES_MAX + 1]).await.unwrap_err();
    insta::assert_snapshot!(error, @"bytes of a blob: 268435457 is more than the limit of 268435456");
    let hash = blobs.put(b"x").await.unwrap();
    let file = fs::File::options().write(true).open(path(&directory, &hash)).unwrap();
    file.set_len(u64::MAX >> 8).unwrap_or_else(|_| file.set_len(1 << 34).unwrap());
    assert!(matches!(blobs.get(&hash).await.unwrap_err(), StoreError::CorruptBlob { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_put_the_same() {
    let (directory, blobs) = open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64_u8 {
        let blobs = blobs.clone();
        tasks.spawn(async move { blobs.put(&[number % 4; 100_000]).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(blobs.list(None, 100).await.unwrap().len(), 4);
    assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_closed_directory_is_free_whoever_still_has_a_handle() {
    let (directory, blobs) = open().await;
    let hash = blobs.put(b"x").await.unwrap();
    let other = blobs.clone();
    blobs.close().await;
    blobs.close().await;
    assert!(matches!(other.get(&hash).await, Err(StoreError::Closed)));
    let again = Blobs::open(directory.path()).await.unwrap();
    assert!(again.has(&hash).await.unwrap());
}

#[tokio::test]
async fn the_directory_is_free_after_the_last_handle() {
    let (directory, blobs) = open().await;
    let hash = blobs.put(b"x").await.unwrap();
    let refused = Blobs::open(directory.path()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked { pid: Some(_), .. }), "{refused}");
    fs::write(directory.path().join("tmp").join("17"), "half a bl").unwrap();
    drop(blobs);
    let again = Blobs::open(directory.path()).await.unwrap();
    assert!(again.has(&hash).await.unwrap());
    assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
}
