//! An HTTP request as an event of API Gateway's payload format 2.0
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
//!
//! Pure. Differences from AWS: there is one route, `$default`, and neither authorizer nor stage variables; the path is
//! the one behind `/fn/{function}`.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, Version, header};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{arms, name::ACCOUNT};
use crate::telemetry::{RequestId, Timestamp};

/// What the event tells of a request.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    pub method: &'a Method,
    /// Behind `/fn/{function}`, as it came; at least `/`.
    pub path: &'a str,
    /// Behind `?`, as it came; may be empty.
    pub query: &'a str,
    pub version: Version,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub source_ip: IpAddr,
    pub request_id: RequestId,
    pub time: Timestamp,
    /// `app.function`: what stands for the API's id.
    pub api_id: &'a str,
}

const ROUTE: &str = "$default";

/// The event, as a JSON text.
pub fn event(request: &HttpRequest<'_>) -> String {
    let event = Event::of(request);
    // A `String` as a key, and no other source of errors: this does not fail.
    serde_json::to_string(&event).unwrap_or_else(|_| "{}".to_owned())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'static str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Cow<'a, str>>,
    headers: Headers<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<Cow<'a, str>, String>,
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'a, str>>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    account_id: &'static str,
    api_id: &'a str,
    domain_name: Cow<'a, str>,
    domain_prefix: String,
    http: Http<'a>,
    request_id: RequestId,
    route_key: &'static str,
    stage: &'static str,
    time: String,
    time_epoch: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    source_ip: IpAddr,
    user_agent: Cow<'a, str>,
}

/// All headers but `cookie`, with the values of one name joined by commas.
struct Headers<'a>(&'a HeaderMap);

impl<'a> Event<'a> {
    fn of(request: &HttpRequest<'a>) -> Self {
        let (body, is_base64_encoded) = body(request.headers, request.body);
        Self {
            version: "2.0",
            route_key: ROUTE,
            raw_path: request.path,
            raw_query_string: request.query,
            cookies: cookies(request.headers),
            headers: Headers(request.headers),
            query_string_parameters: query_parameters(request.query),
            request_context: RequestContext::of(request),
            body,
            is_base64_encoded,
        }
    }
}

impl<'a> RequestContext<'a> {
    fn of(request: &HttpRequest<'a>) -> Self {
        let domain_name = first(request.headers, &header::HOST);
        let host = domain_name.split([':', '.']).next().unwrap_or_default();
        Self {
            account_id: ACCOUNT,
            api_id: request.api_id,
            domain_prefix: host.to_owned(),
            http: Http {
                method: request.method.as_str(),
                path: request.path,
                protocol: protocol(request.version),
                source_ip: request.source_ip,
                user_agent: first(request.headers, &header::USER_AGENT),
            },
            domain_name,
            request_id: request.request_id,
            route_key: ROUTE,
            stage: ROUTE,
            time: request.time.civil().common_log(),
            time_epoch: request.time.0,
        }
    }
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // The control token is no function's business.
        let hidden = [header::COOKIE, arms::ARMS, arms::TOKEN];
        for name in self.0.keys().filter(|name| !hidden.contains(name)) {
            let mut values = self.0.get_all(name).iter();
            let first = values.next().map(text).unwrap_or_default();
            // `http` keeps names in lower case.
            let joined = values.fold(first, |all, next| format!("{all},{}", text(next)).into());
            map.serialize_entry(name.as_str(), &joined)?;
        }
        map.end()
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// Header values may hold any bytes but control characters.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

fn first<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Cow<'a, str> {
    headers.get(name).map(text).unwrap_or_default()
}

fn cookies(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    let values = headers.get_all(header::COOKIE).iter().map(text);
    let split = |value: Cow<'_, str>| -> Vec<String> {
        value.split(';').map(|cookie| cookie.trim().to_owned()).collect()
    };
    values.flat_map(split).filter(|cookie| !cookie.is_empty()).map(Cow::Owned).collect()
}

/// Decoded; the values of one name joined by commas. A map, as a hostile query may have thousands of names.
fn query_parameters(query: &str) -> BTreeMap<Cow<'_, str>, String> {
    let mut parameters = BTreeMap::<_, String>::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(name)
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    parameters
}

