//! PostgreSQL: values, results, errors, pools.

use belay_host::SqlBegin;
use belay_model::Outcome;
use serde_json::{Value, json};

use super::world::{Databases, POSTGRES, changed, code, connect, message, numbers, query};

/// What a parameter, cast to `kind`, comes back as.
async fn there_and_back(world: &Databases, kind: &str, param: Value) -> Value {
    let text = format!("SELECT $1::{kind} AS a");
    world.rows(POSTGRES, &text, json!([param])).await[0][0].clone()
}

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    let world = Databases::both().await;
    let same = [
        ("bool", json!(true)),
        ("int2", json!(-7)),
        ("int4", json!(7)),
        ("int8", json!({ "$int": "9007199254740993" })),
        ("int8", json!(9_007_199_254_740_991_i64)),
        ("float8", json!(0.1)),
        ("float4", json!(0.1)),
        ("float8", json!({ "$float": "NaN" })),
        ("float8", json!({ "$float": "-Infinity" })),
        ("numeric", json!("12345678901234567890.0012300")),
        ("numeric", json!("-0.00000001")),
        ("numeric", json!("NaN")),
        ("text", json!("tëxt 'quoted' \\ \"so\"")),
        ("varchar(3)", json!("abc")),
        ("bytea", json!({ "$bytes": "AAH/" })),
        ("jsonb", json!({ "$json": { "a": [1, null, "x"] } })),
        ("json", json!({ "$json": [] })),
        ("uuid", json!("5f0c0a4e-8a53-4a9e-9a0e-111111111111")),
        ("date", json!("2024-02-29")),
        ("date", json!("infinity")),
        ("time", json!("03:04:05.000006")),
        ("timetz", json!("03:04:05+02:00")),
        ("timestamp", json!("2026-01-02T03:04:05.000")),
        ("timestamptz", json!("2026-01-02T03:04:05.678Z")),
        ("interval", json!("P1Y2M3DT4H5M6.5S")),
        ("int4[]", json!({ "$array": [1, null, 3] })),
        ("int4[]", json!({ "$array": [] })),
        ("int4[]", json!({ "$array": [{ "$array": [1, 2] }, { "$array": [3, 4] }] })),
        ("text[]", json!({ "$array": ["a\"b\\c", "", "NULL", "{}", null] })),
        ("bytea[]", json!({ "$array": [{ "$bytes": "AAE=" }] })),
        ("jsonb[]", json!({ "$array": [{ "$json": { "a": 1 } }] })),
        ("text", json!(null)),
    ];
    for (kind, value) in same {
        assert_eq!(there_and_back(&world, kind, value.clone()).await, value, "{kind}");
    }
    for (kind, param, result) in [
        (
            "timestamptz",
            json!({ "$date": "2026-01-02T03:04:05.678Z" }),
            json!("2026-01-02T03:04:05.678Z"),
        ),
        ("jsonb", json!({ "$array": [1, "a"] }), json!({ "$json": [1, "a"] })),
        ("jsonb", json!("{\"a\":1}"), json!({ "$json": { "a": 1 } })),
        ("text", json!(1.5), json!("1.5")),
        (
            "numeric",
            json!({ "$int": "123456789012345678901234567890" }),
            json!("123456789012345678901234567890"),
        ),
    ] {
        assert_eq!(there_and_back(&world, kind, param).await, result, "{kind}");
    }
}

#[tokio::test]
async fn enums_and_domains_are_read_and_other_types_are_to_be_cast() {
    let world = Databases::both().await;
    world.run(POSTGRES, "CREATE TYPE mood AS ENUM ('glad', 'sad')").await;
    world.run(POSTGRES, "CREATE DOMAIN positive AS int CHECK (value > 0)").await;
    assert_eq!(there_and_back(&world, "mood", json!("sad")).await, json!("sad"));
    assert_eq!(there_and_back(&world, "positive", json!(3)).await, json!(3));
    assert_eq!(
        there_and_back(&world, "mood[]", json!({ "$array": ["sad"] })).await,
        json!({ "$array": ["sad"] })
    );
    world.run(POSTGRES, "CREATE TABLE t (at point)").await;
    let text = "INSERT INTO t VALUES ('(1,2)') RETURNING at";
    let outcome = world.outcome(POSTGRES, text, json!([])).await;
    assert!(message(outcome).contains("cast it to text"));
    assert_eq!(world.rows(POSTGRES, "SELECT count(*) AS n FROM t", json!([])).await, json!([[0]]));
    let rows = world.rows(POSTGRES, "SELECT point(1, 2)::text AS at", json!([])).await;
    assert_eq!(rows, json!([["(1,2)"]]));
}

