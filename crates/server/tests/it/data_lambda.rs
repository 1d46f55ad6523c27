//! The Invoke API: what a call brings, how a function may be named, what bad input gets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use belay_model::Limits;
use reqwest::Method;
use serde_json::json;

use crate::{
    data_support::Reply,
    support::{App, Server},
};

const ECHO: &str = "return { event, context };";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_brings_the_result_and_says_what_ran() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", ECHO)).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let client = STANDARD.encode(r#"{"custom":{"a":1}}"#);
    let call = server.lambda("shop.f", r#"{"n":1}"#).header("traceparent", parent);
    let reply = Reply::of(call.header("x-amz-client-context", client)).await;

    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-amz-executed-version"), "1");
    assert_eq!(reply.header("x-amz-function-error"), "");
    let trace = reply.header("traceparent");
    assert!(trace.starts_with(&parent[..36]) && trace != parent, "{trace}");
    let answer = reply.json();
    assert_eq!(answer["event"], json!({ "n": 1 }));
    assert_eq!(answer["context"]["awsRequestId"], reply.header("x-amzn-requestid"));
    assert_eq!(answer["context"]["functionName"], "f");
    assert_eq!(answer["context"]["functionVersion"], "1");
    assert_eq!(answer["context"]["memoryLimitInMB"], "128");
    assert_eq!(answer["context"]["clientContext"], json!({ "custom": { "a": 1 } }));
    let arn = "arn:aws:lambda:local:000000000000:function:shop.f";
    assert_eq!(answer["context"]["invokedFunctionArn"], arn);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_has_many_names() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return 1;")).await;
    server.deploy(&App::of("shop", "return 2;")).await;
    server.put("apps/shop/aliases/blue", &json!({ "version": 1 })).await;
    let names = [
        "f",
        "shop.f",
        "f:1",
        "f:2",
        "f:3",
        "f?Qualifier=1",
        "f:1?Qualifier=1",
        "f:1?Qualifier=2",
        "f:blue",
        "f:green",
        "f:live",
        "f:%24LATEST",
        "f?Qualifier=%24LATEST",
        "000000000000:function:f:1",
        "arn:aws:lambda:eu-central-1:123456789012:function:f",
        "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Ashop.f%3Ablue",
        "arn:aws:s3:::bucket",
        "g",
        "shop.g",
        "mall.f",
        "shop.f:1:2",
        "-",
        "f?Qualifier=-",
    ];
    let mut lines = Vec::new();
    for name in names {
        let reply = Reply::of(server.lambda(name, "{}")).await;
        let class = reply.header("x-amzn-errortype");
        lines.push(format!("{name}: {} {class} {}", reply.status.as_u16(), reply.text()));
    }
    insta::assert_snapshot!(lines.join("\n"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_name_must_be_unique() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return 1;")).await;
    server.deploy(&App::of("mall", "return 2;")).await;
    let reply = Reply::of(server.lambda("f", "{}")).await;
    assert_eq!(reply.status, 409);
    assert_eq!(reply.header("x-amzn-errortype"), "ResourceConflictException");
    assert!(reply.text().contains("mall.f, shop.f"), "{}", reply.text());
    assert_eq!(Reply::of(server.lambda("mall.f", "{}")).await.text(), "2");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_json_is_an_event() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return event;")).await;
    for (sent, got) in [
        ("", "{}"),
        ("null", "null"),
        (" [1, 2] ", "[1,2]"),
        (r#""tëxt\u0000""#, r#""tëxt\u0000""#),
        ("1e400", "null"),
        (r#"{"__proto__":{"a":1}}"#, r#"{"__proto__":{"a":1}}"#),
    ] {
        let reply = Reply::of(server.lambda("f", sent)).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, got), "{sent:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_are_refused_in_the_shape_of_aws() {
    let server = Server::start().await;
    let small = Limits { event_bytes: 1_000, ..Limits::default() };
    let code = "export const f = (event) => event;";
    server.deploy(&App::new("shop").module("a.js", code, &[]).limited("f", "a.js", small)).await;
    let large = format!("\"{}\"", "x".repeat(2_000));
    let typed = |kind: &str| server.lambda("f", "{}").header("x-amz-invocation-type", kind);
    let path = "/2015-03-31/functions/f/invocations";
    let calls = [
        ("not JSON", server.lambda("f", "{n:1}")),
        ("not UTF-8", server.lambda("f", &b"\"\xff\""[..])),
        ("two values", server.lambda("f", "1 2")),
        ("too large", server.lambda("f", large.clone())),
        ("too large, in pieces", server.lambda("f", pieces(&large))),
        ("unknown function", server.lambda("g", "{}")),
        ("unknown type", typed("event")),
        ("unknown log type", server.lambda("f", "{}").header("x-amz-log-type", "Head")),
        ("client context", server.lambda("f", "{}").header("x-amz-client-context", "*")),
        ("wrong method", server.data(Method::GET, path)),
        ("wrong method", server.data(Method::DELETE, path)),
        ("unknown path", server.data(Method::POST, "/2015-03-31/functions/f")),
        ("unknown path", server.data(Method::GET, "/")),
        ("long URI", server.data(Method::POST, &format!("{path}?{}", "x".repeat(20_000)))),
    ];
    let mut lines = Vec::new();
    for (what, call) in calls {
        let reply = Reply::of(call).await;
        let headers = ["x-amzn-errortype", "allow"].map(|name| reply.header(name));
        lines.push(format!(
            "{what}: {} {} {:#}",
            reply.status.as_u16(),
            headers.concat(),
            reply.json()
        ));
    }
    insta::assert_snapshot!(lines.join("\n"));
    assert_eq!(Reply::of(server.lambda("f", "1")).await.text(), "1");
    assert_eq!(
        server.totals("shop", "f").unwrap().invocations,
        1,
        "what is refused counts nowhere"
    );
    server.stop().await;
}

/// A body without an announced length.
fn pieces(text: &str) -> reqwest::Body {
    let pieces: Vec<_> = text.as_bytes().chunks(100).map(<[u8]>::to_vec).collect();
    let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
    reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_runs_nothing() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "console.log('ran');")).await;
    let dry = |name: &str| server.lambda(name, "{}").header("x-amz-invocation-type", "DryRun");
    let reply = Reply::of(dry("f")).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (204, ""));
    assert_eq!(Reply::of(dry("g")).await.status, 404);
    assert!(server.messages("f").await.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_of_the_log_comes_along_when_asked_for() {
    let server = Server::start().await;
    let body = "for (let n = 0; n < 200; n++) console.log(`line ${n} ${'x'.repeat(50)}`);";
    server.deploy(&App::of("shop", body)).await;
    let reply = Reply::of(server.lambda("f", "{}").header("x-amz-log-type", "Tail")).await;
    let tail = STANDARD.decode(reply.header("x-amz-log-result")).unwrap();
    let tail = String::from_utf8(tail).unwrap();
    assert!(tail.len() <= 4096 && tail.len() > 4000, "{}", tail.len());
    assert!(tail.contains("\tINFO\tline 199 "), "{tail}");
    let report = tail.lines().last().unwrap();
    let start = format!("REPORT RequestId: {}\tDuration: ", reply.header("x-amzn-requestid"));
    assert!(report.starts_with(&start), "{report}");
    let reply = Reply::of(server.lambda("f", "{}")).await;
    assert_eq!(reply.header("x-amz-log-result"), "");
    server.stop().await;
}
