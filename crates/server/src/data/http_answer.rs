//! A handler's result as an HTTP response, by the rules of API Gateway's payload format 2.0.
//!
//! An object with a `statusCode` is a response; every other result is the body of a 200 in JSON. Pure.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use belay_model::{Category, Failure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::ending::number;

/// The response that a result describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why a result with a `statusCode` is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("statusCode must be a whole number from 200 to 599, not {0}")]
    Status(Value),
    #[error("the response has a wrong shape: {0}")]
    Shape(String),
    #[error("{0:?} is not the name of a header")]
    HeaderName(String),
    #[error(
        "the value of header {0:?} must be a string, a number or a boolean, without line breaks"
    )]
    HeaderValue(String),
    #[error("body is not base64, although isBase64Encoded says so")]
    Base64,
}

/// Largest number of header lines of a response.
const HEADERS_MAX: usize = 256;

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow, rename = "statusCode", default)]
    status_code: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    status_code: Value,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    multi_value_headers: Option<Map<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default, borrow)]
    body: Option<Cow<'a, str>>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

impl HttpAnswer {
    /// Reads a result, which is a JSON text.
    pub fn of(result: String) -> Result<Self, AnswerError> {
        if !has_status(&result) {
            return Ok(Self::json(result));
        }
        let text = whole_characters(&result);
        let shape: Shape<'_> =
            serde_json::from_str(&text).map_err(|error| AnswerError::Shape(error.to_string()))?;
        shape.answer()
    }

    fn json(body: String) -> Self {
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        Self { status: StatusCode::OK, headers, body: body.into() }
    }
}

/// How a bad answer counts, and what the log says of it.
impl From<AnswerError> for Failure {
    fn from(error: AnswerError) -> Self {
        Self::new(Category::Exception, "Belay.InvalidResponse", error.to_string())
    }
}

fn has_status(result: &str) -> bool {
    let may = result.starts_with('{') && result.contains("\"statusCode\"");
    may && serde_json::from_str::<Status<'_>>(result).is_ok_and(|found| found.status_code.is_some())
}

/// Replaces halves of characters (lone surrogates) by U+FFFD, as encoding a JavaScript string to UTF-8 does.
/// `JSON.stringify` writes them, and nothing else, as an escape that begins with `\ud`.
fn whole_characters(result: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut taken, mut at) = (0, 0);
    while let Some(found) = result[at..].find('\\') {
        let escape = at + found;
        let half = result[escape..].starts_with("\\ud");
        at = (escape + if half { 6 } else { 2 }).min(result.len());
        if half {
            out.push_str(&result[taken..escape]);
            out.push('\u{fffd}');
            taken = at;
        }
    }
    if taken == 0 { Cow::Borrowed(result) } else { Cow::Owned(out + &result[taken..]) }
}

impl Shape<'_> {
    fn answer(self) -> Result<HttpAnswer, AnswerError> {
        let status = status(self.status_code)?;
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers.unwrap_or_default() {
            append(&mut headers, &name, &value)?;
        }
        for (name, values) in self.multi_value_headers.unwrap_or_default() {
            let Value::Array(values) = values else { return Err(AnswerError::HeaderValue(name)) };
            values.iter().try_for_each(|value| append(&mut headers, &name, value))?;
        }
        for cookie in self.cookies.unwrap_or_default() {
            append(&mut headers, "set-cookie", &Value::String(cookie))?;
        }
        let body = body(self.body, self.is_base64_encoded.unwrap_or(false))?;
        if !headers.contains_key(header::CONTENT_TYPE) && !body.is_empty() {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            headers.insert(header::CONTENT_TYPE, text);
        }
        Ok(HttpAnswer { status, headers, body })
    }
}

