//! Blobs in pieces: read like any other, stored once where they are the same, and never lost between the two forms.

use std::{collections::BTreeSet, fs, path::PathBuf};

use belay_fabric::{Blobs, StoreError, Stored};
use belay_model::Hash;
use tempfile::TempDir;

const PIECE: usize = 8 << 10;

async fn open() -> (TempDir, Blobs) {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(directory.path()).await.unwrap();
    (directory, blobs)
}

/// Content that is made of these pieces, and where they begin.
fn content(numbers: impl IntoIterator<Item = usize>) -> (Vec<u8>, Vec<usize>) {
    let pieces = numbers.into_iter().map(|number| format!("{number} ").repeat(PIECE).into_bytes());
    let pieces: Vec<_> = pieces.map(|piece| piece[..PIECE].to_vec()).collect();
    let cuts = (1..pieces.len()).map(|piece| piece * PIECE).collect();
    (pieces.concat(), cuts)
}

async fn put_cut(blobs: &Blobs, content: &[u8], cuts: &[usize]) -> Hash {
    let hash = blobs.put(content).await.unwrap();
    assert!(blobs.cut(&hash, cuts).await.unwrap());
    hash
}

fn whole(directory: &TempDir, hash: &Hash) -> PathBuf {
    let hex = hash.to_hex();
    directory.path().join("objects").join(&hex[..2]).join(&hex[2..4]).join(hex)
}

fn list(directory: &TempDir, hash: &Hash) -> PathBuf {
    let mut path = whole(directory, hash).into_os_string();
    path.push(".pieces");
    path.into()
}

fn piece(directory: &TempDir, content: &[u8]) -> PathBuf {
    directory.path().join("pieces").join(Hash::of(content).to_hex())
}

fn pieces(directory: &TempDir) -> usize {
    fs::read_dir(directory.path().join("pieces")).unwrap().count()
}

/// Of all files of blobs.
fn bytes_on_disk(directory: &TempDir) -> u64 {
    fn below(path: PathBuf) -> u64 {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| if path.is_dir() { below(path) } else { path.metadata().unwrap().len() })
            .sum()
    }
    ["objects", "pieces"].map(|name| below(directory.path().join(name))).iter().sum()
}

#[tokio::test]
async fn a_blob_in_pieces_is_the_same_blob() {
    let (directory, blobs) = open().await;
    let (content, cuts) = content(0..20);
    let hash = put_cut(&blobs, &content, &cuts).await;
    assert!(!whole(&directory, &hash).exists());
    assert_eq!(pieces(&directory), 20);
    for _ in 0..2 {
        assert_eq!(blobs.get(&hash).await.unwrap().as_ref(), Some(&content));
        assert_eq!(blobs.missing(&[hash]).await.unwrap(), []);
        assert_eq!(blobs.list(None, 10).await.unwrap(), [hash]);
        assert_eq!(blobs.put(&content).await.unwrap(), hash, "and is not written again");
        assert!(!whole(&directory, &hash).exists());
        assert!(!blobs.cut(&hash, &cuts).await.unwrap(), "nor cut again");
    }
    drop(blobs);
    let blobs = Blobs::open(directory.path()).await.unwrap();
    assert_eq!(blobs.get(&hash).await.unwrap(), Some(content));
    assert!(blobs.remove(&hash).await.unwrap());
    assert!(!blobs.remove(&hash).await.unwrap());
    assert_eq!(blobs.get(&hash).await.unwrap(), None);
    assert_eq!(blobs.missing(&[hash]).await.unwrap(), [hash]);
}

#[tokio::test]
async fn what_two_blobs_have_in_common_is_stored_once() {
    let (directory, blobs) = open().await;
    let (before, cuts) = content(0..100);
    put_cut(&blobs, &before, &cuts).await;
    let first = bytes_on_disk(&directory);
    assert!(first < (before.len() + 5_000) as u64);
    let (after, _) = content((0..50).chain([777]).chain(51..100));
    let edited = put_cut(&blobs, &after, &cuts).await;
    let second = bytes_on_disk(&directory) - first;
    assert!(second < (PIECE + 5_000) as u64, "one piece and a list, not {second} bytes");
    assert_eq!(blobs.get(&edited).await.unwrap(), Some(after));
    let stored = blobs.stored(&[edited, Hash::of(b"none")]).await.unwrap();
    let [Some(Stored::Pieces { list_bytes, pieces }), None] = stored.as_slice() else {
        panic!("{stored:?}")
    };
    let distinct: BTreeSet<_> = pieces.iter().collect();
    assert_eq!((pieces.len(), distinct.len()), (100, 100));
    assert_eq!(second, list_bytes + PIECE as u64);
}

