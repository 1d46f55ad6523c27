//! kv over real SQLite files.

use std::sync::Arc;

use belay_host::{CommitError, code};
use belay_model::Outcome;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{World, app, call, ok, open, with_body};

#[tokio::test]
async fn values_come_back_as_they_were_put() {
    let world = World::new();
    assert_eq!(world.ok("kv.get", json!({ "key": "a" })).await.value, json!({ "found": false }));
    for value in [json!(null), json!(1.5), json!("ü\u{0}"), json!({ "z": [1], "a": { "b": true } })]
    {
        let put = world.ok("kv.put", json!({ "key": "a", "json": value })).await;
        let got = world.ok("kv.get", json!({ "key": "a" })).await;
        let revision = &put.value["revision"];
        assert_eq!(got.value, json!({ "found": true, "revision": revision, "json": value }));
    }
}

#[tokio::test]
async fn bytes_travel_beside_the_value() {
    let world = World::new();
    for bytes in [&b""[..], &[0, 255, 10]] {
        let put = with_body(call("kv.put", json!({ "key": "b", "bytes": true })), bytes);
        ok(&world.host, put).await;
        let got = world.ok("kv.get", json!({ "key": "b" })).await;
        assert_eq!(got.value["bytes"], json!(true));
        assert_eq!(got.body.as_deref(), Some(bytes));
    }
}

#[tokio::test]
async fn revisions_rise_and_are_never_used_twice() {
    let world = World::new();
    let mut last = 0;
    for _ in 0..3 {
        let put = world.ok("kv.put", json!({ "key": "a", "json": 1, "ifRevision": 0 })).await;
        let revision = put.value["revision"].as_u64().unwrap();
        assert!(revision > last);
        last = revision;
        assert_eq!(
            world.err("kv.put", json!({ "key": "a", "json": 1, "ifRevision": 0 })).await,
            code::CONFLICT
        );
        assert_eq!(
            world.err("kv.delete", json!({ "key": "a", "ifRevision": last + 1 })).await,
            code::CONFLICT
        );
        let deleted = world.ok("kv.delete", json!({ "key": "a", "ifRevision": last })).await;
        assert_eq!(deleted.value, json!({ "deleted": true }));
        let again = world.ok("kv.delete", json!({ "key": "a" })).await;
        assert_eq!(again.value, json!({ "deleted": false }));
    }
}

#[tokio::test]
async fn keys_and_values_have_limits() {
    let world = World::new();
    let longest = "k".repeat(512);
    world.ok("kv.put", json!({ "key": longest, "json": 1 })).await;
    assert_eq!(
        world.err("kv.put", json!({ "key": format!("{longest}k"), "json": 1 })).await,
        code::KV_KEY
    );
    let largest = "v".repeat((1 << 20) - 2);
    world.ok("kv.put", json!({ "key": "a", "json": largest })).await;
    assert_eq!(
        world.err("kv.put", json!({ "key": "a", "json": format!("{largest}v") })).await,
        code::KV_VALUE_TOO_LARGE
    );
    let write = |key: &str| json!({ "key": key, "json": largest });
    let writes: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].map(write).into();
    assert_eq!(world.err("kv.commit", json!({ "writes": writes })).await, code::KV_VALUE_TOO_LARGE);
    let many: Vec<_> = (0..1_001).map(|n| json!({ "key": n.to_string(), "json": n })).collect();
    assert_eq!(world.err("kv.commit", json!({ "writes": many })).await, code::BAD_ARGUMENTS);
}

