//! Changes on trial: let in step by step, judged by what becomes of real requests, taken back part by part.

use belay_model::Decimal;
use belay_server::catalog::{AlertRecord, Usually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    support::{App, Server},
    trial_support::{
        FAULT, first, on_trial, quick, request, requests, requests_until, shop, state, story, told,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_is_taken_back_and_the_others_go_live() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    let deployed = server.deploy_in_steps(&shop("return n * 2;", FAULT, "return `#${n}`;")).await;
    assert_eq!((&deployed["change"]["percent"], &deployed["version"]), (&json!(20.0), &json!(2)));

    let story = requests_until(&server, 2, |story| state(story) == "live").await;
    let taken = told(&story, "taken_back");
    assert_eq!(taken.len(), 1, "{story:#}");
    let guilty = story["parts"].as_array().unwrap().iter().find(|part| part["arm"] == "before");
    assert_eq!(taken[0]["parts"], json!([guilty.unwrap()["part"]]), "{story:#}");
    assert_eq!((&taken[0]["by"], &taken[0]["level"]), (&json!("judge"), &json!("part")));
    assert_eq!(taken[0]["measured"][0]["what"], "exception", "{story:#}");
    assert_eq!(told(&story, "advanced").len(), 1, "{story:#}");
    // All requests but the hold-out run the others.
    let (_, promoted) = request(&server, 3, None).await;
    assert!([json!([6, 4, "#3"]), json!([3, 4, "3"])].contains(&promoted), "{promoted}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_no_harm_goes_live_and_nothing_is_taken_back() {
    let server = Server::start().await;
    // Failures that both have are held against nobody.
    let stock = |plus: u32| format!("if (n % 5 === 0) throw new Error('none'); return n + {plus};");
    server.deploy(&shop("return n;", &stock(1), "return '';")).await;
    server.deploy_in_steps(&shop("return n * 2;", &stock(2), "return `#${n}`;")).await;
    let story = requests_until(&server, 2, |story| state(story) == "live").await;
    assert_eq!(told(&story, "taken_back"), Vec::<&Value>::new(), "{story:#}");
    assert_eq!(story["percent"], json!(98.0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_key_stays_at_one_arm() {
    let server = Server::start().await;
    let mut first = first();
    first.manifest.policy.canary.key = Some("header:x-user".parse().unwrap());
    first.manifest.policy.canary.ramp = vec![Decimal::whole(50)];
    let mut second = shop("return n * 2;", "return n + 2;", "return `#${n}`;");
    second.manifest.policy = first.manifest.policy.clone();
    server.deploy(&first).await;
    server.deploy_in_steps(&second).await;
    let mut answers = std::collections::BTreeSet::new();
    for user in 0..40 {
        let user = format!("user-{user}");
        let (_, once) = request(&server, 5, Some(&user)).await;
        for _ in 0..3 {
            assert_eq!(request(&server, 5, Some(&user)).await.1, once, "{user}");
        }
        answers.insert(once.to_string());
    }
    // Nothing, all, or some of it; which users get what is drawn anew for each change.
    assert!(answers.len() > 2, "{answers:?}");
    assert!(answers.contains(r##"[5,6,"5"]"##), "{answers:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_goes_on_after_a_restart() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    server.deploy_in_steps(&shop("return n * 2;", "return n + 1;", "return String(n);")).await;
    let before = story(&server, 2).await;
    let server = Server::start_in(server.stop().await, |_| {}).await;
    let after = story(&server, 2).await;
    assert_eq!(
        (&before["percent"], &before["decisions"], &before["state"]),
        (&after["percent"], &after["decisions"], &after["state"])
    );
    assert_eq!(state(&after), "canary");
    requests_until(&server, 2, |story| state(story) == "live").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_may_promote_and_take_back_what_is_on_trial() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    server.deploy_in_steps(&shop("return n * 2;", "return n + 2;", "return String(n);")).await;
    let (status, _) =
        server.post("apps/shop/changes/2/take-back", &json!({ "parts": ["a"] })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(state(&story(&server, 2).await), "canary");
    let (status, promoted) = server.post("apps/shop/changes/2/promote", &json!({})).await;
    assert_eq!((status, &promoted["state"]), (StatusCode::OK, &json!("live")), "{promoted:#}");
    let story = story(&server, 2).await;
    let lines: Vec<&str> = story["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["told"].as_str().unwrap())
        .collect();
    assert_eq!(lines, ["began", "taken_back", "live"]);
    let (status, refused) = server.post("apps/shop/changes/1/promote", &json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{refused:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_takes_the_place_of_a_canary() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    server.deploy_in_steps(&shop("return n * 2;", "return n + 2;", "return String(n);")).await;
    // One edit goes on, one is changed again; nothing was live, so nothing is asked.
    let third = shop("return n * 2;", "return n + 3;", "return String(n);");
    let deployed = server.deploy_in_steps(&third).await;
    assert_eq!(deployed["change"]["from"], "1", "{deployed:#}");
    assert_eq!(deployed["change"]["settled"], Value::Null, "{deployed:#}");
    let story = story(&server, 3).await;
    assert_eq!(state(&story), "canary");
    // Who is not admitted runs what was live.
    let (_, out) = server.post("apps/shop/changes/3/take-back", &json!({})).await;
    assert_eq!(out["state"], "live", "{out:#}");
    assert_eq!(request(&server, 5, None).await.1, json!([5, 6, "5"]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_set_while_a_change_is_on_trial() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    server.deploy_in_steps(&shop("return n * 2;", "return n + 1;", "return String(n);")).await;
    let (status, report) =
        server.put("apps/shop/policy", &json!({ "canary": { "ramp": [7, 9] } })).await;
    assert_eq!(status, StatusCode::OK, "{report:#}");
    assert_eq!(report["policy"]["canary"]["ramp"], json!([7, 9]));
    assert_eq!(story(&server, 2).await["percent"], json!(7.0));
    let (status, refused) =
        server.put("apps/shop/policy", &json!({ "canary": { "ramp": [9, 7] } })).await;
    assert!(status.is_client_error(), "{refused:#}");
    assert_eq!(story(&server, 2).await["percent"], json!(7.0), "what is refused changes nothing");
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(story(&server, 2).await["percent"], json!(7.0), "it is kept");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_only_one_arm_has_runs_there() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    let code = "export async function f({ n }) { return [n]; }\nexport async function g() { return 'new'; }\n";
    let mut second = App::new("shop")
        .module("main.js", code, &[])
        .function("f", "main.js")
        .function("g", "main.js");
    second.manifest.policy = quick();
    server.deploy_in_steps(&second).await;
    for _ in 0..300 {
        assert_eq!(server.call("shop.g", &json!({})).await, "new");
    }
    // There is nobody to compare it with, so nothing is held against it.
    let story = on_trial(&server, 2, |_| true).await;
    assert_eq!(told(&story, "taken_back"), Vec::<&Value>::new(), "{story:#}");
    assert_eq!(story["trial"]["comparisons"][0]["requests"], json!([0, 0]), "{story:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_leaves_a_trace() {
    let server = Server::start().await;
    let quiet = |mut app: App| {
        app.manifest.policy.tapes.rate = Decimal::default();
        app
    };
    let stuck = "return new Promise(() => setTimeout(() => {}, 8000));";
    let code = |wait: &str| {
        format!(
            "function wait(n) {{ {wait} }}\nexport async function f({{ n }}) {{ return [await wait(n)]; }}\n"
        )
    };
    let app = |wait: &str| {
        let mut app = App::new("shop").module("main.js", &code(wait), &[]).function("f", "main.js");
        app.manifest.policy = quick();
        // Who hangs up does not fail: a step that ends as soon as failures are excluded would leave it to chance.
        app.manifest.policy.canary.step_min_ms = app.manifest.policy.canary.step_max_ms;
        quiet(app)
    };
    server.deploy(&app("return n;")).await;
    requests(&server, 300).await;
    server.deploy_in_steps(&app(stuck)).await;
    let impatient = reqwest::Client::builder()
        .tls_certs_only([])
        .timeout(std::time::Duration::from_millis(500))
        .build()
        .unwrap();
    let url = format!("http://{}/2015-03-31/functions/shop.f/invocations", server.http);
    // What is usual takes far less, also on a busy machine.
    for n in 0..600 {
        drop(impatient.post(&url).json(&json!({ "n": n })).send().await);
        if n % 5 == 0 && story(&server, 2).await["parts"][0]["arm"] == "before" {
            break;
        }
    }
    // It acts before it is told.
    let mut story = story(&server, 2).await;
    for _ in 0..20_000 {
        if told(&story, "taken_back").is_empty() {
            story = crate::trial_support::story(&server, 2).await;
        }
    }
    assert_eq!(told(&story, "taken_back").len(), 1, "{story:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_asked_for_again_runs_for_all_requests() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    server.deploy_in_steps(&shop("return n * 2;", "return n + 1;", "return String(n);")).await;
    server.deploy_in_steps(&shop("return n * 3;", "return n + 1;", "return String(n);")).await;
    let (status, _) = server.put("apps/shop/aliases/live", &json!({ "version": 2 })).await;
    assert_eq!(status, StatusCode::OK);
    let story = story(&server, 2).await;
    assert_eq!((state(&story), &story["percent"]), ("live", &Value::Null), "{story:#}");
    for _ in 0..40 {
        assert_eq!(request(&server, 5, None).await.1, json!([10, 6, "5"]));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_closes_without_a_request() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    let mut second = shop("return n * 2;", "return n + 1;", "return String(n);");
    second.manifest.policy.canary.window_ms = 0;
    server.deploy(&second).await;
    until_settled(&server).await;
    assert_eq!(request(&server, 5, None).await.1, json!([10, 6, "5"]));
    server.stop().await;
}

/// Returns when the change is settled, which takes a build: the test runner's limit ends a test in which it never is.
async fn until_settled(server: &Server) {
    while state(&story(server, 2).await) != "settled" {
        tokio::task::yield_now().await;
    }
}

/// Sends requests for as long as so many percent of them run the change. As the story is looked at before each of them, one
/// at most comes after the next step began, which is too few for the judge to go on from there.
async fn one_by_one_while(server: &Server, percent: f64) {
    for n in 0.. {
        if story(server, 2).await["percent"] != json!(percent) {
            return;
        }
        assert_eq!(request(server, n, None).await.0, StatusCode::OK);
    }
}

/// Without enough time in the tests to see what is usual, nothing is unusual.
const LEARNED: usize = 600;
/// Of these events the stock knows nothing; no earlier request has one.
const LATE: usize = 1_000_000;

/// Requests that all come by what is broken, until something was taken back; how many failed.
async fn hurt_until_taken_back(server: &Server) -> (Value, usize) {
    let mut hurt = 0;
    for n in LATE..LATE + 4_000 {
        let (_, answer) = request(server, n, None).await;
        hurt += usize::from(!answer["errorType"].is_null());
        if n % 20 == 0 {
            let story = story(server, 2).await;
            if !told(&story, "taken_back").is_empty() {
                return (story, hurt);
            }
        }
    }
    panic!("{hurt} failed: {:#}", story(server, 2).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn harm_that_comes_when_nearly_all_run_it_is_seen_at_once() {
    let late = "if (n >= 1000000) throw new Error('no stock'); return n + 2;";
    for hold_out in [2, 0] {
        let server = Server::start().await;
        server.deploy(&first()).await;
        requests(&server, LEARNED).await;
        server.deploy_in_steps(&shop("return n * 2;", late, "return `#${n}`;")).await;
        let (status, _) = server.post("apps/shop/changes/2/promote", &json!({})).await;
        assert_eq!(status, StatusCode::OK);
        let set = json!({ "canary": { "hold_out": hold_out } });
        assert_eq!(server.put("apps/shop/policy", &set).await.0, StatusCode::OK);
        // By then it looks harmless.
        requests(&server, LEARNED).await;
        let (story, hurt) = hurt_until_taken_back(&server).await;
        let alarmed = told(&story, "alarmed");
        assert_eq!(alarmed.len(), 1, "{story:#}");
        assert_eq!(alarmed[0]["percent"], json!(50.0), "{story:#}");
        let taken = told(&story, "taken_back");
        assert_eq!(taken[0]["parts"].as_array().unwrap().len(), 1, "{story:#}");
        assert!(taken[0]["measured"][0]["what"] == "exception", "{story:#}");
        assert!(hurt < 300, "{hurt} failed with a hold-out of {hold_out} %: {story:#}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ramps_and_windows_may_be_shortened_at_any_time() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    server.deploy_in_steps(&shop("return n * 2;", "return n + 1;", "return String(n);")).await;
    let set = async |canary: Value| {
        let (status, report) = server.put("apps/shop/policy", &json!({ "canary": canary })).await;
        assert_eq!(status, StatusCode::OK, "{report:#}");
        story(&server, 2).await
    };
    one_by_one_while(&server, 20.0).await;
    assert_eq!(story(&server, 2).await["percent"], json!(50.0));
    let shorter = set(json!({ "ramp": [1] })).await;
    assert_eq!((state(&shorter), &shorter["percent"]), ("canary", &json!(1.0)), "{shorter:#}");
    let told_of = told(&shorter, "advanced");
    let last = told_of.last().unwrap();
    assert_eq!((&last["why"], &last["to_percent"]), (&json!("policy"), &json!(1.0)), "{last:#}");
    let none = set(json!({ "ramp": [] })).await;
    assert_eq!((state(&none), &none["percent"]), ("live", &json!(98.0)), "{none:#}");
    set(json!({ "window_ms": 0 })).await;
    until_settled(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_of_a_noisy_app_leave_those_of_others() {
    let server = Server::start().await;
    let (function, usual) = ("f".parse().unwrap(), Usually::PerSecond(2.0));
    let alert = async |app: &str, what: &str| {
        let app = app.parse().unwrap();
        let alert = AlertRecord::new(&app, &function, what, usual, None);
        server.parts.catalog.alert(&alert).await.unwrap();
    };
    alert("quiet", "failures").await;
    for _ in 0..120 {
        alert("noisy", "latency > p99").await;
    }
    let (_, told) = server.get("alerts").await;
    let told = told["alerts"].as_array().unwrap();
    let of = |app: &str| told.iter().filter(|alert| alert["app"] == app).count();
    assert_eq!((of("quiet"), of("noisy")), (1, 100));
    assert_eq!(told.last().unwrap()["app"], "quiet", "the newest first");
    server.stop().await;
}