#[tokio::test]
async fn a_piece_may_occur_twice_and_may_be_a_blob_itself() {
    let (directory, blobs) = open().await;
    let (twice, cuts) = content([1, 2, 1, 1]);
    let hash = put_cut(&blobs, &twice, &cuts).await;
    assert_eq!(pieces(&directory), 2);
    let (own, _) = content([1]);
    let own_hash = blobs.put(&own).await.unwrap();
    assert!(blobs.remove(&own_hash).await.unwrap());
    assert_eq!(blobs.sweep().await.unwrap(), 0);
    assert_eq!(blobs.get(&hash).await.unwrap(), Some(twice));
}

#[tokio::test]
async fn cuts_that_make_no_sense_change_nothing() {
    let (directory, blobs) = open().await;
    let (content, _) = content(0..3);
    let hash = blobs.put(&content).await.unwrap();
    let end = content.len();
    for cuts in [&[][..], &[0], &[end], &[end + 1], &[9, 9], &[9, 5], &[usize::MAX]] {
        assert!(!blobs.cut(&hash, cuts).await.unwrap(), "{cuts:?}");
    }
    assert!(!blobs.cut(&Hash::of(b"none"), &[1]).await.unwrap());
    assert_eq!(blobs.get(&hash).await.unwrap().as_ref(), Some(&content));
    assert!(whole(&directory, &hash).exists());
    assert_eq!(pieces(&directory), 0);
}

#[tokio::test]
async fn only_pieces_without_a_blob_are_swept() {
    let (directory, blobs) = open().await;
    let ((a, cuts), (b, _)) = (content(0..10), content(5..15));
    let (first, second) = (put_cut(&blobs, &a, &cuts).await, put_cut(&blobs, &b, &cuts).await);
    fs::write(directory.path().join("pieces").join("stray"), "").unwrap();
    assert_eq!(blobs.sweep().await.unwrap(), 0);
    blobs.remove(&first).await.unwrap();
    assert_eq!(blobs.get(&first).await.unwrap(), None);
    assert_eq!(blobs.sweep().await.unwrap(), 5);
    assert_eq!(blobs.get(&second).await.unwrap(), Some(b));
    blobs.remove(&second).await.unwrap();
    assert_eq!(blobs.sweep().await.unwrap(), 10);
    assert_eq!(blobs.sweep().await.unwrap(), 0);
}

