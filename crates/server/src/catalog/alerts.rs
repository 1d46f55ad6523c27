//! Alerts: what happens more often than it did, for people. The newest of each app are kept: one that is noisy makes nobody forget
//! what another one told.

use belay_fabric::{KeyRange, Transaction};
use belay_model::{AppName, FunctionName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Catalog, CatalogError, ChangeRecord,
    record::{self, ALERTS, FORMAT},
    webhooks,
};
use crate::telemetry::Timestamp;

/// Older ones of an app are forgotten.
const KEPT: usize = 100;
/// The newest of all apps, which are told at once.
const TOLD_MAX: usize = 1_000;
/// Records that are read at once.
const PAGE: u32 = 1_000;

/// Something is not as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertRecord {
    format: u32,
    at_ms: u64,
    app: AppName,
    function: FunctionName,
    /// `failures`, `latency > p99`, `share of the requests`, `fewer requests`, or `more requests`.
    what: String,
    /// It usually happens to so many percent of the requests at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usual_percent: Option<f64>,
    /// So many requests usually come in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usual_per_second: Option<f64>,
    /// The change that ran, such as `shop/12`, if it is not settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change: Option<String>,
}

/// How often something usually happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Usually {
    /// To such a share of the requests, at most. 0 to 1.
    Share(f64),
    PerSecond(f64),
}

impl AlertRecord {
    pub fn new(
        app: &AppName,
        function: &FunctionName,
        what: &str,
        usual: Usually,
        change: Option<&ChangeRecord>,
    ) -> Self {
        let rounded = |number: f64| (number * 1e3).round() / 1e3;
        let (usual_percent, usual_per_second) = match usual {
            Usually::Share(share) => (Some(rounded(share * 100.0)), None),
            Usually::PerSecond(rate) => (None, Some(rounded(rate))),
        };
        Self {
            format: FORMAT,
            at_ms: Timestamp::now().0,
            app: app.clone(),
            function: function.clone(),
            what: what.to_owned(),
            usual_percent,
            usual_per_second,
            change: change.map(|change| format!("{app}/{}", change.version)),
        }
    }
}

impl Catalog {
    pub async fn alert(&self, alert: &AlertRecord) -> Result<(), CatalogError> {
        tracing::warn!(
            app = %alert.app, function = %alert.function, what = alert.what,
            usual_percent = alert.usual_percent, usual_per_second = alert.usual_per_second,
            "something is not as usual"
        );
        let key = format!("{}/{:015}-{}", alert.app, alert.at_ms, Uuid::new_v4().simple());
        let own = KeyRange::prefix(format!("{}/", alert.app));
        let known = self.inner.store.list(&ALERTS, own).await?;
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

    /// Forgets alerts of apps that are not there, and those that an older Belay kept under no app.
    pub(super) async fn forget_orphaned_alerts(&self) -> Result<(), CatalogError> {
        let mut range = KeyRange::all().limit(PAGE);
        loop {
            let page = self.inner.store.list(&ALERTS, range.clone()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            range = range.after(&last.key);
            let is_there = |key: &str| {
                let app = key.split_once('/').and_then(|(app, _)| app.parse::<AppName>().ok());
                app.is_some_and(|app| self.app(&app).is_ok())
            };
            let orphans = page.iter().filter(|found| !is_there(&found.key));
            let transaction =
                orphans.fold(Transaction::new(), |t, found| t.delete(&ALERTS, found.key.clone()));
            self.commit(transaction).await?;
        }
    }

    /// The newest of all apps, the newest first.
    pub async fn alerts(&self) -> Result<Vec<AlertRecord>, CatalogError> {
        let (mut newest, mut range) = (Vec::new(), KeyRange::all().limit(PAGE));
        loop {
            let page = self.inner.store.list(&ALERTS, range.clone()).await?;
            let Some(last) = page.last() else { return Ok(newest) };
            range = range.after(&last.key);
            for found in &page {
                newest.push(record::decode::<AlertRecord>(&found.key, &found.value)?);
            }
            newest.sort_by_key(|alert| std::cmp::Reverse(alert.at_ms));
            newest.truncate(TOLD_MAX);
        }
    }
}
