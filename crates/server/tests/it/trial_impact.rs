//! What else is concerned when something is taken back: dependents, functions that are off for a time, thresholds of some code, and
//! harm that comes to everybody.

use belay_model::{Decimal, Dependents, Policy};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::{
    support::{App, Server},
    trial_support::{
        FAULT, REQUESTS_MAX, first, on_trial, quick, request, requests, requests_until, shop,
        state, story, told,
    },
};

/// `pay` depends on `price`, and something else may run instead.
fn dependent(price: &str, pay: &str, policy: &Policy) -> App {
    let code = format!(
        "export async function price({{ n }}) {{ {price} }}\n\
         /** @depends price */\n\
         export async function pay({{ n }}) {{ {pay} }}\n\
         export async function later() {{ return 'later'; }}\n"
    );
    let mut app = App::new("shop").module("main.js", &code, &[]);
    for name in ["price", "pay", "later"] {
        app = app.function(name, "main.js");
    }
    app.manifest.policy = policy.clone();
    app
}

fn without_tapes(dependents: Dependents) -> Policy {
    let mut policy = quick();
    policy.impact.dependents = dependents;
    policy.tapes.rate = Decimal::default();
    policy
}

/// That of [`dependent`], whose `pay` has a fallback.
fn with_fallback(dependents: Dependents) -> Policy {
    let mut policy = without_tapes(dependents);
    let later = json!({ "fallback": "later" });
    policy.places.insert("pay".to_owned(), serde_json::from_value(later).unwrap());
    policy
}

async fn invoke(server: &Server, function: &str, n: usize) -> Response {
    let url = format!("http://{}/2015-03-31/functions/{function}/invocations", server.http);
    server.client.post(url).json(&json!({ "n": n })).send().await.unwrap()
}

/// Two versions of which the second has a price that fails, after so many requests that something was decided.
async fn decided(policy: &Policy, what: &str) -> (Server, Value) {
    let server = Server::start().await;
    server.deploy(&dependent("return n;", "return [n];", policy)).await;
    server.deploy_in_steps(&dependent(FAULT, "return [n, n];", policy)).await;
    for n in 0..REQUESTS_MAX {
        invoke(&server, "shop.price", n).await;
        if n % 50 == 0 {
            let story = story(&server, 2).await;
            if !told(&story, what).is_empty() {
                return (server, story);
            }
        }
    }
    panic!("{:#}", story(&server, 2).await);
}