#[tokio::test]
async fn damage_is_found_and_can_be_repaired() {
    let (directory, blobs) = open().await;
    let (content, cuts) = content(0..10);
    let of_three = &content[3 * PIECE..4 * PIECE];
    let (changed, shorter) = ([of_three, b"x"].concat(), &of_three[1..]);
    let hash = put_cut(&blobs, &content, &cuts).await;
    let path = piece(&directory, of_three);
    for damage in [Some(&changed[..]), Some(shorter), Some(b""), None] {
        match damage {
            Some(damage) => fs::write(&path, damage).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        match (blobs.get(&hash).await.unwrap_err(), damage) {
            (StoreError::CorruptBlob { path: named, expected, found }, Some(damage)) => {
                assert_eq!(named, path);
                assert_eq!((expected, found), (Hash::of(of_three), Hash::of(damage)));
            }
            (StoreError::MissingPiece { path: named, blob }, None) => {
                assert_eq!((named, blob), (path.clone(), hash));
            }
            (error, damage) => panic!("{damage:?}: {error}"),
        }
        blobs.put(&content).await.unwrap();
        assert_eq!(blobs.get(&hash).await.unwrap().as_ref(), Some(&content), "whole again");
        assert_eq!(blobs.list(None, 10).await.unwrap(), [hash], "once, though in two forms");
        assert!(blobs.cut(&hash, &cuts).await.unwrap());
        assert_eq!(blobs.get(&hash).await.unwrap().as_ref(), Some(&content), "and in pieces");
        assert!(!whole(&directory, &hash).exists());
    }
}

#[tokio::test]
async fn a_damaged_list_is_found_and_keeps_all_pieces() {
    let (directory, blobs) = open().await;
    let (content, cuts) = content(0..10);
    let hash = put_cut(&blobs, &content, &cuts).await;
    let path = list(&directory, &hash);
    let sound = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    let other = put_cut(&blobs, &content[PIECE..], &cuts[..8]).await;
    let of_other = fs::read(list(&directory, &other)).unwrap();
    for damage in [vec![], sound[..sound.len() - 36].to_vec(), flipped(0), flipped(40), flipped(70)]
    {
        fs::write(&path, &damage).unwrap();
        assert!(matches!(blobs.get(&hash).await, Err(StoreError::CorruptList { .. })));
        assert!(matches!(blobs.sweep().await, Err(StoreError::CorruptList { .. })));
        assert_eq!(pieces(&directory), 10);
        blobs.put(&content).await.unwrap();
        assert!(blobs.cut(&hash, &cuts).await.unwrap());
        assert_eq!(blobs.get(&hash).await.unwrap().as_ref(), Some(&content));
    }
    fs::write(&path, of_other).unwrap();
    let error = blobs.get(&hash).await.unwrap_err();
    assert!(
        matches!(error, StoreError::CorruptBlob { expected, .. } if expected == hash),
        "{error}"
    );
}

/// A form is complete at every step of a cut that a crash can end it at.
#[tokio::test]
async fn a_cut_that_was_cut_short_is_made_up_for() {
    let (directory, blobs) = open().await;
    let (content, cuts) = content(0..10);
    let hash = put_cut(&blobs, &content, &cuts).await;
    let of_list = fs::read(list(&directory, &hash)).unwrap();
    drop(blobs);
    let (whole, list) = (whole(&directory, &hash), list(&directory, &hash));
    // Some pieces are there, and no list. All are there, and half a list in `tmp`. The list, and still the whole.
    for step in 0..3 {
        fs::write(&whole, &content).unwrap();
        fs::remove_file(&list).unwrap();
        if step == 0 {
            fs::remove_file(piece(&directory, &content[..PIECE])).unwrap();
        }
        let unfinished = if step < 2 { directory.path().join("tmp/0") } else { list.clone() };
        fs::write(unfinished, &of_list[..if step < 2 { 40 } else { of_list.len() }]).unwrap();
        let blobs = Blobs::open(directory.path()).await.unwrap();
        assert_eq!(blobs.get(&hash).await.unwrap().as_ref(), Some(&content));
        assert!(matches!(blobs.stored(&[hash]).await.unwrap()[0], Some(Stored::Whole { .. })));
        assert_eq!(blobs.sweep().await.unwrap(), [9, 10, 0][step], "pieces of no list are garbage");
        assert!(blobs.cut(&hash, &cuts).await.unwrap());
        assert_eq!(blobs.get(&hash).await.unwrap().as_ref(), Some(&content));
        assert!(!whole.exists() && list.exists());
    }
}

async fn again_and_again(blobs: &Blobs, part: usize, content: &[u8], cuts: &[usize]) {
    let hash = Hash::of(content);
    for _ in 0..30 {
        match part {
            0 => drop(blobs.cut(&hash, cuts).await.unwrap()),
            1 => drop(blobs.put(content).await.unwrap()),
            _ => drop(blobs.sweep().await.unwrap()),
        }
        assert!(blobs.has(&hash).await.unwrap());
        assert_eq!(blobs.get(&hash).await.unwrap().as_deref(), Some(content));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_writers_cutters_and_sweepers_at_once() {
    let (directory, blobs) = open().await;
    let all: Vec<_> = (0..6).map(|from| content((from..from + 8).chain([99]))).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for (content, cuts) in all.clone() {
        blobs.put(&content).await.unwrap();
        for part in 0..3 {
            let (blobs, content, cuts) = (blobs.clone(), content.clone(), cuts.clone());
            tasks.spawn(async move { again_and_again(&blobs, part, &content, &cuts).await });
        }
    }
    tasks.join_all().await;
    for (content, _) in all {
        assert_eq!(blobs.get(&Hash::of(&content)).await.unwrap(), Some(content));
    }
    assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_removed_while_it_is_cut_stays_removed() {
    let (directory, blobs) = open().await;
    let (content, cuts) = content(0..20);
    for _ in 0..20 {
        let hash = blobs.put(&content).await.unwrap();
        let (cut, removed) = tokio::join!(blobs.cut(&hash, &cuts), blobs.remove(&hash));
        cut.unwrap();
        assert!(removed.unwrap());
        assert_eq!(blobs.get(&hash).await.unwrap(), None);
    }
    blobs.sweep().await.unwrap();
    assert_eq!(bytes_on_disk(&directory), 0);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    /// Whatever a list says, nobody gets content of another name. A sum makes some of these well-formed.
    #[test]
    fn a_list_of_anything_gives_nothing(
        marked: bool,
        entries in proptest::collection::vec(proptest::prelude::any::<[u8; 36]>(), 0..4),
        rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
        summed: bool,
    ) {
        let mark: &[u8] = if marked { b"blypcs\0\x01" } else { b"" };
        let mut bytes = [mark, &entries.concat(), &rest].concat();
        if summed {
            bytes.extend(Hash::of(&bytes).as_bytes());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (directory, blobs) = open().await;
            let (content, cuts) = content(0..3);
            let hash = put_cut(&blobs, &content, &cuts).await;
            fs::write(list(&directory, &hash), &bytes).unwrap();
            assert!(blobs.get(&hash).await.is_err());
            drop(blobs.stored(&[hash]).await);
            drop(blobs.sweep().await);
        });
    }
}
