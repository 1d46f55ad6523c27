//! What is foreseen of transactions, and what is done about it.

use belay_mirror::{Action, Became, Story};
use serde_json::{Value, json};

use crate::{
    outside::Server,
    world::{World, spec},
};

/// Pays at `url` in at most `timeout_ms`, or else later.
fn paying(url: &str, timeout_ms: u64) -> String {
    let spec =
        spec(&json!({ "id": "pay", "ways": ["pay", "later"], "predict": true, "retries": 0 }));
    format!(
        "return transaction({spec}, [
            async () => {{ await kv.put('n', 1); const it = await http.post('{url}/pay', {{}}, {{ timeoutMs: {timeout_ms} }}); return ['paid', it.status]; }},
            async () => ['later', context.transaction.reasons],
         ], []);"
    )
}

#[tokio::test]
async fn a_mirror_changes_nothing_and_is_told_beside_what_it_ran_ahead_of() {
    let world = World::new();
    let server = Server::start().await;
    let url = server.url.clone();
    let heard = server.answering([200; 64]);
    // The first one's knows no answer yet; later ones are sampled.
    let is_whole = |story: &Story| story.mirror.as_ref().is_some_and(|it| it.ended.is_some());
    let mut calls = 0;
    let story = loop {
        assert_eq!(world.ok(&paying(&url, 5_000)).await, json!(["paid", 200]));
        calls += 1;
        assert_eq!(heard.lock().await.len(), calls, "a mirror calls nobody");
        if let Some(story) = world.book.stories(is_whole, 1).pop() {
            break story;
        }
    };
    assert_eq!((story.became, story.way.as_str()), (Became::Committed, "pay"));
    let ops = |effects: &[belay_mirror::Effect]| {
        effects.iter().map(|effect| effect.op.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ops(&story.effects), ["kv.put", "http.fetch"]);
    let mirror = story.mirror.as_ref().unwrap();
    assert_eq!(ops(&mirror.effects), ["kv.put", "http.fetch"], "{mirror:?}");
    assert_eq!(
        mirror.ended.as_deref(),
        Some("done"),
        "it knows what was answered last: {mirror:?}"
    );
    let forecast = &story.forecast.as_ref().unwrap().forecast;
    assert!(!forecast.is_called(), "{forecast:?}");
}

#[tokio::test]
async fn a_service_that_turns_slow_is_not_called_by_those_who_would_fail() {
    nobody_answers(|url| paying(url, 40)).await;
}

/// The time is that of the attempt: what is cut off with it has taken as long as it may, and would have taken longer.
#[tokio::test]
async fn so_where_only_the_attempt_has_a_time_limit() {
    let more = json!({ "id": "pay", "ways": ["pay", "later"], "predict": true, "retries": 0, "timeoutMs": 40 });
    nobody_answers(|url| {
        format!(
            "return transaction({}, [
                async () => {{ const it = await http.post('{url}/pay', {{}}); return ['paid', it.status]; }},
                async () => ['later', context.transaction.reasons],
             ], []);",
            spec(&more)
        )
    })
    .await;
}

/// Nobody answers; after some have failed, others are diverted before they call.
async fn nobody_answers(paying: impl Fn(&str) -> String) {
    let world = World::new();
    let mut server = Server::start().await;
    let code = paying(&server.url);
    let (_, service) = server.url.split_once("://").unwrap();
    let service = service.to_owned();
    let (mut held, mut failed) = (Vec::new(), 0);
    for _ in 0..40 {
        let run = world.run(&code);
        tokio::pin!(run);
        let finished = loop {
            tokio::select! {
                finished = &mut run => break finished,
                request = server.next() => held.push(request),
            }
        };
        match finished.result {
            Ok(result) => {
                let told: Value = serde_json::from_str(&result).unwrap();
                assert_eq!(told[0], json!("later"), "{told}");
                let names = |reason: &Value| reason.as_str().unwrap().contains(&service);
                let reasons = told[1].as_array().unwrap();
                assert!(reasons.iter().any(names), "it is told which service: {told}");
            }
            // It had called already, so there was no other way any more.
            Err(_) => failed += 1,
        }
    }
    assert!(failed < 20, "{failed} of 40 have failed");
    let diverts = |story: &Story| story.choices.iter().any(|it| it.action == Action::Divert);
    let diverted = world.book.stories(diverts, 40);
    assert!(diverted.len() >= 10, "{} were diverted", diverted.len());
    let story = &diverted[0];
    assert_eq!(story.choices[0].action, Action::Divert);
    assert!(story.forecast.as_ref().unwrap().forecast.is_called());
    let (_, known) = world.book.ids().remove(0);
    assert_eq!(known.counts.diverted, diverted.len() as u64);
    let told = format!("{:?}", story.attempts);
    let says = ["calls of", "left alone", "may take"];
    assert!(says.iter().any(|text| told.contains(text)), "{told}");
}

