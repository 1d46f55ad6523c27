//! `http.fetch`: arguments as guests send them, checked, and the answer as guests get it.

use std::time::Duration;

use belay_model::{EffectError, Outcome};
use bytes::Bytes;
use reqwest::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Trace, code, request::bad_arguments};

pub(crate) const REQUEST_BODY_MAX: usize = 6 << 20;
const URL_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 128;
const HEADER_BYTES_MAX: usize = 64 << 10;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// As in the IETF draft "The Idempotency-Key HTTP Header Field".
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TIMEOUT_MS: f64 = 10_000.0;
const TIMEOUT_MS_MAX: f64 = 900_000.0;

/// Headers that describe the connection or the framing, which are the host's business. They are left out without
/// a word, as browsers do. Without `accept-encoding`, bodies arrive as they are.
const HOSTS_OWN: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What to do with a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Redirect {
    #[default]
    Follow,
    /// Fail.
    Error,
    /// Answer with the redirect itself.
    Manual,
}

/// Arguments of `http.fetch`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct FetchArgs {
    #[serde(default)]
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    redirect: Redirect,
    timeout_ms: Option<f64>,
}

/// A call that is well-formed; whether it is permitted is not yet known.
#[derive(Debug)]
pub(crate) struct FetchRequest {
    pub(crate) hop: Hop,
    pub(crate) redirect: Redirect,
    pub(crate) timeout: Duration,
}

/// One exchange; a redirect leads to another one.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl FetchRequest {
    /// Whether the exchange is not expected to change anything at the other end.
    pub(crate) fn is_safe(&self) -> bool {
        matches!(self.hop.method, Method::GET | Method::HEAD)
    }
}

impl Hop {
    /// Names the invocation as the parent, unless the function has said otherwise.
    pub(crate) fn traced(&mut self, trace: Option<Trace<'_>>) {
        let Some(Trace(trace)) = trace.filter(|_| !self.headers.contains_key(TRACEPARENT)) else {
            return;
        };
        if let Ok(value) = HeaderValue::try_from(trace.to_string()) {
            self.headers.insert(TRACEPARENT, value);
        }
    }
}

impl Hop {
    /// Tells the other end which calls are one and the same, unless the function has done so.
    pub(crate) fn keyed(&mut self, key: &str) {
        if let Ok(value) = HeaderValue::try_from(key) {
            self.headers.entry(IDEMPOTENCY_KEY).or_insert(value);
        }
    }
}

impl FetchArgs {
    pub(crate) fn request(self, body: Option<&[u8]>) -> Result<FetchRequest, EffectError> {
        let method = method(self.method.as_deref())?;
        let body = request_body(&method, body)?;
        let hop = Hop { method, url: url(&self.url)?, headers: headers(&self.headers)?, body };
        Ok(FetchRequest { hop, redirect: self.redirect, timeout: timeout(self.timeout_ms)? })
    }
}

fn wrong(reason: impl std::fmt::Display) -> EffectError {
    bad_arguments("http.fetch", reason)
}

/// As in the fetch standard: these six in any case, others as they are, tunnels and loop tests never.
fn method(text: Option<&str>) -> Result<Method, EffectError> {
    let text = text.unwrap_or("GET");
    let upper = text.to_ascii_uppercase();
    match upper.as_str() {
        "CONNECT" | "TRACE" | "TRACK" => Err(wrong(format!("the method {upper} is not allowed"))),
        "DELETE" | "GET" | "HEAD" | "OPTIONS" | "POST" | "PUT" => parse_method(&upper),
        _ => parse_method(text),
    }
}

fn parse_method(text: &str) -> Result<Method, EffectError> {
    Method::from_bytes(text.as_bytes()).map_err(|_| wrong(format!("{text:?} is not a method")))
}

fn url(text: &str) -> Result<Url, EffectError> {
    if text.len() > URL_BYTES_MAX {
        return Err(wrong(format!("the URL is longer than {URL_BYTES_MAX} bytes")));
    }
    let mut url = Url::parse(text).map_err(|error| wrong(format!("{text:?}: {error}")))?;
    check_url(&url).map_err(wrong)?;
    url.set_fragment(None);
    Ok(url)
}

/// Says what keeps a URL from being fetched, if anything does.
pub(crate) fn check_url(url: &Url) -> Result<(), &'static str> {
    match url.scheme() {
        "http" | "https" if !url.username().is_empty() || url.password().is_some() => {
            Err("a URL with a user name or password is not fetched; send an authorization header")
        }
        "http" | "https" => Ok(()),
        _ => Err("only http and https URLs can be fetched"),
    }
}

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, EffectError> {
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if pairs.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        let limits = format!("at most {HEADERS_MAX} headers and {HEADER_BYTES_MAX} bytes of them");
        return Err(wrong(limits));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let (name, value) = header(name, value)?;
        if !HOSTS_OWN.contains(&name.as_str()) {
            headers.append(name, value);
        }
    }
    Ok(headers)
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), EffectError> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| wrong(format!("{name:?} is not a header name")))?;
    let value = latin1(value.trim_matches([' ', '\t', '\r', '\n']))
        .and_then(|bytes| HeaderValue::from_bytes(&bytes).ok())
        .ok_or_else(|| {
            wrong(format!("the value of the header {name} has a character it must not"))
        })?;
    Ok((name, value))
}

/// Header values are bytes; in JavaScript each is a character up to U+00FF.
fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(character).ok()).collect()
}

fn request_body(method: &Method, body: Option<&[u8]>) -> Result<Option<Bytes>, EffectError> {
    match body {
        Some(_) if matches!(*method, Method::GET | Method::HEAD) => {
            Err(wrong(format!("a {method} request has no body")))
        }
        Some(body) if body.len() > REQUEST_BODY_MAX => Err(EffectError {
            code: code::HTTP_BODY_TOO_LARGE.to_owned(),
            message: format!("the request's body is larger than {REQUEST_BODY_MAX} bytes"),
        }),
        body => Ok(body.map(Bytes::copy_from_slice)),
    }
}

fn timeout(ms: Option<f64>) -> Result<Duration, EffectError> {
    let ms = ms.unwrap_or(TIMEOUT_MS);
    if ms <= 0.0 {
        return Err(wrong("timeoutMs must be more than 0"));
    }
    Duration::try_from_secs_f64(ms.min(TIMEOUT_MS_MAX) / 1_000.0).map_err(wrong)
}

/// A response without its body.
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) url: Url,
    pub(crate) redirected: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    status: u16,
    status_text: &'static str,
    headers: Vec<(&'a str, String)>,
    url: &'a str,
    redirected: bool,
}

impl Head {
    pub(crate) fn answer(&self, body: Vec<u8>) -> Outcome {
        let answer = Answer {
            status: self.status.as_u16(),
            status_text: self.status.canonical_reason().unwrap_or_default(),
            headers: shown_headers(&self.headers),
            url: self.url.as_str(),
            redirected: self.redirected,
        };
        Outcome::Ok { value: serde_json::json!(answer).to_string(), body: Some(body) }
    }
}

/// One pair for each line, so that several cookies stay apart.
fn shown_headers(headers: &HeaderMap) -> Vec<(&str, String)> {
    let text = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect();
    headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect()
}

/// Headers that describe a body, dropped together with it.
pub(crate) const OF_THE_BODY: [HeaderName; 4] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_TYPE,
];
