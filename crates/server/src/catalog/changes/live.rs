//! Moving `live`: a version runs again as it ran last, with its change.
//!
//! The change of the version that is left keeps its arms and its images, and does not run until `live` is back. What
//! was taken back since then, in whatever change, stays so.

use std::sync::Arc;

use belay_fabric::Transaction;
use belay_model::{Arm, EditId, PartId, VersionNumber};

use super::{
    flip::flipped,
    parts::{all_edits, is_same, parts_of},
};
use crate::{
    catalog::{
        AppRecord, Catalog, CatalogError, ChangeRecord, ChangeState, Happening, PartRecord, What,
        change::LIVE,
        record::{self, APPS, CHANGES, DEPLOYS, TakenBack, version_key},
    },
    routes::AppRoutes,
    telemetry::Timestamp,
};

impl Catalog {
    /// Only who holds the turn of the app may call this.
    pub(in crate::catalog) async fn move_live(
        &self,
        known: &AppRoutes,
        version: VersionNumber,
    ) -> Result<(), CatalogError> {
        let app = known.name();
        let left = known.running_change();
        // Of a change without images simply the version runs: all of it was settled.
        let change = known.change(version).filter(|change| !change.faces.is_empty());
        let stays = left.as_ref().is_some_and(|left| left.version == version);
        let at_ms = Timestamp::now().0;
        let what = What::AliasSet { alias: LIVE.to_owned(), version };
        let happening = record::encode(&Happening { at_ms, app: app.clone(), what });
        let plan = |old: Option<AppRecord>| {
            let mut record = old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
            if version > record.latest {
                return Err(CatalogError::UnknownVersion { app: app.clone(), version });
            }
            let back = |change: &Arc<ChangeRecord>| match stays {
                true => change.clone(),
                false => Arc::new(run_again(change, &record.taken_back)),
            };
            let change = change.as_ref().map(back);
            record.live = version;
            record.change = change.as_ref().map(|change| change.version);
            let transaction = Transaction::new()
                .put(&APPS, app.as_str(), record::encode(&record))
                .append(&DEPLOYS, happening.clone());
            let transaction = change.iter().fold(transaction, |t, change| {
                t.put(&CHANGES, version_key(app, version), record::encode(change))
            });
            Ok((transaction, (record, change)))
        };
        let (record, change) = self.change_record(app, plan).await?;
        if stays {
            return Ok(());
        }
        // With the images that they got meanwhile, of which the routes of now know.
        let changes = left.into_iter().chain(change);
        let changes = changes.fold(known.changes.clone(), |all, c| all.insert(c.version, c));
        self.publish_app(&record, known.shared.clone(), known.versions.clone(), changes, Vec::new())
    }
}

/// A change whose version is live again: at the arms that it had last, but for what was taken back since.
fn run_again(change: &ChangeRecord, taken: &[TakenBack]) -> ChangeRecord {
    let mut change = change.clone();
    if change.state == ChangeState::Settled {
        return change;
    }
    change.state = ChangeState::Live;
    // What was taken back in this change itself is at its arm already.
    let others = || taken.iter().filter(|other| other.version != change.version);
    let all = all_edits(&change);
    let back = |edit: &EditId| {
        others().any(|other| other.edits.iter().any(|kept| is_same(kept, edit, &all)))
    };
    let since = |part: &PartRecord| part.edits.iter().all(back);
    let on = parts_of(&change).filter(|(_, part)| part.arm == Arm::After);
    let back: Vec<PartId> = on.filter(|(_, part)| since(part)).map(|(id, _)| id).collect();
    if back.is_empty() { change } else { flipped(&change, &back, Arm::Before) }
}
