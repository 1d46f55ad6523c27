//! Taking parts back, and restoring them.

use std::sync::Arc;

use belay_fabric::Transaction;
use belay_model::{AppName, Arm, PartId, VersionNumber};

use super::{
    find::{Found, find_parts},
    parts::{arm_of, edits, lift},
};
use crate::{
    catalog::{
        Catalog, CatalogError, ChangeRecord, FlipRecord, Happening, What,
        record::{self, APPS, CHANGES, DEPLOYS, TakenBack, version_key},
    },
    routes::AppRoutes,
    telemetry::Timestamp,
};

/// What taking back or restoring came to.
pub struct Flipped {
    /// The change that runs, with its arms of now.
    pub change: Arc<ChangeRecord>,
    /// Parts of the change that was named, as a whole, which a later deploy settled: they stay as they are.
    pub settled: Vec<PartId>,
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
        let Found { change, parts, settled } = find_parts(&routes, change, parts)?;
        let moving: Vec<PartId> =
            parts.into_iter().filter(|part| arm_of(&change, *part) != arm).collect();
        if moving.is_empty() {
            return Ok(Flipped { change, settled });
        }
        let new = Arc::new(flipped(&change, &moving, arm));
        if arm == Arm::Before {
            self.publish_arms(app, &new);
        }
        let committed = self.commit_flip(app, &new, &moving, arm).await;
        if committed.is_err() {
            // What is refused changes nothing; said again, it must not look as if it were done.
            self.publish_arms(app, &change);
        }
        committed?;
        if arm == Arm::After {
            self.publish_arms(app, &new);
        }
        Ok(Flipped { change: new, settled })
    }

    async fn commit_flip(
        &self,
        app: &AppName,
        change: &ChangeRecord,
        parts: &[PartId],
        arm: Arm,
    ) -> Result<(), CatalogError> {
        let at_ms = Timestamp::now().0;
        let what = match arm {
            Arm::Before => What::TakenBack { change: change.version, parts: parts.to_vec() },
            Arm::After => What::Restored { change: change.version, parts: parts.to_vec() },
        };
        let happening = Happening { at_ms, app: app.clone(), what };
        self.change_record(app, |old| {
            let mut record = old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
            match arm {
                Arm::Before => record.taken_back.extend(parts.iter().map(|part| TakenBack {
                    version: change.version,
                    part: *part,
                    edits: edits(change, *part),
                    at_ms,
                })),
                Arm::After => lift(&mut record, change, parts),
            }
            let transaction = Transaction::new()
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

/// The change with parts at another arm, which makes another program of it.
pub(super) fn flipped(change: &ChangeRecord, parts: &[PartId], arm: Arm) -> ChangeRecord {
    let mut new = ChangeRecord { flips: change.flips + 1, ..change.clone() };
    for part in parts {
        if let Some(record) = new.parts.get_mut(usize::from(part.0)) {
            record.arm = arm;
        }
    }
    let arms = new.parts.iter().map(|part| part.arm).collect();
    let at_ms = Timestamp::now().0;
    new.history.push(FlipRecord { at_ms, flips: new.flips, parts: parts.to_vec(), arm, arms });
    new
}
