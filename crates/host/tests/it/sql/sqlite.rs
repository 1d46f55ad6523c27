//! SQLite: values, results, errors, and what becomes of the files.

use belay_model::Outcome;
use serde_json::json;

use super::world::{Databases, SQLITE, message, numbers};

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    let world = Databases::sqlite();
    let text = "SELECT $1 AS a, $2 AS b, $3 AS c, $4 AS d, $5 AS e, $6 AS f, $7 AS g, $8 AS h";
    let params = json!([
        null, true, 7, -1.5, "tëxt", { "$bytes": "AAH/" }, { "$int": "9007199254740993" },
        { "$json": { "a": [1, null] } },
    ]);
    let rows = world.rows(SQLITE, text, params).await;
    let expected = json!([[
        null, 1, 7, -1.5, "tëxt", { "$bytes": "AAH/" }, { "$int": "9007199254740993" },
        "{\"a\":[1,null]}",
    ]]);
    assert_eq!(rows, expected);
    let dates = json!([{ "$date": "2026-01-02T03:04:05.000Z" }, { "$array": [1, "a"] }]);
    let rows = world.rows(SQLITE, "SELECT $1 AS a, $2 AS b", dates).await;
    assert_eq!(rows, json!([["2026-01-02T03:04:05.000Z", "[1,\"a\"]"]]));
}

#[tokio::test]
async fn parameters_are_numbered_or_in_their_order() {
    let world = Databases::sqlite();
    for text in
        ["SELECT $2 AS b, $1 AS a", "SELECT ?2 AS b, ?1 AS a", "SELECT $2 AS b, $1 AS a, $2 AS c"]
    {
        let rows = world.rows(SQLITE, text, json!([1, 2])).await;
        assert_eq!((&rows[0][0], &rows[0][1]), (&json!(2), &json!(1)), "{text}");
    }
    assert_eq!(world.rows(SQLITE, "SELECT ? AS a, ? AS b", json!([1, 2])).await, json!([[1, 2]]));
    for (text, params) in [
        ("SELECT $1 AS a", json!([])),
        ("SELECT $1 AS a", json!([1, 2])),
        ("SELECT :name AS a", json!([1])),
        ("SELECT 1 AS a", json!([1])),
    ] {
        assert_eq!(world.err(SQLITE, text, params).await, "SQL_FAILED", "{text}");
    }
}

#[tokio::test]
async fn changes_are_counted() {
    let world = Databases::sqlite();
    assert_eq!(world.run(SQLITE, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)").await, 0);
    assert_eq!(world.run(SQLITE, "INSERT INTO t (a) VALUES ('x'), ('y')").await, 2);
    assert_eq!(world.run(SQLITE, "SELECT * FROM t").await, 0);
    assert_eq!(world.run(SQLITE, "UPDATE t SET a = 'z' WHERE id > 5").await, 0);
    let rows = world.rows(SQLITE, "INSERT INTO t (a) VALUES ('w') RETURNING id", json!([])).await;
    assert_eq!(rows, json!([[3]]));
    assert_eq!(world.run(SQLITE, "DELETE FROM t").await, 3);
}

#[tokio::test]
async fn errors_tell_what_is_wrong() {
    let world = Databases::sqlite();
    world.run(SQLITE, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL UNIQUE)").await;
    world.run(SQLITE, "CREATE TABLE u (t INTEGER REFERENCES t (id))").await;
    world.run(SQLITE, "INSERT INTO t VALUES (1, 'x')").await;
    for (text, code, about) in [
        ("SELEC 1", "SQL_FAILED", "syntax"),
        ("SELECT * FROM nowhere", "SQL_FAILED", "nowhere"),
        ("INSERT INTO t VALUES (2, 'x')", "SQL_CONSTRAINT", "t.a"),
        ("INSERT INTO t (a) VALUES (NULL)", "SQL_CONSTRAINT", "t.a"),
        ("INSERT INTO u VALUES (9)", "SQL_CONSTRAINT", "FOREIGN KEY"),
        ("SELECT 1 AS a, 2 AS a", "SQL_FAILED", "AS"),
    ] {
        let outcome = world.outcome(SQLITE, text, json!([])).await;
        let Outcome::Err(error) = outcome else { panic!("{text}: {outcome:?}") };
        assert_eq!(error.code, code, "{text}: {error}");
        assert!(error.message.contains(about), "{text}: {error}");
    }
}

#[tokio::test]
async fn results_are_whole_or_refused() {
    let world = Databases::sqlite();
    assert_eq!(
        world.rows(SQLITE, &numbers(10_000), json!([])).await.as_array().unwrap().len(),
        10_000
    );
    assert_eq!(world.err(SQLITE, &numbers(10_001), json!([])).await, "SQL_RESULT_TOO_LARGE");
    let large = "SELECT hex(zeroblob(5000000)) AS a";
    assert_eq!(world.err(SQLITE, large, json!([])).await, "SQL_RESULT_TOO_LARGE");
    world.run(SQLITE, "CREATE TABLE t (i)").await;
    let insert = format!("INSERT INTO t {} RETURNING i", numbers(10_001));
    let insert = insert
        .replace("INSERT INTO t WITH", "WITH")
        .replace("SELECT i FROM n RETURNING", "INSERT INTO t SELECT i FROM n RETURNING");
    assert_eq!(world.err(SQLITE, &insert, json!([])).await, "SQL_RESULT_TOO_LARGE");
    assert_eq!(world.rows(SQLITE, "SELECT count(*) AS n FROM t", json!([])).await, json!([[0]]));
}

#[tokio::test]
async fn a_file_is_the_apps_own_and_goes_with_it() {
    let world = Databases::sqlite();
    world.run(SQLITE, "CREATE TABLE t (i)").await;
    let file = world.dir.path().join("sql/shop/main.sqlite");
    assert!(file.exists());
    world.shared.erase_sql(&"shop".parse().unwrap()).await.unwrap();
    assert!(!file.exists());
    assert_eq!(world.err(SQLITE, "SELECT * FROM t", json!([])).await, "SQL_FAILED");
    assert!(file.exists());
}

#[tokio::test]
async fn a_file_of_somebody_else_is_left_alone() {
    let world = Databases::sqlite();
    let file = world.dir.path().join("sql/shop/main.sqlite");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(
        &file,
        b"not a database, but long enough to be taken for one, perhaps; who knows.............",
    )
    .unwrap();
    let before = std::fs::read(&file).unwrap();
    let outcome = world.outcome(SQLITE, "SELECT 1 AS a", json!([])).await;
    assert!(message(outcome).contains("not a database"));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

/// Nobody has made the file, and everybody wants it at once.
#[tokio::test]
async fn a_new_file_may_have_many_callers() {
    let world = Databases::sqlite();
    let create = "CREATE TABLE IF NOT EXISTS t (i)";
    let all = (0..20).map(|_| world.outcome(SQLITE, create, json!([])));
    for outcome in futures_util::future::join_all(all).await {
        assert!(matches!(outcome, Outcome::Ok { .. }), "{outcome:?}");
    }
    let insert = "INSERT INTO t VALUES (1)";
    let all = (0..20).map(|_| world.outcome(SQLITE, insert, json!([])));
    for outcome in futures_util::future::join_all(all).await {
        assert!(matches!(outcome, Outcome::Ok { .. }), "{outcome:?}");
    }
    assert_eq!(world.rows(SQLITE, "SELECT count(*) AS n FROM t", json!([])).await, json!([[20]]));
}
