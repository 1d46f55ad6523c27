//! One transaction: it commits, it is tried again from its snapshot, or it fails and leaves nothing.

use belay_host::{
    code,
    tape::{Invoked, Recorder, RecorderOptions},
};
use belay_model::{Category, Limits};
use serde_json::json;

use crate::world::{CONTEXT, World, spec};

/// A transaction of `ways`, with what its spec says more.
fn transaction(more: serde_json::Value, ways: &str) -> String {
    format!("transaction({}, [{ways}], [event, context]", spec(&more))
}

#[tokio::test]
async fn what_it_writes_is_there_when_it_has_committed() {
    let world = World::new();
    world.put("a", json!(10)).await;
    let begin = transaction(json!({}), "async () => {
        await kv.put('a', (await kv.get('a')) - 3);
        await kv.put('b', 3);
        const seen = [await kv.get('a'), await kv.get('b'), (await kv.list()).entries.map((it) => it.key)];
        return seen; }");
    let seen = world.ok(&format!("return {begin});")).await;
    assert_eq!(seen, json!([7, 3, ["a", "b"]]), "its own writes are read");
    assert_eq!((world.get("a").await, world.get("b").await), (json!(7), json!(3)));
}

#[tokio::test]
async fn what_it_throws_is_thrown_on_and_nothing_is_written() {
    let world = World::new();
    let begin =
        transaction(json!({}), "async () => { await kv.put('a', 1); throw new RangeError('no'); }");
    let told = world
        .ok(&format!("try {{ await {begin}); }} catch (error) {{ return [error instanceof RangeError, error.message, context.transaction ?? null]; }}"))
        .await;
    assert_eq!(told, json!([true, "no", null]));
    assert_eq!(world.get("a").await, json!(null));
}

/// Nothing before the transaction runs again, and what its attempts did to the program is undone.
#[tokio::test]
async fn it_is_tried_again_from_its_snapshot_with_the_same_random_numbers() {
    let world = World::new();
    let begin = transaction(
        json!({ "success": "result.n > 2" }),
        "async () => {
        inside += 1;
        const { attempt, reasons } = context.transaction;
        console.log('attempt', attempt, 'inside', inside, 'reasons', reasons.length);
        console.log(String(Math.random()));
        await kv.put('n', attempt);
        return { n: attempt, inside }; }",
    );
    let body = format!(
        "console.log('before'); let inside = 0; const result = await {begin}, (result) => result.n > 2);
         return {{ ...result, stored: await kv.get('n'), outside: inside }};"
    );
    let finished = world.run(&body).await;
    let result: serde_json::Value = serde_json::from_str(&finished.result.unwrap()).unwrap();
    assert_eq!(
        (&result["n"], &result["inside"], &result["outside"]),
        (&json!(3), &json!(1), &json!(1))
    );
    assert_eq!(result["stored"], json!(3));
    let lines: Vec<_> = finished.logs.iter().map(|line| line.text.as_str()).collect();
    let attempt = |n: u32, reasons: u32| format!("attempt {n} inside 1 reasons {reasons}");
    assert_eq!(lines.len(), 7, "{lines:?}");
    let random = lines[2];
    assert!(random.parse::<f64>().is_ok_and(|it| it > 0.0 && it < 1.0), "{random}");
    let told = [(1, 0), (2, 1), (3, 1)].map(|(n, reasons)| attempt(n, reasons));
    assert_eq!(lines, ["before", &told[0], random, &told[1], random, &told[2], random]);
}

#[tokio::test]
async fn criteria_that_never_hold_end_it_with_the_history_of_its_attempts() {
    let world = World::new();
    let begin = transaction(
        json!({ "success": "result.ok", "retries": 2, "ways": ["transfer"] }),
        "async () => { await kv.put('n', 1); return { ok: false }; }",
    );
    let finished = world.run(&format!("return {begin}, (result) => result.ok);")).await;
    let failure = finished.result.unwrap_err();
    assert_eq!(
        (failure.category, failure.error_type.as_str()),
        (Category::Exception, "TransactionError")
    );
    assert!(failure.message.contains("failed after 3 attempts"), "{}", failure.message);
    assert!(failure.message.contains("3. transfer"), "{}", failure.message);
    assert_eq!(world.get("n").await, json!(null));
}

/// Another writer comes between its read and its commit, twice.
#[tokio::test]
async fn a_conflict_is_tried_again() {
    let world = World::new();
    world.put("n", json!(0)).await;
    let begin = transaction(
        json!({ "id": "count" }),
        "async () => {
        const n = await kv.get('n');
        if (n < 2) await http.fetch(event.url + '/' + n);
        await kv.put('n', n + 10);
        return context.transaction.attempt; }",
    );
    let writer = crate::outside::Server::writing(&world).await;
    let body = format!("event.url = '{}'; return {begin});", writer.url);
    let finished = world.run(&body);
    let (finished, ()) = tokio::join!(finished, writer.serve(&world, 2));
    assert_eq!(finished.result.unwrap(), "3");
    assert_eq!(world.get("n").await, json!(12));
}

