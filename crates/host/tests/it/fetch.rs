//! http over real local servers.

use std::net::SocketAddr;

use belay_host::code;
use belay_model::{EgressPolicy, Outcome};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener, sync::mpsc};

use crate::{
    servers,
    world::{Answer, World, app, call, ok, open, reaching, with_body},
};

/// A host that may reach one local server.
async fn with_web() -> (World, SocketAddr) {
    let web = servers::web().await;
    (World::reaching(&[&web.to_string()]), web)
}

fn body_json(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body.as_deref().unwrap()).unwrap()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made() {
    let (world, web) = with_web().await;
    let args = json!({
        "method": "post",
        "url": format!("http://{web}/echo?a=%20b#fragment"),
        "headers": [
            ["X-Own", " one "], ["x-own", "two"],
            ["Host", "evil"], ["Content-Length", "9"], ["Transfer-Encoding", "chunked"],
            ["Connection", "upgrade"], ["Upgrade", "h2c"], ["Accept-Encoding", "gzip"],
        ],
    });
    let answer = ok(&world.host, with_body(call("http.fetch", args), b"hello")).await;
    assert_eq!(
        body_json(&answer),
        json!({
            "method": "POST",
            "uri": "/echo?a=%20b",
            "headers": [
                "accept: */*", "content-length: 5",
                format!("user-agent: belay/{}", env!("CARGO_PKG_VERSION")), "x-own: one", "x-own: two",
            ],
            "body": "hello",
        })
    );
}

#[tokio::test]
async fn a_response_comes_back_whole() {
    let (world, web) = with_web().await;
    let mut answer =
        world.ok("http.fetch", json!({ "url": format!("http://{web}/headers#x") })).await;
    let headers = answer.value["headers"].as_array_mut().unwrap();
    headers.retain(|header| header[0] != "date");
    assert_eq!(
        answer.value,
        json!({
            "status": 418,
            "statusText": "I'm a teapot",
            "headers": [
                ["content-type", "text/plain; charset=utf-8"],
                ["set-cookie", "a=1"],
                ["set-cookie", "b=2"],
                ["x-latin", "café"],
                ["content-length", "0"],
            ],
            "url": format!("http://{web}/headers"),
            "redirected": false,
        })
    );
    let missing = world.ok("http.fetch", json!({ "url": format!("http://{web}/none") })).await;
    assert_eq!(missing.value["status"], json!(404));
    assert_eq!(missing.body.as_deref(), Some(&b"nothing here"[..]));
}

#[tokio::test]
async fn redirects_are_followed_as_fetch_does() {
    let (world, web) = with_web().await;
    let url = format!("http://{web}/to/302/to/307/echo");
    let post = call("http.fetch", json!({ "method": "POST", "url": url }));
    let answer = ok(&world.host, with_body(post, b"form")).await;
    assert_eq!(answer.value["redirected"], json!(true));
    assert_eq!(answer.value["url"], json!(format!("http://{web}/echo")));
    let arrived = body_json(&answer);
    assert_eq!((&arrived["method"], &arrived["body"]), (&json!("GET"), &json!("")));

    let manual = world.ok("http.fetch", json!({ "url": url, "redirect": "manual" })).await;
    assert_eq!(
        (&manual.value["status"], &manual.value["redirected"]),
        (&json!(302), &json!(false))
    );
    for (path, redirect) in
        [("to/302/echo", "error"), ("loop", "follow"), ("to/302/ftp://a", "follow")]
    {
        let args = json!({ "url": format!("http://{web}/{path}"), "redirect": redirect });
        assert_eq!(world.err("http.fetch", args).await, code::HTTP_REDIRECT, "{path} {redirect}");
    }
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_origin() {
    let (one, two) = (servers::web().await, servers::web().await);
    let world = World::reaching(&[&one.to_string(), &two.to_string()]);
    for (target, expected) in [(one, true), (two, false)] {
        let url = format!("http://{one}/to/302/http://{target}/echo");
        let headers = json!([["authorization", "Bearer x"], ["cookie", "a=1"]]);
        let answer = world.ok("http.fetch", json!({ "url": url, "headers": headers })).await;
        let arrived = body_json(&answer)["headers"].to_string();
        assert_eq!(arrived.contains("Bearer"), expected);
        assert_eq!(arrived.contains("cookie"), expected);
    }
}

#[tokio::test]
async fn each_hop_of_a_redirect_is_asked_of_the_policy() {
    let (public_face, hidden) = (servers::web().await, servers::web().await);
    let world = World::reaching(&[&public_face.to_string()]);
    for target in [hidden.to_string(), format!("localhost:{}", hidden.port())] {
        let url = format!("http://{public_face}/to/307/http://{target}/echo");
        assert_eq!(world.err("http.fetch", json!({ "url": url })).await, code::EGRESS_DENIED);
    }
}

#[tokio::test]
async fn internal_addresses_are_refused_by_default() {
    let web = servers::web().await;
    let world = World::new();
    let port = web.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "0x7f000001",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00:ec2::254]",
        "[64:ff9b::7f00:1]",
    ] {
        let url = format!("http://{host}:{port}/echo");
        assert_eq!(
            world.err("http.fetch", json!({ "url": url })).await,
            code::EGRESS_DENIED,
            "{host}"
        );
    }
}

