//! Who may use the control plane, how much of it, and how everyone else is refused.

use belay_server::control::Rate;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{App, Server, answer};

const TOKEN: &str = "a token of some length";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_wanted_by_all_but_health() {
    let server = Server::start_with(|config| config.token = Some(TOKEN.to_owned())).await;
    for path in ["apps", "functions", "openapi.json", "stats", "nothing"] {
        let (status, body) = server.get(path).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (StatusCode::UNAUTHORIZED, &json!("unauthorized"))
        );
        let wrong = server.api(Method::GET, path).bearer_auth("a token of some lengtH");
        assert_eq!(answer(wrong).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(server.get("health").await.0, StatusCode::OK);
    let right = server.api(Method::GET, "apps").bearer_auth(TOKEN);
    assert_eq!(answer(right).await.0, StatusCode::OK);
    let metrics = server.client.get(format!("http://{}/metrics", server.control));
    assert_eq!(metrics.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_are_kept_out() {
    let server = Server::start().await;
    let page = server.api(Method::GET, "apps").header(header::ORIGIN, "https://evil.example");
    let (status, body) = answer(page).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::FORBIDDEN, &json!("foreign-origin")));
    let rebound = server.api(Method::GET, "apps").header(header::HOST, "evil.example:8801");
    let (status, body) = answer(rebound).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::FORBIDDEN, &json!("foreign-host")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_host_is_let_in_and_others_stay_out() {
    let hosts = vec!["Belay.example".to_owned()];
    let server = Server::start_with(|config| config.control_hosts = hosts).await;
    for (host, expected) in [
        ("belay.example", StatusCode::OK),
        ("belay.example:8801", StatusCode::OK),
        ("localhost", StatusCode::OK),
        ("evil.example", StatusCode::FORBIDDEN),
        ("sub.belay.example", StatusCode::FORBIDDEN),
    ] {
        let named = server.api(Method::GET, "apps").header(header::HOST, host);
        assert_eq!(answer(named).await.0, expected, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_told_when_to_come_again() {
    let rate = Rate { per_second: 0.5, burst: 3.0, ..Rate::default() };
    let server = Server::start_with(|config| config.rate = rate).await;
    for _ in 0..3 {
        assert_eq!(server.get("health").await.0, StatusCode::OK);
    }
    let refused = server.api(Method::GET, "health").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait));
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["code"], "rate-limited");
}

/// What is wrong, the status, and the code.
type Wrong = (Method, &'static str, &'static [u8], StatusCode, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_json() {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;
    const WRONG: StatusCode = StatusCode::METHOD_NOT_ALLOWED;
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return 1;")).await;
    let cases: &[Wrong] = &[
        (Method::GET, "nothing", b"", NOT_FOUND, "unknown-path"),
        (Method::GET, "", b"", NOT_FOUND, "unknown-path"),
        (Method::POST, "apps", b"", WRONG, "wrong-method"),
        (Method::PATCH, "apps/shop", b"", WRONG, "wrong-method"),
        (Method::GET, "apps/none", b"", NOT_FOUND, "unknown-app"),
        (Method::GET, "apps/1bad", b"", BAD, "bad-request"),
        (Method::GET, "apps/%ff", b"", BAD, "bad-request"),
        (Method::GET, "apps?limit=x", b"", BAD, "bad-request"),
        (Method::GET, "apps?unknown=1", b"", BAD, "bad-request"),
        (Method::GET, "apps/shop/versions/2", b"", NOT_FOUND, "unknown-version"),
        (Method::GET, "apps/shop/versions/0", b"", BAD, "bad-request"),
        (Method::GET, "apps/shop/versions?after=x", b"", BAD, "bad-request"),
        (Method::POST, "apps/shop/versions", b"{", BAD, "bad-request"),
        (Method::POST, "apps/shop/versions", b"{}", BAD, "bad-request"),
        (Method::POST, "apps/shop/versions", b"\xff", BAD, "bad-request"),
        (
            Method::POST,
            "apps/shop/versions",
            br#"{"app":"x","functions":{},"modules":[]}"#,
            BAD,
            "bad-request",
        ),
        (Method::PUT, "apps/shop/aliases/a", br#"{"version":9}"#, NOT_FOUND, "unknown-version"),
        (Method::PUT, "apps/shop/aliases/a", br#"{"version":0}"#, BAD, "bad-request"),
        (Method::PUT, "apps/shop/aliases/1", br#"{"version":1}"#, BAD, "bad-request"),
        (Method::PUT, "apps/shop/aliases/$LATEST", br#"{"version":1}"#, BAD, "bad-request"),
        (Method::DELETE, "apps/shop/aliases/live", b"", BAD, "bad-request"),
        (Method::DELETE, "apps/shop/aliases/none", b"", NOT_FOUND, "unknown-alias"),
        (Method::PUT, "apps/shop/secrets/a%2Fb", br#"{"value":"x"}"#, BAD, "bad-request"),
        (Method::DELETE, "apps/shop/secrets/none", b"", NOT_FOUND, "unknown-secret"),
        (Method::PUT, "blobs/abc", b"x", BAD, "bad-request"),
        (Method::POST, "blobs/missing", br#"{"hashes":["x"]}"#, BAD, "bad-request"),
        (Method::POST, "functions/none/invocations", b"1", NOT_FOUND, "unknown-function"),
        (Method::POST, "functions/shop.none/invocations", b"1", NOT_FOUND, "unknown-function"),
        (Method::POST, "functions/a.b.c/invocations", b"1", BAD, "bad-request"),
        (Method::POST, "functions/f/invocations", b"{", BAD, "not-json"),
        (Method::POST, "functions/f/invocations", b"\xff", BAD, "not-json"),
        (Method::POST, "functions/f/invocations?type=x", b"1", BAD, "bad-request"),
        (Method::GET, "functions/none/logs", b"", NOT_FOUND, "unknown-function"),
        (Method::GET, "functions/none/stats", b"", NOT_FOUND, "unknown-function"),
        (Method::POST, "dead-letters/none/retry", b"", NOT_FOUND, "unknown-dead-letter"),
        (Method::GET, "dead-letters/none", b"", NOT_FOUND, "unknown-dead-letter"),
        (Method::DELETE, "dead-letters/none", b"", NOT_FOUND, "unknown-dead-letter"),
    ];
    for (method, path, body, status, code) in cases {
        let request = server.api(method.clone(), path).body(*body);
        let (found, answer) = answer(request).await;
        assert_eq!(
            (found, &answer["error"]["code"]),
            (*status, &json!(code)),
            "{method} {path}: {answer}"
        );
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return 1;")).await;
    let cases = [
        (Method::PUT, format!("blobs/{}", "0".repeat(64)), 17 << 20),
        (Method::PUT, "apps/shop/secrets/key".to_owned(), 2 << 20),
        (Method::POST, "functions/f/invocations".to_owned(), 7 << 20),
    ];
    for (method, path, bytes) in cases {
        let request = server.api(method, &path).body(vec![b'1'; bytes]);
        let (status, body) = answer(request).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (StatusCode::PAYLOAD_TOO_LARGE, &json!("too-large")),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_must_be_what_its_name_says() {
    let server = Server::start().await;
    let path = format!("blobs/{}", "0".repeat(64));
    let (status, body) = answer(server.api(Method::PUT, &path).body("x")).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!("hash-mismatch"))
    );
}
