//! The host that answers the fixtures: a clock of its own, so that no test waits; an echo for fetches; a store in
//! memory. What it promises is written at the head of the fixtures that use it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use belay_model::{Call, CallId, Outcome};
use serde_json::{Value, json};

#[derive(Default)]
pub(super) struct Host {
    now_ms: u64,
    waiting: VecDeque<(u64, Call)>,
    store: Store,
}

impl Host {
    pub(super) fn take(&mut self, call: Call) {
        let args = args(&call);
        let never = args["url"].as_str().is_some_and(|url| url.contains("slow.test"));
        if !never {
            self.waiting.push_back((self.now_ms + args["ms"].as_u64().unwrap_or(0), call));
        }
    }

    pub(super) fn drop(&mut self, cancelled: &[CallId]) {
        self.waiting.retain(|(_, call)| !cancelled.contains(&call.id));
    }

    /// Answers the call that is due first.
    pub(super) fn answer(&mut self) -> Option<(CallId, Outcome)> {
        let first = (0..self.waiting.len()).min_by_key(|i| self.waiting[*i].0)?;
        let (due, call) = self.waiting.remove(first)?;
        self.now_ms = self.now_ms.max(due);
        let outcome = match call.op.as_str() {
            "timer" => Outcome::json("null"),
            "http.fetch" => fetch(&call),
            "secret.get" => secret(&call),
            _ => self.store.perform(&call),
        };
        Some((call.id, outcome))
    }
}

fn args(call: &Call) -> Value {
    serde_json::from_str(&call.args).expect("arguments are JSON")
}

fn secret(call: &Call) -> Outcome {
    match args(call)["name"].as_str() {
        Some("known") => Outcome::json(r#"{"value":"hush"}"#),
        _ => Outcome::error("SECRET_UNKNOWN", "there is no such secret"),
    }
}

fn fetch(call: &Call) -> Outcome {
    let args = args(call);
    if args["url"].as_str().is_some_and(|url| url.contains("down.test")) {
        return Outcome::error("EGRESS_DENIED", "the policy does not allow it");
    }
    let body = call.body.as_deref().map(String::from_utf8_lossy);
    let echo = json!({ "args": args, "body": body }).to_string();
    let value = json!({
        "status": status_asked(&args), "statusText": "", "url": args["url"], "redirected": false,
        "headers": [["set-cookie", "a=1"], ["set-cookie", "b=2"]],
    });
    Outcome::Ok { value: value.to_string(), body: Some(echo.into_bytes()) }
}

/// The header `x-status` of a fetch, or 200.
fn status_asked(args: &Value) -> u64 {
    let headers = args["headers"].as_array().into_iter().flatten();
    let asked = headers.filter(|pair| pair[0] == "x-status").find_map(|pair| pair[1].as_str());
    asked.and_then(|status| status.parse().ok()).unwrap_or(200)
}

enum Stored {
    Json(Value),
    Bytes(Vec<u8>),
}

/// A store that counts revisions from 1.
#[derive(Default)]
struct Store {
    revision: u64,
    entries: BTreeMap<String, (u64, Stored)>,
    contended: BTreeSet<String>,
}

impl Store {
    fn perform(&mut self, call: &Call) -> Outcome {
        let args = args(call);
        let key = args["key"].as_str().unwrap_or_default().to_owned();
        match call.op.as_str() {
            "kv.get" => self.get(&key),
            "kv.put" => self.put(key, &args, call.body.clone()),
            "kv.delete" => {
                Outcome::json(json!({ "deleted": self.entries.remove(&key).is_some() }).to_string())
            }
            "kv.list" => self.list(args["prefix"].as_str().unwrap_or_default()),
            "kv.commit" => self.commit(&args),
            _ => Outcome::error("UNKNOWN_EFFECT", &call.op),
        }
    }

    fn get(&self, key: &str) -> Outcome {
        match self.entries.get(key) {
            None => Outcome::json(r#"{"found":false}"#),
            Some((revision, Stored::Json(json))) => Outcome::json(
                json!({ "found": true, "revision": revision, "json": json }).to_string(),
            ),
            Some((revision, Stored::Bytes(bytes))) => Outcome::Ok {
                value: json!({ "found": true, "revision": revision, "bytes": true }).to_string(),
                body: Some(bytes.clone()),
            },
        }
    }

    fn put(&mut self, key: String, args: &Value, body: Option<Vec<u8>>) -> Outcome {
        if args["ifRevision"].as_u64().is_some_and(|expected| expected != self.revision_of(&key)) {
            return conflict();
        }
        let stored = body.map_or_else(|| Stored::Json(args["json"].clone()), Stored::Bytes);
        self.write(key, stored);
        self.committed()
    }

    fn list(&self, prefix: &str) -> Outcome {
        let entries = self.entries.iter().filter(|(key, _)| key.starts_with(prefix));
        let entries: Vec<_> = entries
            .map(|(key, (revision, _))| json!({ "key": key, "revision": revision }))
            .collect();
        Outcome::json(json!({ "entries": entries, "next": null }).to_string())
    }

    fn commit(&mut self, args: &Value) -> Outcome {
        let (checks, writes) = (items(&args["checks"]), items(&args["writes"]));
        let stale = |check: &Value| {
            check["revision"].as_u64()
                != Some(self.revision_of(check["key"].as_str().unwrap_or("")))
        };
        if checks.iter().any(stale) {
            return conflict();
        }
        let contended = writes.iter().filter_map(|write| write["key"].as_str());
        for key in contended.filter(|key| key.starts_with("contended/")) {
            if self.contended.insert(key.to_owned()) {
                return conflict();
            }
        }
        for write in &writes {
            self.apply(write);
        }
        self.committed()
    }

    fn apply(&mut self, write: &Value) {
        let key = write["key"].as_str().expect("a key").to_owned();
        if write["delete"] == true {
            self.entries.remove(&key);
        } else if let Some(base64) = write["base64"].as_str() {
            self.write(key, Stored::Bytes(BASE64_STANDARD.decode(base64).expect("base64")));
        } else {
            self.write(key, Stored::Json(write["json"].clone()));
        }
    }

    fn write(&mut self, key: String, stored: Stored) {
        self.revision += 1;
        self.entries.insert(key, (self.revision, stored));
    }

    fn revision_of(&self, key: &str) -> u64 {
        self.entries.get(key).map_or(0, |(revision, _)| *revision)
    }

    fn committed(&self) -> Outcome {
        Outcome::json(json!({ "revision": self.revision }).to_string())
    }
}

fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

fn conflict() -> Outcome {
    Outcome::error("CONFLICT", "someone else wrote it")
}
