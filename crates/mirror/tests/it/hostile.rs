//! Whatever a transaction does, its mirror changes nothing: no row, sequence, lock, message, key, request or file.
//!
//! The statements are those that a read-only transaction lets pass although they do something, those that it refuses, and
//! those that look harmless and are not. Only the mirrors get to them: see [`crate::ahead`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use belay_engine::FunctionImage;
use belay_mirror::Story;
use belay_model::Limits;
use serde_json::{Value, json};

use crate::{
    ahead::{Gate, asking, came_to_its_end},
    world::World,
};

/// Of all of them together.
const MIRRORS: usize = 10_000;
/// Of these, with an operator that is not harmless.
const HIDDEN: usize = 200;
const AT_ONCE: usize = 16;

const TABLES: [&str; 13] = [
    "CREATE TABLE account (name TEXT PRIMARY KEY, sum INTEGER NOT NULL CHECK (sum >= 0))",
    "INSERT INTO account VALUES ('a', 100), ('b', 100)",
    "CREATE TABLE log (id SERIAL PRIMARY KEY, what TEXT)",
    "CREATE SEQUENCE numbers",
    "CREATE FUNCTION write_log(what TEXT) RETURNS INTEGER LANGUAGE sql VOLATILE AS 'INSERT INTO log (what) VALUES (what); SELECT 1'",
    "CREATE FUNCTION lock_it(one INTEGER, other INTEGER) RETURNS BOOLEAN LANGUAGE sql VOLATILE AS 'SELECT pg_advisory_lock(one, other); SELECT true'",
    "CREATE VIEW shouting AS SELECT pg_notify('shout', name)::text AS done FROM account",
    "CREATE TABLE watched (id INTEGER PRIMARY KEY)",
    "INSERT INTO watched VALUES (1)",
    "CREATE FUNCTION on_watched() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (what) VALUES (''seen''); RETURN new; END'",
    "CREATE TRIGGER watching BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION on_watched()",
    "CREATE FUNCTION of_row(account) RETURNS INTEGER LANGUAGE sql VOLATILE AS 'SELECT pg_advisory_lock(77); SELECT 1'",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, account TEXT REFERENCES account (name) ON DELETE CASCADE)",
];

/// To the server.
const LEDGER: [&str; 30] = [
    "UPDATE account SET sum = 0",
    "DELETE FROM account",
    "INSERT INTO account VALUES ('c', 1)",
    "TRUNCATE account",
    "DROP TABLE account",
    "ALTER TABLE account ADD COLUMN more TEXT",
    "CREATE TABLE other (id INTEGER)",
    "WITH gone AS (DELETE FROM account RETURNING name) SELECT * FROM gone",
    "SELECT * INTO copied FROM account",
    "INSERT INTO log (what) VALUES ('x')",
    "INSERT INTO log (what) VALUES ('x') RETURNING id",
    "SELECT nextval('numbers')",
    "SELECT setval('numbers', 100)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(2)",
    "SELECT \"pg_advisory_lock\"(3)",
    "SELECT pg_notify('shout', 'x')",
    "SELECT name FROM account FOR UPDATE",
    "SELECT name FROM account FOR SHARE NOWAIT",
    "SELECT name FROM (SELECT name FROM account FOR UPDATE SKIP LOCKED) it",
    "SELECT write_log('x')",
    "SELECT name FROM account WHERE write_log(name) = 1",
    "SELECT account.of_row FROM account",
    "SELECT * FROM shouting",
    "UPDATE watched SET id = 2",
    "DELETE FROM account WHERE name = 'a' RETURNING write_log(name)",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
    "SELECT lo_creat(-1)",
    "SELECT pg_current_xact_id()",
    "LOCK TABLE account",
];

/// To the file.
const MAIN: [&str; 8] = [
    "UPDATE account SET sum = 0",
    "DELETE FROM account",
    "INSERT INTO account VALUES ('c', 1)",
    "DROP TABLE account",
    "CREATE TABLE other (id INTEGER)",
    "PRAGMA user_version = 7",
    "VACUUM INTO 'stolen.sqlite'",
    "INSERT INTO account SELECT name || 'x', 1 FROM account",
];

/// Beside databases.
const MORE: [&str; 6] = [
    "await kv.put('n', 1);",
    "await kv.delete('kept');",
    "await kv.put('kept', 2); await kv.list({ prefix: '' });",
    "await http.post(url, 'x');",
    "await http.get(url + 'elsewhere');",
    "const { transaction: outer } = context; await kv.put('n', outer.attempt); throw new Error('no');",
];

