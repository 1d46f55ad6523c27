//! Taking parts back, and restoring them.

use std::sync::Arc;

use belay_fabric::Transaction;
use belay_govern::{Command, Event};
use belay_model::{AppName, Arm, PartId, VersionNumber};

use super::{
    find::{Found, Named, find_parts},
    parts::arm_of,
    verdicts::lift,
};
use crate::{
    catalog::{
        AppRecord, Catalog, CatalogError, ChangeRecord, FlipRecord,
        record::{self, APPS, FLIPS, FORMAT, flip_key},
    },
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
        let event = Event::Asked(Command::Flip { parts: moving, arm });
        let heard = self.hear_in_turn(&routes, &change, event).await?;
        Ok(Flipped { change: heard.change, whole })
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
