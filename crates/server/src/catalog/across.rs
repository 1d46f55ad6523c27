//! What the sources of one app have in common with those of others: files that all of them are stored in.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use belay_model::{AppName, Hash};
use serde::Serialize;

use super::{
    Catalog, CatalogError,
    blocks::VERSIONS_MAX,
    manifest::read_manifest,
    stored::{File, Files},
};
use crate::routes::AppRoutes;

/// Other apps that are looked at, in the order of their names.
const APPS_MAX: usize = 200;
/// Those that are told.
const TOLD_MAX: usize = 20;

/// What other apps have of the sources of an app.
#[derive(Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct SharedWithApps {
    /// Lengths of this app's files that others are stored in, too: what is saved by storing them once.
    saved_bytes: u64,
    /// Pieces among them.
    pieces: u64,
    /// How many apps were compared, each with its newest versions.
    compared: u64,
    /// Apps that were too many to compare.
    left_out: u64,
    /// Those that have most in common with this one, at most 20.
    apps: Vec<SharedWithApp>,
}

#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct SharedWithApp {
    app: AppName,
    bytes: u64,
    pieces: u64,
}

impl Catalog {
    /// What other apps have of these files, which are those of `app`.
    pub(super) async fn shared_with_apps(
        &self,
        app: &AppName,
        files: &Files,
    ) -> Result<SharedWithApps, CatalogError> {
        let routes = self.inner.routes.load_full();
        let mut others: Vec<&Arc<AppRoutes>> = routes.apps().filter(|o| o.name() != app).collect();
        others.sort_by_key(|other| other.name());
        let mut all: BTreeSet<File> = BTreeSet::new();
        let mut shared = SharedWithApps {
            left_out: others.len().saturating_sub(APPS_MAX) as u64,
            ..SharedWithApps::default()
        };
        for other in others.into_iter().take(APPS_MAX) {
            shared.compared += 1;
            let common = self.in_common(other, files).await?;
            let (bytes, pieces) = sums(files, &common);
            if bytes > 0 {
                shared.apps.push(SharedWithApp { app: other.name().clone(), bytes, pieces });
            }
            all.extend(common);
        }
        (shared.saved_bytes, shared.pieces) = sums(files, &all);
        shared.apps.sort_by_key(|other| Reverse(other.bytes));
        shared.apps.truncate(TOLD_MAX);
        Ok(shared)
    }

    /// Those of `files` that another app is stored in, too.
    async fn in_common(
        &self,
        other: &AppRoutes,
        files: &Files,
    ) -> Result<BTreeSet<File>, CatalogError> {
        let mut sources: BTreeSet<Hash> = BTreeSet::new();
        for version in other.versions.values().rev().take(VERSIONS_MAX) {
            // It may have been removed meanwhile, with its blobs.
            if let Ok(manifest) = read_manifest(&self.inner.blobs, &version.record.manifest).await {
                sources.extend(manifest.modules.iter().map(|module| module.source));
            }
        }
        let mut own = Files::default();
        for (source, form) in self.forms(sources).await? {
            own.add(source, &form);
        }
        Ok(own.lengths.into_keys().filter(|file| files.lengths.contains_key(file)).collect())
    }
}

/// Bytes and pieces of some of `files`.
fn sums(files: &Files, some: &BTreeSet<File>) -> (u64, u64) {
    let bytes = some.iter().filter_map(|file| files.lengths.get(file)).sum();
    let pieces = some.iter().filter(|file| matches!(file, File::Piece(_))).count();
    (bytes, pieces as u64)
}
