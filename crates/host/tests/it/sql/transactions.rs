//! Transactions on both engines: what they see, who is in the way of whom, and how they end.

use belay_host::{CommitError, SqlBegin, SqlEngine};
use belay_model::{Isolation, Outcome};
use serde_json::json;

use super::world::{Databases, POSTGRES, SQLITE, changed, code, query, rows, within};

async fn prepared() -> Databases {
    let world = Databases::both().await;
    for database in [SQLITE, POSTGRES] {
        world.run(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await;
        world.run(database, "INSERT INTO t VALUES (1, 0), (2, 0)").await;
    }
    world
}

const SUM: &str = "SELECT CAST(sum(n) AS INTEGER) AS sum FROM t";

async fn sum(world: &Databases, database: &str) -> serde_json::Value {
    world.rows(database, SUM, json!([])).await[0][0].clone()
}

#[tokio::test]
async fn what_is_committed_is_seen_and_what_is_not_is_not() {
    let world = prepared().await;
    for database in [SQLITE, POSTGRES] {
        let mut transaction = world.begin(database).await;
        assert_eq!(transaction.database(), database);
        assert_eq!(rows(within(&mut transaction, SUM).await), json!([[0]]));
        assert!(!transaction.has_written());
        assert_eq!(changed(within(&mut transaction, "UPDATE t SET n = 1").await), 2);
        assert!(transaction.has_written());
        assert_eq!(rows(within(&mut transaction, SUM).await), json!([[2]]));
        assert_eq!(sum(&world, database).await, 0);
        transaction.commit().await.unwrap();
        assert_eq!(sum(&world, database).await, 2);

        let mut transaction = world.begin(database).await;
        within(&mut transaction, "UPDATE t SET n = 5").await;
        transaction.rollback().await;
        assert_eq!(sum(&world, database).await, 2);

        let mut transaction = world.begin(database).await;
        within(&mut transaction, "UPDATE t SET n = 7").await;
        drop(transaction);
        assert_eq!(world.run(database, "UPDATE t SET n = n + 1").await, 2);
        assert_eq!(sum(&world, database).await, 4);
    }
}

#[tokio::test]
async fn savepoints_take_back_a_part() {
    let world = prepared().await;
    for database in [SQLITE, POSTGRES] {
        let mut transaction = world.begin(database).await;
        within(&mut transaction, "UPDATE t SET n = 1 WHERE id = 1").await;
        transaction.savepoint(1).await.unwrap();
        within(&mut transaction, "UPDATE t SET n = 10 WHERE id = 2").await;
        transaction.rollback_to(1).await.unwrap();
        assert_eq!(rows(within(&mut transaction, SUM).await), json!([[1]]));
        within(&mut transaction, "UPDATE t SET n = 2 WHERE id = 2").await;
        transaction.release(1).await.unwrap();
        assert_eq!(transaction.release(1).await.unwrap_err().code, "SQL_FAILED");
        transaction.rollback_to(9).await.unwrap_err();
        transaction.rollback().await;

        let mut transaction = world.begin(database).await;
        transaction.savepoint(1).await.unwrap();
        within(&mut transaction, "UPDATE t SET n = 3").await;
        let failed = within(&mut transaction, "INSERT INTO t VALUES (1, 1)").await;
        assert_eq!(code(failed), "SQL_CONSTRAINT");
        transaction.rollback_to(1).await.unwrap();
        within(&mut transaction, "UPDATE t SET n = 4 WHERE id = 1").await;
        transaction.commit().await.unwrap();
        assert_eq!(sum(&world, database).await, 4);
        world.run(database, "UPDATE t SET n = 0").await;
    }
}

/// PostgreSQL would answer the commit with a success.
#[tokio::test]
async fn a_transaction_that_has_failed_is_not_committed() {
    let world = prepared().await;
    let mut transaction = world.begin(POSTGRES).await;
    within(&mut transaction, "UPDATE t SET n = 3").await;
    assert_eq!(code(within(&mut transaction, "SELECT 1 / 0 AS a").await), "SQL_FAILED");
    assert_eq!(code(within(&mut transaction, "SELECT 1 AS a").await), "SQL_FAILED");
    let ended = transaction.commit().await;
    assert!(matches!(ended, Err(CommitError::NotCommitted(_))), "{ended:?}");
    assert_eq!(sum(&world, POSTGRES).await, 0);
}

#[tokio::test]
async fn of_two_writers_on_one_snapshot_one_is_told_of_a_conflict() {
    let world = prepared().await;
    for database in [SQLITE, POSTGRES] {
        let (mut one, mut other) = (world.begin(database).await, world.begin(database).await);
        within(&mut one, SUM).await;
        within(&mut other, SUM).await;
        assert_eq!(changed(within(&mut one, "UPDATE t SET n = n + 1").await), 2);
        one.commit().await.unwrap();
        let late = within(&mut other, "UPDATE t SET n = n + 1").await;
        let Outcome::Err(error) = late else { panic!("{late:?}") };
        assert_eq!(error.code, "SQL_CONFLICT");
        let about = if database == SQLITE { "SQLITE_BUSY_SNAPSHOT" } else { "40001" };
        assert!(error.message.contains(about), "{error}");
        other.rollback().await;
        assert_eq!(sum(&world, database).await, 2);
    }
}

/// What others have written is no matter to who has read something else, however old the state is that it has read.
#[tokio::test]
async fn on_a_file_only_what_was_read_has_to_be_as_it_was() {
    let world = prepared().await;
    world.run(SQLITE, "CREATE TABLE rows (id INTEGER PRIMARY KEY, n INTEGER)").await;
    world.run(SQLITE, "INSERT INTO rows VALUES (1, 10), (2, 20)").await;
    let read = "SELECT n FROM rows WHERE id = 1";
    for inner in [false, true] {
        let mut one = world.begin(SQLITE).await;
        within(&mut one, read).await;
        if inner {
            one.savepoint(1).await.unwrap();
            one.savepoint(2).await.unwrap();
            one.rollback_to(1).await.unwrap();
        }
        assert_eq!(world.run(SQLITE, "UPDATE rows SET n = n + 1 WHERE id = 2").await, 1);
        assert_eq!(changed(within(&mut one, "UPDATE rows SET n = n + 1 WHERE id = 1").await), 1);
        if inner {
            one.rollback_to(1).await.unwrap();
            one.release(1).await.unwrap();
            assert_eq!(changed(within(&mut one, "UPDATE rows SET n = 12 WHERE id = 1").await), 1);
        }
        one.commit().await.unwrap();
    }
    let rows = world.rows(SQLITE, "SELECT n FROM rows ORDER BY id", json!([])).await;
    assert_eq!(rows, json!([[12], [22]]));
}

/// It is told so by whatever it asks from then on, and its connection is the next one's.
#[tokio::test]
async fn on_a_file_a_transaction_is_over_when_what_it_read_has_changed() {
    let world = prepared().await;
    // What is not the same each time cannot be found to be so still; nor can what was not answered.
    let count = "SELECT count(*) AS n FROM t";
    let refused = "SELECT n, m FROM t";
    for (reads, about) in [
        (vec![SUM], SUM),
        (vec!["SELECT random() AS n FROM t"], "SELECT random() AS n FROM t"),
        (vec![count, refused], ""),
    ] {
        let mut one = world.begin(SQLITE).await;
        for read in &reads {
            within(&mut one, read).await;
        }
        world.run(SQLITE, "UPDATE t SET n = n + 1").await;
        let late = within(&mut one, "UPDATE t SET n = 100").await;
        let Outcome::Err(error) = late else { panic!("{reads:?}: {late:?}") };
        assert_eq!(error.code, "SQL_CONFLICT", "{reads:?}");
        assert!(error.message.starts_with("SQLITE_BUSY_SNAPSHOT"), "{error}");
        assert!(error.message.contains(about), "{error}");
        if !reads.contains(&refused) {
            assert_eq!(code(within(&mut one, SUM).await), "SQL_CONFLICT", "{reads:?}");
            let ended = one.commit().await;
            assert!(matches!(ended, Err(CommitError::NotCommitted(_))), "{ended:?}");
        }
    }
    assert_eq!(sum(&world, SQLITE).await, 6);
}

/// Those of one process write a file in turns, so nobody is refused for another one that is quick.
#[tokio::test]
async fn on_a_file_writers_wait_for_each_other() {
    let world = prepared().await;
    let (mut one, mut other) = (world.begin(SQLITE).await, world.begin(SQLITE).await);
    within(&mut one, "UPDATE t SET n = n + 1").await;
    let mut write = Box::pin(async move {
        let written = changed(within(&mut other, "UPDATE t SET n = n * 10").await);
        other.commit().await.unwrap();
        written
    });
    let mut alone = Box::pin(world.run(SQLITE, "UPDATE t SET n = n + 3"));
    for _ in 0..100 {
        assert!(futures_util::poll!(&mut write).is_pending());
        assert!(futures_util::poll!(&mut alone).is_pending());
        tokio::task::yield_now().await;
    }
    one.commit().await.unwrap();
    assert_eq!(futures_util::join!(write, alone), (2, 2));
    // Which of them came first is up to the threads on which they looked what they are.
    let sum = sum(&world, SQLITE).await;
    assert!([json!(26), json!(80)].contains(&sum), "{sum}");
}

/// Nobody waits for a lock longer than they were told to.
#[tokio::test]
async fn a_lock_that_is_held_is_a_conflict() {
    let world = prepared().await;
    for database in [SQLITE, POSTGRES] {
        let begin = SqlBegin {
            lock_timeout: Some(std::time::Duration::from_millis(1)),
            isolation: Some(Isolation::ReadCommitted),
            ..SqlBegin::default()
        };
        let mut one = world.begin(database).await;
        let mut other = world.host.begin_sql(Some(database), begin).await.unwrap();
        within(&mut one, "UPDATE t SET n = n + 1").await;
        let late = within(&mut other, "UPDATE t SET n = n + 1").await;
        assert_eq!(code(late), "SQL_CONFLICT", "{database}");
        other.rollback().await;
        one.commit().await.unwrap();
    }
}

/// Each reads what the other writes: only one order of the two can be.
#[tokio::test]
async fn serializable_transactions_are() {
    let world = prepared().await;
    let begin = || SqlBegin { isolation: Some(Isolation::Serializable), ..SqlBegin::default() };
    for database in [SQLITE, POSTGRES] {
        let mut one = world.host.begin_sql(Some(database), begin()).await.unwrap();
        let mut other = world.host.begin_sql(Some(database), begin()).await.unwrap();
        within(&mut one, SUM).await;
        within(&mut other, SUM).await;
        let first = within(&mut one, "UPDATE t SET n = 1 WHERE id = 1").await;
        assert_eq!(changed(first), 1);
        // On a file it would wait for the first one.
        if database == SQLITE {
            one.commit().await.unwrap();
            let second = within(&mut other, "UPDATE t SET n = 1 WHERE id = 2").await;
            assert_eq!(code(second), "SQL_CONFLICT");
            continue;
        }
        let second = within(&mut other, "UPDATE t SET n = 1 WHERE id = 2").await;
        one.commit().await.unwrap();
        let refused = match second {
            Outcome::Err(error) => error,
            Outcome::Ok { .. } => match other.commit().await {
                Err(CommitError::NotCommitted(error)) => error,
                ended => panic!("{ended:?}"),
            },
        };
        assert_eq!(refused.code, "SQL_CONFLICT");
    }
}

#[tokio::test]
async fn a_read_only_transaction_changes_nothing() {
    let world = prepared().await;
    for database in [SQLITE, POSTGRES] {
        let begin = SqlBegin { read_only: true, ..SqlBegin::default() };
        let mut transaction = world.host.begin_sql(Some(database), begin).await.unwrap();
        assert_eq!(rows(within(&mut transaction, SUM).await), json!([[0]]));
        assert_eq!(code(within(&mut transaction, "UPDATE t SET n = 1").await), "SQL_FAILED");
        transaction.rollback().await;
        assert_eq!(world.run(database, "UPDATE t SET n = 0").await, 2);
    }
}

/// What is given up is not half done, and its connection is nobody's any more.
#[tokio::test]
async fn a_call_that_is_given_up_ends_the_transaction() {
    let world = prepared().await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n";
    for (database, long) in [(SQLITE, endless), (POSTGRES, "SELECT pg_sleep(600)")] {
        let mut transaction = world.begin(database).await;
        within(&mut transaction, "UPDATE t SET n = 9").await;
        let call = query(database, long, json!([]));
        let given_up =
            tokio::time::timeout(std::time::Duration::from_millis(50), transaction.perform(&call));
        assert!(given_up.await.is_err());
        assert_eq!(code(within(&mut transaction, SUM).await), "SQL_UNAVAILABLE");
        transaction.savepoint(1).await.unwrap_err();
        let ended = transaction.commit().await;
        assert!(matches!(ended, Err(CommitError::NotCommitted(_))), "{ended:?}");
        assert_eq!(world.run(database, "UPDATE t SET n = n + 1").await, 2);
        assert_eq!(sum(&world, database).await, 2);
    }
}

#[tokio::test]
async fn a_deferred_constraint_is_told_at_the_commit() {
    let world = prepared().await;
    for database in [SQLITE, POSTGRES] {
        let text = "CREATE TABLE u (t INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)";
        world.run(database, text).await;
        let mut transaction = world.begin(database).await;
        assert_eq!(changed(within(&mut transaction, "INSERT INTO u VALUES (99)").await), 1);
        match transaction.commit().await {
            Err(CommitError::NotCommitted(error)) => assert_eq!(error.code, "SQL_CONSTRAINT"),
            ended => panic!("{ended:?}"),
        }
        let count = world.rows(database, "SELECT count(*) AS n FROM u", json!([])).await;
        assert_eq!(count, json!([[0]]));
    }
}

#[tokio::test]
async fn a_transaction_is_of_one_database() {
    let world = prepared().await;
    let mut transaction = world.begin(SQLITE).await;
    let other = transaction.perform(&query(POSTGRES, "SELECT 1 AS a", json!([]))).await;
    assert_eq!(code(other), "DATABASE_UNKNOWN");
    let call = query(POSTGRES, "SELECT 1 AS a", json!([]));
    let (database, engine) = world.host.database_of(&call).unwrap();
    assert_eq!((database.as_str(), engine), (POSTGRES, SqlEngine::Postgres));
}

/// A driver may hold it in any task.
#[tokio::test]
async fn a_transaction_may_go_to_another_thread() {
    let world = prepared().await;
    for database in [SQLITE, POSTGRES] {
        let mut transaction = world.begin(database).await;
        let task = tokio::spawn(async move {
            let changed = changed(within(&mut transaction, "UPDATE t SET n = 1").await);
            transaction.savepoint(1).await.unwrap();
            transaction.release(1).await.unwrap();
            transaction.commit().await.unwrap();
            changed
        });
        assert_eq!(task.await.unwrap(), 2);
    }
}

/// A plan made before the schema changed fails once; the same again succeeds.
#[tokio::test]
async fn a_stale_plan_in_a_transaction_is_a_conflict() {
    let world = Databases::pooled(r#","pool":1"#).await;
    world.run(POSTGRES, "CREATE TABLE t (a int)").await;
    world.rows(POSTGRES, "SELECT * FROM t", json!([])).await;
    world.run(POSTGRES, "ALTER TABLE t ADD b int").await;
    let mut transaction = world.begin(POSTGRES).await;
    assert_eq!(code(within(&mut transaction, "SELECT * FROM t").await), "SQL_CONFLICT");
    transaction.rollback().await;
    let mut again = world.begin(POSTGRES).await;
    assert_eq!(rows(within(&mut again, "SELECT * FROM t").await), json!([]));
    again.rollback().await;
}
