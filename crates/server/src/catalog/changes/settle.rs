//! Settling: what runs of a change stays, the other arms are dropped.

use std::sync::Arc;

use belay_fabric::Transaction;
use belay_model::{AppName, Arm, VersionNumber};

use super::{
    faces::plain_face,
    find::{Found, find_parts},
    parts::{arm_of, lift},
};
use crate::{
    catalog::{
        Catalog, CatalogError, ChangeRecord, ChangeState, Happening, What,
        build::Purpose,
        manifest::encode_manifest,
        record::{self, APPS, CHANGES, DEPLOYS, version_key},
    },
    telemetry::Timestamp,
};

impl Catalog {
    /// Keeps what runs and drops the other arms.
    pub async fn settle(
        &self,
        app: &AppName,
        change: VersionNumber,
    ) -> Result<ChangeRecord, CatalogError> {
        let _blobs_stay = self.inner.collecting.read().await;
        self.app(app)?;
        let _turn = self.turn(app).await;
        let routes = self.app(app)?;
        let found = find_parts(&routes, change, &[])?;
        if found.change.version != change {
            // Its parts go on in another one, which is more than was named.
            return Err(CatalogError::NotLive {
                app: app.clone(),
                change,
                state: "was superseded",
            });
        }
        let Found { change, parts, .. } = found;
        let mut new = ChangeRecord { state: ChangeState::Settled, ..ChangeRecord::clone(&change) };
        let kept = change.parts.iter().all(|part| part.arm == Arm::After);
        let mut face = None;
        if kept {
            new.faces.clear();
            new.settled = routes.versions.get(&change.version).map(|v| v.record.manifest);
        } else {
            let program = self.resolve(&routes, &change, &|part| arm_of(&change, part)).await?;
            self.store_sources(&program).await?;
            let manifest = Arc::new(program.manifest);
            let work = self.inner.builder.build(&manifest, Purpose::Rebuild).await?;
            let made = plain_face(&manifest, work);
            new.faces = vec![self.store_face(&made).await?];
            new.settled = Some(self.inner.blobs.put(&encode_manifest(&manifest)?).await?);
            face = Some(made);
        }
        new.face_part = None;
        let happening = Happening {
            at_ms: Timestamp::now().0,
            app: app.clone(),
            what: What::Settled { change: new.version },
        };
        let record = self
            .change_record(app, |old| {
                let mut record =
                    old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
                lift(&mut record, &new, &parts);
                record.change = (!kept).then_some(new.version);
                let transaction = Transaction::new()
                    .put(&CHANGES, version_key(app, new.version), record::encode(&new))
                    .put(&APPS, app.as_str(), record::encode(&record))
                    .append(&DEPLOYS, record::encode(&happening));
                Ok((transaction, record))
            })
            .await?;
        let changes = routes.changes.insert(new.version, Arc::new(new.clone()));
        let (shared, versions) = (routes.shared.clone(), routes.versions.clone());
        self.publish_app(&record, shared, versions, changes, face.into_iter().collect())?;
        Ok(new)
    }
}
