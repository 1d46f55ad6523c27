//! Any HTTP request as an event: it is JSON, and the request can be read back from it.

#![no_main]

use arbitrary::Arbitrary;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use belay_server::{
    data::http_event::{HttpRequest, event},
    telemetry::{RequestId, Timestamp},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: Vec<(Name<'a>, &'a [u8])>,
    ip: [u8; 16],
    time: u64,
    body: &'a [u8],
}

/// Those that are treated specially, and any other.
#[derive(Debug, Arbitrary)]
enum Name<'a> {
    Cookie,
    ContentType,
    ContentEncoding,
    Host,
    Other(&'a str),
}

fuzz_target!(|input: Input<'_>| {
    let headers: HeaderMap =
        input.headers.iter().filter_map(|(name, value)| header(name, value)).collect();
    let method = input.method.parse().unwrap_or(Method::POST);
    let text = event(&HttpRequest {
        method: &method,
        path: input.path,
        query: input.query,
        version: Version::HTTP_11,
        headers: &headers,
        body: input.body,
        source_ip: input.ip.into(),
        request_id: RequestId::from_random([7; 16]),
        time: Timestamp(input.time),
        api_id: "app.function",
    });
    let event: Value = serde_json::from_str(&text).expect("an event is JSON");
    assert_eq!(event["rawPath"], input.path);
    assert_eq!(event["rawQueryString"], input.query);
    assert_eq!(event["requestContext"]["http"]["method"], method.as_str());
    assert_eq!(event["headers"].get("cookie"), None);
    let names = headers.keys().filter(|name| *name != http::header::COOKIE).count();
    assert_eq!(event["headers"].as_object().map(|headers| headers.len()), Some(names));
    assert_eq!(body(&event), input.body);
});

fn header(name: &Name<'_>, value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let name = match name {
        Name::Cookie => "cookie",
        Name::ContentType => "content-type",
        Name::ContentEncoding => "content-encoding",
        Name::Host => "host",
        Name::Other(name) => name,
    };
    Some((name.parse().ok()?, HeaderValue::from_bytes(value).ok()?))
}

fn body(event: &Value) -> Vec<u8> {
    let text = event["body"].as_str().unwrap_or_default();
    match event["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(text).expect("base64"),
        Some(false) | None => text.as_bytes().to_vec(),
    }
}