/// Some try it again, and when these find it better all others come back.
#[tokio::test]
async fn they_come_back_by_themselves_when_it_recovers() {
    let world = World::new();
    let server = Server::start().await;
    let code = paying(&server.url.clone(), 100);
    // Nobody answers.
    while world.book.stories(|story| !story.choices.is_empty(), 1).is_empty() {
        world.run(&code).await;
    }
    let _heard = server.answering([200; 1_000]);
    let mut paid = 0;
    while paid < 10 {
        let result = world.run(&code).await.result.unwrap_or_default();
        paid = if result.starts_with("[\"paid\"") { paid + 1 } else { 0 };
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Where there is no other way, and the invocation has more time than an attempt may take.
#[tokio::test]
async fn who_can_only_wait_is_given_the_time() {
    let world = World::new();
    let server = Server::start().await;
    let code = format!(
        "return transaction({}, [
            async () => {{ const it = await http.post('{}/pay', {{}}); return ['paid', it.status]; }},
         ], []);",
        spec(&json!({ "id": "pay", "ways": ["pay"], "predict": true, "retries": 0, "timeoutMs": 100 })),
        server.url,
    );
    server.slow(std::time::Duration::from_millis(200));
    let mut failed = 0;
    let paid = loop {
        match world.run(&code).await.result {
            Ok(paid) => break paid,
            Err(_) => failed += 1,
        }
        assert!(failed < 30, "it is never given more time");
    };
    assert_eq!(paid, "[\"paid\",200]");
    let story = world.book.stories(|story| story.became == Became::Committed, 1).remove(0);
    assert!(story.attempts.is_empty(), "{:?}", story.attempts);
    assert!(story.choices.iter().any(|it| it.action == Action::Adjust), "{:?}", story.choices);
    assert!(story.took_ms > 100.0, "longer than its tags allow");
}

/// Lets a mirror come to its end before its original goes on, on whatever machine: its own clock does not wait. Longer the
/// more often that was not enough.
fn nap(misses: u32) -> String {
    let ms = (10 << (misses / 4).min(7)).min(1_000);
    format!("await new Promise((done) => setTimeout(done, {ms}));")
}

/// A mirror that fails says so before its original calls anybody.
#[tokio::test]
async fn what_its_own_code_refuses_is_foreseen() {
    let world = World::new();
    let server = Server::start().await;
    let url = server.url.clone();
    let heard = server.answering([200; 64]);
    let spec = spec(
        &json!({ "id": "sell", "ways": ["sell", "refuse"], "predict": true, "retries": 0, "retry": ["RangeError"] }),
    );
    let code = |n: i32, misses: u32| {
        let nap = nap(misses);
        format!(
            "return transaction({spec}, [
                async () => {{ {nap} const it = await http.post('{url}/pay', {{}}); if ({n} > 10) throw new RangeError('too many'); return 'sold'; }},
                () => 'refused',
             ], []);"
        )
    };
    // What the service answers has to be known for a mirror to get beyond it.
    assert_eq!(world.ok(&code(1, 0)).await, json!("sold"));
    let (mut refused_without_calling, mut misses) = (0, 0);
    while refused_without_calling < 10 {
        assert!(misses < 40, "{refused_without_calling} are refused");
        let before = heard.lock().await.len();
        let finished = world.run(&code(20, misses)).await;
        let after = heard.lock().await.len();
        if before == after {
            assert_eq!(finished.result.unwrap(), "\"refused\"");
            refused_without_calling += 1;
        } else {
            misses += 1;
        }
    }
}
