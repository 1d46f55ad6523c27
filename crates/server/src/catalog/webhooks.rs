//! Webhooks: decisions and alerts for whoever the policy names, kept until they are delivered.
//!
//! What is to be told is committed with what it is about. Delivered at least once: a receiver may get one twice, with the same
//! `x-belay-delivery`.

use std::time::Duration;

use belay_fabric::{KeyRange, Record, Transaction};
use belay_govern::Entry;
use belay_model::{AlertPolicy, AppName, Call, CallId, Outcome, VersionNumber};
use futures_util::{StreamExt, stream};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    Catalog, CatalogError,
    record::{self, FORMAT, WEBHOOKS},
};
use crate::telemetry::Timestamp;

/// Pauses before a delivery is tried again; after the last one it is given up. Seconds.
const PAUSES_S: [u64; 8] = [1, 5, 30, 120, 600, 3_600, 4 * 3_600, 12 * 3_600];
/// Deliveries at a time.
const PARALLEL: usize = 8;
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
    attempts: usize,
    due_ms: u64,
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
    let (app, secret) = (app.clone(), alerts.secret.clone());
    let record =
        WebhookRecord { format: FORMAT, app, url, secret, body, attempts: 0, due_ms: at_ms };
    transaction.put(&WEBHOOKS, format!("{at_ms:015}-{name}"), record::encode(&record))
}

impl Catalog {
    /// Delivers what is due, on and on.
    pub async fn deliver_webhooks(self) {
        loop {
            if let Err(error) = self.deliver_due().await {
                tracing::warn!(%error, "webhooks cannot be read");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn deliver_due(&self) -> Result<(), CatalogError> {
        let found = self.inner.store.list(&WEBHOOKS, KeyRange::all().limit(100)).await?;
        let now_ms = Timestamp::now().0;
        let due = found.into_iter().filter_map(|found| {
            let read = record::decode::<WebhookRecord>(&found.key, &found.value).ok()?;
            (read.due_ms <= now_ms).then_some((found, read))
        });
        let deliver = |(found, webhook)| async move { self.deliver(found, webhook).await };
        stream::iter(due).for_each_concurrent(PARALLEL, deliver).await;
        Ok(())
    }

    async fn deliver(&self, found: Record, mut webhook: WebhookRecord) {
        let delivered = self.post(&found.key, &webhook).await;
        let transaction = match (delivered, PAUSES_S.get(webhook.attempts)) {
            (Err(reason), Some(pause)) => {
                tracing::info!(app = %webhook.app, url = webhook.url, reason, "a webhook is tried again");
                webhook.attempts += 1;
                webhook.due_ms = Timestamp::now().0.saturating_add(pause * 1_000);
                Transaction::new().put(&WEBHOOKS, &found.key, record::encode(&webhook))
            }
            (Err(reason), None) => {
                tracing::error!(app = %webhook.app, url = webhook.url, reason, "a webhook is given up");
                Transaction::new().delete(&WEBHOOKS, &found.key)
            }
            (Ok(()), _) => Transaction::new().delete(&WEBHOOKS, &found.key),
        };
        if let Err(error) = self.inner.store.commit(transaction).await {
            tracing::warn!(%error, "what became of a webhook cannot be kept");
        }
    }

    async fn post(&self, key: &str, webhook: &WebhookRecord) -> Result<(), String> {
        // Of an app that is gone nobody wants to hear.
        let Ok(app) = self.app(&webhook.app) else { return Ok(()) };
        let live = app.live().ok_or("the app has no live version")?;
        let host = app.shared.host(&live.record.egress).map_err(|error| error.to_string())?;
        let body = webhook.body.to_string();
        let mut headers = vec![
            ["content-type", "application/json"].map(str::to_owned),
            ["x-belay-delivery", key].map(str::to_owned),
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
