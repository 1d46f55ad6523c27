//! Counters, metrics and logs of what ran.

use reqwest::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    data_support::Reply,
    support::{App, Server},
};

const BODY: &str = "console.log(`n is ${event.n}`); console.warn('careful');\n\
                    if (event.n > 1) throw new RangeError('too much');\n\
                    return event.n;";

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_request_can_be_read_as_soon_as_it_is_answered() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", BODY)).await;
    Reply::of(server.lambda("f", r#"{"n":1}"#)).await;
    let reply = Reply::of(server.lambda("f", r#"{"n":2}"#)).await;
    let id = reply.header("x-amzn-requestid");
    let (_, answer) = server.get(&format!("functions/f/logs?request_id={id}")).await;
    let lines = answer["logs"].as_array().unwrap();
    let told: Vec<_> =
        lines.iter().map(|line| (text(line, "level"), text(line, "message"))).collect();
    assert_eq!(told, [("info", "n is 2"), ("warn", "careful"), ("error", "RangeError: too much")]);
    let trace = &reply.header("traceparent")[3..35];
    for line in lines {
        assert_eq!((text(line, "request_id"), text(line, "trace_id")), (id, trace));
        assert_eq!((text(line, "app"), text(line, "function")), ("shop", "f"));
        assert_eq!(line["version"], 1);
    }
    let failure = &lines[2]["failure"];
    assert_eq!(
        (text(failure, "category"), text(failure, "error_type")),
        ("exception", "RangeError")
    );
    assert!(failure["stack"][0].as_str().unwrap().starts_with("at f (main.js:3:"), "{failure:#}");

    let after = lines[0]["seq"].as_u64().unwrap();
    let (_, newer) = server.get(&format!("functions/f/logs?after={after}")).await;
    assert_eq!(newer["logs"].as_array().unwrap().len(), 2);
    server.stop().await;
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_survive_a_restart() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", BODY)).await;
    Reply::of(server.lambda("f", r#"{"n":1}"#)).await;
    let dir = server.stop().await;
    let server = Server::start_in(dir, |_| {}).await;
    assert_eq!(server.messages("f").await, ["n is 1", "careful"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_counted_per_version_and_outcome() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", BODY)).await;
    for event in ["{\"n\":1}", "{\"n\":1}", "{\"n\":2}"] {
        Reply::of(server.lambda("f", event)).await;
    }
    server.deploy(&App::of("shop", "return 2;")).await;
    Reply::of(server.data(Method::GET, "/fn/f")).await;
    let url = format!("http://{}/metrics", server.control);
    let reply = Reply::of(server.client.get(url)).await;
    assert!(reply.header("content-type").starts_with("text/plain; version=0.0.4"));

    let documented = include_str!("../../../../docs/metrics.md");
    let names = reply.text().lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for name in names.filter_map(|line| line.split(' ').next()) {
        assert!(documented.contains(&format!("`{name}`")), "docs/metrics.md lacks {name}");
    }
    let samples: Vec<_> = reply.text().lines().filter(|line| !line.starts_with('#')).collect();
    for sample in &samples {
        let (series, value) = sample.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{sample}");
        let name = series.split('{').next().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{sample}");
        let declared =
            format!("# TYPE {}", name.trim_end_matches("_bucket").trim_end_matches("_sum"));
        let declared = declared.trim_end_matches("_count");
        assert!(reply.text().contains(declared), "{sample}");
    }
    let count = |name: &str, labels: &[&str]| -> f64 {
        let of = |sample: &&&str| {
            sample.starts_with(&format!("{name}{{"))
                && labels.iter().all(|label| sample.contains(label))
        };
        let found = samples.iter().filter(of).map(|sample| sample.rsplit_once(' ').unwrap().1);
        found.map(|value| value.parse::<f64>().unwrap()).sum()
    };
    let one = ["app=\"shop\"", "function=\"f\"", "version=\"1\""];
    let outcome = |outcome: &'static str| [one[0], one[1], one[2], outcome];
    assert_eq!(count("belay_invocations_total", &outcome("outcome=\"ok\"")), 2.0);
    assert_eq!(count("belay_invocations_total", &outcome("outcome=\"exception\"")), 1.0);
    assert_eq!(count("belay_invocations_total", &["version=\"2\""]), 1.0);
    assert_eq!(count("belay_invocation_duration_seconds_count", &one), 3.0);
    assert_eq!(count("belay_invocation_duration_seconds_bucket", &outcome("le=\"+Inf\"")), 3.0);
    assert!(count("belay_cpu_seconds_total", &one) > 0.0);
    assert!(count("belay_memory_peak_bytes", &one) > 1e6);
    assert!(count("process_resident_memory_bytes", &[]) > 1e6);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_lines_as_they_come() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", BODY)).await;
    Reply::of(server.lambda("f", r#"{"n":1}"#)).await;
    let (app, function) = ("shop".parse().unwrap(), "f".parse().unwrap());
    let (kept, mut lines) = server.parts.logs.follow(&app, &function, &Default::default());
    assert_eq!(kept.len(), 2);
    Reply::of(server.lambda("f", r#"{"n":0}"#)).await;
    assert_eq!(lines.recv().await.unwrap().message, "n is 0");
    assert_eq!(lines.recv().await.unwrap().message, "careful");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_fetches_belongs_to_the_trace_of_its_request() {
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = web.local_addr().unwrap().to_string();
    let heads = tokio::spawn(async move { [head_of(&web).await, head_of(&web).await] });
    let server = Server::start().await;
    let body =
        "await fetch(event.url); await fetch(event.url, { headers: { traceparent: 'own' } });";
    let mut app = App::of("shop", body);
    app.manifest.egress.allow_internal = vec![address.clone()];
    server.deploy(&app).await;
    let event = format!(r#"{{"url":"http://{address}/"}}"#);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let reply = Reply::of(server.lambda("f", event).header("traceparent", parent)).await;
    assert_eq!(reply.header("x-amz-function-error"), "", "{}", reply.text());
    let [traced, own] = heads.await.unwrap();
    let ours = reply.header("traceparent");
    assert!(ours.starts_with(&parent[..36]) && ours != parent, "{ours}");
    assert!(traced.contains(&format!("traceparent: {ours}\r\n")), "{traced}");
    assert!(own.contains("traceparent: own\r\n") && !own.contains(ours), "{own}");
    server.stop().await;
}

/// Answers one request with nothing, and gives its head.
async fn head_of(web: &TcpListener) -> String {
    let (mut stream, _) = web.accept().await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.unwrap()));
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
    head
}
