//! Transactions of databases: SQLite and PostgreSQL.

use belay_host::code;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::json;

use crate::{
    outside::Server,
    world::{World, spec},
};

const BOTH: [&str; 2] = ["main", "ledger"];

/// A world whose databases have two accounts with 100 each.
async fn bank() -> World {
    let world = World::with_server().await;
    for database in BOTH {
        world.sql(database, "CREATE TABLE account (name TEXT PRIMARY KEY, sum INTEGER NOT NULL CHECK (sum >= 0))").await;
        world.sql(database, "INSERT INTO account VALUES ('a', 100), ('b', 100)").await;
    }
    world
}

async fn sums(world: &World, database: &str) -> serde_json::Value {
    world.sql(database, "SELECT sum FROM account ORDER BY name").await
}

/// Moves money from a to b, and does `more`.
fn transfer(database: &str, amount: i32, more: &str) -> String {
    format!(
        "transaction({}, [async () => {{
            const db = sql.database('{database}');
            const {{ sum }} = await db.one(\"SELECT sum FROM account WHERE name = 'a'\");
            {more}
            await db.execute(\"UPDATE account SET sum = $1 WHERE name = 'a'\", [sum - {amount}]);
            await db.execute(\"UPDATE account SET sum = sum + $1 WHERE name = 'b'\", [{amount}]);
            return context.transaction.attempt;
        }}], [])",
        spec(&json!({ "ways": ["transfer"] }))
    )
}

#[tokio::test]
async fn all_of_it_or_nothing() {
    let world = bank().await;
    for database in BOTH {
        assert_eq!(world.ok(&format!("return {};", transfer(database, 30, ""))).await, json!(1));
        assert_eq!(sums(&world, database).await, json!([[70], [130]]), "{database}");
        let more = "await db.execute(\"UPDATE account SET sum = 0 WHERE name = 'b'\"); throw new Error('no');";
        let failed = world.run(&format!("return {};", transfer(database, 30, more))).await;
        assert_eq!(failed.result.unwrap_err().message, "no");
        assert_eq!(sums(&world, database).await, json!([[70], [130]]), "{database}");
    }
}

/// Another connection writes the row between its read and its write.
#[tokio::test]
async fn a_conflict_is_tried_again_on_a_new_snapshot() {
    let world = bank().await;
    for database in BOTH {
        let mut server = Server::start().await;
        let more =
            format!("if (context.transaction.attempt < 3) await http.get('{}');", server.url);
        let code = format!("return {};", transfer(database, 10, &more));
        let writer = async {
            for _ in 0..2 {
                let request = server.next().await;
                world.sql(database, "UPDATE account SET sum = sum - 1 WHERE name = 'a'").await;
                request.answer(200);
            }
        };
        let (attempts, ()) = tokio::join!(world.ok(&code), writer);
        assert_eq!(attempts, json!(3), "{database}");
        assert_eq!(
            sums(&world, database).await,
            json!([[88], [110]]),
            "{database}: nothing is lost"
        );
    }
}

/// Moves money between two accounts, `first` gives it; a first attempt asks the service in between, others before.
fn crossing(url: &str, [first, second]: [&str; 2], amount: u32) -> String {
    format!(
        "return transaction({}, [async () => {{
            const {{ attempt }} = context.transaction, db = sql.database('ledger');
            if (attempt > 1) await http.get('{url}');
            await db.execute(\"UPDATE account SET sum = sum - {amount} WHERE name = '{first}'\");
            if (attempt === 1) await http.get('{url}');
            await db.execute(\"UPDATE account SET sum = sum + {amount} WHERE name = '{second}'\");
            return attempt;
        }}], []);",
        spec(&json!({ "ways": ["transfer"] }))
    )
}

/// Each holds the row that the other one asks for next. The server ends one of them, which is tried again.
#[tokio::test]
async fn a_deadlock_is_tried_again_and_both_commit() {
    let world = bank().await;
    let mut server = Server::start().await;
    let codes = [(["a", "b"], 10), (["b", "a"], 30)]
        .map(|(order, amount)| crossing(&server.url, order, amount));
    let mut runs: FuturesUnordered<_> = codes.iter().map(|code| world.ok(code)).collect();
    let (mut attempts, mut asks) = (Vec::new(), Vec::new());
    while attempts.len() < 2 {
        tokio::select! {
            Some(attempt) = runs.next() => attempts.push(attempt),
            request = server.next() => asks.push(request),
        }
        // They go on when both hold their first row. The one that has to begin again waits until the other one is done.
        if asks.len() == 2 || !attempts.is_empty() {
            asks.drain(..).for_each(|request| request.answer(200));
        }
    }
    assert_eq!(attempts, [json!(1), json!(2)]);
    assert_eq!(sums(&world, "ledger").await, json!([[120], [80]]));
    let story = world.book.stories(|story| !story.attempts.is_empty(), 2).remove(0);
    let told = format!("{:?}", story.attempts);
    assert!(told.contains("Conflict") && told.contains("40P01"), "{told}");
}

