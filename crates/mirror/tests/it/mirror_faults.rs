//! A mirror that crashes, hangs, or comes to something else is no matter of the transaction that it runs ahead of.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use belay_engine::{Instance, Step};
use belay_host::Runner;
use belay_mirror::Became;
use belay_model::Limits;
use serde_json::{Value, json};

use crate::{
    ahead::{Gate, mirrored},
    outside::Server,
    world::{Threads, World, spec},
};

/// What becomes of the first step of the mirror: the third one of all, after those to the transaction's begin and beyond.
#[derive(Clone, Copy)]
enum Fault {
    Crashes,
    Hangs,
}

struct Faulty {
    fault: Fault,
    steps: AtomicUsize,
}

const MIRRORS_FIRST: usize = 2;

impl Runner for Faulty {
    fn run(&self, instance: Instance) -> impl Future<Output = (Instance, Step)> + Send {
        let faulty = self.steps.fetch_add(1, Relaxed) == MIRRORS_FIRST;
        let fault = faulty.then_some(self.fault);
        async move {
            match fault {
                Some(Fault::Crashes) => panic!("a fault of the test"),
                Some(Fault::Hangs) => std::future::pending().await,
                None => Threads.run(instance).await,
            }
        }
    }
}

#[tokio::test]
async fn a_mirror_that_crashes_or_hangs_is_no_matter_of_its_original() {
    for fault in [Fault::Crashes, Fault::Hangs] {
        let (world, steps) = (World::new(), AtomicUsize::new(0));
        let spec = spec(&json!({ "ways": ["transfer"], "predict": true, "retries": 0 }));
        let server = Server::start().await;
        // Before the request it is waited for its mirror.
        let body = format!(
            "return transaction({spec}, [async () => {{ await kv.put('n', 1); await kv.put('m', await kv.get('n')); await http.post('{}/pay', {{}}); return 'done'; }}], []);",
            server.url
        );
        let heard = server.answering([200]);
        let runner = Faulty { fault, steps };
        let image = world.image(&body);
        let run = world.start_on(&runner, &image, (Limits::default(), None));
        // A mirror that hangs would be waited for for ever.
        let finished = tokio::time::timeout(Duration::from_secs(60), run).await.unwrap();
        assert_eq!(finished.result.as_deref(), Ok("\"done\""));
        assert_eq!(heard.lock().await.len(), 1);
        assert_eq!((world.get("n").await, world.get("m").await), (json!(1), json!(1)));
        assert!(runner.steps.load(Relaxed) > MIRRORS_FIRST, "there was a mirror");
        let story = world.book.stories(|_| true, 1).remove(0);
        assert_eq!(story.became, Became::Committed);
        let waited_ms = story.forecast.as_ref().unwrap().waited_ms;
        // Nobody can wait for less than the time that they wait for.
        assert!(waited_ms >= 2.0 || matches!(fault, Fault::Crashes), "{waited_ms}");
        let mirror = story.mirror.clone().unwrap();
        assert_eq!(mirror.ended, None);
        assert_eq!(mirror.unmodelled.is_some(), matches!(fault, Fault::Crashes), "{mirror:?}");
    }
}

/// Nothing but the end of its connection ends this statement of a mirror.
const ENDLESS: &str = "CREATE FUNCTION endless() RETURNS INTEGER LANGUAGE plpgsql STABLE AS '
    BEGIN
        LOOP
            BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
        END LOOP;
    END'";

/// Counts `what` of the mirrors that are in their endless statement.
async fn of_endless(world: &World, what: &str) -> Value {
    let reader = world.reader();
    let text = format!(
        "SELECT count({what})::int AS n FROM pg_stat_activity WHERE usename = '{reader}' AND wait_event = 'PgSleep'"
    );
    world.sql("ledger", &text).await[0][0].clone()
}

/// Ends their connections, and waits until they are gone.
async fn end_endless(world: &World) {
    of_endless(world, "pg_terminate_backend(pid, 5000)").await;
}

/// Whether a mirror is in its endless statement; looks so many times.
async fn is_within(world: &World, looks: u32) -> bool {
    for _ in 0..looks {
        if of_endless(world, "*").await == 1 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// The mirror loses its database in the middle of a statement, while its original waits for a service.
#[tokio::test]
async fn a_database_that_goes_away_from_a_mirror_is_no_matter_of_its_original() {
    let world = World::with_reader().await;
    for text in ["CREATE TABLE account (sum INTEGER)", "INSERT INTO account VALUES (100)", ENDLESS]
    {
        world.sql("ledger", text).await;
    }
    let grant = format!("GRANT SELECT ON account TO {}", world.reader());
    world.sql("ledger", &grant).await;
    let mut server = Server::start().await;
    let url = server.url.clone();
    // Its mirror is told what was answered now.
    let ask = format!(
        "return transaction({}, [async () => (await http.get('{url}')).status], []);",
        spec(&json!({ "ways": ["transfer"] }))
    );
    let (status, ()) = tokio::join!(world.ok(&ask), async { server.next().await.answer(200) });
    assert_eq!(status, json!(200));
    let rule = json!({ "name": "many", "class": "deviation", "measure": "writes", "above": 1e5 });
    let more = json!({ "ways": ["transfer"], "predict": true, "retries": 0, "rules": [rule] });
    let code = format!(
        "return transaction({}, [async () => {{
            const {{ status }} = await http.get('{url}'), db = sql.database('ledger');
            if (status === 200) await db.query('SELECT endless()');
            await db.execute('UPDATE account SET sum = sum - 1');
            return status;
         }}], []);",
        spec(&more)
    );
    let (mut runs, mut was_within) = (0, false);
    // The first mirrors may find no connection open yet.
    while !was_within {
        runs += 1;
        assert!(runs < 10, "no mirror gets to its statement");
        // One that got there too late.
        end_endless(&world).await;
        let fault = async {
            let request = server.next().await;
            let found = is_within(&world, 50 * runs.min(4)).await;
            end_endless(&world).await;
            request.answer(503);
            found
        };
        let (result, found) = tokio::join!(world.ok(&code), fault);
        assert_eq!(result, json!(503));
        was_within = found;
    }
    let story = world.book.stories(|_| true, 1).remove(0);
    assert_eq!((story.became, story.attempts.len()), (Became::Committed, 0));
    let mirror = story.mirror.as_ref().unwrap();
    assert_eq!(mirror.ended, None, "{mirror:?}");
    let sum = world.sql("ledger", "SELECT sum FROM account").await;
    assert_eq!(sum, json!([[100 - runs]]));
    // The next ones have connections again.
    let gate = Gate::start(&world).await;
    let mirror =
        mirrored(&world, &gate, "ledger", "await db.query('SELECT sum FROM account');").await;
    assert_eq!(mirror.ended.as_deref(), Some("done"), "{mirror:?}");
}
