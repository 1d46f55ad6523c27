//! Webhooks: decisions and alerts for whoever the policy names, kept until they are delivered.
//!
//! What is to be told is committed with what it is about. Delivered at least once: a receiver may get one twice, with the same
//! `x-belay-delivery`.
//!
//! Apps take turns, and of each app one delivery is under way at a time: a receiver that is dead, or slow to answer, holds up
//! nobody else. The key of a record begins with its app and the time when it is due, so that the first one of an app is the
//! next: what waits for another attempt is not even read.

use std::{collections::BTreeSet, time::Duration};

use belay_fabric::{KeyRange, Record, Transaction};
use belay_govern::Entry;
use belay_model::{AlertPolicy, AppName, Call, CallId, Outcome, VersionNumber};
use futures_util::{StreamExt, stream::FuturesUnordered};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    Catalog,
    record::{self, FORMAT, WEBHOOKS},
};
use crate::telemetry::Timestamp;

/// Pauses before a delivery is tried again; after the last one it is given up. Seconds.
const PAUSES_S: [u64; 8] = [1, 5, 30, 120, 600, 3_600, 4 * 3_600, 12 * 3_600];
/// Deliveries at a time, each of another app.
const PARALLEL: usize = 64;
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(500);
/// Longest that a receiver may take. Milliseconds.
const TIMEOUT_MS: u64 = 10_000;

/// Something that is to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct WebhookRecord {
    format: u32,
    app: AppName,
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    body: Value,
    /// What it is called towards the receiver, whenever it is tried. An older Belay kept it in the key alone.
    #[serde(default)]
    delivery: String,
    attempts: usize,
    due_ms: u64,
}

impl WebhookRecord {
    /// Of all records of an app, the one that is due first has the first key.
    fn key(&self) -> String {
        format!("{}/{:015}-{}", self.app, self.due_ms, self.delivery)
    }
}

/// Adds what is to be told of a decision.
pub(super) fn with_webhook(
    transaction: Transaction,
    alerts: &AlertPolicy,
    (app, change, number): (&AppName, VersionNumber, u32),
    entry: &Entry,
) -> Transaction {
    let name = format!("{app}-{change}-{number}");
    let body = json!({ "app": app, "change": format!("{app}/{change}"), "decision": entry });
    put(transaction, alerts, app, &name, entry.at_ms, body)
}

/// Adds something to be told, if anybody is.
pub(super) fn put(
    transaction: Transaction,
    alerts: &AlertPolicy,
    app: &AppName,
    name: &str,
    at_ms: u64,
    body: Value,
) -> Transaction {
    let Some(url) = alerts.webhook.clone() else { return transaction };
    let record = WebhookRecord {
        format: FORMAT,
        app: app.clone(),
        url,
        secret: alerts.secret.clone(),
        body,
        delivery: format!("{at_ms:015}-{name}"),
        attempts: 0,
        due_ms: at_ms,
    };
    transaction.put(&WEBHOOKS, record.key(), record::encode(&record))
}

/// The last key that any record of the same app may have: `0` follows on `/`.
fn behind_its_app(key: &str) -> String {
    let app = key.split_once('/').map(|(app, _)| format!("{app}0"));
    app.unwrap_or_else(|| key.to_owned())
}

