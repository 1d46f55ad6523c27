//! The OpenAPI document: it is one, and it has every route.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Server, answer};

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
