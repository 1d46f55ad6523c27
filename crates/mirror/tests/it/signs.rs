//! What mirrors see becomes signs, and signs become something that is done.
//!
//! As in [`crate::ahead`], only the mirror does what is looked at: its original goes on to a request that cannot be undone,
//! before which the forecast is asked for.

use belay_host::{SqlBegin, SqlTransaction};
use belay_mirror::{Action, Became, Class, Story};
use belay_model::{Call, CallId, Limits, Outcome};
use serde_json::{Value, json};

use crate::{
    ahead::{Gate, bank, bank_with_reader, came_to_its_end},
    world::{World, spec},
};

/// A transaction whose mirror does `body`; both then ask for what cannot be undone.
async fn looked_at(world: &World, gate: &Gate, more: &Value, body: &str) -> Story {
    let mut said = json!({ "ways": ["transfer"], "predict": true, "retries": 0, "rules": [
        { "name": "many writes", "class": "deviation", "measure": "writes", "above": 2.0 }] });
    for (key, value) in more.as_object().unwrap() {
        said[key] = value.clone();
    }
    let (spec, url) = (spec(&said), &gate.url);
    let code = format!(
        "const db = sql.database('ledger'), main = sql.database('main');
         return transaction({spec}, [async () => {{
            const {{ status }} = await http.get('{url}');
            if (status === 200) {{ {body} }}
            await http.post('{url}pay');
            return 'done';
         }}], []);"
    );
    for delay_ms in [10, 100, 1_000, 5_000] {
        gate.answers_after(delay_ms);
        assert_eq!(world.ok(&code).await, json!("done"));
        let story = (*world.book.stories(|_| true, 1)[0]).clone();
        if came_to_its_end(story.mirror.as_ref().unwrap()) {
            return story;
        }
    }
    panic!("the mirror does not come to its end: {body}");
}

fn reasons(story: &Story) -> Vec<(Class, String)> {
    let forecast = &story.forecast.as_ref().unwrap().forecast;
    forecast.reasons.iter().map(|(sign, _)| (sign.rule.class(), sign.text.clone())).collect()
}

/// Whether there is a reason of a class that says `text`.
fn says(story: &Story, class: Class, text: &str) -> bool {
    reasons(story).iter().any(|(of, said)| *of == class && said.contains(text))
}

const UPDATE: &str = "UPDATE account SET sum = sum - 1 WHERE name = 'a'";
/// Nothing refers to its rows: whoever holds one means to change it.
const ENTRY: &str = "UPDATE entry SET amount = amount + 1 WHERE number = 1";

/// Also by a role that is not told since when they do, and where others refer to the row: those lock it, too, but are in nobody's way.
#[tokio::test]
async fn others_that_hold_a_row_are_seen() {
    for world in [bank().await, bank_with_reader().await] {
        let gate = Gate::start(&world).await;
        for (text, table) in [(ENTRY, "entry"), (UPDATE, "account")] {
            let body = format!("await db.execute(\"{text}\");");
            let story = looked_at(&world, &gate, &json!({}), &body).await;
            assert!(!says(&story, Class::Contention, "locks"), "{:?}", reasons(&story));

            let refers = holding(&world, "INSERT INTO entry VALUES (9, 'a', 1)").await;
            let story = looked_at(&world, &gate, &json!({}), &body).await;
            assert!(!says(&story, Class::Contention, "locks"), "{:?}", reasons(&story));
            refers.rollback().await;

            let other = holding(&world, text).await;
            let story = looked_at(&world, &gate, &json!({}), &body).await;
            let told = format!("locks on {table}");
            assert!(says(&story, Class::Contention, &told), "{:?}", reasons(&story));
            other.rollback().await;
            let story = looked_at(&world, &gate, &json!({}), &body).await;
            assert!(!says(&story, Class::Contention, "locks"), "{:?}", reasons(&story));
        }
    }
}

/// Another transaction that has done this and goes on.
async fn holding(world: &World, text: &str) -> SqlTransaction {
    let mut other = world.host.begin_sql(Some("ledger"), SqlBegin::default()).await.unwrap();
    let args = json!({ "database": "ledger", "text": text, "params": [] }).to_string();
    let call = Call { id: CallId(1), op: "sql.query".to_owned(), args, body: None };
    let outcome = other.perform(&call).await;
    assert!(matches!(outcome, Outcome::Ok { .. }), "{outcome:?}");
    other
}

