//! The drive loop: real functions, real calls.

use std::sync::Arc;

use belay_engine::Reached;
use belay_host::{Finished, code};
use belay_model::{Arm, Category, Limits};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    sync::{Barrier, Notify},
};

use crate::{
    functions::{TRACE, run, run_module},
    servers,
    world::World,
};

fn within(timeout_ms: u64) -> Limits {
    Limits { timeout_ms, ..Limits::default() }
}

fn value(finished: &Finished) -> Value {
    let json = finished.result.as_ref().unwrap_or_else(|failure| panic!("{failure}"));
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn a_function_without_calls_ends() {
    let world = World::new();
    let body = "console.log('hello'); return { twice: event.n * 2 }";
    let finished = run(&world.host, body, r#"{"n":21}"#, Limits::default()).await;
    assert_eq!(value(&finished), json!({ "twice": 42 }));
    assert_eq!(finished.logs[0].text, "hello");
    assert!(finished.usage.written_bytes > 0);
}

#[tokio::test]
async fn what_a_woven_function_reached_is_told_with_its_end() {
    let code = "import { cells, arm } from 'belay:weave';
        export async function handler() { cells[9] || arm(9); await fetch('https://example.com') }";
    let finished = run_module(&World::new().host, code, "{}", Limits::default()).await;
    assert!(finished.result.is_err());
    assert_eq!(finished.reached, [Reached { part: 9, arm: Arm::Before, time_ms: 0.0 }]);
}

#[tokio::test]
async fn requests_carry_the_trace_of_the_invocation() {
    let web = servers::web().await;
    let world = World::reaching(&[&web.to_string()]);
    let body = "
        const sent = async (path, headers) => (await (await fetch(event.url + path, { headers })).json()).headers
            .filter((header) => header.startsWith('traceparent'));
        return [await sent('/echo'), await sent('/to/302/echo'), await sent('/echo', { TraceParent: 'own' })];";
    let event = json!({ "url": format!("http://{web}") }).to_string();
    let finished = run(&world.host, body, &event, Limits::default()).await;
    let ours = format!("traceparent: {TRACE}");
    assert_eq!(value(&finished), json!([[ours], [ours], ["traceparent: own"]]));
}

#[tokio::test]
async fn effects_reach_the_world_and_come_back() {
    let web = servers::web().await;
    let world = World::reaching(&[&web.to_string()]);
    let body = "
        const { kv, secrets } = context;
        await kv.put('list', [1, { a: null }]);
        await kv.put('bytes', new Uint8Array([0, 255]));
        await kv.put('none', new Uint8Array(0));
        const answer = await fetch(event.url, { method: 'POST', body: 'hello', headers: { 'x-own': 'one' } });
        const arrived = await answer.json();
        return {
            list: await kv.get('list'), bytes: Array.from(await kv.get('bytes')), none: (await kv.get('none')).length,
            keys: (await kv.list()).entries.map((entry) => entry.key), absent: await kv.get('absent') === undefined,
            secret: await secrets.get('token'),
            status: answer.status, method: arrived.method, body: arrived.body,
        };";
    let event = json!({ "url": format!("http://{web}/echo") }).to_string();
    let finished = run(&world.host, body, &event, Limits::default()).await;
    let expected = json!({
        "list": [1, { "a": null }], "bytes": [0, 255], "none": 0,
        "keys": ["bytes", "list", "none"], "absent": true, "secret": "s3cret",
        "status": 200, "method": "POST", "body": "hello",
    });
    assert_eq!(value(&finished), expected);
}

#[tokio::test]
async fn timers_do_not_count_as_calls() {
    let world = World::new();
    let body = "await Promise.all(Array.from({ length: 300 }, () => new Promise((ok) => setTimeout(ok, 1))));
        return 'done'";
    let limits = Limits { calls_in_flight: 1, ..Limits::default() };
    assert_eq!(value(&run(&world.host, body, "{}", limits).await), json!("done"));
}

#[tokio::test]
async fn many_updates_of_one_key_all_count() {
    let world = World::new();
    let body = "const add = () => context.kv.update('n', (n) => (n ?? 0) + 1);
        await Promise.all(Array.from({ length: 12 }, add));
        return context.kv.get('n')";
    assert_eq!(value(&run(&world.host, body, "{}", within(60_000)).await), json!(12));
}

#[tokio::test]
async fn a_rejected_call_tells_who_made_it() {
    let world = World::new();
    let body = "async function save() { await null; await context.kv.put('', 1); }
        await save();";
    let finished = run(&world.host, body, "{}", Limits::default()).await;
    let failure = finished.result.expect_err("it is rejected");
    assert_eq!(failure.category, Category::Dependency);
    let [first, ..] = failure.stack.as_slice() else { panic!("{failure:?}") };
    assert!(first.contains("save (main.js:"), "{failure:?}");
    assert!(failure.stack.iter().all(|frame| !frame.contains("belay:")), "{failure:?}");
}

#[tokio::test]
async fn calls_are_performed_at_the_same_time() {
    // Answers nobody before all three have asked.
    let all = Arc::new(Barrier::new(3));
    let server = servers::raw(move |mut connection| {
        let all = Arc::clone(&all);
        async move {
            let _ = connection.read(&mut [0; 4096]).await;
            all.wait().await;
            servers::answer_nothing(&mut connection).await;
        }
    })
    .await;
    let world = World::reaching(&[&server.to_string()]);
    let body = "const all = await Promise.all([1, 2, 3].map(() => fetch(event.url)));
        return all.map((answer) => answer.status)";
    let event = json!({ "url": format!("http://{server}/") }).to_string();
    let finished = run(&world.host, body, &event, Limits::default()).await;
    assert_eq!(value(&finished), json!([204, 204, 204]));
}

#[tokio::test]
async fn one_call_too_many_is_rejected() {
    let world = World::new();
    let limits = Limits { calls_in_flight: 2, ..Limits::default() };
    let body =
        "const all = await Promise.allSettled([1, 2, 3, 4].map((n) => context.kv.put(`k${n}`, n)));
        return all.map(({ reason }) => reason?.code ?? 'ok')";
    let finished = run(&world.host, body, "{}", limits).await;
    assert_eq!(value(&finished), json!(["ok", "ok", code::TOO_MANY_CALLS, code::TOO_MANY_CALLS]));
}

#[tokio::test]
async fn a_rejection_that_nobody_catches_is_a_dependency_failure() {
    let world = World::new();
    for body in ["await fetch('http://127.0.0.1/')", "await context.secrets.get('other')"] {
        let finished = run(&world.host, body, "{}", Limits::default()).await;
        let failure = finished.result.unwrap_err();
        assert_eq!(failure.category, Category::Dependency, "{failure}");
    }
}

#[tokio::test]
async fn who_waits_past_the_deadline_is_ended() {
    let world = World::new();
    for body in [
        "await new Promise((resolve) => setTimeout(resolve, 600_000))",
        // Never waits long, and never stops.
        "for (;;) await context.secrets.get('token')",
    ] {
        let finished = run(&world.host, body, "{}", within(60)).await;
        let failure = finished.result.unwrap_err();
        assert_eq!(failure.category, Category::Timeout);
        assert_eq!(failure.error_type, "Belay.Timeout");
        assert_eq!(failure.message, "the function ran past its time limit of 60 ms");
    }
}

#[tokio::test]
async fn who_waits_for_nothing_is_deadlocked() {
    let world = World::new();
    let bodies = [
        "await new Promise(() => {})",
        "const timer = setTimeout(() => {}, 600_000); clearTimeout(timer); await new Promise(() => {})",
    ];
    for body in bodies {
        let failure = run(&world.host, body, "{}", Limits::default()).await.result.unwrap_err();
        assert_eq!(failure.category, Category::Deadlock, "{body}");
    }
}

#[tokio::test]
async fn the_earlier_timer_runs_first() {
    let world = World::new();
    let body = "const order = [];
        const after = (ms) => new Promise((resolve) => setTimeout(() => { order.push(ms); resolve(); }, ms));
        await Promise.all([after(20), after(0), after(10), after(0)]);
        return order";
    let finished = run(&world.host, body, "{}", Limits::default()).await;
    assert_eq!(value(&finished), json!([0, 0, 10, 20]));
}

/// A server whose `/hang` is never answered, and that tells when it was asked and when the asker hung up.
struct Hanging {
    asked: Arc<Notify>,
    hung_up: Arc<Notify>,
    event: String,
    world: World,
}

impl Hanging {
    async fn start() -> Self {
        let (asked, hung_up) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let notes = (Arc::clone(&asked), Arc::clone(&hung_up));
        let server = servers::raw(move |mut connection| {
            let (asked, hung_up) = (Arc::clone(&notes.0), Arc::clone(&notes.1));
            async move {
                let mut request = [0; 4096];
                let length = connection.read(&mut request).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                match request.split(' ').nth(1).unwrap_or_default() {
                    "/hang" => {
                        asked.notify_one();
                        // Ends when the other side hangs up.
                        let _ = connection.read(&mut [0; 1]).await;
                        hung_up.notify_one();
                    }
                    "/asked" => {
                        asked.notified().await;
                        servers::answer_nothing(&mut connection).await;
                    }
                    "/hung-up" => {
                        hung_up.notified().await;
                        servers::answer_nothing(&mut connection).await;
                    }
                    _ => {}
                }
            }
        })
        .await;
        let event = json!({ "url": format!("http://{server}") }).to_string();
        Self { asked, hung_up, event, world: World::reaching(&[&server.to_string()]) }
    }
}

#[tokio::test]
async fn a_cancelled_call_is_given_up_at_once() {
    let server = Hanging::start().await;
    let body = "const giving = new AbortController();
        const hanging = fetch(event.url + '/hang', { signal: giving.signal });
        await fetch(event.url + '/asked');
        giving.abort();
        const reason = await hanging.catch((error) => error.name);
        await fetch(event.url + '/hung-up');
        return reason";
    let finished = run(&server.world.host, body, &server.event, Limits::default()).await;
    assert_eq!(value(&finished), json!("AbortError"));
}

#[tokio::test]
async fn what_is_in_flight_at_the_end_is_dropped() {
    let server = Hanging::start().await;
    let body =
        "fetch(event.url + '/hang').catch(() => {}); await fetch(event.url + '/asked'); return 1";
    let finished = run(&server.world.host, body, &server.event, Limits::default()).await;
    assert_eq!(value(&finished), json!(1));
    server.hung_up.notified().await;
}

#[tokio::test]
async fn when_the_caller_goes_everything_is_dropped() {
    let server = Hanging::start().await;
    let running = run(
        &server.world.host,
        "await fetch(event.url + '/hang')",
        &server.event,
        Limits::default(),
    );
    tokio::select! {
        finished = running => panic!("{finished:?}"),
        () = server.asked.notified() => {}
    }
    server.hung_up.notified().await;
}

/// A server may move invocations between its threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invocation_is_a_task() {
    let world = Arc::new(World::new());
    let tasks = (0..8).map(|number| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let body = "await context.kv.put(event.key, 1); return await context.kv.get(event.key)";
            let event = json!({ "key": format!("k{number}") }).to_string();
            run(&world.host, body, &event, Limits::default()).await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(value(&task.await.unwrap()), json!(1));
    }
}