#[tokio::test]
async fn an_attempt_past_its_time_or_stopped_by_the_engine_is_undone() {
    let world = World::new();
    let cases = [
        (
            "await new Promise((resolve) => setTimeout(resolve, 60_000));",
            json!({ "timeoutMs": 30 }),
            Category::Timeout,
        ),
        ("for (;;);", json!({ "timeoutMs": 30 }), Category::Timeout),
        (
            "const all = []; for (;;) all.push(new Array(10_000).fill(all.length));",
            json!({ "memoryBytes": 32 << 20 }),
            Category::OutOfMemory,
        ),
    ];
    for (work, more, category) in cases {
        let begin = transaction(
            more,
            &format!(
                "async () => {{
            await kv.put('n', context.transaction.attempt);
            if (context.transaction.attempt < 2) {{ {work} }}
            return context.transaction.attempt; }}"
            ),
        );
        let finished = world
            .run(&format!(
                "try {{ return await {begin}); }} catch (error) {{ return error.message; }}"
            ))
            .await;
        let result: serde_json::Value = serde_json::from_str(&finished.result.unwrap()).unwrap();
        if category == Category::Timeout {
            assert_eq!((result, world.get("n").await), (json!(2), json!(2)), "{work}");
        } else {
            // As it could not be cured by more of the same.
            assert!(result.as_str().unwrap().contains("memory"), "{result}");
        }
    }
}

#[tokio::test]
async fn its_final_failure_has_the_category_of_the_last_attempt() {
    let world = World::new();
    let begin = transaction(
        json!({ "timeoutMs": 20, "retries": 1, "ways": ["transfer"] }),
        "() => new Promise((resolve) => setTimeout(resolve, 60_000))",
    );
    let failure = world.run(&format!("return {begin});")).await.result.unwrap_err();
    assert_eq!(failure.category, Category::Timeout, "{failure}");
    let begin = transaction(json!({}), "() => { throw new TypeError('own'); }");
    let failure = world.run(&format!("return {begin});")).await.result.unwrap_err();
    assert_eq!((failure.category, failure.error_type.as_str()), (Category::Exception, "TypeError"));
}

#[tokio::test]
async fn the_next_way_is_taken_when_one_is_used_up() {
    let world = World::new();
    let begin = transaction(
        json!({ "retries": 1 }),
        "async () => { await kv.put('way', 'first'); throw new Error('busy'); },
         async (event, context) => { await kv.put('way', 'second'); return [context.transaction, typeof event]; }",
    );
    let retried = begin.replace(r#"\"id\""#, r#"\"retry\":[\"Error\"],\"id\""#);
    let told = world.ok(&format!("return {retried});")).await;
    assert_eq!(told[0]["way"], json!(1));
    assert_eq!(told[0]["attempt"], json!(3));
    assert_eq!(told[0]["reasons"][0], json!("Error: busy"));
    assert_eq!(told[1], json!("object"));
    assert_eq!(world.get("way").await, json!("second"));
}

/// What is asked together with it goes on.
#[tokio::test]
async fn one_that_cannot_begin_is_refused() {
    let world = World::new();
    let body = "const [begun, got] = await Promise.allSettled([transaction('{}', [() => 1], []), kv.put('x', 1)]); return [begun.reason.code, got.status];";
    assert_eq!(world.ok(body).await, json!(["BAD_ARGUMENTS", "fulfilled"]));
}

#[tokio::test]
async fn its_time_is_that_of_the_invocation() {
    let world = World::new();
    let begin = transaction(
        json!({}),
        "async () => { await kv.put('n', 1); await new Promise(() => setTimeout(() => {}, 60_000)); }",
    );
    let limits = Limits { timeout_ms: 100, ..Limits::default() };
    let finished = world.run_with(&format!("return {begin});"), limits, None).await;
    let failure = finished.result.unwrap_err();
    assert_eq!(failure.category, Category::Timeout);
    assert!(failure.message.contains("100 ms"), "{failure}");
    assert_eq!(world.get("n").await, json!(null));
}

/// A tape has the attempt that committed, as if it had been the only one.
#[tokio::test]
async fn a_tape_has_the_last_attempt() {
    let world = World::new();
    let begin = transaction(
        json!({}),
        "async () => { await kv.put('n', context.transaction.attempt); return context.transaction.attempt; }",
    );
    let options = RecorderOptions::default();
    let invoked = Invoked { function: "f", event: "{}", context: CONTEXT, seed: [7; 32] };
    let mut recorder = Recorder::new(invoked, options);
    let body = format!("await kv.get('x'); return {begin}, (result) => result > 2);");
    let finished = world.run_with(&body, Limits::default(), Some(&mut recorder)).await;
    let tape = recorder.finish(&finished).unwrap();
    let ops: Vec<_> = tape.effects.iter().map(|effect| effect.op.as_str()).collect();
    assert_eq!(ops, ["kv.get", "tx.begin", "kv.put", "tx.end"]);
    assert!(tape.effects[2].args.as_str().contains('3'), "{:?}", tape.effects[2].args);
}

/// COMMIT is refused by a constraint that a person has added, who has also made the file say what it would if the commit
/// had got into it, or if it cannot be told.
#[tokio::test]
async fn a_commit_of_kv_in_doubt_is_never_made_twice() {
    let begin = transaction(
        json!({}),
        "async () => { await kv.put('a', 2); return context.transaction.attempt; }",
    );
    let code = format!(
        "try {{ return await {begin}); }} catch (error) {{ return error.code ?? error.message; }}"
    );
    for (newest, told) in [(2, json!(1)), (7, json!(code::TX_UNKNOWN))] {
        let world = World::new();
        world.put("a", json!(1)).await;
        let path = world.dir().join("kv").join("bank.sqlite");
        let person = rusqlite::Connection::open(path).unwrap();
        let says = format!(
            "UPDATE meta SET revision = {newest};
             CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER refusing AFTER UPDATE ON meta BEGIN INSERT INTO child VALUES (1); END;"
        );
        person.execute_batch(&says).unwrap();
        assert_eq!(world.ok(&code).await, told, "{newest}");
    }
}
