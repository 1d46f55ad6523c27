//! What was seen of a change on trial, in the store: a restart does not begin anew, as each beginning may be wrong once.

use std::collections::BTreeMap;

use belay_fabric::Transaction;
use belay_judge::Kept;
use belay_model::{AppName, JudgePolicy, VersionNumber};
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, CatalogError, EVIDENCE, encode};

/// More is not kept: where clients have keys, these have to be kept, too.
const BYTES_MAX: usize = 4 << 20;

/// What was seen of one change. One is kept of each app, under its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptEvidence {
    pub(super) format: u32,
    pub(super) change: VersionNumber,
    /// What was seen of another life, or by other thresholds, is of no use.
    pub(super) seed: u64,
    pub(super) round: u32,
    pub(super) thresholds: Vec<JudgePolicy>,
    pub(super) whole: KeptSplit,
    pub(super) mixed: KeptSplit,
    /// By what stands for the group.
    pub(super) groups: Vec<(u64, KeptSplit)>,
}

/// By the thresholds that requests had.
pub(super) type KeptSplit = Vec<(usize, Kept)>;

impl Catalog {
    /// Keeps what was seen of the change of an app.
    pub async fn keep_evidence(
        &self,
        app: &AppName,
        evidence: &KeptEvidence,
    ) -> Result<(), CatalogError> {
        let encoded = encode(evidence);
        let transaction = if encoded.len() > BYTES_MAX {
            Transaction::new().delete(&EVIDENCE, app.as_str())
        } else {
            Transaction::new().put(&EVIDENCE, app.as_str(), encoded)
        };
        self.commit(transaction).await
    }

    /// What earlier processes have kept. What cannot be read is left out: it begins anew.
    pub async fn kept_evidence(&self) -> Result<KeptEvidences, CatalogError> {
        let all = self.list(&EVIDENCE).await?;
        let read = |record: belay_fabric::Record| {
            Some((record.key.parse().ok()?, serde_json::from_slice(&record.value).ok()?))
        };
        Ok(all.into_iter().filter_map(read).collect())
    }
}

/// By app.
pub type KeptEvidences = BTreeMap<AppName, KeptEvidence>;