impl Catalog {
    /// Delivers what is due, on and on.
    pub async fn deliver_webhooks(self) {
        let (mut under_way, mut busy) = (FuturesUnordered::new(), BTreeSet::new());
        // Apps up to here had their turn in this round.
        let mut asked = String::new();
        loop {
            let room = under_way.len() < PARALLEL;
            let next = if room { self.next_webhook(&mut asked).await } else { None };
            if let Some((found, webhook)) = next {
                let is_due = webhook.due_ms <= Timestamp::now().0;
                if is_due && busy.insert(webhook.app.clone()) {
                    under_way.push(self.deliver(found, webhook));
                }
                continue;
            }
            if room {
                asked.clear();
            }
            tokio::select! {
                Some(app) = under_way.next() => drop(busy.remove(&app)),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// What is due first of the next app behind those that were `asked`.
    async fn next_webhook(&self, asked: &mut String) -> Option<(Record, WebhookRecord)> {
        loop {
            let range = KeyRange { after: Some(asked.clone()), ..KeyRange::all().limit(1) };
            let listed = self.inner.store.list(&WEBHOOKS, range).await;
            let found =
                listed.inspect_err(|error| tracing::warn!(%error, "webhooks cannot be read"));
            let found = found.ok()?.pop()?;
            *asked = behind_its_app(&found.key);
            match record::decode::<WebhookRecord>(&found.key, &found.value) {
                Ok(mut webhook) => {
                    if webhook.delivery.is_empty() {
                        webhook.delivery.clone_from(&found.key);
                    }
                    return Some((found, webhook));
                }
                Err(error) => {
                    tracing::error!(%error, "a webhook is given up");
                    self.note_delivery(Transaction::new().delete(&WEBHOOKS, &found.key)).await;
                }
            }
        }
    }

    /// Tries it once, and says whose it was.
    async fn deliver(&self, found: Record, mut webhook: WebhookRecord) -> AppName {
        let delivered = self.post(&webhook).await;
        let done = Transaction::new().delete(&WEBHOOKS, &found.key);
        let transaction = match (delivered, PAUSES_S.get(webhook.attempts)) {
            (Err(reason), Some(pause)) => {
                tracing::info!(app = %webhook.app, url = webhook.url, reason, "a webhook is tried again");
                webhook.attempts += 1;
                webhook.due_ms = Timestamp::now().0.saturating_add(pause * 1_000);
                done.put(&WEBHOOKS, webhook.key(), record::encode(&webhook))
            }
            (Err(reason), None) => {
                tracing::error!(app = %webhook.app, url = webhook.url, reason, "a webhook is given up");
                done
            }
            (Ok(()), _) => done,
        };
        self.note_delivery(transaction).await;
        webhook.app
    }

    async fn note_delivery(&self, transaction: Transaction) {
        if let Err(error) = self.inner.store.commit(transaction).await {
            tracing::warn!(%error, "what became of a webhook cannot be kept");
            // It is still the next one of its app, and must not be sent as fast as that fails.
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn post(&self, webhook: &WebhookRecord) -> Result<(), String> {
        // Of an app that is gone nobody wants to hear.
        let Ok(app) = self.app(&webhook.app) else { return Ok(()) };
        let live = app.live().ok_or("the app has no live version")?;
        let host = app.shared.host(&live.record).map_err(|error| error.to_string())?;
        let body = webhook.body.to_string();
        let mut headers = vec![
            ["content-type", "application/json"].map(str::to_owned),
            ["x-belay-delivery", &webhook.delivery].map(str::to_owned),
        ];
        if let Some(name) = &webhook.secret {
            let secret =
                app.shared.secret(name).ok_or_else(|| format!("there is no secret {name}"))?;
            let signature = signature(&secret, Timestamp::now().0 / 1_000, &body);
            headers.push(["x-belay-signature".to_owned(), signature]);
        }
        let args = json!({
            "url": webhook.url, "method": "POST", "headers": headers,
            "redirect": "error", "timeoutMs": TIMEOUT_MS,
        });
        let (op, body) = ("http.fetch".to_owned(), Some(body.into_bytes()));
        let call = Call { id: CallId(1), op, args: args.to_string(), body };
        match host.perform(&call).await {
            Outcome::Ok { value, .. } => {
                let value: Value = serde_json::from_str(&value).unwrap_or_default();
                match value["status"].as_u64() {
                    Some(200..300) => Ok(()),
                    status => Err(format!("it was answered with status {status:?}")),
                }
            }
            Outcome::Err(error) => Err(error.to_string()),
        }
    }
}

/// `t=1700000000,v1=…`: the HMAC-SHA256 of `t.body` in hex, so that an old one cannot be sent again as a new one.
fn signature(secret: &str, unix_s: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .unwrap_or_else(|_| unreachable!("a key may have any length"));
    mac.update(format!("{unix_s}.{body}").as_bytes());
    let hex: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={unix_s},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key` has it.
    #[test]
    fn signatures_are_those_of_others() {
        let expected =
            "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        assert_eq!(signature("key", 1_700_000_000, r#"{"a":1}"#), expected);
    }
}
