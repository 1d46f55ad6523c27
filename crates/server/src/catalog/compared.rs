//! What a deploy would be compared with, for whoever weaves the two by themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_model::{AppManifest, EditId, Hash};
use serde::Serialize;

use super::{Catalog, CatalogError, manifest::check};

/// What runs, as a deploy sees it: with what was taken back resolved, and without what is still in canary or goes on from a live
/// change as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Compared {
    /// Absent where nothing runs yet.
    pub before: Option<AppManifest>,
    /// Its sources, by hash, but for those that the candidate has, too.
    #[schema(value_type = Object)]
    pub sources: BTreeMap<Hash, String>,
    /// Edits of the candidate that run for everybody by now, by their fingerprints: they are not on trial.
    pub live: BTreeSet<Hash>,
    /// Edits that were taken back, and stay so.
    pub taken_back: BTreeSet<Hash>,
}

impl Catalog {
    /// Whose sources are there. Nothing changes.
    pub async fn compared_with(&self, candidate: AppManifest) -> Result<Compared, CatalogError> {
        let _blobs_stay = self.inner.collecting.read().await;
        check(&candidate)?;
        let candidate = Arc::new(candidate);
        let Some((before, live)) = self.before(&candidate).await? else {
            return Ok(Compared::default());
        };
        let known: BTreeSet<Hash> = candidate.modules.iter().map(|module| module.source).collect();
        let mut sources = BTreeMap::new();
        for module in before.modules.iter().filter(|module| !known.contains(&module.source)) {
            let (hash, text) = self.inner.builder.text(module.path.clone(), module.source).await?;
            sources.insert(hash, text.to_string());
        }
        let record = self.app_record(&candidate.app).await?;
        let taken_back = record.iter().flat_map(|(record, _)| &record.taken_back);
        let taken_back = taken_back.filter(|verdict| !verdict.settled).flat_map(|it| &it.edits);
        Ok(Compared {
            before: Some(before),
            sources,
            live: live.iter().map(EditId::fingerprint).collect(),
            taken_back: taken_back.map(EditId::fingerprint).collect(),
        })
    }
}