/// The parts of `price` and of `pay`.
async fn parts(server: &Server) -> [String; 2] {
    let (_, change) = server.get("apps/shop/changes/2").await;
    let part = |function: &str| {
        let parts = change["contents"].as_array().unwrap();
        let own =
            |part: &&Value| part.to_string().contains(&format!("\"function\":\"{function}\""));
        parts.iter().find(own).unwrap()["id"].as_str().unwrap().to_owned()
    };
    [part("price"), part("pay")]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_it_goes_with_it() {
    let (server, story) = decided(&with_fallback(Dependents::Cascade), "taken_back").await;
    let [price, pay] = parts(&server).await;
    let taken = told(&story, "taken_back")[0];
    assert_eq!(taken["parts"], json!([price]), "{story:#}");
    assert_eq!(taken["dependents"], json!([pay]), "{story:#}");
    assert_eq!(taken["affects"], json!(["pay", "price"]), "{story:#}");
    assert!(story["parts"].as_array().unwrap().iter().all(|part| part["arm"] == "before"));
    assert_eq!(invoke(&server, "shop.pay", 7).await.json::<Value>().await.unwrap(), json!([7]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_be_off_for_a_time_instead() {
    let (server, story) = decided(&with_fallback(Dependents::Disable), "disabled").await;
    let [price, pay] = parts(&server).await;
    assert_eq!(told(&story, "taken_back")[0]["parts"], json!([price]), "{story:#}");
    let disabled = told(&story, "disabled")[0];
    assert_eq!((&disabled["functions"], &disabled["dependents"]), (&json!(["pay"]), &json!([pay])));
    // Its callers get what it names instead; also after a restart.
    let answer = async |server: &Server| invoke(server, "shop.pay", 7).await.json::<Value>().await;
    assert_eq!(answer(&server).await.unwrap(), "later");
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(answer(&server).await.unwrap(), "later");
    let (_, list) = server.get("functions").await;
    let off = list["functions"].as_array().unwrap().iter().find(|it| it["function"] == "pay");
    assert_eq!(off.unwrap()["disabled"]["change"], "shop/2", "{list:#}");
    let (status, _) = server.delete("apps/shop/functions/pay/disabled").await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer(&server).await.unwrap().is_array());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_asked_where_the_policy_says_so() {
    let (server, story) = decided(&with_fallback(Dependents::Refuse), "refused").await;
    let [price, _] = parts(&server).await;
    assert_eq!(told(&story, "refused")[0]["parts"], json!([price]), "{story:#}");
    for n in 0..200 {
        invoke(&server, "shop.price", n).await;
    }
    let later = crate::trial_support::story(&server, 2).await;
    assert_eq!(told(&later, "taken_back"), Vec::<&Value>::new(), "{later:#}");
    assert_eq!((told(&later, "refused").len(), state(&later)), (1, "canary"), "{later:#}");
    assert_eq!(later["percent"], story["percent"], "the ramp waits");
    let (status, _) =
        server.post("apps/shop/changes/2/take-back", &json!({ "parts": [price] })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(invoke(&server, "shop.price", 3).await.json::<Value>().await.unwrap(), json!(3));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_a_fallback_says_when_to_come_again() {
    let server = Server::start().await;
    server.deploy(&first()).await;
    let off = |ms: u64| json!({ "for_ms": ms });
    let path = "apps/shop/functions/f/disabled";
    assert_eq!(server.put(path, &off(3_600_000)).await.0, StatusCode::OK);
    let seconds = |response: &Response| {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let after = response.headers()["retry-after"].to_str().unwrap();
        after.parse::<u64>().unwrap()
    };
    let response = invoke(&server, "shop.f", 1).await;
    assert!((3_500..=3_600).contains(&seconds(&response)));
    assert_eq!(response.headers()["x-amzn-errortype"], "ServiceException");
    let http = server.client.get(format!("http://{}/fn/shop.f/", server.http)).send().await;
    assert!((3_500..=3_600).contains(&seconds(&http.unwrap())));
    let (status, refused) = server.post("functions/shop.f/invocations", &json!({})).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("disabled"))
    );

    assert_eq!(server.delete(path).await.0, StatusCode::OK);
    assert_eq!(request(&server, 3, None).await.1, json!([3, 4, "3"]));
    for wrong in [0, u64::MAX] {
        assert!(server.put(path, &off(wrong)).await.0.is_client_error());
    }
    let (status, unknown) = server.put("apps/shop/functions/g/disabled", &off(1)).await;
    assert_eq!(
        (status, &unknown["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("unknown-function"))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_a_function_that_is_off_waits() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "throw new Error('it ran');")).await;
    let path = "apps/shop/functions/f/disabled";
    server.put(path, &json!({ "for_ms": 3_600_000 })).await;
    let (status, _) = server.post("functions/shop.f/invocations?type=event", &json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let log = async || {
        let response =
            server.api(reqwest::Method::GET, "functions/shop.f/logs").send().await.unwrap();
        response.text().await.unwrap()
    };
    assert!(!log().await.contains("it ran"));
    server.delete(path).await;
    let mut looks = 0;
    // Who waits is looked at every two seconds.
    while !log().await.contains("it ran") {
        looks += 1;
        assert!(looks < 1_000_000);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thresholds_and_ramps_differ_by_code() {
    let server = Server::start().await;
    let mut policy = without_tapes(Dependents::Keep);
    let place = |json: Value| serde_json::from_value(json).unwrap();
    policy.judge.costs_tolerated = Decimal::whole(100);
    // A third of the requests fail, which is tolerated of this function alone.
    policy.places.insert("main.js#stock".to_owned(), place(json!({ "increase_min": 60 })));
    policy.places.insert("f".to_owned(), place(json!({ "ramp": [40] })));
    let of = |mut app: App| {
        app.manifest.policy = policy.clone();
        app
    };
    server.deploy(&of(first())).await;
    let second = of(shop("return n;", FAULT, "return String(n);"));
    let deployed = server.deploy_in_steps(&second).await;
    assert_eq!(deployed["change"]["percent"], json!(40.0), "{deployed:#}");
    requests(&server, 600).await;
    let tolerated = story(&server, 2).await;
    assert_eq!(told(&tolerated, "taken_back"), Vec::<&Value>::new(), "{tolerated:#}");
    assert_eq!(told(&tolerated, "slowed").len(), 1, "{tolerated:#}");
    // Set live, it is not any more.
    let (status, report) = server
        .put("apps/shop/policy", &json!({ "for": { "main.js#stock": { "increase_min": 0 } } }))
        .await;
    assert_eq!(status, StatusCode::OK, "{report:#}");
    requests_until(&server, 2, |story| !told(story, "taken_back").is_empty()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_names_what_is_there() {
    let server = Server::start().await;
    let place = |json: Value| serde_json::from_value(json).unwrap();
    let of = |name: &str, said: Value| {
        let mut app = dependent("return n;", "return [n];", &Policy::default());
        app.manifest.policy.places.insert(name.to_owned(), place(said));
        app
    };
    for (name, said) in [("nosuch", json!({})), ("pay", json!({ "fallback": "latr" }))] {
        let (status, refused) = server.try_deploy(&of(name, said)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#}");
        assert_eq!(refused["error"]["diagnostics"][0]["code"], "unknown-name", "{refused:#}");
    }
    // Code comes and goes.
    let mut app = of("main.js#priec", json!({ "window_ms": 5 }));
    app.manifest.policy.places.insert("main.js#pay/99".to_owned(), place(json!({ "ramp": [1] })));
    app.manifest.policy.places.insert("main.js#pay".to_owned(), place(json!({ "ramp": [1] })));
    app.manifest.policy.alerts.secret = Some("NOPE".to_owned());
    let deployed = server.deploy(&app).await;
    let warnings = deployed["diagnostics"].as_array().unwrap();
    let told = |warning: &Value| {
        let text = |key: &str| warning[key].as_str().unwrap_or_default().to_owned();
        format!("{}: {}\n  {}", text("severity"), text("message"), text("help"))
    };
    let told: Vec<String> = warnings.iter().map(told).collect();
    insta::assert_snapshot!(told.join("\n"));

    // What is set has to be there; what is taken away need not.
    let set = async |said: Value| server.put("apps/shop/policy", &json!({ "for": said })).await;
    for name in ["nosuch", "main.js#priec", "main.js#pay/99"] {
        let (status, refused) = set(json!({ name: { "window_ms": 7 } })).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{refused:#}");
        assert_eq!(set(json!({ name: { "window_ms": null } })).await.0, StatusCode::OK);
    }
    let (status, report) = set(json!({ "main.js#price": { "window_ms": 7 } })).await;
    assert_eq!(status, StatusCode::OK, "{report:#}");
    assert_eq!(report["diagnostics"][0]["code"], "unknown-secret", "{report:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_says_of_whose_requests_it_is_where_thresholds_differ() {
    let server = Server::start().await;
    let mut policy = with_fallback(Dependents::Keep);
    policy.canary.dry_run = true;
    let tolerant = policy.places.get_mut("pay").unwrap();
    tolerant.failures_tolerated = Some(Decimal::whole(2));
    server.deploy(&dependent("return n;", "return [n];", &policy)).await;
    server.deploy_in_steps(&dependent(FAULT, FAULT, &policy)).await;
    for n in 0..600 {
        invoke(&server, "shop.price", n).await;
        invoke(&server, "shop.pay", n).await;
    }
    let whole = |story: &Value| {
        let measured = story["trial"]["comparisons"][0]["measured"].as_array();
        let exceptions = measured.into_iter().flatten().filter(|it| it["what"] == "exception");
        exceptions.map(|it| it["functions"].clone()).collect::<Vec<_>>()
    };
    let story = on_trial(&server, 2, |story| whole(story).len() == 2).await;
    let whole = whole(&story);
    assert!(whole.contains(&json!(["pay"])) && whole.contains(&json!(["price"])), "{story:#}");

    let url = format!("http://{}/metrics", server.control);
    let metrics = server.client.get(url).send().await.unwrap().text().await.unwrap();
    let series = metrics.lines().filter(|line| !line.starts_with('#'));
    let mut series: Vec<&str> = series.map(|line| line.rsplit_once(' ').unwrap().0).collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all, "a series is there twice: {metrics}");
    assert!(metrics.contains(r#"event="exception",functions="pay""#), "{metrics}");
    server.stop().await;
}

/// Each request has a number. Those fail that have one of the last three before them that ran `jam`, in whatever arm they are.
fn jammed(jam: &str, policy: &Policy) -> App {
    let code = format!(
        "export async function f({{ n }}, {{ kv }}) {{\n\
           const now = ((await kv.get('clock')) ?? 0) + 1;\n\
           const jam = (await kv.get('jam')) ?? -100;\n\
           await kv.put('clock', now);\n\
           {jam}\n\
           if (now - jam < 4) throw new Error('jammed');\n\
           return n;\n\
         }}\n"
    );
    let mut app = App::new("shop").module("main.js", &code, &[]).function("f", "main.js");
    app.manifest.policy = policy.clone();
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hurts_everybody_is_taken_away_and_then_taken_back() {
    let server = Server::start().await;
    let mut policy = without_tapes(Dependents::Cascade);
    policy.canary.hold_out = Decimal::default();
    policy.judge.harmless_below = Decimal::new(0.001).unwrap();
    policy.judge.costs_tolerated = Decimal::whole(100);
    server.deploy(&jammed("", &policy)).await;
    requests(&server, 600).await;
    server.deploy_in_steps(&jammed("await kv.put('jam', now);", &policy)).await;
    let mut seen = Value::Null;
    for _ in 0..40 {
        requests(&server, 50).await;
        seen = story(&server, 2).await;
        if !told(&seen, "taken_back").is_empty() {
            break;
        }
    }
    let lines: Vec<&str> =
        seen["decisions"].as_array().unwrap().iter().filter_map(|it| it["told"].as_str()).collect();
    assert_eq!(lines, ["began", "shared", "withdrawn", "taken_back"], "{seen:#}");
    assert_eq!(told(&seen, "taken_back")[0]["level"], "shared", "{seen:#}");
    let (_, alerts) = server.get("alerts").await;
    let all = alerts["alerts"].as_array().unwrap();
    assert!(all.iter().any(|alert| alert["what"] == "failures"), "{alerts:#}");
    let answers = requests(&server, 40).await;
    assert_eq!(answers[30..], (30..40).map(Value::from).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_bad_without_it_was_something_else() {
    let server = Server::start().await;
    let mut policy = without_tapes(Dependents::Cascade);
    policy.judge.harmless_below = Decimal::new(0.001).unwrap();
    // Both fail once somebody, here a neighbour, has jammed it for long.
    let code = |plus: &str| {
        let code = format!(
            "export async function f({{ n }}, {{ kv }}) {{\n\
               if (n === 'jam') await kv.put('jam', true);\n\
               if (await kv.get('jam')) throw new Error('jammed');\n\
               return n + {plus};\n\
             }}\n"
        );
        let mut app = App::new("shop").module("main.js", &code, &[]).function("f", "main.js");
        app.manifest.policy = policy.clone();
        app
    };
    server.deploy(&code("0")).await;
    requests(&server, 600).await;
    server.deploy_in_steps(&code("1")).await;
    server.invoke("shop.f", &json!({ "n": "jam" })).await;
    let mut seen = Value::Null;
    for _ in 0..40 {
        requests(&server, 50).await;
        seen = story(&server, 2).await;
        if !told(&seen, "returned").is_empty() {
            break;
        }
    }
    assert_eq!(told(&seen, "returned")[0]["why"], "not_better", "{seen:#}");
    assert_eq!((told(&seen, "taken_back").len(), state(&seen)), (0, "canary"), "{seen:#}");
    assert_eq!(seen["percent"], json!(20.0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_outlives_a_restart() {
    let server = Server::start().await;
    let mut policy = without_tapes(Dependents::Keep);
    policy.judge.harmless_below = Decimal::new(0.001).unwrap();
    let of = |mut app: App| {
        app.manifest.policy = policy.clone();
        app
    };
    server.deploy(&of(first())).await;
    let seldom = "if (n % 40 === 0) throw new Error('no stock'); return n + 2;";
    server.deploy_in_steps(&of(shop("return n * 2;", seldom, "return `#${n}`;"))).await;
    requests(&server, 200).await;
    let seen = on_trial(&server, 2, |story| sum(story) > 0).await;
    let server = Server::start_in(server.stop().await, |_| {}).await;
    // The judge hears of requests a little later than it is asked here.
    let later = on_trial(&server, 2, |_| true).await;
    assert!(sum(&later) >= sum(&seen), "{seen:#} {later:#}");
    server.stop().await;
}

/// Requests of the first comparison.
fn sum(story: &Value) -> u64 {
    let requests = story["trial"]["comparisons"][0]["requests"].as_array();
    requests.into_iter().flatten().filter_map(Value::as_u64).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mix_of_calls_is_an_alert() {
    let server = Server::start().await;
    let policy = without_tapes(Dependents::Keep);
    server.deploy(&dependent("return n;", "return [n];", &policy)).await;
    for n in 0..1_200 {
        let function = if n % 20 == 0 { "shop.pay" } else { "shop.price" };
        assert_eq!(invoke(&server, function, n).await.status(), StatusCode::OK);
    }
    // How fast they are answered is a matter of the machine.
    let mix = async || {
        let (_, alerts) = server.get("alerts").await;
        let mut all = alerts["alerts"].as_array().unwrap().clone();
        all.retain(|alert| alert["what"] == "share of the requests");
        all
    };
    assert_eq!(mix().await, Vec::<Value>::new());
    let mut alerts = Vec::new();
    for n in 0..1_000 {
        invoke(&server, "shop.pay", n).await;
        alerts = mix().await;
        if !alerts.is_empty() {
            break;
        }
    }
    assert_eq!(alerts[0]["function"], "pay", "{alerts:#?}");
    server.stop().await;
}