#[tokio::test]
async fn errors_tell_what_is_wrong() {
    let world = Databases::both().await;
    world
        .run(POSTGRES, "CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL CHECK (a <> ''))")
        .await;
    world.run(POSTGRES, "INSERT INTO t VALUES (1, 'x')").await;
    for (text, code, about) in [
        ("SELEC 1", "SQL_FAILED", "at character 1"),
        ("SELECT * FROM nowhere", "SQL_FAILED", "42P01"),
        ("SELECT 1 / 0 AS a", "SQL_FAILED", "22012"),
        ("INSERT INTO t VALUES (1, 'y')", "SQL_CONSTRAINT", "constraint t_pkey of table t"),
        ("INSERT INTO t VALUES (2, '')", "SQL_CONSTRAINT", "t_a_check"),
        ("SELECT 1 AS a, 2 AS a", "SQL_FAILED", "AS"),
        ("SELECT $1::int AS a", "SQL_FAILED", "1 parameters, and 0"),
        ("SELECT 1; SELECT 2", "SQL_REFUSED", "one statement"),
    ] {
        let outcome = world.outcome(POSTGRES, text, json!([])).await;
        let Outcome::Err(error) = outcome else { panic!("{text}: {outcome:?}") };
        assert_eq!(error.code, code, "{text}: {error}");
        assert!(error.message.contains(about), "{text}: {error}");
    }
}

#[tokio::test]
async fn results_are_whole_or_refused() {
    let world = Databases::both().await;
    assert_eq!(
        world.rows(POSTGRES, &numbers(10_000), json!([])).await.as_array().unwrap().len(),
        10_000
    );
    assert_eq!(world.err(POSTGRES, &numbers(10_001), json!([])).await, "SQL_RESULT_TOO_LARGE");
    let large = "SELECT repeat('x', 9000000) AS a";
    assert_eq!(world.err(POSTGRES, large, json!([])).await, "SQL_RESULT_TOO_LARGE");
    world.run(POSTGRES, "CREATE TABLE t (i int)").await;
    let insert = "INSERT INTO t SELECT generate_series(1, 10001) RETURNING i";
    assert_eq!(world.err(POSTGRES, insert, json!([])).await, "SQL_RESULT_TOO_LARGE");
    assert_eq!(world.rows(POSTGRES, "SELECT count(*) AS n FROM t", json!([])).await, json!([[0]]));
    assert_eq!(world.run(POSTGRES, "INSERT INTO t VALUES (1), (2)").await, 2);
    assert_eq!(world.run(POSTGRES, "SELECT * FROM t").await, 0);
}