/// Everything of the server that a mirror could have changed.
async fn of_server(world: &World) -> Vec<Value> {
    let mut all = Vec::new();
    for text in [
        "SELECT * FROM account ORDER BY name",
        "SELECT * FROM log ORDER BY id",
        "SELECT * FROM watched",
        "SELECT last_value, is_called FROM numbers",
        "SELECT last_value AS of_log, is_called FROM log_id_seq",
        "SELECT count(*) AS relations FROM pg_class",
        "SELECT count(*) AS columns FROM pg_attribute",
        "SELECT count(*) AS objects FROM pg_largeobject_metadata",
        "SELECT count(*) AS advisory FROM pg_locks WHERE locktype = 'advisory'",
        "SELECT count(*) AS rows_locked FROM account WHERE xmax::text <> '0'",
    ] {
        all.push(world.sql("ledger", text).await);
    }
    all
}

/// The files of the world with what is in them, but for those whose content is looked at otherwise.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let is_database = path.to_string_lossy().contains(".sqlite") || path.starts_with("kv");
            let content = if is_database { Vec::new() } else { std::fs::read(&path).unwrap() };
            all.insert(path, content);
        }
    }
    all
}

/// Functions of which each does one of these things where it may.
fn functions(world: &World, gate: &Gate, all: &[(&str, String)]) -> Vec<FunctionImage> {
    let images = all.iter().map(|(database, body)| world.image(&asking(gate, database, body)));
    images.collect()
}

fn bodies() -> Vec<(&'static str, String)> {
    let of = |database: &'static str, text: &&str| {
        (database, format!("await db.query({});", Value::from(*text)))
    };
    let ledger = LEDGER.iter().map(|text| of("ledger", text));
    let main = MAIN.iter().map(|text| of("main", text));
    let more = MORE.iter().map(|body| ("ledger", (*body).to_owned()));
    ledger.chain(main).chain(more).collect()
}

/// Runs them in turn, so many at a time, until there were `count` mirrors.
async fn mirror(world: &World, functions: &[FunctionImage], count: usize) {
    let turns: Vec<usize> = (0..count).collect();
    for together in turns.chunks(AT_ONCE) {
        let runs = together.iter().map(|turn| {
            let function = &functions[turn % functions.len()];
            world.start(function, Limits::default(), None)
        });
        for finished in futures_util::future::join_all(runs).await {
            assert_eq!(finished.result.as_deref(), Ok("\"no\""), "the originals do nothing");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hostile_mirrors_change_nothing() {
    let world = World::with_server().await;
    for text in TABLES {
        world.sql("ledger", text).await;
    }
    for text in &TABLES[..2] {
        world.sql("main", text).await;
    }
    world.put("kept", json!(1)).await;
    let gate = Gate::start(&world).await;
    gate.answers_after(20);
    let before = (of_server(&world).await, world.sql("main", "SELECT * FROM account").await);
    let (files_before, asked_before) = (files(world.dir()), gate.asked());
    mirror(&world, &functions(&world, &gate, &bodies()), MIRRORS - HIDDEN).await;

    let reached = |story: &Story| came_to_its_end(story.mirror.as_ref().unwrap());
    let stories = world.book.stories(|_| true, 1_000);
    let count = stories.iter().filter(|story| reached(story)).count();
    assert!(count * 5 > stories.len(), "{count} of {} came to what is hostile", stories.len());

    // An operator does not have to be named to be called.
    let operator =
        "CREATE OPERATOR !!! (LEFTARG = INTEGER, RIGHTARG = INTEGER, FUNCTION = lock_it)";
    let relations = of_server(&world).await;
    world.sql("ledger", operator).await;
    let called = [("ledger", "await db.query('SELECT 1 !!! 2');".to_owned())];
    mirror(&world, &functions(&world, &gate, &called), HIDDEN).await;
    assert_eq!(of_server(&world).await, relations);

    let after = (of_server(&world).await, world.sql("main", "SELECT * FROM account").await);
    assert_eq!(after, before);
    assert_eq!((world.get("kept").await, world.get("n").await), (json!(1), Value::Null));
    assert_eq!(files(world.dir()), files_before);
    assert_eq!(gate.asked() - asked_before, MIRRORS, "originals ask once, and mirrors never");
    let (_, known) = world.book.ids().remove(0);
    assert!(known.counts.mirrored >= MIRRORS as u64, "{:?}", known.counts);
}
