//! What counts against a candidate, and what is only told.

use belay_engine::FunctionImage;
use belay_host::tape::{Candidate, Difference, Reason, Tolerance, Verdict, category_of, replay};
use belay_model::{Arm, Category, Limits};

use super::{body, candidate, field, lenient, replayed, replayed_as, tape_of, tried};
use crate::{
    functions::{deep, image},
    servers,
    world::World,
};

#[tokio::test]
async fn a_changed_result_is_told_by_its_fields() {
    let world = World::new();
    let old = "return { total: event.n * 2, items: [{ price: 1 }, { price: 2 }], same: 1 }";
    let new =
        "return { items: [{ price: 1 }, { price: 3 }], total: event.n * 3, same: 1, more: 'x' }";
    let replayed = tried(&world, old, new, r#"{"n":1}"#).await;
    assert_eq!(replayed.verdict, Verdict::Changed);
    let fields = vec![
        field("result.total", Some("2"), Some("3")),
        field("result.items[1].price", Some("2"), Some("3")),
        field("result.more", None, Some("\"x\"")),
    ];
    assert_eq!(replayed.differences, [Difference::Result { fields }]);
}

#[tokio::test]
async fn what_is_done_otherwise_is_worse_where_that_is_not_tolerated() {
    let world = World::new();
    let strict = Tolerance { outputs: false, ..lenient() };
    let on = async |old: &str, new: &str| {
        let (old, new) = (body(old), body(new));
        let tape = tape_of(&world, &old, "{}").await;
        deep(|| replay(&candidate(&new), &tape, &strict)).unwrap().verdict
    };
    let old = "await kv.put('order', 1); return { total: 1 }";
    assert_eq!(on(old, &format!("{old};")).await, Verdict::Same);
    let Verdict::Worse(reasons) = on(old, "await kv.put('order', 2); return { total: 2 }").await
    else {
        panic!("it is worse")
    };
    let [Reason::Otherwise { differences }] = &reasons[..] else { panic!("{reasons:?}") };
    assert_eq!(differences.len(), 2, "{differences:?}");
    // What a request that failed should have answered is not known.
    assert_eq!(on("throw new Error('old')", "return 1").await, Verdict::Changed);
}

#[tokio::test]
async fn the_order_of_keys_is_no_difference() {
    let world = World::new();
    let new = "return { b: 2, a: 1 }";
    assert_eq!(tried(&world, "return { a: 1, b: 2 }", new, "{}").await.verdict, Verdict::Same);
}

#[tokio::test]
async fn changed_missing_and_additional_writes_are_told() {
    let world = World::new();
    let old = "await kv.put('order', { sum: 1 }); await kv.delete('gone'); return 1";
    let new = "await kv.put('order', { sum: 2 }); await kv.put('more', 1); return 1";
    let replayed = tried(&world, old, new, "{}").await;
    assert_eq!(replayed.verdict, Verdict::Changed);
    let told = |subject: &str| ("kv.put".to_owned(), subject.to_owned());
    let ((op, subject), (also, more)) = (told("order"), told("more"));
    let fields = vec![field("args.json.sum", Some("1"), Some("2"))];
    let missing = Difference::Missing { op: "kv.delete".into(), subject: "gone".into() };
    let differences = [
        Difference::Changed { op, subject, fields },
        Difference::Additional { op: also, subject: more },
        missing,
    ];
    assert_eq!(replayed.differences, differences);
}

#[tokio::test]
async fn a_changed_request_is_told_and_answered_as_the_recorded_one() {
    let web = servers::web().await;
    let world = World::reaching(&[&web.to_string()]);
    let send = |sum: i32| {
        format!(
            "const answer = await http.post('http://{web}/echo', {{ sum: {sum} }});
            return (await answer.json()).body"
        )
    };
    let replayed = tried(&world, &send(1), &send(2), "{}").await;
    assert_eq!(replayed.verdict, Verdict::Changed);
    let (op, subject) = ("http.fetch".to_owned(), format!("POST http://{web}/echo"));
    let fields = vec![field("body.sum", Some("1"), Some("2"))];
    assert_eq!(replayed.differences, [Difference::Changed { op, subject, fields }]);
}

fn category(verdict: &Verdict) -> (Option<Category>, Category) {
    match verdict {
        Verdict::Worse(reasons) => match &reasons[0] {
            Reason::Failed { was, now, .. } => (*was, *now),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_new_failure_is_worse() {
    let world = World::new();
    let (old, event) = ("return event.items.length", r#"{"items":[]}"#);
    for (new, now) in [
        ("return event.items[0].price", Category::Exception),
        ("return { statusCode: 502 }", Category::Exception),
        ("const f = () => f() + 1; return f()", Category::Exception),
        ("await new Promise(() => {})", Category::Deadlock),
        ("await new Promise((resolve) => setTimeout(resolve, 60000))", Category::Timeout),
        ("const all = []; for (;;) all.push('x'.repeat(1e6) + all.length)", Category::OutOfMemory),
    ] {
        let replayed = tried(&world, old, new, event).await;
        let (was, found) = category(&replayed.verdict);
        assert_eq!(was, None);
        let overflow = found == Category::StackOverflow && new.contains("f()");
        assert!(found == now || overflow, "{new}: {found}");
    }
}

#[tokio::test]
async fn a_failure_that_was_there_is_not_held_against_the_candidate() {
    let world = World::new();
    let old = "throw new Error('old')";
    let same_kind = tried(&world, old, "throw new TypeError('new')", "{}").await;
    assert_eq!(same_kind.verdict, Verdict::Changed);
    let (was, now) = ("exception: Error: old".to_owned(), "exception: TypeError: new".to_owned());
    assert_eq!(same_kind.differences, [Difference::Ending { was, now }]);
    let cured = tried(&world, old, "return 1", "{}").await;
    assert_eq!(cured.verdict, Verdict::Changed);
    let other = tried(&world, old, "await new Promise(() => {})", "{}").await;
    assert_eq!(category(&other.verdict), (Some(Category::Exception), Category::Deadlock));
    let refused = tried(&world, "return 1", "return { statusCode: 404 }", "{}").await;
    assert_eq!(refused.verdict, Verdict::Changed);
}

fn within(image: &FunctionImage, limits: Limits) -> Candidate<'_> {
    Candidate { limits, ..candidate(image) }
}

#[tokio::test]
async fn limits_are_the_candidates_own() {
    let world = World::new();
    let waits = body("await new Promise((resolve) => setTimeout(resolve, 20)); return 1");
    let tape = tape_of(&world, &waits, "{}").await;
    let shorter = within(&waits, Limits { timeout_ms: 10, ..Limits::default() });
    let (was, now) = category(&replayed_as(&shorter, &tape).verdict);
    assert_eq!((was, now), (None, Category::Timeout));
    let endless = body("for (;;) {}");
    let limited = within(&endless, Limits { cpu_ms: 20, ..Limits::default() });
    let (_, now) =
        category(&deep(|| replay(&limited, &tape, &Tolerance::default())).unwrap().verdict);
    assert_eq!(now, Category::Timeout);
}

#[tokio::test]
async fn an_endless_loop_is_stopped_long_before_the_functions_own_limit() {
    let world = World::new();
    let tape = tape_of(&world, &body("return 1"), "{}").await;
    // A time-out of the function's own would be told as one.
    match replayed(&body("for (;;) {}"), &tape).verdict {
        Verdict::Worse(reasons) => assert!(
            matches!(reasons[..], [Reason::Cpu { now_us, allowed_us, .. }] if now_us > allowed_us),
            "{reasons:?}"
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn more_memory_than_is_tolerated_is_worse() {
    let world = World::new();
    let tape = tape_of(&world, &body("return 1"), "{}").await;
    let greedy = body("const bytes = new Uint8Array(8 << 20).fill(1); return bytes[5]");
    match replayed(&greedy, &tape).verdict {
        Verdict::Worse(reasons) => assert!(
            matches!(reasons[..], [Reason::Memory { was_bytes, now_bytes, .. }] if now_bytes > 4 * was_bytes),
            "{reasons:?}"
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn more_cpu_than_is_tolerated_is_worse() {
    let world = World::new();
    let tape = tape_of(&world, &body("return 1"), "{}").await;
    let slow = body("let n = 0; for (let i = 0; i < 3e6; i++) n += i % 7; return n > 0 ? 1 : 0");
    let strict = Tolerance { cpu_factor: 1.0, cpu_floor_us: 1_000, ..Tolerance::default() };
    let replayed = deep(|| replay(&candidate(&slow), &tape, &strict)).unwrap();
    match replayed.verdict {
        Verdict::Worse(reasons) => assert!(matches!(reasons[..], [Reason::Cpu { .. }])),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn woven_code_is_replayed_with_the_arms_that_are_given() {
    let woven = image(
        "import { cells, arm, enter, leave } from 'belay:weave';
        export async function handler() {
            enter(3);
            await new Promise((resolve) => setTimeout(resolve, 1));
            leave(3);
            return cells[3] || arm(3) ? null.x : performance.now();
        }",
    );
    let tape = tape_of(&World::new(), &woven, "{}").await;
    assert_eq!(tape.reached, [(3, Arm::Before)]);
    assert_eq!(replayed(&woven, &tape).verdict, Verdict::Same);
    let arms = [Arm::Before, Arm::Before, Arm::Before, Arm::After];
    let after = replayed_as(&Candidate { arms: &arms, ..candidate(&woven) }, &tape);
    assert_eq!((after.reached[0].part, after.reached[0].arm), (3, Arm::After));
    assert_eq!(category(&after.verdict), (None, Category::Exception));
}

#[test]
fn results_count_by_their_status() {
    for (result, category) in [
        (r#"{"statusCode":500}"#, Some(Category::Exception)),
        (r#"{"statusCode":"503"}"#, Some(Category::Exception)),
        (r#"{"statusCode":404.0}"#, Some(Category::InvalidInput)),
        (r#"{"statusCode":200}"#, None),
        (r#"{"deep":{"statusCode":500}}"#, None),
        (r#""\"statusCode\":500""#, None),
    ] {
        assert_eq!(category_of(result), category, "{result}");
    }
}