/// A plan that is kept does not outlive the table that it was made for.
#[tokio::test]
async fn a_schema_may_change_under_a_prepared_statement() {
    let world = Databases::pooled(r#","pool":1"#).await;
    world.run(POSTGRES, "CREATE TABLE t (a int)").await;
    world.run(POSTGRES, "INSERT INTO t VALUES (1)").await;
    assert_eq!(world.rows(POSTGRES, "SELECT * FROM t", json!([])).await, json!([[1]]));
    world.run(POSTGRES, "ALTER TABLE t ADD b text").await;
    assert_eq!(world.rows(POSTGRES, "SELECT * FROM t", json!([])).await, json!([[1, null]]));
}

#[tokio::test]
async fn a_time_limit_of_the_database_is_told() {
    let world = Databases::both().await;
    let role = "ALTER DATABASE";
    let admin = connect(&world.server.as_ref().unwrap().url).await;
    let name = world.server.as_ref().unwrap().url.rsplit('/').next().unwrap();
    admin.batch_execute(&format!("{role} {name} SET statement_timeout = 20")).await.unwrap();
    assert_eq!(world.err(POSTGRES, "SELECT pg_sleep(600)", json!([])).await, "SQL_TIMEOUT");
}

#[tokio::test]
async fn without_a_free_connection_a_call_fails_and_does_not_hang() {
    let world = Databases::pooled(r#","pool":1"#).await;
    let held = world.begin(POSTGRES).await;
    assert_eq!(world.err(POSTGRES, "SELECT 1 AS a", json!([])).await, "SQL_UNAVAILABLE");
    held.rollback().await;
    assert_eq!(world.rows(POSTGRES, "SELECT 1 AS a", json!([])).await, json!([[1]]));
}

/// A mirror has connections of its own, and does not wait for one.
#[tokio::test]
async fn a_mirror_takes_nobodys_connection_and_changes_nothing() {
    let world = Databases::pooled(r#","pool":1"#).await;
    world.run(POSTGRES, "CREATE TABLE t (a int)").await;
    let mirror = SqlBegin { mirror: true, ..SqlBegin::default() };
    // It does not wait for a connection to be made: that is for the next one.
    let mut first = loop {
        match world.host.begin_sql(Some(POSTGRES), mirror.clone()).await {
            Ok(first) => break first,
            Err(error) => assert_eq!(error.code, "SQL_UNAVAILABLE", "{error:?}"),
        }
        tokio::task::yield_now().await;
    };
    let second = world.host.begin_sql(Some(POSTGRES), mirror.clone()).await;
    assert_eq!(second.unwrap_err().code, "SQL_UNAVAILABLE");
    assert_eq!(world.run(POSTGRES, "INSERT INTO t VALUES (1)").await, 1);
    let write = query(POSTGRES, "INSERT INTO t VALUES (2)", json!([]));
    let refused = first.perform(&write).await;
    assert!(message(refused).contains("25006"));
    first.rollback().await;
    let mut again = world.host.begin_sql(Some(POSTGRES), mirror.clone()).await.unwrap();
    let count = query(POSTGRES, "SELECT count(*) AS n FROM t", json!([]));
    assert_eq!(super::world::rows(again.perform(&count).await), json!([[1]]));
    // Whatever the session was told is forgotten before the next one has it.
    let leave = "SELECT pg_backend_pid() AS pid, set_config('belay.seen', 'yes', false) AS seen";
    let left = super::world::rows(again.perform(&query(POSTGRES, leave, json!([]))).await);
    assert_eq!(left[0][1], "yes");
    again.commit().await.unwrap();
    let mut next = world.host.begin_sql(Some(POSTGRES), mirror).await.unwrap();
    let look =
        "SELECT pg_backend_pid() AS pid, coalesce(current_setting('belay.seen', true), '') AS seen";
    let found = super::world::rows(next.perform(&query(POSTGRES, look, json!([]))).await);
    assert_eq!((&found[0][0], &found[0][1]), (&left[0][0], &json!("")));
}

#[tokio::test]
async fn a_secret_that_leads_nowhere_is_told_without_being_shown() {
    let world = Databases::both().await;
    for (url, about) in [
        ("postgres://u:hunter2@127.0.0.1:1/x", "cannot be reached"),
        ("hunter2 is no connection string", "not a connection string"),
    ] {
        *world.url.lock().unwrap() = url.to_owned();
        let outcome = world.outcome(POSTGRES, "SELECT 1 AS a", json!([])).await;
        let Outcome::Err(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.code, "SQL_UNAVAILABLE");
        assert!(error.message.contains(about) && !error.message.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_the_server_has_ended_is_replaced() {
    let world = Databases::pooled(r#","pool":1"#).await;
    let pid = world.rows(POSTGRES, "SELECT pg_backend_pid() AS pid", json!([])).await;
    let admin = connect(&world.server.as_ref().unwrap().url).await;
    let end = format!("SELECT pg_terminate_backend({}, 5000)", pid[0][0]);
    admin.batch_execute(&end).await.unwrap();
    // The end may be noticed by the first call or before it, not later.
    let _ = world.outcome(POSTGRES, "SELECT 1 AS a", json!([])).await;
    let outcome = world.outcome(POSTGRES, "CREATE TABLE t (a int)", json!([])).await;
    assert_eq!(changed(outcome), 0);
    assert_eq!(code(world.outcome(POSTGRES, "SELECT", json!([1])).await), "SQL_FAILED");
}
