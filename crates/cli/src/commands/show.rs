//! Reading an answer of the server for people: what is absent is left blank, never an error, so that an older
//! client still shows what a newer server says.

use serde_json::Value;

/// The array itself, or the one under `key`.
pub(super) fn items<'v>(answer: &'v Value, key: &str) -> &'v [Value] {
    let array = answer.as_array().or_else(|| answer[key].as_array());
    array.map_or(&[], Vec::as_slice)
}

pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

pub(super) fn cell(value: &Value, key: &str) -> String {
    match &value[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An array of words, or of objects that have a `name` or are a function's, on one line.
pub(super) fn words(value: &Value, key: &str) -> String {
    let word = |item: &Value| match item {
        Value::String(text) => text.clone(),
        Value::Object(_) => ["name", "function"].map(|key| cell(item, key)).concat(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => item.to_string(),
    };
    items(&value[key], "").iter().map(word).collect::<Vec<_>>().join(" ")
}

/// `03:28:44.123` of `2026-11-21T03:28:44.123Z`; other texts as they are.
pub(super) fn time_of_day(timestamp: &str) -> &str {
    let time = timestamp.split_once('T').map_or(timestamp, |(_, time)| time);
    time.trim_end_matches('Z')
}

/// How long ago `then_ms` was at `now_ms`.
pub(super) fn ago(then_ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(then_ms) / 1_000 {
        0 => "now".to_owned(),
        seconds @ 1..=119 => format!("{seconds} s ago"),
        seconds @ 120..=7_199 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times() {
        assert_eq!(time_of_day("2026-11-21T03:28:44.007Z"), "03:28:44.007");
        assert_eq!(time_of_day("now"), "now");
        let agos = [
            (1_000, "now"),
            (61_500, "60 s ago"),
            (600_000, "9 min ago"),
            (90_000_000, "24 h ago"),
        ];
        for (now, expected) in agos {
            assert_eq!(ago(1_000, now), expected);
        }
    }

    #[test]
    fn answers_of_both_shapes() {
        let bare = json!([{ "name": "a" }]);
        assert_eq!(items(&bare, "apps"), items(&json!({ "apps": bare }), "apps"));
        assert_eq!(words(&json!({ "functions": ["a", { "name": "b" }] }), "functions"), "a b");
        assert!(items(&json!({}), "apps").is_empty());
    }
}
