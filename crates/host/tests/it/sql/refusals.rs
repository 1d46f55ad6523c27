//! What a function may not do with a database, and what is not there.

use belay_host::{SqlBegin, classify, code};
use belay_model::{DatabaseSpec, EffectClass, Outcome};
use serde_json::json;

use super::world::{Databases, POSTGRES, SQLITE, message, within};
use crate::world::{World, call};

#[tokio::test]
async fn statements_that_are_not_the_functions_are_refused() {
    let world = Databases::both().await;
    let both = [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        " ; -- x\n END",
        "/* a */ SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "PREPARE TRANSACTION 'a'",
        "CREATE TEMP TABLE t (a int)",
        "SELECT 1; SELECT 2",
        "VACUUM",
    ];
    let sqlite = [
        "ATTACH DATABASE 'x' AS y",
        "DETACH main",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = 1",
        "PRAGMA user_version = 7",
        "VACUUM INTO 'x'",
        "EXPLAIN COMMIT",
        "SELECT * FROM belay_commit",
        "DELETE FROM Belay_Commit",
        "DROP TABLE belay_commit",
    ];
    let postgres =
        ["COPY t TO STDOUT", "LISTEN a", "LOAD 'x'", "SET search_path = x", "DISCARD ALL"];
    let all = both.into_iter().flat_map(|text| [(SQLITE, text), (POSTGRES, text)]);
    let all = all.chain(sqlite.map(|text| (SQLITE, text)));
    for (database, text) in all.chain(postgres.map(|text| (POSTGRES, text))) {
        let found = world.err(database, text, json!([])).await;
        assert_eq!(found, code::SQL_REFUSED, "{database}: {text}");
        let mut transaction = world.begin(database).await;
        let Outcome::Err(error) = within(&mut transaction, text).await else { panic!("{text}") };
        assert_eq!(error.code, code::SQL_REFUSED, "{database}: {text}");
        assert_eq!(world.run(SQLITE, "SELECT 1 AS a").await, 0);
        transaction.rollback().await;
    }
    assert_eq!(world.err(SQLITE, "SELECT load_extension('x')", json!([])).await, code::SQL_FAILED);
    for text in ["", "  -- nothing\n", ";"] {
        assert_eq!(world.err(SQLITE, text, json!([])).await, code::SQL_FAILED);
        assert_eq!(world.err(POSTGRES, text, json!([])).await, code::SQL_FAILED);
    }
}

#[tokio::test]
async fn what_only_tells_something_is_not_refused() {
    let world = Databases::sqlite();
    world.run(SQLITE, "CREATE TABLE t (id INTEGER)").await;
    let rows = world.rows(SQLITE, "PRAGMA table_info(t)", json!([])).await;
    assert_eq!(rows[0][1], "id");
    world.rows(SQLITE, "EXPLAIN QUERY PLAN SELECT * FROM t", json!([])).await;
}

#[tokio::test]
async fn a_database_that_is_not_declared_is_not_there() {
    let world = Databases::both().await;
    let outcome = world.outcome("other", "SELECT 1 AS a", json!([])).await;
    let Outcome::Err(error) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.code, code::DATABASE_UNKNOWN);
    assert!(error.message.contains("ledger, main"), "{error}");
    let begun = world.host.begin_sql(Some("other"), SqlBegin::default()).await;
    assert_eq!(begun.unwrap_err().code, code::DATABASE_UNKNOWN);

    let none = World::new();
    assert_eq!(none.err("sql.query", json!({ "text": "SELECT 1" })).await, code::DATABASE_UNKNOWN);
    let only = World::with(|config| {
        config.databases.insert("orders".parse().unwrap(), DatabaseSpec::Sqlite {});
    });
    only.ok("sql.query", json!({ "text": "SELECT 1 AS a" })).await;
    let two = World::with(|config| {
        for name in ["orders", "stock"] {
            config.databases.insert(name.parse().unwrap(), DatabaseSpec::Sqlite {});
        }
    });
    let outcome = two.host.perform(&call("sql.query", json!({ "text": "SELECT 1" }))).await;
    assert!(message(outcome).contains("orders, stock"));
}

#[tokio::test]
async fn a_secret_that_is_missing_is_named() {
    let world = World::with(|config| {
        let spec = serde_json::from_str(r#"{"engine":"postgres","url":"NOWHERE"}"#).unwrap();
        config.databases.insert("main".parse().unwrap(), spec);
    });
    let outcome = world.host.perform(&call("sql.query", json!({ "text": "SELECT 1" }))).await;
    let Outcome::Err(error) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.code, code::SQL_UNAVAILABLE);
    assert!(error.message.contains("NOWHERE"), "{error}");
}

#[tokio::test]
async fn bad_arguments_are_answered() {
    let world = World::new();
    for args in [
        json!({}),
        json!({ "text": 1 }),
        json!({ "text": "a\u{0}b" }),
        json!({ "text": "SELECT 1", "params": {} }),
        json!({ "text": "SELECT 1", "params": [[1]] }),
        json!({ "text": "SELECT 1", "params": [{}] }),
        json!({ "text": "SELECT 1", "params": [{ "$int": "1x" }] }),
        json!({ "text": "SELECT 1", "params": [{ "$bytes": "%" }] }),
        json!({ "text": "SELECT 1", "params": [{ "$json": 1, "$int": "1" }] }),
        json!({ "text": "x".repeat((1 << 20) + 1) }),
        json!({ "text": "SELECT 1", "params": vec![1; 1_001] }),
        json!({ "text": "SELECT 1", "extra": 1 }),
    ] {
        assert_eq!(world.err("sql.query", args.clone()).await, code::BAD_ARGUMENTS, "{args}");
    }
}

#[test]
fn a_statement_reads_or_writes() {
    for (text, class) in [
        ("SELECT * FROM t", EffectClass::Read),
        ("SELECT * FROM t FOR UPDATE", EffectClass::Write),
        ("INSERT INTO t VALUES ($1)", EffectClass::Write),
        ("what is this", EffectClass::Write),
    ] {
        assert_eq!(classify(&call("sql.query", json!({ "text": text }))), Ok(class), "{text}");
    }
}
