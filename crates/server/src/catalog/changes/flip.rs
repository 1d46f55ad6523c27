//! Taking parts back, and restoring them.

use std::sync::Arc;

use belay_fabric::Transaction;
use belay_model::{AppName, Arm, PartId, VersionNumber};

use super::{
    find::{Found, Named, find_parts},
    parts::arm_of,
    verdicts::{hold, lift},
};
use crate::{
    catalog::{
        AppRecord, Catalog, CatalogError, ChangeRecord, FlipRecord, Happening, What,
        record::{self, APPS, CHANGES, DEPLOYS, FLIPS, FORMAT, flip_key, version_key},
    },
    routes::AppRoutes,
    telemetry::Timestamp,
};

/// What taking back or restoring came to.
pub struct Flipped {
    /// The change that runs, with its arms of now.
    pub change: Arc<ChangeRecord>,
    /// The change that was named, if that was named as a whole.
    pub whole: Option<Named>,
}

impl Catalog {
    /// Puts parts of a change at `arm`, all of them if none is named. What is there already stays so.
    pub async fn flip(
        &self,
        app: &AppName,
        change: VersionNumber,
        parts: &[PartId],
        arm: Arm,
    ) -> Result<Flipped, CatalogError> {
        self.app(app)?;
        let _turn = self.turn(app).await;
        let routes = self.app(app)?;
        let Found { change, parts, whole } = find_parts(&routes, change, parts)?;
        let moving = parts.iter().copied().filter(|part| arm_of(&change, *part) != arm);
        let moving: Vec<PartId> = moving.collect();
        if moving.is_empty() {
            if arm == Arm::After {
                self.lift_from(app, &change, &parts).await?;
            }
            return Ok(Flipped { change, whole });
        }
        let (new, flip) = flipped(&change, &moving, arm);
        let new = Arc::new(new);
        if arm == Arm::Before {
            self.publish_arms(app, &new);
        }
        let committed = self.commit_flip(app, &new, &flip).await;
        if committed.is_err() {
            // What is refused changes nothing; said again, it must not look as if it were done.
            self.publish_arms(app, &change);
        }
        committed?;
        if arm == Arm::After {
            self.publish_arms(app, &new);
        }
        Ok(Flipped { change: new, whole })
    }

    /// What runs already may have something that was taken back before it was tied to more.
    async fn lift_from(
        &self,
        app: &AppName,
        change: &ChangeRecord,
        parts: &[PartId],
    ) -> Result<(), CatalogError> {
        let Some((record, _)) = self.app_record(app).await? else { return Ok(()) };
        let lifted = |mut record: AppRecord| {
            lift(&mut record, change, parts);
            record
        };
        if lifted(record.clone()) == record {
            return Ok(());
        }
        self.change_record(app, |old| {
            let record = old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
            let record = record::encode(&lifted(record));
            Ok((Transaction::new().put(&APPS, app.as_str(), record), ()))
        })
        .await
    }

    async fn commit_flip(
        &self,
        app: &AppName,
        change: &ChangeRecord,
        flip: &FlipRecord,
    ) -> Result<(), CatalogError> {
        let FlipRecord { at_ms, parts, .. } = flip.clone();
        let what = match flip.arm {
            Arm::Before => What::TakenBack { change: change.version, parts },
            Arm::After => What::Restored { change: change.version, parts },
        };
        let happening = Happening { at_ms, app: app.clone(), what };
        self.change_record(app, |old| {
            let mut record = old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
            match flip.arm {
                Arm::Before => hold(&mut record, change, &flip.parts, at_ms),
                Arm::After => lift(&mut record, change, &flip.parts),
            }
            let transaction = with_flip(Transaction::new(), app, change, flip)
                .put(&CHANGES, version_key(app, change.version), record::encode(change))
                .put(&APPS, app.as_str(), record::encode(&record))
                .append(&DEPLOYS, record::encode(&happening));
            Ok((transaction, ()))
        })
        .await
    }

    /// Only who holds the turn of the app may call this.
    fn publish_arms(&self, app: &AppName, change: &Arc<ChangeRecord>) {
        let Ok(known) = self.app(app) else { return };
        let mut routes = AppRoutes::clone(&known);
        if let Some(effective) = &known.effective {
            let arms: Arc<[Arm]> = change.parts.iter().map(|part| part.arm).collect();
            routes.effective = Some(Arc::new(effective.at(arms)));
        }
        routes.changes.insert_mut(change.version, change.clone());
        let routes = Arc::new(routes);
        self.publish(|all| all.with_app(routes.clone()));
    }
}

/// The change with parts at another arm, which makes another program of it; and the record of that.
pub(super) fn flipped(
    change: &ChangeRecord,
    parts: &[PartId],
    arm: Arm,
) -> (ChangeRecord, FlipRecord) {
    let mut new = ChangeRecord { flips: change.flips + 1, ..change.clone() };
    for part in parts {
        if let Some(record) = new.parts.get_mut(usize::from(part.0)) {
            record.arm = arm;
        }
    }
    let arms = new.parts.iter().map(|part| part.arm).collect();
    let (at_ms, flips, parts) = (Timestamp::now().0, new.flips, parts.to_vec());
    (new, FlipRecord { format: FORMAT, at_ms, flips, parts, arm, arms })
}

pub(super) fn with_flip(
    transaction: Transaction,
    app: &AppName,
    change: &ChangeRecord,
    flip: &FlipRecord,
) -> Transaction {
    transaction.put(&FLIPS, flip_key(app, change.version, flip.flips), record::encode(flip))
}