#[tokio::test]
async fn the_allow_list_is_kept() {
    let web = servers::web().await;
    let url = |host: &str| json!({ "url": format!("http://{host}:{}/echo", web.port()) });
    let host = World::with(|config| {
        let allow = vec![format!("localhost:{}", web.port()), "*.example".to_owned()];
        config.egress = EgressPolicy { allow, allow_internal: vec![web.to_string()] };
    });
    host.ok("http.fetch", url("localhost")).await;
    assert_eq!(host.err("http.fetch", url("127.0.0.1")).await, code::EGRESS_DENIED);
    let none = World::with(|config| config.egress.allow.clear());
    assert_eq!(none.err("http.fetch", url("public.example")).await, code::EGRESS_DENIED);
}

#[tokio::test]
async fn exceptions_may_name_the_host_or_its_address() {
    let web = servers::web().await;
    let localhost = format!("localhost:{}", web.port());
    let url = json!({ "url": format!("http://{localhost}/echo") });
    for exception in [localhost.clone(), web.to_string(), "127.0.0.1".to_owned()] {
        World::reaching(&[&exception]).ok("http.fetch", url.clone()).await;
    }
    let other_port = World::reaching(&["localhost:1", "127.0.0.1:1"]);
    assert_eq!(other_port.err("http.fetch", url).await, code::EGRESS_DENIED);
}

#[tokio::test]
async fn an_app_cannot_use_a_connection_that_another_one_may_open() {
    let web = servers::web().await;
    let localhost = format!("localhost:{}", web.port());
    let world = World::reaching(&[&localhost]);
    let stranger = app(&world.shared, "stranger", |_| {});
    let fetch = call("http.fetch", json!({ "url": format!("http://{localhost}/echo") }));
    ok(&world.host, fetch.clone()).await;
    let outcome = stranger.perform(&fetch).await;
    assert!(matches!(outcome, Outcome::Err(error) if error.code == code::EGRESS_DENIED));
}

#[tokio::test]
async fn bodies_have_limits() {
    let (world, web) = with_web().await;
    let url = |path: &str| json!({ "url": format!("http://{web}/{path}"), "method": "PUT" });
    let largest = world.ok("http.fetch", url(&format!("bytes/{}", 8 << 20))).await;
    assert_eq!(largest.body.unwrap().len(), 8 << 20);
    for path in ["bytes/8388609", "endless"] {
        assert_eq!(world.err("http.fetch", url(path)).await, code::HTTP_BODY_TOO_LARGE, "{path}");
    }
    let sent = with_body(call("http.fetch", url("echo")), &vec![0; (6 << 20) + 1]);
    let outcome = world.host.perform(&sent).await;
    assert!(matches!(outcome, Outcome::Err(error) if error.code == code::HTTP_BODY_TOO_LARGE));
}

#[tokio::test]
async fn silent_servers_time_out() {
    // The kernel accepts the connection; nobody reads it.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let stalling = servers::canned(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    for server in [silent, stalling] {
        let world = World::reaching(&[&server.to_string()]);
        let args = json!({ "url": format!("http://{server}/"), "timeoutMs": 50 });
        assert_eq!(world.err("http.fetch", args).await, code::HTTP_TIMEOUT);
    }
}

