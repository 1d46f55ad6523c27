//! Moving `live`: a version runs again as it ran last, with its change.
//!
//! The change of the version that is left keeps its arms and its images, and does not run until `live` is back. What
//! was taken back since then, in whatever change, stays so, also if that was settled; what was restored since then runs
//! only where it was restored. What is off in the change that runs again is held against later deploys, again.

use std::sync::Arc;

use belay_fabric::Transaction;
use belay_model::{AppName, Arm, Policy, VersionNumber};
use tokio::sync::RwLockReadGuard;

use super::{
    flip::{flipped, with_flip},
    parts::is_cut_as,
    verdicts::{hold_again, taken_elsewhere},
};
use crate::{
    catalog::{
        AppRecord, Catalog, CatalogError, ChangeRecord, ChangeState, FlipRecord, Happening, What,
        build::Purpose,
        change::LIVE,
        record::{self, APPS, CHANGES, DEPLOYS, TakenBack, version_key},
        woven::FaceWork,
    },
    routes::AppRoutes,
    telemetry::Timestamp,
};

/// The change of a version that is to run again; none if simply the version does.
struct Back<'c> {
    change: Option<Arc<ChangeRecord>>,
    /// Images that were made anew.
    faces: Vec<FaceWork>,
    /// This Belay cannot make them: then it can run only if nothing of it is off.
    rewoven: bool,
    /// While nothing refers to what was made.
    _blobs_stay: Option<RwLockReadGuard<'c, ()>>,
}

/// What is committed.
struct Moved {
    record: AppRecord,
    change: Option<Arc<ChangeRecord>>,
}

impl Catalog {
    pub(in crate::catalog) async fn move_live(
        &self,
        app: &AppName,
        version: VersionNumber,
    ) -> Result<(), CatalogError> {
        let mut planning = self.planning(app);
        let (_turn, known, back) = loop {
            let known = planning.begin().await?.routes(app)?;
            let back = self.plan_back(&known, version).await?;
            if let Some(turn) = planning.end().await? {
                break (turn, known, back);
            }
        };
        let left = known.running_change();
        let stays = left.as_ref().is_some_and(|left| left.version == version);
        let Moved { record, change } =
            self.commit_move((app, &known.policy), version, &back, stays).await?;
        if stays {
            return Ok(());
        }
        // With the images that they got meanwhile, of which the routes of now know.
        let changes = left.into_iter().chain(change);
        let changes = changes.fold(known.changes.clone(), |all, c| all.insert(c.version, c));
        self.publish_app(&record, known.shared.clone(), known.versions.clone(), changes, back.faces)
    }

    /// Images of changes that were superseded long ago are not kept; then they are made anew.
    async fn plan_back(
        &self,
        known: &AppRoutes,
        version: VersionNumber,
    ) -> Result<Back<'_>, CatalogError> {
        let change = known.change(version);
        let back = Back { change: None, faces: Vec::new(), rewoven: false, _blobs_stay: None };
        match change {
            Some(change) if !change.faces.is_empty() => Ok(Back { change: Some(change), ..back }),
            Some(change) if change.state != ChangeState::Settled => {
                let blobs_stay = Some(self.inner.collecting.read().await);
                let back = Back { _blobs_stay: blobs_stay, ..back };
                Ok(match self.weave_anew(known, &change).await? {
                    Some((change, faces)) => Back { change: Some(Arc::new(change)), faces, ..back },
                    None => Back { change: Some(change), rewoven: true, ..back },
                })
            }
            // All of it was settled, or there never was one: simply the version runs.
            Some(_) | None => Ok(back),
        }
    }

    /// The change with images, which are stored; `None` if this Belay cuts it into other parts.
    async fn weave_anew(
        &self,
        known: &AppRoutes,
        change: &ChangeRecord,
    ) -> Result<Option<(ChangeRecord, Vec<FaceWork>)>, CatalogError> {
        let pair = self.pair(known, change).await?;
        let plain = self.inner.builder.build(&pair.after, Purpose::Rebuild).await?;
        let woven = self.inner.builder.weave(&pair, &plain).await?;
        let Some(woven) = woven.filter(|woven| is_cut_as(&woven.parts, change)) else {
            return Ok(None);
        };
        let mut change = ChangeRecord {
            frozen: woven.frozen,
            whole: woven.whole,
            face_part: woven.face_part,
            ..change.clone()
        };
        for face in &woven.faces {
            change.faces.push(self.store_face(face).await?);
        }
        Ok(Some((change, woven.faces)))
    }

    async fn commit_move(
        &self,
        (app, policy): (&AppName, &Policy),
        version: VersionNumber,
        back: &Back<'_>,
        stays: bool,
    ) -> Result<Moved, CatalogError> {
        let at_ms = Timestamp::now().0;
        let what = What::AliasSet { alias: LIVE.to_owned(), version };
        let happening = record::encode(&Happening { at_ms, app: app.clone(), what });
        let plan = |old: Option<AppRecord>| {
            let mut record = old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
            if version > record.latest {
                return Err(CatalogError::UnknownVersion { app: app.clone(), version });
            }
            let mut transaction = Transaction::new().append(&DEPLOYS, happening.clone());
            let mut change = back.change.clone();
            if let Some(known) = back.change.as_ref().filter(|_| !stays) {
                let (again, flip) = run_again(known, &record.taken_back, policy, at_ms);
                if let Some(flip) = flip {
                    transaction = with_flip(transaction, app, &again, &flip);
                }
                if again.state == ChangeState::Live {
                    hold_again(&mut record, &again, at_ms);
                }
                change = Some(Arc::new(again));
            }
            if back.rewoven {
                let off = change.iter().flat_map(|change| &change.parts);
                if off.clone().any(|part| part.arm == Arm::Before) {
                    return Err(CatalogError::Rewoven { app: app.clone(), change: version });
                }
                change = None;
            }
            record.live = version;
            record.change = change.as_ref().map(|change| change.version);
            let transaction = transaction.put(&APPS, app.as_str(), record::encode(&record));
            let transaction = change.iter().fold(transaction, |t, change| {
                t.put(&CHANGES, version_key(app, version), record::encode(change))
            });
            Ok((transaction, Moved { record, change }))
        };
        self.change_record(app, plan).await
    }
}

/// A change whose version is live again: at the arms that it had last, but for what was taken back since.
fn run_again(
    change: &ChangeRecord,
    taken: &[TakenBack],
    policy: &Policy,
    now_ms: u64,
) -> (ChangeRecord, Option<FlipRecord>) {
    if change.state == ChangeState::Settled {
        return (change.clone(), None);
    }
    let life = change.life.as_ref().map(|life| life.again(&change.canary(policy), now_ms));
    let mut change = ChangeRecord { state: ChangeState::Live, life, ..change.clone() };
    let back = taken_elsewhere(&change, taken);
    if let Some(life) = &mut change.life {
        life.leave_out(&back);
    }
    if back.is_empty() {
        return (change, None);
    }
    let (change, flip) = flipped(&change, &back, Arm::Before);
    (change, Some(flip))
}