/// What an attempt has had of the pool is given back before the next one asks for it, also from within an inner one.
#[tokio::test]
async fn one_connection_is_enough_to_try_again() {
    let world = World::with_pool(1).await;
    world.sql("ledger", "CREATE TABLE account (name TEXT PRIMARY KEY, sum INTEGER NOT NULL)").await;
    world.sql("ledger", "INSERT INTO account VALUES ('a', 100), ('b', 100)").await;
    let mut server = Server::start().await;
    let ask = format!("if (context.transaction.attempt < 3) await http.get('{}');", server.url);
    let code = format!("return {};", transfer("ledger", 10, &ask));
    let writer = async {
        for _ in 0..2 {
            let request = server.next().await;
            world.beside("UPDATE account SET sum = sum - 1 WHERE name = 'a'").await;
            request.answer(200);
        }
    };
    let (attempts, ()) = tokio::join!(world.ok(&code), writer);
    assert_eq!(attempts, json!(3));
    let inner = format!(
        "try {{ await transaction({}, [async () => {{ await sql.database('ledger').query('SELECT 1 AS one'); throw new Error('no'); }}], []); }} catch {{}}",
        spec(&json!({ "id": "inner", "ways": ["inner"] }))
    );
    let spec = spec(&json!({ "ways": ["outer"] }));
    let update = "await sql.database('ledger').execute('UPDATE account SET sum = sum + 1');";
    let code = format!(
        "return transaction({spec}, [async () => {{ {inner} {update} return context.transaction.attempt; }}], []);"
    );
    assert_eq!(world.ok(&code).await, json!(1));
    assert_eq!(sums(&world, "ledger").await, json!([[89], [111]]));
}

#[tokio::test]
async fn a_transaction_has_the_isolation_that_it_asks_for() {
    let world = World::with_server().await;
    for (isolation, found) in [
        (json!(null), "repeatable read"),
        (json!("read-committed"), "read committed"),
        (json!("repeatable-read"), "repeatable read"),
        (json!("serializable"), "serializable"),
    ] {
        let spec = spec(&json!({ "ways": ["isolated"], "isolation": isolation }));
        let code = format!(
            "return transaction({spec}, [async () => {{
                const db = sql.database('ledger');
                return (await db.one(\"SELECT current_setting('transaction_isolation') AS level\")).level;
            }}], []);"
        );
        assert_eq!(world.ok(&code).await, json!(found), "{isolation}");
    }
}

/// Each reads what the other one writes: neither order explains both.
#[tokio::test]
async fn serializable_ones_that_cross_are_tried_again() {
    let world = bank().await;
    let mut server = Server::start().await;
    let spec = spec(&json!({ "ways": ["crossing"], "isolation": "serializable" }));
    let code = format!(
        "return transaction({spec}, [async () => {{
            const db = sql.database('ledger');
            const {{ sum }} = await db.one(\"SELECT sum FROM account WHERE name = 'a'\");
            if (context.transaction.attempt === 1) await http.get('{}');
            await db.execute(\"UPDATE account SET sum = $1 WHERE name = 'b'\", [sum]);
            return context.transaction.attempt;
        }}], []);",
        server.url
    );
    let other = format!(
        "await transaction({spec}, [async () => {{
            const db = sql.database('ledger');
            const {{ sum }} = await db.one(\"SELECT sum FROM account WHERE name = 'b'\");
            await db.execute(\"UPDATE account SET sum = $1 WHERE name = 'a'\", [sum + 1]);
        }}], []); return 0;"
    );
    let between = async {
        let request = server.next().await;
        world.ok(&other).await;
        request.answer(200);
    };
    let (attempts, ()) = tokio::join!(world.ok(&code), between);
    assert_eq!(attempts, json!(2));
    assert_eq!(sums(&world, "ledger").await, json!([[101], [101]]));
}

#[tokio::test]
async fn what_a_constraint_forbids_is_not_tried_again() {
    let world = bank().await;
    for database in BOTH {
        let failed = world.run(&format!("return {};", transfer(database, 101, ""))).await;
        let failure = failed.result.unwrap_err();
        assert_eq!(failure.error_type, "BelayError", "{failure}");
        assert_eq!(sums(&world, database).await, json!([[100], [100]]), "{database}");
    }
}