/// Who waits begins anew, which is no attempt. The row is free when it has come to the first request again.
#[tokio::test]
async fn what_others_hold_is_waited_for() {
    let world = bank().await;
    let gate = Gate::start(&world).await;
    gate.answers_after(20);
    // More attempts than these are not given, so there is nothing to adjust.
    let said = json!({ "ways": ["transfer"], "predict": true, "retries": 10, "timeoutMs": 300 });
    let (spec, url) = (spec(&said), &gate.url);
    let code = format!(
        "const db = sql.database('ledger');
         return transaction({spec}, [async () => {{
            await http.get('{url}');
            await http.post('{url}pay');
            await db.execute(\"{ENTRY}\");
            return 'done';
         }}], []);"
    );
    for _ in 0..60 {
        let (other, got) = (holding(&world, ENTRY).await, gate.got());
        let mut other = Some(other);
        let run = world.run(&code);
        tokio::pin!(run);
        let finished = loop {
            let wait = tokio::time::sleep(std::time::Duration::from_millis(1));
            tokio::select! {
                finished = &mut run => break finished,
                () = wait => if gate.got() > got + 1 && let Some(other) = other.take() {
                    other.rollback().await;
                },
            }
        };
        if let Some(other) = other.take() {
            other.rollback().await;
        }
        let story = world.book.stories(|_| true, 1).remove(0);
        if story.choices.first().is_some_and(|choice| choice.action == Action::Wait) {
            assert_eq!(finished.result.as_deref(), Ok("\"done\""), "{story:#?}");
            assert!(story.attempts.is_empty(), "{story:#?}");
            return;
        }
        // Nobody had waited, and it ran into the lock until it gave up.
    }
    panic!("nobody waits: {:#?}", world.book.stories(|_| true, 1));
}

#[tokio::test]
async fn a_constraint_that_does_not_hold_is_a_reason() {
    let world = bank().await;
    let gate = Gate::start(&world).await;
    for database in ["db", "main"] {
        let body = format!("await {database}.execute('UPDATE account SET sum = -1');");
        let story = looked_at(&world, &gate, &json!({}), &body).await;
        assert!(
            says(&story, Class::Validation, "of account does not hold"),
            "{:?}",
            reasons(&story)
        );
        assert!(story.mirror.unwrap().ended.unwrap().contains("sum"));
    }
}

#[tokio::test]
async fn rules_of_the_apps_own_speak() {
    let world = bank().await;
    let gate = Gate::start(&world).await;
    for (writes, holds) in [(2, false), (3, true)] {
        let body = format!("for (let n = 0; n < {writes}; n++) await kv.put(`k${{n}}`, n);");
        let story = looked_at(&world, &gate, &json!({}), &body).await;
        let told = format!("many writes: {writes} is above 2");
        assert_eq!(says(&story, Class::Deviation, &told), holds, "{:?}", reasons(&story));
    }
}

/// The attempt may use less than its function; where its mirror did not get by with that, it is given all.
#[tokio::test]
async fn memory_that_is_too_little_is_seen_and_more_is_given() {
    let world = bank().await;
    let gate = Gate::start(&world).await;
    let little = json!({ "memoryBytes": 32 << 20 });
    let body = "const all = []; for (;;) all.push(new Array(10_000).fill(all.length));";
    let story = looked_at(&world, &gate, &little, body).await;
    assert!(says(&story, Class::Deviation, "memory"), "{:?}", reasons(&story));
    // Some that look bad are let go on as they are.
    let mut story = story;
    while story.choices.is_empty() {
        story = looked_at(&world, &gate, &little, body).await;
    }
    assert_eq!(story.choices[0].action, Action::Allocate, "{:?}", story.choices);
}

#[tokio::test]
async fn who_locks_a_file_over_a_request_is_told() {
    let world = bank().await;
    let gate = Gate::start(&world).await;
    let spec = spec(&json!({ "ways": ["transfer"] }));
    let asks = format!("await http.get('{}')", gate.url);
    let writes = format!("await sql.database('main').execute(\"{UPDATE}\")");
    for (body, warned) in
        [(format!("{writes}; {asks};"), true), (format!("{asks}; {writes};"), false)]
    {
        let code =
            format!("return transaction({spec}, [async () => {{ {body} return 'done'; }}], []);");
        assert_eq!(world.ok(&code).await, json!("done"));
        let story = world.book.stories(|_| true, 1).remove(0);
        assert_eq!(story.warnings.len(), usize::from(warned), "{:?}", story.warnings);
    }
}

/// It is given up before others run into it, and leaves the file to them.
#[tokio::test]
async fn a_file_is_not_locked_for_long() {
    let world = bank().await;
    let gate = Gate::start(&world).await;
    gate.answers_after(60_000);
    let spec = spec(&json!({ "ways": ["transfer"], "retries": 0 }));
    let code = format!(
        "return transaction({spec}, [async () => {{ await sql.database('main').execute(\"{UPDATE}\"); await http.get('{}'); }}], []);",
        gate.url
    );
    let limits = Limits { timeout_ms: 50_000, ..Limits::default() };
    let finished = world.run_with(&code, limits, None).await;
    let failure = finished.result.unwrap_err();
    assert!(failure.message.contains("held the write lock of main"), "{failure}");
    world.sql("main", UPDATE).await;
}

/// Those that often meet a conflict wait for each other, and none of their writes is lost.
#[tokio::test]
async fn those_that_write_the_same_come_to_wait_for_each_other() {
    let world = World::new();
    world.put("n", json!(0)).await;
    let spec = spec(&json!({ "ways": ["transfer"], "predict": true, "retries": 50 }));
    let image = world.image(&format!(
        "return transaction({spec}, [async () => {{ const n = await kv.get('n'); await new Promise((done) => setTimeout(done, 2)); await kv.put('n', n + 1); }}], []);"
    ));
    let waited = |story: &Story| story.choices.iter().any(|choice| choice.action == Action::Wait);
    let mut runs = 0;
    while world.book.stories(waited, 1).is_empty() {
        assert!(runs < 4_000, "nobody waits: {:?}", world.book.ids());
        let together = (0..4).map(|_| world.start(&image, Limits::default(), None));
        for finished in futures_util::future::join_all(together).await {
            assert!(finished.result.is_ok(), "{:?}", finished.result);
        }
        runs += 4;
    }
    assert_eq!(world.get("n").await, json!(runs));
    assert!(world.book.stories(|story| story.became != Became::Committed, 1).is_empty());
}

/// Each has what the other one wants next. Who has to wait begins anew, which is no attempt.
#[tokio::test]
async fn those_that_come_upon_each_other_begin_anew() {
    let world = World::new();
    let keys = ["a", "b", "c"];
    for key in keys {
        world.put(key, json!(0)).await;
    }
    let image = |first: &str, second: &str| {
        let id = format!("{first}{second}");
        let spec = spec(&json!({ "id": id, "ways": [id], "predict": true, "retries": 50 }));
        let nap = "await new Promise((done) => setTimeout(done, 2))";
        world.image(&format!(
            "let begun = 0;
             const made = await transaction({spec}, [async (context) => {{
                begun++;
                const one = await kv.get('{first}'); {nap};
                const other = await kv.get('{second}'); {nap};
                await kv.put('{first}', one + 1); await kv.put('{second}', other + 1);
             }}], []);
             return begun;"
        ))
    };
    let images = [image("a", "b"), image("b", "c"), image("c", "a")];
    let waited = |story: &Story| story.choices.iter().any(|choice| choice.action == Action::Wait);
    // At its second key.
    let anew = |story: &Story| {
        let key = format!("others are about to use {}", &story.id.as_str()[1..]);
        let mut reasons = story.forecast.iter().flat_map(|it| &it.forecast.reasons);
        waited(story) && reasons.any(|(sign, _)| sign.text.ends_with(&key))
    };
    let mut rounds = 0;
    while world.book.stories(anew, 1).is_empty() {
        assert!(rounds < 1_500, "nobody begins anew: {:?}", world.book.ids());
        let together = images.iter().map(|image| world.start(image, Limits::default(), None));
        for finished in futures_util::future::join_all(together).await {
            assert_eq!(finished.result.as_deref(), Ok("1"), "what it counts is undone with it");
        }
        rounds += 1;
    }
    for key in keys {
        assert_eq!(world.get(key).await, json!(2 * rounds), "{key}");
    }
    assert!(world.book.stories(|story| story.became != Became::Committed, 1).is_empty());
}

/// A mirror that was told something else than its original has done something else: that is counted.
#[tokio::test]
async fn a_mirror_that_diverges_is_counted() {
    let world = bank().await;
    let gate = Gate::start(&world).await;
    let before = world.book.ids().remove(0).1.counts.diverged;
    // The first one finds out what the second request is answered.
    looked_at(&world, &gate, &json!({}), "await kv.put('n', 1);").await;
    let story = looked_at(&world, &gate, &json!({}), "await kv.put('n', 1);").await;
    assert!(story.has_diverged(), "{story:?}");
    assert!(world.book.ids().remove(0).1.counts.diverged > before);
}

#[tokio::test]
async fn a_machine_that_is_full_is_a_reason() {
    let mut world = bank().await;
    let gate = Gate::start(&world).await;
    let body = "await db.query('SELECT 1 AS one');";
    for (load, full) in [(0.5, false), (0.95, true)] {
        world.load = load;
        let story = looked_at(&world, &gate, &json!({}), body).await;
        let told = says(&story, Class::Contention, "95 % of what can be done");
        assert_eq!(told, full, "{:?}", reasons(&story));
    }
}

/// Its original never does what its mirror does, so that is not what transactions of this name usually do.
#[tokio::test]
async fn what_is_not_usual_is_a_reason_once_it_is_known_what_is() {
    let world = bank().await;
    let gate = Gate::start(&world).await;
    let body = "await db.query('SELECT 1 AS one');";
    let first = looked_at(&world, &gate, &json!({}), body).await;
    assert!(!says(&first, Class::Deviation, "not the usual"), "{:?}", reasons(&first));
    for _ in 0..20 {
        looked_at(&world, &gate, &json!({}), body).await;
    }
    let later = looked_at(&world, &gate, &json!({}), body).await;
    assert!(says(&later, Class::Deviation, "not the usual"), "{:?}", reasons(&later));
}
