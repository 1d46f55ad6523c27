//! Alerts: what happens more often than it did, for people. The newest are kept.

use belay_fabric::{KeyRange, LIST_MAX, Transaction};
use belay_model::{AppName, FunctionName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Catalog, CatalogError, ChangeRecord,
    record::{self, ALERTS, FORMAT},
    webhooks,
};
use crate::telemetry::Timestamp;

/// Older ones are forgotten.
const KEPT: usize = 500;

/// Something is not as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertRecord {
    format: u32,
    at_ms: u64,
    app: AppName,
    function: FunctionName,
    /// `failures`, or `latency > p99`.
    what: String,
    /// It usually happens to so many percent of the requests at most.
    usual_percent: f64,
    /// The change that ran, such as `shop/12`, if it is not settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change: Option<String>,
}

impl AlertRecord {
    pub fn new(
        app: &AppName,
        function: &FunctionName,
        what: &str,
        usual: f64,
        change: Option<&ChangeRecord>,
    ) -> Self {
        Self {
            format: FORMAT,
            at_ms: Timestamp::now().0,
            app: app.clone(),
            function: function.clone(),
            what: what.to_owned(),
            usual_percent: (usual * 1e5).round() / 1e3,
            change: change.map(|change| format!("{app}/{}", change.version)),
        }
    }
}

impl Catalog {
    pub async fn alert(&self, alert: &AlertRecord) -> Result<(), CatalogError> {
        tracing::warn!(
            app = %alert.app, function = %alert.function, what = alert.what,
            usual_percent = alert.usual_percent, "something happens more often than it did"
        );
        let key = format!("{:015}-{}", alert.at_ms, Uuid::new_v4().simple());
        let known = self.inner.store.list(&ALERTS, KeyRange::all().limit(LIST_MAX)).await?;
        let old = known.len().saturating_sub(KEPT - 1);
        let transaction = Transaction::new().put(&ALERTS, key, record::encode(alert));
        let alerts = self.app(&alert.app).map(|app| app.policy.alerts.clone()).unwrap_or_default();
        let body = serde_json::json!({ "app": alert.app, "alert": alert });
        let name = format!("{}-{}-alert", alert.app, alert.function);
        let transaction = webhooks::put(transaction, &alerts, &alert.app, &name, alert.at_ms, body);
        let transaction =
            known.into_iter().take(old).fold(transaction, |t, old| t.delete(&ALERTS, old.key));
        self.inner.store.commit(transaction).await.map(drop).map_err(CatalogError::commit)
    }

    /// The newest first.
    pub async fn alerts(&self) -> Result<Vec<AlertRecord>, CatalogError> {
        let found = self.inner.store.list(&ALERTS, KeyRange::all().limit(LIST_MAX)).await?;
        let read = |found: &belay_fabric::Record| record::decode(&found.key, &found.value);
        found.iter().rev().map(read).collect()
    }
}
