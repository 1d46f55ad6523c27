//! Transactions within others, and beside them.

use serde_json::json;

use crate::{
    outside::Server,
    world::{World, spec},
};

fn named(id: &str, body: &str, more: &str) -> String {
    format!(
        "transaction({}, [async () => {{ {body} }}], []{more})",
        spec(&json!({ "id": id, "ways": [id] }))
    )
}

#[tokio::test]
async fn an_inner_one_that_fails_undoes_only_what_it_did() {
    let world = World::new();
    let inner = named("inner", "await kv.put('b', 1); throw new Error('no');", "");
    let outer = named(
        "outer",
        &format!(
            "await kv.put('a', 1); try {{ await {inner}; }} catch {{}} await kv.put('c', await kv.get('b') ?? 'none');"
        ),
        "",
    );
    world.ok(&format!("await {outer}; return 0;")).await;
    assert_eq!(
        (world.get("a").await, world.get("b").await, world.get("c").await),
        (json!(1), json!(null), json!("none"))
    );
}

#[tokio::test]
async fn an_inner_one_is_tried_again_without_the_outer_one() {
    let world = World::new();
    let inner = named(
        "inner",
        "await kv.put('b', context.transaction.attempt); return context.transaction.attempt;",
        ", (result) => result > 1",
    );
    let outer = named(
        "outer",
        &format!(
            "outer.push(context.transaction.attempt); const n = await {inner}; return [n, context.transaction.id, outer];"
        ),
        "",
    );
    let told = world.ok(&format!("const outer = []; return {outer};")).await;
    assert_eq!(told, json!([2, "outer", [1]]));
    assert_eq!(world.get("b").await, json!(2));
}

/// What somebody outside was answered while an inner one was open is given to them when the outer one is over, though that
/// has gone back meanwhile.
#[tokio::test]
async fn answers_to_others_outlive_an_outer_one_that_goes_back() {
    let (world, mut server) = (World::new(), Server::start().await);
    let wait = format!("await http.get('{}'); return 'never';", server.url);
    let inner = named("inner", &wait, "");
    let outer = format!(
        "transaction({}, [async () => context.transaction.attempt > 1 ? 'again' : await {inner}], [])",
        spec(&json!({ "id": "outer", "ways": ["outer"], "timeoutMs": 500 }))
    );
    let body = format!(
        "const outside = http.get('{}'); return [await {outer}, (await outside).status];",
        server.url
    );
    let answering = async {
        let first = server.next().await;
        let never = server.next().await;
        first.answer(200);
        never
    };
    let (told, _never) = tokio::join!(world.ok(&body), answering);
    assert_eq!(told, json!(["again", 200]));
}

/// Runs the body while a request of its first attempt is answered, before which somebody else writes the key.
async fn while_written(world: &World, mut server: Server, body: &str) -> serde_json::Value {
    let writer = async {
        let request = server.next().await;
        world.put("flag", json!(1)).await;
        request.answer(200);
    };
    tokio::join!(world.ok(body), writer).0
}

/// The outer one goes on as it does because of what the inner one has read.
#[tokio::test]
async fn what_a_failed_inner_one_has_read_has_to_hold_still() {
    for before in ["", "await kv.get('other');"] {
        let (world, server) = (World::new(), Server::start().await);
        let inner = named(
            "inner",
            "await kv.put('b', 1); throw new Error(await kv.get('flag') ?? 'none');",
            "",
        );
        let body = format!(
            "{before} let flag; try {{ await {inner}; }} catch (error) {{ flag = error.message; }}
             if (context.transaction.attempt === 1) await http.get('{}');
             await kv.put('a', flag); return context.transaction.attempt;",
            server.url
        );
        let outer = named("outer", &body, "");
        let attempts = while_written(&world, server, &format!("return {outer};")).await;
        assert_eq!(attempts, json!(2), "{before}");
        assert_eq!((world.get("a").await, world.get("b").await), (json!("1"), json!(null)));
    }
}

#[tokio::test]
async fn an_inner_one_that_is_tried_again_reads_again() {
    let (world, server) = (World::new(), Server::start().await);
    let body = format!(
        "const flag = await kv.get('flag'); if (context.transaction.attempt === 1) await http.get('{}'); return flag;",
        server.url
    );
    let inner = named("inner", &body, ", (result) => result === 1");
    let body = format!("await kv.put('a', await {inner}); return context.transaction.attempt;");
    let outer = named("outer", &body, "");
    let attempts = while_written(&world, server, &format!("return {outer};")).await;
    assert_eq!((attempts, world.get("a").await), (json!(1), json!(1)));
}