#[tokio::test]
async fn broken_servers_fail() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let garbage = servers::canned(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    let hanging_up = servers::raw(|connection| async move { drop(connection) }).await;
    for server in [closed, garbage, hanging_up] {
        let world = World::reaching(&[&server.to_string()]);
        let args = json!({ "url": format!("http://{server}/") });
        assert_eq!(world.err("http.fetch", args).await, code::HTTP_FAILED);
    }
}

#[tokio::test]
async fn a_flood_of_headers_fails() {
    let mut flood = b"HTTP/1.1 200 OK\r\n".to_vec();
    for number in 0..100 {
        flood.extend_from_slice(format!("h{number}: {}\r\n", "v".repeat(2_000)).as_bytes());
    }
    flood.extend_from_slice(b"content-length: 0\r\n\r\n");
    let server = servers::canned(flood.leak()).await;
    let world = World::reaching(&[&server.to_string()]);
    let args = json!({ "url": format!("http://{server}/") });
    assert_eq!(world.err("http.fetch", args).await, code::HTTP_FAILED);
}

#[tokio::test]
async fn requests_that_fetch_forbids_are_bad_arguments() {
    let world = World::new();
    let many: Vec<_> = (0..129).map(|n| json!([format!("h{n}"), "v"])).collect();
    for args in [
        json!({ "url": "no url" }),
        json!({ "url": "file:///etc/passwd" }),
        json!({ "url": "http://user:password@a.example" }),
        json!({ "url": "http://a.example", "method": "CONNECT" }),
        json!({ "url": "http://a.example", "method": "a b" }),
        json!({ "url": "http://a.example", "headers": [["a b", "v"]] }),
        json!({ "url": "http://a.example", "headers": [["a", "v\r\nx: y"]] }),
        json!({ "url": "http://a.example", "headers": [["a", "€"]] }),
        json!({ "url": "http://a.example", "headers": many }),
        json!({ "url": "http://a.example", "timeoutMs": 0 }),
        json!({ "url": "http://a.example", "redirect": "sometimes" }),
    ] {
        assert_eq!(world.err("http.fetch", args.clone()).await, code::BAD_ARGUMENTS, "{args}");
    }
    let get = with_body(call("http.fetch", json!({ "url": "http://a.example" })), b"x");
    assert!(
        matches!(world.host.perform(&get).await, Outcome::Err(e) if e.code == code::BAD_ARGUMENTS)
    );
}

#[tokio::test]
async fn https_trusts_who_is_vouched_for() {
    let (server, authority) = servers::tls().await;
    let localhost = format!("localhost:{}", server.port());
    let egress = reaching(&[&localhost, &server.to_string()]);
    let dir = tempfile::TempDir::new().unwrap();
    let shared = open(dir.path(), vec![authority]);
    let host = app(&shared, "shop", |config| config.egress = egress.clone());
    let fetch =
        |authority: &str| call("http.fetch", json!({ "url": format!("https://{authority}/") }));
    let answer = ok(&host, fetch(&localhost)).await;
    assert_eq!(answer.body.as_deref(), Some(&b"secret"[..]));

    let wary = World::with(|config| config.egress = egress.clone());
    let unknown_authority = wary.host.perform(&fetch(&localhost)).await;
    let wrong_name = host.perform(&fetch(&server.to_string())).await;
    for outcome in [unknown_authority, wrong_name] {
        let Outcome::Err(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.code, code::HTTP_FAILED);
        assert!(error.message.contains("invalid peer certificate"), "{error}");
    }
}

#[tokio::test]
async fn giving_up_closes_the_connection() {
    let (closed, mut all_closed) = mpsc::channel(1);
    let (asked, mut was_asked) = mpsc::channel(1);
    let server = servers::raw(move |mut connection| {
        let (closed, asked) = (closed.clone(), asked.clone());
        async move {
            let _ = connection.read(&mut [0; 4096]).await;
            asked.send(()).await.unwrap();
            // Ends when the other side hangs up.
            let _ = connection.read(&mut [0; 1]).await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let world = World::reaching(&[&server.to_string()]);
    let fetch = call("http.fetch", json!({ "url": format!("http://{server}/") }));
    tokio::select! {
        outcome = world.host.perform(&fetch) => panic!("{outcome:?}"),
        _ = was_asked.recv() => {}
    }
    assert_eq!(all_closed.recv().await, Some(()));
}
