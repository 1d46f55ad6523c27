//! The OpenAPI document: it is one, and it has every route.

use std::collections::BTreeSet;

use belay_server::control::Rate;
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{App, Server, answer};

const METHODS: [&str; 4] = ["get", "put", "post", "delete"];

fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| -> Vec<String> {
        let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
        methods.map(|method| format!("{method} {path}")).collect()
    };
    paths.iter().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_lists_the_whole_api() {
    let server = Server::start().await;
    let (status, document) = server.get("openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    insta::assert_snapshot!(operations(&document).into_iter().collect::<Vec<_>>().join("\n"));
}

/// The document and the routes are made by the same macro; this shows that they do not come apart.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_document_is_routed() {
    let server = Server::start().await;
    let (_, document) = server.get("openapi.json").await;
    for operation in operations(&document) {
        let (method, path) = operation.split_once(' ').unwrap();
        if path == "/metrics" {
            continue;
        }
        let path = path.replace("{version}", "7").replace("{hash}", &"0".repeat(64));
        let path: String = path.replace(['{', '}'], "");
        let method: Method = method.to_uppercase().parse().unwrap();
        let url = format!("http://{}{path}", server.control);
        let (status, body) = answer(server.client.request(method, url)).await;
        let code = body["error"]["code"].as_str().unwrap_or_default();
        assert!(!matches!(code, "unknown-path" | "wrong-method"), "{operation}: {status} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_of_the_document_leads_somewhere() {
    let server = Server::start().await;
    let (_, document) = server.get("openapi.json").await;
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            references.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

/// The operation of the document that `method` on `path`, which is behind `/api/v1/`, belongs to.
fn operation<'d>(document: &'d Value, method: &Method, path: &str) -> &'d Value {
    let path = format!("/api/v1/{}", path.split('?').next().unwrap());
    let fits = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        let fits = |(part, own): (&str, &str)| part.starts_with('{') || part == own;
        template.clone().count() == path.clone().count() && template.zip(path).all(fits)
    };
    let paths = document["paths"].as_object().unwrap().iter();
    // A template without a parameter goes before one with it.
    let found = paths.filter(|(template, _)| fits(template));
    let (_, item) = found.min_by_key(|(template, _)| template.matches('{').count()).unwrap();
    &item[method.as_str().to_lowercase()]
}

/// Asks, wants `status`, and wants the document to have foretold it.
async fn check(document: &Value, request: RequestBuilder, status: u16) {
    let built = request.try_clone().unwrap().build().unwrap();
    let path = built.url().path().strip_prefix("/api/v1/").unwrap().to_owned();
    let method = built.method().clone();
    let (found, body) = answer(request).await;
    assert_eq!(found, status, "{method} {path} {body:#}");
    let declared = &operation(document, &method, &path)["responses"][found.as_str()];
    assert!(
        declared.is_object(),
        "{method} {path} answers {found}, which the document does not say"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_declared() {
    let server = Server::start().await;
    let document = server.get("openapi.json").await.1;
    let (one, two) = (App::of("one", "return 1;"), App::of("two", "return 2;"));
    server.deploy(&one).await;
    server.deploy(&two).await;
    let manifest = |app: &App| serde_json::to_string(&app.manifest).unwrap();
    let broken = App::of("one", "return (;");
    server.try_deploy(&broken).await;
    let long = "1".repeat(33 << 20);
    let cases = [
        (Method::POST, "apps/one/versions", manifest(&one), 200),
        (Method::POST, "apps/one/versions", manifest(&two), 400),
        (Method::POST, "apps/one/versions", manifest(&App::of("one", "return 3;")), 409),
        (Method::POST, "apps/one/versions", long, 413),
        (Method::POST, "apps/one/versions", manifest(&broken), 422),
        (Method::GET, "functions/f/logs", String::new(), 409),
        (Method::GET, "functions/f/stats", String::new(), 409),
        (Method::POST, "functions/f/invocations", "1".to_owned(), 409),
        (Method::GET, "apps/1bad", String::new(), 400),
        (Method::GET, "apps?limit=x", String::new(), 400),
        (Method::PUT, "apps/one/secrets/key", "{".to_owned(), 400),
        (Method::PUT, "apps/one/aliases/blue", json!({ "version": 9 }).to_string(), 404),
        (Method::DELETE, "apps/one/aliases/live", String::new(), 400),
        (Method::POST, "blobs/missing", "{".to_owned(), 400),
        (Method::GET, "dead-letters/none", String::new(), 404),
        (Method::GET, "stats", String::new(), 200),
    ];
    for (method, path, body, status) in cases {
        check(&document, server.api(method, path).body(body), status).await;
    }
    for path in ["apps", "health", "stats"] {
        let page = server.api(Method::GET, path).header(header::ORIGIN, "https://evil.example");
        check(&document, page, 403).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guards_answer_is_declared() {
    let document = serde_json::to_value(belay_server::control::document()).unwrap();
    let rate = Rate { per_second: 0.001, burst: 2.0, ..Rate::default() };
    let server = Server::start_with(|config| {
        config.rate = rate;
        config.token = Some("a token of some length".to_owned());
    })
    .await;
    check(&document, server.api(Method::GET, "apps"), 401).await;
    // A wrong token counts for many requests.
    check(&document, server.api(Method::GET, "health"), 429).await;
    check(&document, server.api(Method::DELETE, "apps/shop"), 429).await;
}
