//! A candidate on recorded requests, without a deploy.

use std::sync::Arc;

use belay_govern::Entry;
use belay_model::{AppManifest, AppName, Diagnostic};
use serde::Serialize;

use super::{
    Catalog, CatalogError, Consent, DeployedChange, build::Purpose, deploy::deployed,
    manifest::check,
};

/// What a candidate would change, and what recorded requests say of it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ReplayResult {
    pub app: AppName,
    /// Absent where nothing runs yet, or nothing differs.
    pub change: Option<DeployedChange>,
    /// What would be told of it.
    pub decisions: Vec<Entry>,
    /// Warnings.
    pub diagnostics: Vec<Diagnostic>,
}

impl Catalog {
    /// Tries `manifest` on what was recorded of its app. Nothing changes.
    pub async fn replay(&self, manifest: AppManifest) -> Result<ReplayResult, CatalogError> {
        let _blobs_stay = self.inner.collecting.read().await;
        self.app(&manifest.app)?;
        check(&manifest)?;
        let manifest = Arc::new(manifest);
        let mut work = self.inner.builder.build(&manifest, Purpose::Deploy).await?;
        work.diagnostics.extend(self.doubts(&manifest, &work.tags).await?);
        let seen = self.planning(&manifest.app).begin().await?;
        let consent = Consent { all: true, ..Consent::default() };
        let change = self.plan_change(&seen, &manifest, &work, &consent).await?;
        let decisions = change.iter().flat_map(|change| {
            let own = change.told.iter().filter(|(version, ..)| *version == change.record.version);
            own.map(|(_, _, entry)| entry.clone())
        });
        Ok(ReplayResult {
            app: manifest.app.clone(),
            decisions: decisions.collect(),
            change: change.as_ref().map(|change| deployed(&manifest.app, change)),
            diagnostics: work.diagnostics,
        })
    }
}