#[tokio::test]
async fn an_inner_one_is_a_savepoint() {
    let world = bank().await;
    for database in BOTH {
        let inner = |amount: i32, more: &str| {
            format!(
                "transaction({}, [async () => {{ await db.execute(\"UPDATE account SET sum = sum - {amount} WHERE name = 'b'\"); {more} }}], [])",
                spec(&json!({ "id": "inner", "ways": ["inner"] }))
            )
        };
        let more = format!(
            "await {}; try {{ await {}; }} catch {{}} try {{ await {}; }} catch {{}}",
            inner(5, ""),
            inner(7, "throw new Error('no');"),
            inner(1000, "")
        );
        world.ok(&format!("return {};", transfer(database, 10, &more))).await;
        assert_eq!(sums(&world, database).await, json!([[90], [105]]), "{database}");
    }
}

/// The first write of another resource is refused, whichever comes first.
#[tokio::test]
async fn one_resource_is_written() {
    let world = bank().await;
    let put = "await kv.put('n', 1);";
    let main = "await sql.database('main').execute(\"UPDATE account SET sum = 0\");";
    let ledger = "await sql.database('ledger').execute(\"UPDATE account SET sum = 0\");";
    for (first, second, names) in [
        (put, main, ["the kv", "the database main"]),
        (ledger, put, ["the database ledger", "the kv"]),
        (main, ledger, ["the database main", "the database ledger"]),
    ] {
        let code = format!(
            "try {{ await transaction({}, [async () => {{ {first} {second} }}], []); }} catch (error) {{ return [error.code, error.message]; }}",
            spec(&json!({ "ways": ["both"] }))
        );
        let told = world.ok(&code).await;
        assert_eq!(told[0], json!(code::TX_SECOND_RESOURCE), "{told}");
        let message = told[1].as_str().unwrap();
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
    }
    assert_eq!(world.get("n").await, json!(null));
    for database in BOTH {
        assert_eq!(sums(&world, database).await, json!([[100], [100]]), "{database}");
    }
}

/// Runs a transaction, and gives the code and the message with which it has failed.
async fn refused(world: &World, body: &str) -> (String, String) {
    let code = format!(
        "try {{ await transaction({}, [async () => {{ {body} }}], []); }} catch (error) {{ return [error.code, error.message]; }}",
        spec(&json!({ "ways": ["both"] }))
    );
    let told = world.ok(&code).await;
    let text = |at: usize| told[at].as_str().unwrap_or_default().to_owned();
    (text(0), text(1))
}

/// Their statements look as if they only read, so only the server knows.
#[tokio::test]
async fn what_a_function_of_the_database_writes_counts() {
    let world = bank().await;
    for text in [
        "CREATE SEQUENCE numbers",
        "CREATE FUNCTION take(amount int) RETURNS int LANGUAGE sql AS \
         'UPDATE account SET sum = sum - amount WHERE name = ''a'' RETURNING sum'",
        "CREATE FUNCTION look() RETURNS int LANGUAGE sql AS 'SELECT sum FROM account WHERE name = ''a'' FOR UPDATE'",
        "CREATE FUNCTION number() RETURNS bigint LANGUAGE sql AS 'SELECT nextval(''numbers'')'",
    ] {
        world.sql("ledger", text).await;
    }
    let take = "await sql.database('ledger').query('SELECT take(10) AS left');";
    let put = "await kv.put('n', 1);";
    let main = "await sql.database('main').execute(\"UPDATE account SET sum = 0\");";
    for (body, other) in [
        (format!("{take} {put}"), "the kv"),
        (format!("{put} {take}"), "the kv"),
        (format!("{take} {main}"), "the database main"),
    ] {
        let (code, message) = refused(&world, &body).await;
        assert_eq!(code, code::TX_SECOND_RESOURCE, "{body}: {message}");
        assert!(message.contains("the database ledger") && message.contains(other), "{message}");
    }
    assert_eq!(world.get("n").await, json!(null));
    for database in BOTH {
        assert_eq!(sums(&world, database).await, json!([[100], [100]]), "{database}");
    }
    let run = async |body: &str| {
        let spec = spec(&json!({ "ways": ["one"] }));
        world
            .ok(&format!("await transaction({spec}, [async () => {{ {body} }}], []); return 0;"))
            .await
    };
    // Alone, or beside what is only read, it is the one that is written.
    run(take).await;
    run(&format!("await kv.get('n'); await sql.database('main').query('SELECT 1 AS one'); {take}"))
        .await;
    assert_eq!(sums(&world, "ledger").await, json!([[80], [100]]));
    // What writes no table, and what was undone, is in nobody's way.
    let inner = |body: &str| {
        let spec = spec(&json!({ "id": "inner", "ways": ["inner"] }));
        format!(
            "try {{ await transaction({spec}, [async () => {{ {body} throw new Error('no'); }}], []); }} catch {{}}"
        )
    };
    let read = "await sql.database('ledger').query('SELECT look() AS a, number() AS n');";
    run(&format!("{read} {} {put}", inner(take))).await;
    assert_eq!(
        (world.get("n").await, sums(&world, "ledger").await),
        (json!(1), json!([[80], [100]]))
    );
}

