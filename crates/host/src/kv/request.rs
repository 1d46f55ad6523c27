//! `kv.*`: arguments as guests send them, and answers as guests get them.

use std::collections::HashSet;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use belay_model::{Call, EffectError, Outcome};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::command::{
    COMMIT_BYTES_MAX, COMMIT_ITEMS_MAX, Command, Commit, Key, KvError, Range, Reply, Revision,
    VALUE_BYTES_MAX, Value, Write,
};
use crate::request::{args, bad_arguments, unknown_effect};

const LIST_LIMIT: u32 = 100;
const LIST_LIMIT_MAX: u32 = 1_000;

impl Command {
    pub(crate) fn decode(call: &Call) -> Result<Self, EffectError> {
        match call.op.as_str() {
            "kv.get" => Ok(Self::Get(Key::parse(args::<GetArgs>(call)?.key)?)),
            "kv.list" => args::<ListArgs>(call)?.range().map(Self::List),
            "kv.put" => args::<PutArgs>(call)?.commit(call.body.as_deref()).map(Self::Commit),
            "kv.delete" => args::<DeleteArgs>(call)?.commit().map(Self::Delete),
            "kv.commit" => args::<CommitArgs>(call)?.commit().map(Self::Commit),
            op => Err(unknown_effect(op)),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetArgs {
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListArgs {
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

impl ListArgs {
    fn range(self) -> Result<Range, EffectError> {
        let limit = self.limit.unwrap_or(LIST_LIMIT);
        if !(1..=LIST_LIMIT_MAX).contains(&limit) {
            return Err(bad_arguments("kv.list", format!("limit is 1 to {LIST_LIMIT_MAX}")));
        }
        Ok(Range { prefix: self.prefix.unwrap_or_default(), after: self.after, limit })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutArgs {
    key: String,
    #[serde(default, deserialize_with = "present")]
    json: Option<Box<RawValue>>,
    #[serde(default)]
    bytes: bool,
    #[serde(rename = "ifRevision")]
    if_revision: Option<Revision>,
}

impl PutArgs {
    fn commit(self, body: Option<&[u8]>) -> Result<Commit, EffectError> {
        let value = match (self.json, self.bytes, body) {
            (Some(json), false, None) => Value::Json(String::from(Box::<str>::from(json))),
            (None, true, body) => Value::Bytes(body.unwrap_or_default().to_vec()),
            _ => return Err(bad_arguments("kv.put", "give either json, or bytes and a body")),
        };
        let key = Key::parse(self.key)?;
        single(Write::Put(key, sized(value)?), self.if_revision)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteArgs {
    key: String,
    #[serde(rename = "ifRevision")]
    if_revision: Option<Revision>,
}

impl DeleteArgs {
    fn commit(self) -> Result<Commit, EffectError> {
        single(Write::Delete(Key::parse(self.key)?), self.if_revision)
    }
}

fn single(write: Write, if_revision: Option<Revision>) -> Result<Commit, EffectError> {
    let checks = if_revision.map(|revision| (write.key().clone(), revision));
    let checks = checks.into_iter().collect();
    Ok(Commit { checks, writes: vec![write], ..Commit::default() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitArgs {
    #[serde(default)]
    checks: Vec<CheckArgs>,
    #[serde(default)]
    writes: Vec<WriteArgs>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckArgs {
    key: String,
    revision: Revision,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteArgs {
    key: String,
    #[serde(default, deserialize_with = "present")]
    json: Option<Box<RawValue>>,
    base64: Option<String>,
    #[serde(default)]
    delete: bool,
}

impl CommitArgs {
    fn commit(self) -> Result<Commit, EffectError> {
        if self.checks.len() > COMMIT_ITEMS_MAX || self.writes.len() > COMMIT_ITEMS_MAX {
            let reason = format!("at most {COMMIT_ITEMS_MAX} checks and {COMMIT_ITEMS_MAX} writes");
            return Err(bad_arguments("kv.commit", reason));
        }
        let checks = self.checks.into_iter().map(CheckArgs::check).collect::<Result<_, _>>()?;
        let writes = self.writes.into_iter().map(WriteArgs::write).collect::<Result<_, _>>()?;
        checked(Commit { checks, writes, ..Commit::default() })
    }
}

impl CheckArgs {
    fn check(self) -> Result<(Key, Revision), KvError> {
        Ok((Key::parse(self.key)?, self.revision))
    }
}

impl WriteArgs {
    fn write(self) -> Result<Write, EffectError> {
        let key = Key::parse(self.key)?;
        match (self.json, self.base64, self.delete) {
            (Some(json), None, false) => {
                Ok(Write::Put(key, sized(Value::Json(String::from(Box::<str>::from(json))))?))
            }
            (None, Some(text), false) => {
                let bytes = BASE64_STANDARD.decode(text);
                let bytes = bytes.map_err(|error| bad_arguments("kv.commit", error))?;
                Ok(Write::Put(key, sized(Value::Bytes(bytes))?))
            }
            (None, None, true) => Ok(Write::Delete(key)),
            _ => Err(bad_arguments("kv.commit", "a write has one of json, base64, delete: true")),
        }
    }
}

fn sized(value: Value) -> Result<Value, KvError> {
    match value.as_bytes().len() {
        found if found > VALUE_BYTES_MAX => {
            Err(KvError::TooLarge { what: "the value", found, max: VALUE_BYTES_MAX })
        }
        _ => Ok(value),
    }
}

fn checked(commit: Commit) -> Result<Commit, EffectError> {
    let found = commit.bytes();
    if found > COMMIT_BYTES_MAX {
        return Err(KvError::TooLarge { what: "the commit", found, max: COMMIT_BYTES_MAX }.into());
    }
    let mut seen = HashSet::new();
    match commit.writes.iter().find(|write| !seen.insert(write.key())) {
        Some(twice) => {
            let reason = format!("{:?} is written twice", twice.key().as_str());
            Err(bad_arguments("kv.commit", reason))
        }
        None => Ok(commit),
    }
}

/// Tells `"json": null` from no `json` at all.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

#[derive(Serialize)]
struct ListedEntry<'a> {
    key: &'a str,
    revision: Revision,
}

impl Reply {
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Entry(found) => entry(found),
            Self::Listed { entries, more } => list(&entries, more),
            Self::Committed(Revision(revision)) => {
                Outcome::json(format!(r#"{{"revision":{revision}}}"#))
            }
            Self::Deleted(deleted) => Outcome::json(format!(r#"{{"deleted":{deleted}}}"#)),
            Self::Erased => Outcome::json("null"),
        }
    }
}

fn entry(found: Option<(Revision, Value)>) -> Outcome {
    match found {
        None => Outcome::json(r#"{"found":false}"#),
        Some((Revision(revision), Value::Json(json))) => {
            Outcome::json(format!(r#"{{"found":true,"revision":{revision},"json":{json}}}"#))
        }
        Some((Revision(revision), Value::Bytes(bytes))) => Outcome::Ok {
            value: format!(r#"{{"found":true,"revision":{revision},"bytes":true}}"#),
            body: Some(bytes),
        },
    }
}

fn list(entries: &[(String, Revision)], more: bool) -> Outcome {
    let shown: Vec<_> =
        entries.iter().map(|(key, revision)| ListedEntry { key, revision: *revision }).collect();
    let next = entries.last().filter(|_| more).map(|(key, _)| key);
    Outcome::json(serde_json::json!({ "entries": shown, "next": next }).to_string())
}
