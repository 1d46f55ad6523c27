//! `sql` as functions have it, on both engines.

use std::time::{Duration, Instant};

use belay_host::{Recorder, drive_recorded, tape};
use belay_model::Limits;
use serde_json::{Value, json};

use super::world::{Databases, POSTGRES, SQLITE};
use crate::functions::{CONTEXT, Threads, image, run, start};

async fn result(world: &Databases, body: &str, event: &str) -> Value {
    let finished = run(&world.host, body, event, Limits::default()).await;
    serde_json::from_str(&finished.result.unwrap_or_else(|failure| panic!("{failure}"))).unwrap()
}

#[tokio::test]
async fn rows_are_objects_and_parameters_are_never_text() {
    let world = Databases::both().await;
    let body = r#"
        const db = context.sql.database(event);
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
        const { changed } = await db.execute("INSERT INTO t VALUES ($1, $2), ($3, $4)", [1, "a", 2, "'; DROP TABLE t"]);
        const [id, evil] = [1, "'; DROP TABLE t"];
        return [
            changed,
            await db.query("SELECT * FROM t ORDER BY id"),
            await db.one("SELECT name FROM t WHERE id = $1", [2]),
            (await db.one("SELECT name FROM t WHERE id = 3")) === undefined,
            await db`SELECT name FROM t WHERE id = ${id} OR name = ${evil} ORDER BY id DESC`,
        ];"#;
    let evil = "'; DROP TABLE t";
    for database in [SQLITE, POSTGRES] {
        let expected = json!([
            2,
            [{ "id": 1, "name": "a" }, { "id": 2, "name": evil }],
            { "name": evil },
            true,
            [{ "name": evil }, { "name": "a" }],
        ]);
        assert_eq!(result(&world, body, &json!(database).to_string()).await, expected);
    }
}

#[tokio::test]
async fn values_are_those_of_javascript() {
    let world = Databases::both().await;
    let body = r#"
        const db = context.sql.database("ledger");
        const row = await db.one(
            `SELECT $1::int8 AS big, $2::bytea AS bytes, $3::timestamptz AS at, $4::jsonb AS doc, $5::text[] AS list,
                    $6::float8 AS nan, $7::int8 AS small, $8::text AS nothing, 1 AS "__proto__"`,
            [2n ** 60n, new Uint8Array([0, 255]), new Date(0), { a: [1] }, ["x", null], NaN, 5n, undefined],
        );
        return [
            typeof row.big, `${row.big}`, row.bytes instanceof Uint8Array, [...row.bytes], row.at, row.doc, row.list,
            Number.isNaN(row.nan), row.small, row.nothing, Object.keys(row).length,
        ];"#;
    let expected = json!([
        "bigint", "1152921504606846976", true, [0, 255], "1970-01-01T00:00:00.000Z", { "a": [1] },
        ["x", null], true, 5, null, 9,
    ]);
    assert_eq!(result(&world, body, "null").await, expected);
}

#[tokio::test]
async fn errors_have_codes_and_the_stack_of_the_call() {
    let world = Databases::sqlite();
    let body = r#"
        const { sql } = context;
        const codes = [];
        for (const attempt of [
            () => sql.query("SELEC"),
            () => sql.query("COMMIT"),
            () => sql.database("other").query("SELECT 1"),
            () => sql.query(7),
            () => sql.query("SELECT 1", 7),
            () => sql.query("SELECT $1", [Symbol("x")]),
            () => sql("SELECT 1"),
        ]) await attempt().catch((error) => codes.push(error.code ?? error.name));
        const stack = await sql.query("SELEC").catch((error) => error.stack);
        return [...codes, stack.includes("handler"), Object.isFrozen(sql)];"#;
    let expected = json!([
        "SQL_FAILED",
        "SQL_REFUSED",
        "DATABASE_UNKNOWN",
        "TypeError",
        "TypeError",
        "TypeError",
        "TypeError",
        true,
        true,
    ]);
    assert_eq!(result(&world, body, "null").await, expected);
}

/// What is recorded answers the same code again, and nothing else.
#[tokio::test]
async fn a_tape_answers_what_it_has_heard_and_no_more() {
    let world = Databases::sqlite();
    world.run(SQLITE, "CREATE TABLE t (id INTEGER, password TEXT, token BLOB)").await;
    world.run(SQLITE, "INSERT INTO t VALUES (0, 'of another time', x'00ff')").await;
    let code = |text: &str| {
        image(&format!(
            r#"export async function handler(event, {{ sql }}) {{
                await sql.execute("INSERT INTO t (id, password) VALUES ($1, $2)", [event.id, event.password]);
                return (await sql.query("{text}")).length;
            }}"#
        ))
    };
    let event = r#"{"id":1,"password":"hunter2-hunter2"}"#;
    let (recorded, limits) = (code("SELECT id, password, token FROM t"), Limits::default());
    let invoked = tape::Invoked { function: "f", event, context: CONTEXT, seed: [7; 32] };
    let mut recorder = Recorder::new(invoked, tape::RecorderOptions::default());
    let deadline = Instant::now() + Duration::from_secs(10);
    let instance = start(&recorded, event, limits);
    let finished =
        drive_recorded(instance, &world.host, None, &Threads, deadline, Some(&mut recorder)).await;
    assert_eq!(finished.result.as_deref(), Ok("2"));
    let mut tape = recorder.finish(&finished).unwrap();
    let kept = String::from_utf8_lossy(&tape::encode(&tape)).into_owned();
    for hidden in ["hunter2", "another time", "AP8="] {
        assert!(!kept.contains(hidden), "{kept}");
    }

    let tolerance = tape::Tolerance::default();
    let candidate =
        |image| tape::Candidate { image, entry: 0, limits, arms: &[], face: None, criteria: None };
    let other = code("SELECT id FROM t");
    crate::functions::deep(|| {
        assert!(tape::prove(&candidate(&recorded), &mut tape, &tolerance).unwrap());
        let replayed = tape::replay(&candidate(&other), &tape, &tolerance).unwrap();
        let expected = tape::Divergence::Unanswered {
            op: "sql.query".to_owned(),
            subject: "SELECT id FROM t".to_owned(),
        };
        assert_eq!(replayed.verdict, tape::Verdict::Diverged(expected));
    });
}