/// A constraint that is looked at only then. Its code has thrown nothing that could be thrown on.
#[tokio::test]
async fn what_is_refused_at_the_commit_is_a_failure_of_the_transaction() {
    let world = bank().await;
    world
        .sql(
            "ledger",
            "CREATE TABLE entry (name TEXT REFERENCES account DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let insert = "await sql.database('ledger').execute(\"INSERT INTO entry VALUES ('nobody')\");";
    let (code, message) = refused(&world, insert).await;
    assert_eq!(code, code::TX_FAILED, "{message}");
    assert!(message.contains("after 1 attempt") && message.contains("entry"), "{message}");
    assert_eq!(world.sql("ledger", "SELECT * FROM entry").await, json!([]));
}

/// An attempt that is given up in the middle of a statement holds no lock any more, and the next one begins anew.
#[tokio::test]
async fn a_statement_that_takes_too_long_is_undone() {
    let world = bank().await;
    let spec = spec(&json!({ "ways": ["slow"], "timeoutMs": 300, "retries": 1 }));
    let code = format!(
        "return transaction({spec}, [async () => {{
            const db = sql.database('ledger');
            await db.execute(\"UPDATE account SET sum = sum - 1 WHERE name = 'a'\");
            if (context.transaction.attempt === 1) await db.query('SELECT pg_sleep(60)');
            return context.transaction.attempt;
        }}], []);"
    );
    assert_eq!(world.ok(&code).await, json!(2));
    world.sql("ledger", "UPDATE account SET sum = sum - 1 WHERE name = 'a'").await;
    assert_eq!(sums(&world, "ledger").await, json!([[98], [100]]));
}

/// Alone, one read has seen one moment; but what is written elsewhere is written for it.
#[tokio::test]
async fn one_key_that_was_read_has_to_be_as_it_was_when_a_database_is_written() {
    let world = World::new();
    world.sql("main", "CREATE TABLE t (n INTEGER NOT NULL)").await;
    let server = Server::writing(&world).await;
    let code = format!(
        "return transaction({}, [async () => {{
            const n = (await kv.get('n')) ?? 0;
            await http.post('{}', {{}});
            await sql.execute('INSERT INTO t VALUES ($1)', [n]);
            return context.transaction.attempt;
        }}], []);",
        spec(&json!({ "ways": ["note"] })),
        server.url,
    );
    // The request is made once: the second attempt is answered as the first was.
    let (attempt, ()) = futures_util::join!(world.ok(&code), server.serve(&world, 1));
    assert_eq!(attempt, json!(2));
    assert_eq!(world.sql("main", "SELECT n FROM t").await, json!([[1]]));
}

/// Those that read and write rows of their own are in nobody's way, although a file has one writer at a time.
#[tokio::test]
async fn on_a_file_only_rows_that_were_read_are_fought_over() {
    let world = bank().await;
    let server = Server::start().await;
    let url = server.url.clone();
    let own = |name: &str| {
        format!(
            "return transaction({}, [async () => {{
                const {{ sum }} = await sql.one(\"SELECT sum FROM account WHERE name = $1\", ['{name}']);
                await http.post('{url}', {{}});
                await sql.execute(\"UPDATE account SET sum = $2 WHERE name = $1\", ['{name}', sum + 1]);
                return context.transaction.attempt;
            }}], []);",
            spec(&json!({ "ways": ["add"] })),
        )
    };
    let (a, b) = (own("a"), own("b"));
    // Nobody is answered before both have read.
    let both = async {
        let mut server = server;
        let (one, other) = (server.next().await, server.next().await);
        one.answer(200);
        other.answer(200);
    };
    let (one, other, ()) = futures_util::join!(world.ok(&a), world.ok(&b), both);
    assert_eq!((one, other), (json!(1), json!(1)));
    assert_eq!(sums(&world, "main").await, json!([[101], [101]]));
}
