//! What keeps a client at one arm: a header, a cookie, or something in its event.
//!
//! A request without it is drawn by itself.

use belay_model::{Hash, KeySource};
use http::{HeaderMap, header::COOKIE};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::draw::number;

/// The key of a request, as a hash. It is kept with what was seen of a change; with another `seed` it is another one, so that it
/// cannot be looked up in a table that somebody has made, nor tell of a client what it did in other changes.
pub(super) fn key_of(
    source: &KeySource,
    headers: Option<&HeaderMap>,
    event: &str,
    seed: u64,
) -> Option<u64> {
    let text = match source {
        KeySource::Header(name) => headers?.get(name)?.to_str().ok()?.to_owned(),
        KeySource::Cookie(name) => cookie(headers?, name)?.to_owned(),
        KeySource::Event(path) => in_event(event, path)?,
    };
    Some(hashed(&text, seed))
}

fn hashed(key: &str, seed: u64) -> u64 {
    number(&Hash::of(&[&seed.to_le_bytes()[..], key.as_bytes()].concat()))
}

fn cookie<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.trim(), value))
        .find_map(|(name, value)| (name == wanted).then(|| value.trim()))
}

/// What is at a path such as `user.id` or `items.0.sku`: a string, a number, or a truth value. Only what lies on the way is
/// looked into.
fn in_event(event: &str, path: &str) -> Option<String> {
    let mut value: &RawValue = serde_json::from_str(event).ok()?;
    for step in path.split('.') {
        value = child(value, step)?;
    }
    let found: serde_json::Value = serde_json::from_str(value.get()).ok()?;
    match found {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Some(found.to_string()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            None
        }
    }
}

fn child<'v>(value: &'v RawValue, step: &str) -> Option<&'v RawValue> {
    if value.get().starts_with('[') {
        let items = Vec::<&RawValue>::deserialize(value).ok()?;
        return items.get(step.parse::<usize>().ok()?).copied();
    }
    let fields =
        std::collections::HashMap::<std::borrow::Cow<'_, str>, &RawValue>::deserialize(value);
    fields.ok()?.remove(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(source: &str, headers: &[(&'static str, &str)], event: &str) -> Option<u64> {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        key_of(&source.parse().unwrap(), Some(&headers.collect()), event, 7)
    }

    #[test]
    fn a_key_is_what_it_says_wherever_it_is_found() {
        let ann = Some(hashed("ann", 7));
        assert_ne!(ann, Some(hashed("ann", 8)), "in another trial it is another one");
        assert_eq!(key("header:X-User", &[("x-user", "ann")], "{}"), ann);
        assert_eq!(key("cookie:user", &[("cookie", "a=b; user=ann ;c=d")], "{}"), ann);
        assert_eq!(key("event:user.id", &[], r#"{"user":{"id":"ann"}}"#), ann);
        assert_eq!(key("event:users.1", &[], r#"{"users":["bob","ann"]}"#), ann);
        assert_eq!(key("event:id", &[], r#"{"id": "a\u006en"}"#), ann, "as it reads");
    }

    #[test]
    fn a_request_without_it_has_none() {
        assert_eq!(key("header:x-user", &[], "{}"), None);
        assert_eq!(key("cookie:user", &[("cookie", "xuser=ann")], "{}"), None);
        for event in ["{}", "[]", "7", r#"{"user":null}"#, r#"{"user":{"id":{}}}"#, "not JSON"] {
            assert_eq!(key("event:user.id", &[], event), None, "{event}");
        }
    }
}
