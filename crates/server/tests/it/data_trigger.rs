//! HTTP triggers: the event that a request becomes, the response that a result becomes.

use belay_model::Limits;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    data_support::Reply,
    support::{App, Server},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_an_event_of_api_gateway() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return event;")).await;
    let reply = Reply::of(
        server
            .data(Method::PATCH, "/fn/shop.f/a%20b/c?x=1&y=a%20b&x=2")
            .header("host", "shop.example.org")
            .header("user-agent", "test")
            .header("cookie", "a=1; b=2")
            .header("X-Many", "one")
            .header("x-many", "two")
            .header("content-type", "text/plain")
            .body("héllo"),
    )
    .await;
    assert_eq!(reply.header("content-type"), "application/json");
    let mut event = reply.json();
    assert_eq!(event["requestContext"]["requestId"], reply.header("x-amzn-requestid"));
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
    let context = event["requestContext"].as_object_mut().unwrap();
    for changing in ["requestId", "time", "timeEpoch"] {
        assert!(context.remove(changing).is_some());
    }
    insta::assert_json_snapshot!(event);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_bodies_make_the_round_trip() {
    let server = Server::start().await;
    let body = "return { statusCode: 200, isBase64Encoded: true, body: event.body, \
                headers: { 'content-type': event.headers['content-type'] } };";
    server.deploy(&App::of("shop", body)).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let post = server.data(Method::POST, "/fn/f").header("content-type", "image/png");
    let reply = Reply::of(post.body(bytes.clone())).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "image/png"));
    assert_eq!(reply.body, bytes);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_become_responses() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return JSON.parse(event.body);")).await;
    let results = [
        json!({ "statusCode": 201, "headers": { "X-A": "b" }, "cookies": ["a=1", "b=2"], "body": "made" }),
        json!({ "statusCode": 204 }),
        json!({ "statusCode": 304, "body": "ignored" }),
        json!({ "statusCode": 404, "body": "no" }),
        json!({ "statusCode": 503, "body": "down" }),
        json!({ "n": 1 }),
        json!("text"),
        json!(null),
        json!({ "statusCode": "no number" }),
        json!({ "statusCode": 200, "body": { "n": 1 } }),
        json!({ "statusCode": 200, "headers": { "a b": "1" } }),
    ];
    let mut lines = Vec::new();
    for result in results {
        let post = server.data(Method::POST, "/fn/f").body(result.to_string());
        let reply = Reply::of(post).await;
        let status = reply.status.as_u16();
        let cookies = reply.headers.get_all("set-cookie").iter().count();
        let names = ["content-type", "content-length", "x-a", "x-belay-failure"];
        let headers = names.map(|name| reply.header(name));
        let text = if status == 502 { "" } else { reply.text() };
        lines.push(format!("{result}\n  → {status} {headers:?} {cookies} cookies {text:?}"));
    }
    insta::assert_snapshot!(lines.join("\n"));
    let report = server.totals("shop", "f").unwrap();
    // 503 and the three bad shapes; 404.
    assert_eq!(
        report.failures.into_iter().collect::<Vec<_>>(),
        [("exception", 4), ("invalid_input", 1)]
    );
    assert_eq!(report.ok, 6);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_a_bad_gateway_that_tells_no_secrets() {
    let server = Server::start().await;
    let code = "export const f = () => { throw new Error('the password is 1234'); };\n\
                export const g = () => { for (;;) {} };\n";
    let limits = Limits { cpu_ms: 50, ..Limits::default() };
    let app = App::new("shop").module("a.js", code, &[]);
    server.deploy(&app.limited("f", "a.js", limits).limited("g", "a.js", limits)).await;
    for (name, category) in [("f", "exception"), ("g", "timeout")] {
        let reply = Reply::of(server.data(Method::GET, &format!("/fn/{name}"))).await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
        assert_eq!(reply.header("x-belay-failure"), category);
        let id = reply.header("x-amzn-requestid");
        assert_eq!(reply.json(), json!({ "message": "Internal Server Error", "requestId": id }));
        let (_, logs) = server.get(&format!("functions/{name}/logs?request_id={id}")).await;
        assert_eq!(logs["logs"][0]["failure"]["category"], category);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_nowhere_is_refused() {
    let server = Server::start().await;
    let code = "export const f = (event) => event.rawPath;";
    let small = Limits { event_bytes: 2_000, ..Limits::default() };
    server.deploy(&App::new("shop").module("a.js", code, &[]).limited("f", "a.js", small)).await;
    server.deploy(&App::of("mall", "return 1;")).await;
    let get = |path: &str| server.data(Method::GET, path);
    let calls = [
        ("unknown function", get("/fn/g")),
        ("unknown version", get("/fn/shop.f:9")),
        ("no name", get("/fn/")),
        ("bad name", get("/fn/..%2F..%2Fetc")),
        ("not unique", get("/fn/f")),
        ("body too large", server.data(Method::POST, "/fn/shop.f").body("x".repeat(3_000))),
        ("event too large", get("/fn/shop.f").header("x-large", "x".repeat(3_000))),
    ];
    let mut lines = Vec::new();
    for (what, call) in calls {
        let reply = Reply::of(call).await;
        lines.push(format!("{what}: {} {}", reply.status.as_u16(), reply.json()));
    }
    insta::assert_snapshot!(lines.join("\n"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_method_and_version_can_be_asked_for() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return 'one ' + event.requestContext.http.method;")).await;
    server.deploy(&App::of("shop", "return 'two ' + event.rawPath;")).await;
    let get = async |method: Method, path: &str| Reply::of(server.data(method, path)).await;
    assert_eq!(get(Method::GET, "/fn/f").await.text(), "\"two /\"");
    assert_eq!(get(Method::GET, "/fn/shop.f:2/x").await.text(), "\"two /x\"");
    assert_eq!(get(Method::DELETE, "/fn/f:1").await.text(), "\"one DELETE\"");
    assert_eq!(get(Method::OPTIONS, "/fn/f:1").await.text(), "\"one OPTIONS\"");
    let head = get(Method::HEAD, "/fn/f:1").await;
    assert_eq!(
        (head.status, head.text(), head.header("content-length")),
        (StatusCode::OK, "", "10")
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded() {
    let server = Server::start_with(|config| config.data_plane.head_bytes = 16 << 10).await;
    server.deploy(&App::of("shop", "return 1;")).await;
    let large = server.data(Method::GET, "/fn/f").header("x-large", "x".repeat(20_000));
    assert_eq!(Reply::of(large).await.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(Reply::of(server.data(Method::GET, "/fn/f")).await.text(), "1");
    server.stop().await;
}