#[tokio::test]
async fn an_outer_one_that_fails_undoes_inner_ones() {
    let world = World::new();
    let inner = named("inner", "await kv.put('b', 1);", "");
    let outer = named("outer", &format!("await {inner}; throw new Error('no');"), "");
    world.ok(&format!("try {{ await {outer}; }} catch {{}} return 0;")).await;
    assert_eq!(world.get("b").await, json!(null));
}

/// Two at once run one after the other, and calls beside them wait, and are made once.
#[tokio::test]
async fn while_one_is_open_all_else_is_held() {
    let world = World::new();
    world.put("n", json!(0)).await;
    let add = |id: &str| {
        named(
            id,
            "const n = await kv.get('n'); order.push(context.transaction.id); await new Promise((resolve) => setTimeout(resolve, 5)); await kv.put('n', n + 1); order.push(context.transaction.id);",
            "",
        )
    };
    let body = format!(
        "const order = []; setTimeout(() => order.push('timer'), 0);
         await Promise.all([kv.put('x', 1).then(() => order.push('put')), {}, {}, kv.put('y', 2).then(() => order.push('later'))]);
         return order;",
        add("one"),
        add("two")
    );
    let order = world.ok(&body).await;
    let order: Vec<&str> =
        order.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let place = |what: &str| order.iter().position(|it| *it == what).unwrap();
    assert_eq!(order.len(), 7, "{order:?}");
    assert_eq!(&order[..2], ["one", "one"], "{order:?}");
    assert_eq!(place("two") + 1, order.iter().rposition(|it| *it == "two").unwrap(), "{order:?}");
    assert!(place("put") > 1 && place("timer") > 1 && place("later") > 1, "{order:?}");
    assert_eq!(
        (world.get("n").await, world.get("x").await, world.get("y").await),
        (json!(2), json!(1), json!(2))
    );
}

#[tokio::test]
async fn what_the_outer_one_does_beside_an_inner_one_is_not_undone_with_it() {
    let world = World::new();
    let inner = named("inner", "await kv.put('in', 1); throw new Error('no');", "");
    let outer = named(
        "outer",
        &format!("await Promise.allSettled([kv.put('before', 1), {inner}, kv.put('behind', 1)]);"),
        "",
    );
    world.ok(&format!("await {outer}; return 0;")).await;
    let stored = (world.get("before").await, world.get("in").await, world.get("behind").await);
    assert_eq!(stored, (json!(1), json!(null), json!(1)));
}

/// What was asked before it, at the same moment, is no part of it.
#[tokio::test]
async fn what_is_beside_a_transaction_is_not_undone_with_it() {
    let world = World::new();
    let failing = named("failing", "await kv.put('in', 1); throw new Error('no');", "");
    let body = format!(
        "await Promise.allSettled([kv.put('before', 1), {failing}, kv.put('behind', 1)]); return 0;"
    );
    world.ok(&body).await;
    let stored = (world.get("before").await, world.get("in").await, world.get("behind").await);
    assert_eq!(stored, (json!(1), json!(null), json!(1)));
}

#[tokio::test]
async fn held_answers_come_once_however_often_it_is_tried() {
    let world = World::new();
    let again = named("again", "return context.transaction.attempt;", ", (result) => result > 3");
    let body = format!(
        "let answers = 0; const put = kv.put('x', 1).then(() => answers++); const n = await {again}; await put; return [n, answers];"
    );
    assert_eq!(world.ok(&body).await, json!([4, 1]));
}

#[tokio::test]
async fn to_wait_inside_for_what_is_held_is_a_deadlock() {
    let world = World::new();
    let inside = named("inside", "await kv.put('n', 1); await outside;", "");
    let told = world
        .ok(&format!("const outside = kv.get('x'); try {{ await {inside}; }} catch (error) {{ return [error.message, error.attempts[0].category, await outside ?? 'none']; }}"))
        .await;
    assert!(told[0].as_str().unwrap().contains("held back until it ends"), "{told}");
    assert_eq!((&told[1], &told[2]), (&json!("deadlock"), &json!("none")));
    assert_eq!(world.get("n").await, json!(null));
    let finished = world.run(&format!("const outside = kv.get('x'); await {inside};")).await;
    assert_eq!(finished.result.unwrap_err().category, belay_model::Category::Deadlock);
}

/// What it asked for and did not wait for is part of it.
#[tokio::test]
async fn a_write_that_is_not_waited_for_is_committed_too() {
    let world = World::new();
    let loose = named("loose", "kv.put('a', 1); kv.put('b', 2);", "");
    world.ok(&format!("await {loose}; return 0;")).await;
    assert_eq!((world.get("a").await, world.get("b").await), (json!(1), json!(2)));
}
