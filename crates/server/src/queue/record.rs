//! What the store holds of events.
//!
//! | collection | key | value |
//! |---|---|---|
//! | `events` | request id | [`EventRecord`] |
//! | `event_payloads` | request id | the event's JSON text |
//! | `dead_letters` | request id | [`super::DeadLetter`] |
//!
//! A payload lives as long as its event or its dead letter. It is apart from them, so that reading all of them back at
//! start costs little. Values are JSON with a `format` number; a reader refuses a higher one. A new field must have a
//! default, or the number rises.

use belay_fabric::{Collection, KeyRange, LIST_MAX, Store, StoreError};
use belay_model::{AppName, FunctionName, Qualifier};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::telemetry::{RequestId, Timestamp, TraceContext};

pub(super) const EVENTS: Collection = Collection::constant("events");
pub(super) const PAYLOADS: Collection = Collection::constant("event_payloads");
pub(super) const DEAD_LETTERS: Collection = Collection::constant("dead_letters");

/// The format of all records that this build writes.
pub(super) const FORMAT: u32 = 1;

/// One event that waits or runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EventRecord {
    pub(super) format: u32,
    pub(super) app: AppName,
    /// Of the app: another app of the same name does not inherit the events of a removed one.
    pub(super) incarnation: String,
    pub(super) function: FunctionName,
    /// As the caller asked; none for the live version.
    pub(super) qualifier: Option<String>,
    #[serde(flatten)]
    pub(super) ids: StoredIds,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_context: Option<Box<RawValue>>,
    pub(super) enqueued: Timestamp,
    /// Of the event. Records of a Belay that did not count them have none.
    #[serde(default)]
    pub(super) payload_bytes: u64,
    /// Attempts that have failed.
    pub(super) attempts: u32,
    /// Not to be run before.
    pub(super) due: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredIds {
    #[serde(rename = "request_id")]
    pub(super) request: RequestId,
    pub(super) trace: TraceContext,
}

impl EventRecord {
    pub(super) fn qualifier(&self) -> Qualifier {
        let parsed = self.qualifier.as_deref().map(str::parse);
        // It was written from a qualifier.
        parsed.and_then(Result::ok).unwrap_or(Qualifier::Live)
    }
}

pub(super) fn qualifier_text(qualifier: &Qualifier) -> Option<String> {
    match qualifier {
        Qualifier::Live => None,
        Qualifier::Version(version) => Some(version.to_string()),
        Qualifier::Alias(alias) => Some(alias.clone()),
    }
}

pub(super) fn encode(record: &impl Serialize) -> Vec<u8> {
    // Maps with text keys and no foreign types: there is nothing in a record that JSON cannot hold.
    serde_json::to_vec(record).unwrap_or_default()
}

/// Reads a record of this format or an older one. What cannot be read stays where it is and is reported.
pub(super) fn decode<T: DeserializeOwned>(
    collection: &Collection,
    key: &str,
    value: &[u8],
) -> Option<T> {
    #[derive(Deserialize)]
    struct Header {
        format: u32,
    }
    let header = serde_json::from_slice::<Header>(value);
    let known = header.as_ref().is_ok_and(|header| header.format <= FORMAT);
    let record = known.then(|| serde_json::from_slice(value).ok()).flatten();
    if record.is_none() {
        tracing::error!(%collection, key, "a stored event cannot be read, and is left alone");
    }
    record
}

/// All records of a collection, with their keys.
pub(super) async fn read_all<T: DeserializeOwned>(
    store: &Store,
    collection: &Collection,
) -> Result<Vec<(String, T)>, StoreError> {
    const PAGE: u32 = if LIST_MAX < 1_000 { LIST_MAX } else { 1_000 };
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let range = KeyRange { after: after.take(), ..KeyRange::all().limit(PAGE) };
        let page = store.list(collection, range).await?;
        let more = page.len() == PAGE as usize;
        after = page.last().map(|record| record.key.clone());
        let read = |record: belay_fabric::Record| {
            decode(collection, &record.key, &record.value).map(|value| (record.key, value))
        };
        all.extend(page.into_iter().filter_map(read));
        if !more {
            return Ok(all);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn record(due_ms: u64) -> EventRecord {
        EventRecord {
            format: FORMAT,
            app: "shop".parse().unwrap(),
            incarnation: "one".to_owned(),
            function: "price".parse().unwrap(),
            qualifier: Some("blue".to_owned()),
            ids: StoredIds {
                request: RequestId::from_random([7; 16]),
                trace: TraceContext::continued(None, [7; 24]),
            },
            client_context: Some(serde_json::from_str(r#"{"a":[1]}"#).unwrap()),
            enqueued: Timestamp(1_584_039_838_123),
            payload_bytes: 17,
            attempts: 1,
            due: Timestamp(due_ms),
        }
    }

    #[test]
    fn an_event_as_it_is_stored() {
        let bytes = encode(&record(1_584_039_839_123));
        let text = String::from_utf8(bytes.clone()).unwrap();
        let read: EventRecord = decode(&EVENTS, "id", &bytes).unwrap();
        assert_eq!(String::from_utf8(encode(&read)).unwrap(), text);
        assert_eq!(read.qualifier(), Qualifier::Alias("blue".to_owned()));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_older_record_has_no_payload_bytes() {
        let text = String::from_utf8(encode(&record(0))).unwrap();
        let older = text.replace(r#""payload_bytes":17,"#, "");
        assert_ne!(older, text);
        let read: EventRecord = decode(&EVENTS, "id", older.as_bytes()).unwrap();
        assert_eq!(read.payload_bytes, 0);
    }

    #[test]
    fn a_newer_format_is_left_alone() {
        let text = String::from_utf8(encode(&record(0))).unwrap();
        let newer = text.replace(r#""format":1"#, r#""format":2"#);
        assert!(decode::<EventRecord>(&EVENTS, "id", newer.as_bytes()).is_none());
        assert!(decode::<EventRecord>(&EVENTS, "id", b"not json").is_none());
    }
}