#[tokio::test]
async fn listing_goes_by_bytes_in_pages() {
    let world = World::new();
    for key in ["b", "a/2", "a/10", "a", "a/é", "a\u{10FFFF}", "a/1"] {
        world.ok("kv.put", json!({ "key": key, "json": key })).await;
    }
    let keys = |listed: &Value| -> Vec<String> {
        let entries = listed["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["key"].as_str().unwrap().to_owned()).collect()
    };
    let all = world.ok("kv.list", json!({})).await.value;
    assert_eq!(keys(&all), ["a", "a/1", "a/10", "a/2", "a/é", "a\u{10FFFF}", "b"]);
    assert_eq!(all["next"], json!(null));
    let first = world.ok("kv.list", json!({ "prefix": "a/", "limit": 2 })).await.value;
    assert_eq!(keys(&first), ["a/1", "a/10"]);
    assert_eq!(first["next"], json!("a/10"));
    let args = json!({ "prefix": "a/", "limit": 2, "after": first["next"] });
    let second = world.ok("kv.list", args).await.value;
    assert_eq!((keys(&second), &second["next"]), (vec!["a/2".into(), "a/é".into()], &json!(null)));
    let before = world.ok("kv.list", json!({ "prefix": "a/", "after": "A" })).await.value;
    assert_eq!(keys(&before).len(), 4);
    let past = world.ok("kv.list", json!({ "prefix": "a/", "after": "b" })).await.value;
    assert_eq!(keys(&past), Vec::<String>::new());
}

#[tokio::test]
async fn a_commit_is_all_or_nothing() {
    let world = World::new();
    let first = json!({ "writes": [{ "key": "a", "json": 10 }, { "key": "b", "base64": "AP8=" }] });
    let first = world.ok("kv.commit", first).await.value["revision"].clone();
    assert_eq!(world.ok("kv.get", json!({ "key": "a" })).await.value["revision"], first);
    assert_eq!(world.ok("kv.get", json!({ "key": "b" })).await.body, Some(vec![0, 255]));

    let writes = json!([{ "key": "a", "delete": true }, { "key": "c", "json": 1 }]);
    let stale = json!({ "checks": [{ "key": "a", "revision": first }, { "key": "b", "revision": 0 }], "writes": writes });
    assert_eq!(world.err("kv.commit", stale).await, code::CONFLICT);
    assert_eq!(world.ok("kv.get", json!({ "key": "a" })).await.value["json"], json!(10));
    assert_eq!(world.ok("kv.get", json!({ "key": "c" })).await.value["found"], json!(false));

    let good = json!({ "checks": [{ "key": "a", "revision": first }, { "key": "c", "revision": 0 }], "writes": writes });
    world.ok("kv.commit", good).await;
    assert_eq!(world.ok("kv.get", json!({ "key": "a" })).await.value["found"], json!(false));
    assert_eq!(world.ok("kv.get", json!({ "key": "c" })).await.value["json"], json!(1));

    let twice = json!({ "writes": [{ "key": "a", "json": 1 }, { "key": "a", "delete": true }] });
    assert_eq!(world.err("kv.commit", twice).await, code::BAD_ARGUMENTS);
}

#[tokio::test]
async fn the_quota_holds_and_deleting_makes_room() {
    // Room for two entries of 100 bytes with their overhead.
    let world = World::with(|config| config.kv_quota_bytes = 2 * (1 + 100 + 64));
    let value = "v".repeat(98);
    let put = |key: &str| json!({ "key": key, "json": value });
    world.ok("kv.put", put("a")).await;
    world.ok("kv.put", put("b")).await;
    assert_eq!(world.err("kv.put", put("c")).await, code::KV_FULL);
    world.ok("kv.put", put("a")).await;
    world.ok("kv.delete", json!({ "key": "a" })).await;
    world.ok("kv.put", put("c")).await;
    let swap = json!({ "writes": [{ "key": "c", "delete": true }, put("d")] });
    world.ok("kv.commit", swap).await;
}

#[tokio::test]
async fn what_was_put_is_there_after_a_restart() {
    let world = World::new();
    let put = world.ok("kv.put", json!({ "key": "a", "json": [1] })).await.value;
    let World { host, shared, dir } = world;
    drop((host, shared));
    let shared = open(dir.path(), Vec::new());
    let host = app(&shared, "shop", |_| {});
    let got = ok(&host, call("kv.get", json!({ "key": "a" }))).await.value;
    assert_eq!(got, json!({ "found": true, "revision": put["revision"], "json": [1] }));
    let next = ok(&host, call("kv.put", json!({ "key": "a", "json": 2 }))).await.value;
    assert!(next["revision"].as_u64() > put["revision"].as_u64());
}

#[tokio::test]
async fn apps_do_not_see_each_other() {
    let world = World::new();
    let other = app(&world.shared, "other", |_| {});
    world.ok("kv.put", json!({ "key": "a", "json": 1 })).await;
    let got = ok(&other, call("kv.get", json!({ "key": "a" }))).await.value;
    assert_eq!(got, json!({ "found": false }));
}

#[tokio::test]
async fn erasing_starts_anew() {
    let world = World::new();
    world.ok("kv.put", json!({ "key": "a", "json": 1 })).await;
    let erased = world.shared.erase_kv(&"shop".parse().unwrap()).await;
    assert_eq!(erased, Outcome::json("null"));
    let left = std::fs::read_dir(world.dir.path().join("kv")).unwrap().count();
    assert_eq!(left, 0);
    assert_eq!(world.ok("kv.get", json!({ "key": "a" })).await.value, json!({ "found": false }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn compare_and_set_loses_no_update() {
    const TASKS: u64 = 16;
    const ROUNDS: u64 = 25;
    let world = Arc::new(World::new());
    world.ok("kv.put", json!({ "key": "n", "json": 0 })).await;
    let tasks = (0..TASKS).map(|_| tokio::spawn(increments(Arc::clone(&world), ROUNDS)));
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let total = world.ok("kv.get", json!({ "key": "n" })).await.value["json"].clone();
    assert_eq!(total, json!(TASKS * ROUNDS));
}

async fn increments(world: Arc<World>, rounds: u64) {
    let mut done = 0;
    while done < rounds {
        let got = world.ok("kv.get", json!({ "key": "n" })).await.value;
        let next = got["json"].as_u64().unwrap() + 1;
        let put = json!({ "key": "n", "json": next, "ifRevision": got["revision"] });
        match world.host.perform(&call("kv.put", put)).await {
            Outcome::Ok { .. } => done += 1,
            Outcome::Err(error) => assert_eq!(error.code, code::CONFLICT),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_apps_share_few_threads_and_files() {
    let world = World::new();
    let apps: Vec<_> = (0..120).map(|n| app(&world.shared, &format!("app{n}"), |_| {})).collect();
    let put = || call("kv.put", json!({ "key": "a", "json": 1 }));
    join_all(apps.iter().map(|app| ok(app, put()))).await;
    join_all(apps.iter().map(|app| ok(app, put()))).await;
    let kv = world.dir.path().join("kv").canonicalize().unwrap();
    let held = std::fs::read_dir("/proc/self/fd").unwrap().filter(|fd| {
        std::fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|path| path.starts_with(&kv))
    });
    // Database, log and index of each open file; one in the hands of each thread, one on its way out.
    assert!(held.count() <= 3 * (64 + 4));
}

/// COMMIT is refused by a constraint that a person has added, who has also made the file say what it would if the commit
/// had got into it, or not, or something else had.
async fn committed_in_doubt(newest: u64) -> (World, Result<(), CommitError>) {
    let world = World::new();
    let put = |value: u32| call("kv.put", json!({ "key": "a", "json": value }));
    assert_eq!(ok(&world.host, put(1)).await.value["revision"], json!(1));
    let path = world.dir.path().join("kv").join("shop.sqlite");
    let person = rusqlite::Connection::open(path).unwrap();
    let refusing = "
        CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER refusing AFTER UPDATE ON meta BEGIN INSERT INTO child VALUES (1); END;";
    let says = format!("UPDATE meta SET revision = {newest}; {refusing}");
    person.execute_batch(&says).unwrap();
    let mut transaction = world.host.begin_kv();
    assert!(matches!(transaction.perform(&put(2)).await, Outcome::Ok { .. }));
    let done = transaction.commit().await;
    person.execute_batch("DROP TRIGGER refusing").unwrap();
    (world, done)
}

#[tokio::test]
async fn of_a_commit_that_fails_the_file_tells_what_became() {
    for newest in [1, 2, 7] {
        let (world, done) = committed_in_doubt(newest).await;
        match (newest, &done) {
            (1, Err(CommitError::NotCommitted(error))) => {
                assert_eq!(error.code, code::KV_UNAVAILABLE, "{error}");
            }
            (2, Ok(())) => {}
            (7, Err(CommitError::Unknown(error))) => {
                assert_eq!(error.code, code::KV_UNAVAILABLE, "{error}");
                assert!(error.message.contains("is not known"), "{error}");
            }
            _ => panic!("{newest}: {done:?}"),
        }
        let next = world.ok("kv.put", json!({ "key": "a", "json": 3 })).await.value;
        assert_eq!(next["revision"], json!(newest + 1), "it goes on from what the file says");
    }
}

#[tokio::test]
async fn a_newer_or_foreign_file_is_refused() {
    let world = World::new();
    let file = |app: &str| world.dir.path().join("kv").join(format!("{app}.sqlite"));
    world.ok("kv.put", json!({ "key": "a", "json": 1 })).await;
    let newer = rusqlite::Connection::open(file("newer")).unwrap();
    newer.execute_batch("PRAGMA application_id = 1111837771; PRAGMA user_version = 2").unwrap();
    let foreign = rusqlite::Connection::open(file("foreign")).unwrap();
    foreign.execute_batch("CREATE TABLE t (x)").unwrap();
    std::fs::write(file("garbage"), b"not a database, by any means").unwrap();
    for (name, message) in [
        ("newer", "the app's kv file has format 2; this Belay knows formats up to 1"),
        ("foreign", "the app's kv file is not one of Belay's"),
        ("garbage", "the app's kv file cannot be used: file is not a database"),
    ] {
        let host = app(&world.shared, name, |_| {});
        let outcome = host.perform(&call("kv.get", json!({ "key": "a" }))).await;
        assert_eq!(outcome, Outcome::error(code::KV_UNAVAILABLE, message));
    }
}
