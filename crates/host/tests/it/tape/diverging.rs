//! What a tape cannot answer: neither pass nor failure. And what it can: time, order, calls made more often.

use belay_host::{
    code,
    tape::{Divergence, RecorderOptions, Verdict},
};
use belay_model::Limits;
use serde_json::json;

use super::{body, divergence, recorded, replayed, replayed_as, result_of, tape_of, tried};
use crate::{servers, world::World};

async fn world() -> (World, String) {
    let web = servers::web().await;
    (World::reaching(&[&web.to_string()]), format!("http://{web}"))
}

#[tokio::test]
async fn what_was_never_asked_has_no_answer() {
    let (world, url) = world().await;
    let old = format!("await (await fetch('{url}/echo')).text(); return await kv.get('a') ?? null");
    for (new, op, subject) in [
        (format!("await fetch('{url}/bytes/3')"), "http.fetch", format!("GET {url}/bytes/3")),
        (format!("await http.post('{url}/echo', 1)"), "http.fetch", format!("POST {url}/echo")),
        ("await kv.get('b')".to_owned(), "kv.get", "b".to_owned()),
        ("await kv.list({ prefix: 'x' })".to_owned(), "kv.list", "x*".to_owned()),
        ("await secrets.get('token')".to_owned(), "secret.get", "token".to_owned()),
        ("await kv.put('b', 1, { ifRevision: 4 })".to_owned(), "kv.put", "b".to_owned()),
    ] {
        let replayed = tried(&world, &old, &new, "{}").await;
        let expected = Divergence::Unanswered { op: op.to_owned(), subject };
        assert_eq!(divergence(&replayed), &expected, "{new}");
    }
}

#[tokio::test]
async fn reads_are_answered_as_often_as_they_are_made() {
    let (world, url) = world().await;
    let old = format!(
        "await kv.put('a', 1); const one = await kv.get('a');
        return [one, await (await fetch('{url}/slow/1')).text()]"
    );
    let new = format!(
        "await kv.put('a', 1); await kv.get('a'); await kv.get('a'); const one = await kv.get('a');
        const headers = {{ 'x-more': '1' }};
        await fetch('{url}/slow/1'); await fetch('{url}/slow/1', {{ headers }});
        return [one, await (await fetch('{url}/slow/1')).text()]"
    );
    assert_eq!(tried(&world, &old, &new, "{}").await.verdict, Verdict::Same);
}

#[tokio::test]
async fn nobody_knows_how_a_call_went_on_that_was_given_up() {
    let (world, url) = world().await;
    let fetch = |after: u32| {
        format!(
            "try {{
                const signal = AbortSignal.timeout({after});
                return (await fetch('{url}/slow/60000', {{ signal }})).status;
            }} catch (error) {{ return error.name }}"
        )
    };
    assert_eq!(tried(&world, &fetch(5), &fetch(5), "{}").await.verdict, Verdict::Same);
    let longer = tried(&world, &fetch(5), &fetch(5000), "{}").await;
    assert!(matches!(divergence(&longer), Divergence::Unfinished { .. }), "{longer:?}");
    let forgets = format!("fetch('{url}/slow/60000'); await kv.get('a'); return 1");
    let awaits = format!("return (await fetch('{url}/slow/60000')).status");
    let longer = tried(&world, &forgets, &awaits, "{}").await;
    assert!(matches!(divergence(&longer), Divergence::Unfinished { .. }), "{longer:?}");
}

#[tokio::test]
async fn time_is_virtual_and_answers_come_in_its_order() {
    let world = World::new();
    let old = "return null";
    let new = "
        const out = [], from = [Date.now(), performance.now()];
        const wait = (ms) => new Promise((resolve) => setTimeout(() => { out.push(ms); resolve(); }, ms));
        await Promise.all([wait(3000), wait(20), wait(1000)]);
        const [wall, monotonic] = [Date.now() - from[0], performance.now() - from[1]];
        return [out, wall >= 3000 && wall < 3100, monotonic >= 3000 && monotonic < 3100]";
    let replayed = tried(&world, old, new, "{}").await;
    assert_eq!(result_of(&replayed), "[[20,1000,3000],true,true]");
}

#[tokio::test]
async fn answers_of_the_driver_itself_are_recorded_and_bounds_hold_for_other_calls() {
    let world = World::new();
    let limits = Limits { calls_in_flight: 2, ..Limits::default() };
    let gets = |count: u32| {
        format!(
            "const gets = Array.from({{ length: {count} }}, () => kv.get('a'));
            const all = await Promise.allSettled(gets);
            return all.filter((one) => one.reason?.code === '{}').length",
            code::TOO_MANY_CALLS
        )
    };
    let image = body(&gets(3));
    let tape = recorded(&world, &image, "{}", limits, RecorderOptions::default()).await.1.unwrap();
    let bounded = |image| belay_host::tape::Candidate { limits, ..super::candidate(image) };
    assert_eq!(replayed_as(&bounded(&image), &tape).verdict, Verdict::Same);
    let more = body(&gets(5));
    assert_eq!(result_of(&replayed_as(&bounded(&more), &tape)), "3");
}

#[tokio::test]
async fn answers_that_were_cut_are_missed_only_where_they_are_waited_for() {
    let (world, url) = world().await;
    let options = RecorderOptions { bytes_max: 4 << 10, ..RecorderOptions::default() };
    let reads = body(&format!("return (await (await fetch('{url}/bytes/9000')).text()).length"));
    let tape = recorded(&world, &reads, "{}", Limits::default(), options).await.1.unwrap();
    let cut = replayed(&reads, &tape);
    assert!(matches!(divergence(&cut), Divergence::Cut { .. }), "{cut:?}");
}

#[tokio::test]
async fn a_loop_over_the_clock_comes_to_its_end() {
    let world = World::new();
    let new = "const from = Date.now(); while (Date.now() < from + 20) {} return null";
    assert_eq!(tried(&world, "return null", new, "{}").await.verdict, Verdict::Same);
}

#[tokio::test]
async fn a_hostile_tape_does_no_harm() {
    let world = World::new();
    let image = body("setTimeout(() => {}, 5); await kv.put('a', 1); return await kv.get('a')");
    let mut tape = tape_of(&world, &image, "{}").await;
    tape.start_us = u64::MAX;
    tape.deadline_us = 0;
    tape.ended_us = 0;
    for effect in &mut tape.effects {
        effect.called_us = u64::MAX;
        if let Some(answered) = &mut effect.answered {
            (answered.at_us, answered.order) = (0, u32::MAX);
        }
    }
    for readings in &mut tape.readings {
        readings.wall_us = vec![i64::MAX, i64::MIN];
        readings.monotonic_us = vec![u64::MAX];
    }
    let _ = replayed(&image, &tape);
    tape.event = belay_host::tape::Json::parse(&json!([1]).to_string()).unwrap();
    tape.effects.clear();
    let _ = replayed(&image, &tape);
}
