//! Whatever a transaction does, its mirror changes nothing: no row, sequence, lock, message, key, request or file.
//!
//! The statements are those that a read-only transaction lets pass although they do something, those that it refuses, and
//! those that look harmless and are not. Only the mirrors get to them: see [`crate::ahead`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use belay_engine::FunctionImage;
use belay_mirror::{Book, Mirrored};
use belay_model::Limits;
use serde_json::{Value, json};

use crate::{
    ahead::{Gate, asking, came_to_its_end, mirrored},
    world::World,
};

/// Of all of them together.
const MIRRORS: usize = 10_000;
/// Of these, with an operator that is not harmless.
const HIDDEN: usize = 200;
/// As many as mirrors have connections to each database: all of them are to get to what is hostile.
const AT_ONCE: usize = 8;
/// How late the service answers, in milliseconds: at first, and when something is wrong.
const DELAYS: [u64; 2] = [4, 5_000];

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

/// What other sessions have of the database, which idle ones have not: locks on its relations, and transactions. The server's own
/// vacuum comes and goes by itself.
const HELD: &str = "
    SELECT l.pid, l.mode || ' on ' || l.relation::regclass AS what
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_backend_pid()
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
    UNION ALL SELECT pid, state || ': ' || query FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend' AND state <> 'idle'";

/// What is held still when so many looks have found something: mirrors give their connections back after their end.
async fn held(world: &World, looks: u32) -> Value {
    let mut held = Value::Null;
    for _ in 0..looks {
        held = world.sql("ledger", HELD).await;
        if held == json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    held
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

/// Everything of the file that a mirror could have changed, and of the kv.
async fn of_files(world: &World) -> Vec<Value> {
    let mut all = vec![world.listed().await, world.get("kept").await];
    for text in [
        "SELECT * FROM account ORDER BY name",
        "SELECT * FROM sqlite_schema ORDER BY name",
        "PRAGMA user_version",
    ] {
        all.push(world.sql("main", text).await);
    }
    all
}

async fn hostile_world() -> World {
    let world = World::with_server().await;
    for text in TABLES {
        world.sql("ledger", text).await;
    }
    for text in &TABLES[..2] {
        world.sql("main", text).await;
    }
    world.put("kept", json!(1)).await;
    world
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

/// Mirrors that got to what is hostile, and how many runs that took.
struct Reached {
    mirrors: Vec<Mirrored>,
    runs: usize,
}

/// Runs them in turn, so many at a time, and each so often that its mirror got to what is hostile `count` times in all.
async fn mirror(
    (world, gate): (&World, &Gate),
    functions: &[FunctionImage],
    count: usize,
) -> Reached {
    let turns: Vec<usize> = (0..count).collect();
    let mut reached = Reached { mirrors: Vec::new(), runs: 0 };
    let [shortest, longest] = DELAYS;
    let mut delay_ms = shortest;
    for together in turns.chunks(AT_ONCE) {
        let mirrors = loop {
            gate.answers_after(delay_ms);
            reached.runs += together.len();
            let mirrors = run_together(world, functions, together).await;
            if mirrors.iter().all(got_to_it) {
                break mirrors;
            }
            // They have to come to their end before their originals go on.
            delay_ms *= 2;
            assert!(delay_ms < longest, "they do not get to what is hostile: {mirrors:#?}");
        };
        delay_ms = (delay_ms * 9 / 10).max(shortest);
        reached.mirrors.extend(mirrors);
    }
    reached
}

/// What the mirrors have done of functions that run at the same time.
async fn run_together(
    world: &World,
    functions: &[FunctionImage],
    together: &[usize],
) -> Vec<Mirrored> {
    let runs = together.iter().map(|turn| {
        let function = &functions[turn % functions.len()];
        world.start(function, Limits::default(), None)
    });
    for finished in futures_util::future::join_all(runs).await {
        assert_eq!(finished.result.as_deref(), Ok("\"no\""), "the originals do nothing");
    }
    let stories = world.book.stories(|_| true, together.len());
    stories.iter().map(|story| story.mirror.clone().unwrap()).collect()
}

/// Whether it has done something beside asking the service, or has stopped at that.
fn got_to_it(mirror: &Mirrored) -> bool {
    let does_more = mirror.effects.iter().any(|effect| effect.op != "http.fetch");
    came_to_its_end(mirror) && (does_more || mirror.unmodelled.is_some())
}

fn stopped_at<'m>(mirrors: &'m [Mirrored], what: &'m str) -> impl Iterator<Item = &'m Mirrored> {
    let says = move |text: &String| text.contains(what);
    mirrors.iter().filter(move |mirror| mirror.unmodelled.as_ref().is_some_and(says))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hostile_mirrors_change_nothing() {
    let mut world = hostile_world().await;
    let gate = Gate::start(&world).await;
    let before = (of_server(&world).await, of_files(&world).await);
    let (files_before, asked_before) = (files(world.dir()), gate.asked());
    let bodies = bodies();
    let all = functions(&world, &gate, &bodies);
    let Reached { mirrors, runs } = mirror((&world, &gate), &all, MIRRORS - HIDDEN).await;
    assert_eq!(gate.asked() - asked_before, runs, "originals ask once, and mirrors never");
    // All others were told yes, and went on.
    let asks = |turn: &usize| bodies[turn % bodies.len()].1.contains("http.");
    let asking = (0..mirrors.len()).filter(asks).count();
    assert_eq!(stopped_at(&mirrors, " answers").count(), asking);
    let (_, known) = world.book.ids().remove(0);
    assert!(known.counts.mirrored >= runs as u64, "{:?}", known.counts);

    // An operator does not have to be named to be called. Nobody has asked yet whether there are such.
    let operator =
        "CREATE OPERATOR !!! (LEFTARG = INTEGER, RIGHTARG = INTEGER, FUNCTION = lock_it)";
    world.sql("ledger", operator).await;
    world.book = Book::default();
    let gate = Gate::start(&world).await;
    let asked_before = gate.asked();
    let called = [("ledger", "await db.query('SELECT 1 !!! 2');".to_owned())];
    let called = functions(&world, &gate, &called);
    let Reached { mirrors, runs } = mirror((&world, &gate), &called, HIDDEN).await;
    assert_eq!(stopped_at(&mirrors, "operators").count(), HIDDEN, "{:?}", mirrors[0]);
    assert_eq!(gate.asked() - asked_before, runs);

    assert_eq!(held(&world, 2_000).await, json!([]), "mirrors hold nothing after their end");
    assert_eq!((of_server(&world).await, of_files(&world).await), before);
    assert_eq!(world.get("n").await, Value::Null);
    assert_eq!(files(world.dir()), files_before);
}

/// PostgreSQL takes messages from transactions that only read, too.
#[tokio::test]
async fn a_mirror_does_not_get_to_send_messages() {
    let world = hostile_world().await;
    let gate = Gate::start(&world).await;
    for (text, what) in [
        ("SELECT pg_notify('shout', 'x')", "pg_notify"),
        ("SELECT \"pg_notify\"('shout', name) FROM account", "pg_notify"),
        ("SELECT * FROM shouting", "shouting"),
        ("NOTIFY shout, 'x'", ""),
    ] {
        let body = format!("await db.query({});", Value::from(text));
        let mirror = mirrored(&world, &gate, "ledger", &body).await;
        let stopped = mirror.unmodelled.as_ref().is_some_and(|it| it.contains(what));
        assert!(stopped, "{text}: {mirror:#?}");
        let asked = mirror.effects.iter().any(|effect| effect.op == "sql.query");
        assert!(!asked, "{text}: {mirror:#?}");
    }
}