/// The body as text if it says that it is, and is; in base64 otherwise.
fn body<'a>(headers: &HeaderMap, body: &'a [u8]) -> (Option<Cow<'a, str>>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    match std::str::from_utf8(body) {
        Ok(text) if is_text(headers) => (Some(Cow::Borrowed(text)), false),
        _ => (Some(Cow::Owned(STANDARD.encode(body))), true),
    }
}

/// As API Gateway tells text from binary; a body without a type is taken for text.
fn is_text(headers: &HeaderMap) -> bool {
    let encoding = first(headers, &header::CONTENT_ENCODING);
    let media_type = first(headers, &header::CONTENT_TYPE).to_ascii_lowercase();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let plain = matches!(encoding.trim(), "" | "identity");
    plain && (essence.is_empty() || is_text_type(essence))
}

fn is_text_type(essence: &str) -> bool {
    const TYPES: [&str; 6] = [
        "application/json",
        "application/xml",
        "application/javascript",
        "application/x-www-form-urlencoded",
        "application/graphql",
        "application/x-ndjson",
    ];
    let suffixed = essence.ends_with("+json") || essence.ends_with("+xml");
    essence.starts_with("text/") || TYPES.contains(&essence) || suffixed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(headers: &HeaderMap, query: &str, body: &[u8]) -> serde_json::Value {
        let request = HttpRequest {
            method: &Method::POST,
            path: "/a%20b/c",
            query,
            version: Version::HTTP_11,
            headers,
            body,
            source_ip: [127, 0, 0, 1].into(),
            request_id: RequestId::from_random([7; 16]),
            time: Timestamp(1_584_039_838_123),
            api_id: "shop.price",
        };
        serde_json::from_str(&event(&request)).unwrap()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_whole_event() {
        let headers = headers(&[
            ("host", "api.example.org:8800"),
            ("user-agent", "curl/8"),
            ("cookie", "a=1; b=2"),
            ("x-many", "one"),
            ("cookie", "c=3"),
            ("x-many", "two"),
            ("content-type", "application/json; charset=utf-8"),
        ]);
        let event = request(&headers, "a=1&b=x%20y&a=2+3&flag", br#"{"n":1}"#);
        insta::assert_json_snapshot!(event);
    }

    #[test]
    fn bodies() {
        let encoded = |pairs: &[_], body: &[u8]| {
            let event = request(&headers(pairs), "", body);
            (event["body"].clone(), event["isBase64Encoded"].clone())
        };
        assert_eq!(encoded(&[], b"text"), ("text".into(), false.into()));
        assert_eq!(encoded(&[], b""), (serde_json::Value::Null, false.into()));
        assert_eq!(encoded(&[], b"\xff\xfe"), ("//4=".into(), true.into()));
        assert_eq!(
            encoded(&[("content-type", "image/png")], b"text"),
            ("dGV4dA==".into(), true.into())
        );
        assert_eq!(
            encoded(&[("content-type", "application/problem+json")], b"{}"),
            ("{}".into(), false.into())
        );
        let gzip = [("content-type", "text/plain"), ("content-encoding", "gzip")];
        assert_eq!(encoded(&gzip, b"text"), ("dGV4dA==".into(), true.into()));
    }

    proptest! {
        #[test]
        fn any_request_gives_an_event_from_which_it_can_be_read_back(
            query in "[ -~]{0,80}",
            body in proptest::collection::vec(any::<u8>(), 0..200),
            value in proptest::collection::vec(0x20_u8..0x7f, 0..40),
        ) {
            let mut headers = HeaderMap::new();
            headers.append("x-any", HeaderValue::from_bytes(&value).unwrap());
            let event = request(&headers, &query, &body);
            prop_assert_eq!(event["rawQueryString"].as_str(), Some(query.as_str()));
            prop_assert_eq!(event["headers"]["x-any"].as_str().unwrap().as_bytes(), &value);
            let text = event["body"].as_str().unwrap_or_default();
            let read = match event["isBase64Encoded"].as_bool() {
                Some(true) => STANDARD.decode(text).unwrap(),
                _ => text.as_bytes().to_vec(),
            };
            prop_assert_eq!(read, body);
        }
    }
}
