//! The effective versions of a change: the one that the deploy made, and one for each flip. They never change.
//!
//! Flips are records of their own, so that neither a change nor the memory of the server grows with them.

use belay_fabric::{KeyRange, LIST_MAX};
use belay_model::{AppName, Arm, PartId, ProgramName};

use crate::catalog::{
    Catalog, CatalogError, ChangeRecord, FlipRecord,
    record::{self, FLIPS, flip_key, flips_key},
};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveVersion {
    pub name: ProgramName,
    /// Since when it is.
    pub at_ms: u64,
    /// The parts that were flipped to make it, and to which arm; none by the deploy.
    pub flipped: Option<(Vec<PartId>, Arm)>,
    /// Of all parts.
    pub arms: Vec<Arm>,
}

impl Catalog {
    /// The effective versions of a change behind number `after`, oldest first, at most `limit`.
    pub async fn programs(
        &self,
        app: &AppName,
        change: &ChangeRecord,
        after: Option<u32>,
        limit: usize,
    ) -> Result<Vec<EffectiveVersion>, CatalogError> {
        let mut programs = Vec::new();
        if after.is_none() && limit > 0 {
            programs.push(self.deployed_as(app, change).await?);
        }
        let (after, limit) = (after.unwrap_or(0), limit.saturating_sub(programs.len()));
        let flips = self.flips(app, change, after, limit).await?;
        programs.extend(flips.into_iter().map(|flip| made_by(change, flip)));
        Ok(programs)
    }

    /// The arms of all parts in an effective version of the change, if there is one of this number.
    pub(super) async fn arms_at(
        &self,
        app: &AppName,
        change: &ChangeRecord,
        number: u32,
    ) -> Result<Option<Vec<Arm>>, CatalogError> {
        if number == change.flips {
            return Ok(Some(change.parts.iter().map(|part| part.arm).collect()));
        }
        let Some(before) = number.checked_sub(1) else {
            return Ok(Some(self.deployed_as(app, change).await?.arms));
        };
        let flips = self.flips(app, change, before, 1).await?;
        Ok(flips.into_iter().find(|flip| flip.flips == number).map(|flip| flip.arms))
    }

    /// At the arms that the parts began with: those of now, or what the first flip left with what it flipped put back.
    async fn deployed_as(
        &self,
        app: &AppName,
        change: &ChangeRecord,
    ) -> Result<EffectiveVersion, CatalogError> {
        let first = self.flips(app, change, 0, 1).await?.into_iter().next();
        Ok(EffectiveVersion {
            name: ProgramName { version: change.version, flips: 0 },
            at_ms: change.created_ms,
            flipped: None,
            arms: match first {
                Some(first) => before(&first),
                None => change.parts.iter().map(|part| part.arm).collect(),
            },
        })
    }

    /// Flips behind number `after`, oldest first, at most `limit`.
    async fn flips(
        &self,
        app: &AppName,
        change: &ChangeRecord,
        after: u32,
        limit: usize,
    ) -> Result<Vec<FlipRecord>, CatalogError> {
        let behind = |flip: &&FlipRecord| flip.flips > after;
        let mut flips: Vec<FlipRecord> =
            change.history.iter().filter(behind).take(limit).cloned().collect();
        let limit = u32::try_from(limit - flips.len()).unwrap_or(LIST_MAX).min(LIST_MAX);
        if limit > 0 {
            let range = KeyRange::prefix(flips_key(app, change.version))
                .after(flip_key(app, change.version, after))
                .limit(limit);
            for found in self.inner.store.list(&FLIPS, range).await? {
                flips.push(record::decode(&found.key, &found.value)?);
            }
        }
        Ok(flips)
    }
}

fn made_by(change: &ChangeRecord, flip: FlipRecord) -> EffectiveVersion {
    EffectiveVersion {
        name: ProgramName { version: change.version, flips: flip.flips },
        at_ms: flip.at_ms,
        flipped: Some((flip.parts, flip.arm)),
        arms: flip.arms,
    }
}

/// The arms of all parts before a flip: it moved only what was at the other one.
fn before(flip: &FlipRecord) -> Vec<Arm> {
    let other = match flip.arm {
        Arm::Before => Arm::After,
        Arm::After => Arm::Before,
    };
    let arms = (0..).map(PartId).zip(&flip.arms);
    arms.map(|(part, arm)| if flip.parts.contains(&part) { other } else { *arm }).collect()
}