/// 1xx would have to be followed by another response, so it is none.
fn status(value: Value) -> Result<StatusCode, AnswerError> {
    let code = number(&value).filter(|code| (200..=599).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(AnswerError::Status(value))
}

fn body(body: Option<Cow<'_, str>>, base64: bool) -> Result<Bytes, AnswerError> {
    let text = body.unwrap_or_default();
    if base64 {
        return STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(|_| AnswerError::Base64);
    }
    Ok(text.into_owned().into())
}

fn append(headers: &mut HeaderMap, name: &str, value: &Value) -> Result<(), AnswerError> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| AnswerError::HeaderName(name.to_owned()))?;
    if headers.len() >= HEADERS_MAX {
        return Err(AnswerError::Shape(format!("more than {HEADERS_MAX} headers")));
    }
    let value = header_value(value).ok_or_else(|| AnswerError::HeaderValue(name.to_owned()))?;
    if !is_the_servers(&header) {
        headers.append(header, value);
    }
    Ok(())
}

fn header_value(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::Bool(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

/// Headers of the connection, which a function has no say in.
fn is_the_servers(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 7] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::PROXY_AUTHENTICATE,
    ];
    NAMES.contains(name) || name == "keep-alive"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(result: &str) -> String {
        match HttpAnswer::of(result.to_owned()) {
            Ok(answer) => {
                let headers: Vec<_> = answer
                    .headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {value:?}"))
                    .collect();
                format!("{} {headers:?} {:?}", answer.status, answer.body)
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn results() {
        let results = [
            r#"{"n":1}"#,
            r#""text""#,
            "null",
            "[1]",
            r#"{"statusCode":null,"headers":5}"#,
            r#"{"headers":5,"note":"\"statusCode\""}"#,
            r#"{"statusCode":201,"headers":{"X-A":"b","x-n":5,"x-t":true},"body":"made"}"#,
            r#"{"statusCode":"204"}"#,
            r#"{"statusCode":200.0,"multiValueHeaders":{"x-a":["1","2"]},"cookies":["a=1","b=2; HttpOnly"]}"#,
            r#"{"statusCode":200,"headers":{"content-type":"image/gif"},"body":"R0lG","isBase64Encoded":true}"#,
            r#"{"statusCode":200,"body":"*","isBase64Encoded":true}"#,
            r#"{"statusCode":200,"headers":{"content-length":"999","transfer-encoding":"chunked"}}"#,
            r#"{"statusCode":200,"headers":{"x y":"1"}}"#,
            r#"{"statusCode":200,"headers":{"x":"a\r\nset-cookie: b"}}"#,
            r#"{"statusCode":200,"headers":{"x":{}}}"#,
            r#"{"statusCode":200,"headers":[]}"#,
            r#"{"statusCode":200,"body":{"n":1}}"#,
            r#"{"statusCode":200,"headers":null,"body":null,"isBase64Encoded":null}"#,
            r#"{"statusCode":200,"headers":{"x":"\udfff"},"cookies":["\ud83d"],"body":"a\ud800\\ud800\n😀"}"#,
            r#"{"statusCode":101}"#,
            r#"{"statusCode":600}"#,
            r#"{"statusCode":"ok"}"#,
            r#"{"statusCode":200.5}"#,
            r#"{"statusCode":true}"#,
        ];
        let lines: Vec<_> = results.map(|result| format!("{result}\n  → {}", check(result))).into();
        insta::assert_snapshot!(lines.join("\n"));
    }

    proptest! {
        #[test]
        fn any_json_is_an_answer_or_an_error(result in "\\PC*|\\{\"statusCode\":[0-9]{1,4},\"(body|headers|cookies)\":\\PC{0,40}\\}") {
            let _ = HttpAnswer::of(result);
        }

        #[test]
        fn a_response_comes_out_as_it_was_meant(status in 200_u16..600, bytes in proptest::collection::vec(any::<u8>(), 0..100), value in "[!-~]{0,30}") {
            let result = serde_json::json!({
                "statusCode": status,
                "headers": { "x-value": value },
                "body": STANDARD.encode(&bytes),
                "isBase64Encoded": true,
            });
            let answer = HttpAnswer::of(result.to_string()).unwrap();
            prop_assert_eq!(answer.status.as_u16(), status);
            prop_assert_eq!(answer.headers["x-value"].as_bytes(), value.as_bytes());
            prop_assert_eq!(answer.body, bytes);
        }
    }
}
