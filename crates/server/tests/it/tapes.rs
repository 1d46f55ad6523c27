//! A deploy is tried on recorded requests before it gets any.

use belay_model::{Decimal, Outputs, Tags};
use serde_json::{Value, json};

use crate::{
    support::{App, Server, deploy},
    trial_support::{FAULT, first, quick, requests, shop, state, story, told},
};

async fn deployed_twice(second: &App) -> (Server, Value) {
    let server = Server::start().await;
    server.deploy(&first()).await;
    requests(&server, 30).await;
    let deployed = server.deploy_in_steps(second).await;
    (server, deployed)
}

fn notes<'d>(deployed: &'d Value, kind: &str) -> Vec<&'d Value> {
    let notes = deployed["change"]["notes"].as_array().unwrap();
    notes.iter().filter(|note| note["kind"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_on_them_gets_no_request() {
    let (server, deployed) = deployed_twice(&shop("return n * 2;", FAULT, "return `#${n}`;")).await;
    let failing = notes(&deployed, "fails_on_tapes");
    assert_eq!(failing.len(), 1, "{deployed:#}");
    let validated = &deployed["change"]["validated"];
    assert_eq!(validated["tapes"], 30, "{validated:#}");
    assert_eq!((&validated["worse"], &validated["changed"]), (&json!(10), &json!(20)));

    let story = story(&server, 2).await;
    let taken = told(&story, "taken_back");
    assert_eq!((taken.len(), &taken[0]["by"]), (1, &json!("tapes")), "{story:#}");
    assert_eq!(taken[0]["parts"], json!([failing[0]["part"]]));
    let reason = taken[0]["reasons"][0].as_str().unwrap();
    assert!(reason.contains("no stock"), "{reason}");
    assert_eq!(state(&story), "canary");
    let hurt = requests(&server, 200).await;
    assert!(hurt.iter().all(|answer| answer["errorType"].is_null()), "nobody is hurt");

    // It is remembered as any other verdict: the same edit starts so.
    let again = shop("return n * 3;", FAULT, "return `#${n}`;");
    let deployed = server.deploy_in_steps(&again).await;
    assert_eq!(notes(&deployed, "carried").len() + notes(&deployed, "stays_taken_back").len(), 2);
    let hurt = requests(&server, 100).await;
    assert!(hurt.iter().all(|answer| answer["errorType"].is_null()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_answers_otherwise_is_told_by_field_and_held_against_nothing() {
    let (server, deployed) =
        deployed_twice(&shop("return n * 2;", "return n + 1;", "return String(n);")).await;
    let validated = &deployed["change"]["validated"];
    assert_eq!(validated["worse"], 0, "{validated:#}");
    let differences = validated["differences"].as_array().unwrap();
    let [line] = &differences[..] else { panic!("it is one field: {validated:#}") };
    let line = line.as_str().unwrap();
    assert!(line.starts_with("f: result[0] was "), "{line}");
    assert!(line.ends_with(" (29 requests)"), "{line}");
    assert_eq!(told(&story(&server, 2).await, "taken_back"), Vec::<&Value>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_answers_otherwise_counts_where_the_policy_says_so() {
    let mut second = shop("return n * 2;", "return n + 1;", "return `${n}`;");
    second.manifest.policy.tapes.outputs = Outputs::Judge;
    let (server, deployed) = deployed_twice(&second).await;
    // Of the two edits only one answers something else.
    let failing = notes(&deployed, "fails_on_tapes");
    assert_eq!(failing.len(), 1, "{deployed:#}");
    let validated = &deployed["change"]["validated"];
    assert_eq!(
        (&validated["worse"], &validated["changed"]),
        (&json!(29), &json!(0)),
        "{validated:#}"
    );
    let story = story(&server, 2).await;
    let reasons = &told(&story, "taken_back")[0]["reasons"];
    assert_eq!(reasons[0], "f: result[0] was 29, now 58", "{story:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_without_end_is_the_fault_of_its_part_alone() {
    let stuck = "while (n % 3 === 0) { n += 3; } return n + 2;";
    let (server, deployed) = deployed_twice(&shop("return n * 2;", stuck, "return `#${n}`;")).await;
    let failing = notes(&deployed, "fails_on_tapes");
    assert_eq!(failing.len(), 1, "{deployed:#}");
    assert_eq!(deployed["change"]["validated"]["tapes"], 30, "{deployed:#}");
    server.stop().await;
}

/// What one writes the other reads, and nothing but the data says so.
fn packed(pack: &str, read: &str) -> App {
    let code = format!(
        "function pack(n) {{ {pack} }}\n\
         function read(text) {{ {read} }}\n\
         export async function f({{ n }}) {{ return [read(pack(n))]; }}\n"
    );
    let mut app = App::new("shop").module("main.js", &code, &[]).function("f", "main.js");
    app.manifest.policy = quick();
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_fail_one_without_the_other_move_together() {
    let server = Server::start().await;
    server.deploy(&packed("return String(n);", "return Number(text);")).await;
    requests(&server, 30).await;
    let read =
        "if (!text.startsWith('v2:')) throw new Error('format'); return Number(text.slice(3));";
    let deployed = server.deploy_in_steps(&packed("return `v2:${n}`;", read)).await;
    assert_eq!(deployed["change"]["parts"], json!(["a", "b"]), "{deployed:#}");
    assert_eq!(notes(&deployed, "fails_on_tapes"), Vec::<&Value>::new(), "{deployed:#}");
    let story = story(&server, 2).await;
    let merged = told(&story, "merged");
    assert_eq!(merged.len(), 1, "{story:#}");
    assert_eq!(merged[0]["parts"], json!(["a", "b"]), "{story:#}");
    let answers = requests(&server, 300).await;
    assert!(answers.iter().all(|answer| answer["errorType"].is_null()), "no mixture breaks");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recorded_where_it_must_not_be() {
    let silent = |mut app: App| {
        let spec = app.manifest.functions.values_mut().next().unwrap();
        spec.tags = Tags { notape: true, ..Tags::default() };
        app
    };
    let off = |mut app: App| {
        app.manifest.policy.tapes.rate = Decimal::default();
        app
    };
    for change in [&silent as &dyn Fn(App) -> App, &off] {
        let server = Server::start().await;
        server.deploy(&change(first())).await;
        requests(&server, 10).await;
        let second = change(shop("return n;", FAULT, "return String(n);"));
        let deployed = server.deploy_in_steps(&second).await;
        assert_eq!(deployed["change"]["validated"], Value::Null, "{deployed:#}");
        server.stop().await;
    }
}

/// A function with what it promises of its results.
fn promising(code: &str, tag: &str, declared: Option<&str>) -> App {
    let code =
        format!("const LEAST = 1;\n/** {tag} */\nexport async function f({{ n }}) {{ {code} }}\n");
    let mut app = App::new("shop").module("main.js", &code, &[]).function("f", "main.js");
    let success = declared.map(str::to_owned);
    app.manifest.functions.values_mut().next().unwrap().tags = Tags { success, ..Tags::default() };
    app.manifest.policy = quick();
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_breaks_a_promise_gets_no_request() {
    let tag = r#"@success result.status === "done" && result.sum >= LEAST"#;
    for (tag, declared) in [(tag, None), ("", Some(&tag[9..]))] {
        let old = "const sum = n + 1; const status = 'done'; return { sum, status };";
        let new = "const sum = n * 2; const status = 'done!'; return { sum, status };";
        let server = Server::start().await;
        server.deploy(&promising(old, tag, declared)).await;
        requests(&server, 30).await;
        let deployed = server.deploy_in_steps(&promising(new, tag, declared)).await;
        let failing = notes(&deployed, "fails_on_tapes");
        assert!(!failing.is_empty(), "{deployed:#}");
        let story = story(&server, 2).await;
        let taken = told(&story, "taken_back");
        let told = r#"f: success: result.status === "done" && result.sum >= LEAST is false"#;
        assert_eq!(taken[0]["reasons"][0], told, "{story:#}");
        let answers = requests(&server, 50).await;
        assert!(answers.iter().all(|answer| answer["status"] == "done"), "nobody meets it");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_is_edited_with_its_code_is_kept() {
    let server = Server::start().await;
    let tag = r#"@success result.status === "done""#;
    server.deploy(&promising("return { status: 'done' };", tag, None)).await;
    requests(&server, 30).await;
    let after = promising("return { state: 'done' };", &tag.replace("status", "state"), None);
    let deployed = server.deploy_in_steps(&after).await;
    let validated = &deployed["change"]["validated"];
    assert_eq!(
        (&validated["worse"], &validated["changed"]),
        (&json!(0), &json!(30)),
        "{deployed:#}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_alone_is_no_edit() {
    let server = Server::start().await;
    server.deploy(&promising("return { status: 'done' };", "", None)).await;
    requests(&server, 5).await;
    let after = promising("return { status: 'done' };", "@success result.never", None);
    let deployed = server.deploy_in_steps(&after).await;
    assert_eq!((&deployed["version"], &deployed["change"]), (&json!(2), &Value::Null));
    server.stop().await;
}

fn is_off(story: &Value) -> bool {
    story["parts"].as_array().unwrap().iter().all(|part| part["arm"] == "before")
}

/// `pay` depends on `price`.
fn depends(price: &str, pay: &str) -> App {
    let code = format!(
        "export async function price({{ n }}) {{ {price} }}\n\
         /** @depends price */\n\
         export async function pay({{ n }}) {{ {pay} }}\n"
    );
    let mut app = App::new("shop").module("main.js", &code, &[]);
    for name in ["price", "pay"] {
        app = app.function(name, "main.js");
    }
    app.manifest.policy = quick();
    app
}

async fn price_fails(second: App, query: &'static str) -> (Server, Value) {
    let server = Server::start().await;
    server.deploy(&depends("return n;", "return [n];")).await;
    let url = format!("http://{}/2015-03-31/functions/shop.price/invocations", server.http);
    for n in 0..30 {
        server.client.post(&url).json(&json!({ "n": n })).send().await.unwrap();
    }
    let (status, deployed) = deploy(server.client.clone(), server.control, second, query).await;
    assert!(status.is_success(), "{deployed:#}");
    (server, deployed)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_a_part_that_fails_gets_no_request_either() {
    let fails = depends(FAULT, "return [n, n];");
    let (server, deployed) = price_fails(fails, "").await;
    assert_eq!(notes(&deployed, "fails_on_tapes").len(), 1, "{deployed:#}");
    assert_eq!(notes(&deployed, "goes_with").len(), 1, "{deployed:#}");
    let story = story(&server, 2).await;
    let taken = told(&story, "taken_back");
    assert_eq!(taken.len(), 1, "{story:#}");
    assert_eq!(taken[0]["dependents"].as_array().unwrap().len(), 1, "{story:#}");
    assert_eq!(taken[0]["affects"], json!(["pay", "price"]), "{story:#}");
    assert!(is_off(&story), "{story:#}");
    // People who want it all the same have it let in step by step.
    let (status, _) = server.post("apps/shop/changes/2/restore", &json!({})).await;
    assert_eq!(status.as_u16(), 200);
    let restored = crate::trial_support::story(&server, 2).await;
    assert_eq!((state(&restored), &restored["percent"]), ("canary", &json!(20.0)), "{restored:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_dry_run_it_is_told_and_let_in() {
    let fails = depends(FAULT, "return [n, n];");
    let (server, deployed) = price_fails(fails, "?dry_run=true").await;
    let failing = notes(&deployed, "fails_on_tapes");
    assert_eq!((failing.len(), &failing[0]["arm"]), (1, &json!("after")), "{deployed:#}");
    let story = story(&server, 2).await;
    assert_eq!(state(&story), "canary", "{story:#}");
    assert_eq!(told(&story, "taken_back"), Vec::<&Value>::new(), "{story:#}");
    let would = told(&story, "would_take_back");
    assert_eq!(would.len(), 1, "{story:#}");
    assert!(would[0]["reasons"][0].as_str().unwrap().contains("no stock"), "{story:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_function_is_left_out_where_the_policy_wants_that() {
    let mut second = shop("return n * 2;", FAULT, "return `#${n}`;");
    let whole = json!({ "rollback": "coarse" });
    second.manifest.policy.places.insert("f".to_owned(), serde_json::from_value(whole).unwrap());
    let (server, deployed) = deployed_twice(&second).await;
    assert_eq!(notes(&deployed, "fails_on_tapes").len(), 3, "{deployed:#}");
    assert!(is_off(&story(&server, 2).await));
    server.stop().await;
}
