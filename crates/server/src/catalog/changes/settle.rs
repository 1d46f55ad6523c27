//! Settling: what runs of a change stays, the other arms are dropped.
//!
//! What stays of it may have to be built; that is planned before the turn is taken.

use std::sync::Arc;

use belay_fabric::Transaction;
use belay_govern::{By, Entry, Life, Told};
use belay_model::{AppName, Arm, VersionNumber};

use super::{faces::plain_face, find::find_whole, hear::with_decision, parts::arm_of, verdicts};
use crate::{
    catalog::{
        Catalog, CatalogError, ChangeRecord, ChangeState, Happening, What,
        build::Purpose,
        manifest::encode_manifest,
        record::{self, APPS, CHANGES, DEPLOYS, version_key},
        woven::FaceWork,
    },
    routes::AppRoutes,
    telemetry::Timestamp,
};

impl Catalog {
    /// Keeps what runs and drops the other arms.
    pub async fn settle(
        &self,
        app: &AppName,
        change: VersionNumber,
        by: By,
    ) -> Result<ChangeRecord, CatalogError> {
        let _blobs_stay = self.inner.collecting.read().await;
        let mut planning = self.planning(app);
        let (_turn, routes, (new, face)) = loop {
            let routes = planning.begin().await?.routes(app)?;
            if by == By::Judge {
                // Somebody may have opened the window again.
                let running = find_whole(&routes, change)?;
                let over = |life: &Life| life.is_over(Timestamp::now().0);
                if !running.life.as_ref().is_some_and(over) {
                    return Ok(ChangeRecord::clone(&running));
                }
            }
            let planned = self.plan_settled(&routes, change).await?;
            if let Some(turn) = planning.end().await? {
                break (turn, routes, planned);
            }
        };
        let at_ms = Timestamp::now().0;
        let alerts = self.alerts_of(app);
        let entry = Entry { at_ms, told: Told::Settled { by } };
        let what = What::Settled { change: new.version };
        let happening = Happening { at_ms, app: app.clone(), what };
        let record = self
            .change_record(app, |old| {
                let mut record =
                    old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
                verdicts::settle(&mut record, &new, at_ms, by == By::Human);
                record.change = face.is_some().then_some(new.version);
                let transaction = with_decision(
                    Transaction::new(),
                    (app, &alerts),
                    new.version,
                    new.told,
                    &entry,
                )
                .put(&CHANGES, version_key(app, new.version), record::encode(&new))
                .put(&APPS, app.as_str(), record::encode(&record))
                .append(&DEPLOYS, record::encode(&happening));
                Ok((transaction, record))
            })
            .await?;
        self.count_decisions(app, std::iter::once(&entry));
        let changes = routes.changes.insert(new.version, Arc::new(new.clone()));
        let (shared, versions) = (routes.shared.clone(), routes.versions.clone());
        self.publish_app(&record, shared, versions, changes, face.into_iter().collect())?;
        Ok(new)
    }

    /// The change as it is once it is settled, and the image of what stays where that is not simply its version.
    async fn plan_settled(
        &self,
        routes: &AppRoutes,
        change: VersionNumber,
    ) -> Result<(ChangeRecord, Option<FaceWork>), CatalogError> {
        let change = find_whole(routes, change)?;
        let mut new = ChangeRecord {
            state: ChangeState::Settled,
            life: None,
            told: change.told + 1,
            face_part: None,
            faces: Vec::new(),
            ..ChangeRecord::clone(&change)
        };
        if change.parts.iter().all(|part| part.arm == Arm::After) {
            new.settled = routes.versions.get(&change.version).map(|v| v.record.manifest);
            return Ok((new, None));
        }
        let program = self.resolve(routes, &change, &|part| arm_of(&change, part)).await?;
        self.store_sources(&program).await?;
        let manifest = Arc::new(program.manifest);
        let work = self.inner.builder.build(&manifest, Purpose::Rebuild).await?;
        let face = plain_face(&manifest, work);
        new.faces = vec![self.store_face(&face).await?];
        new.settled = Some(self.inner.blobs.put(&encode_manifest(&manifest)?).await?);
        Ok((new, Some(face)))
    }
}
