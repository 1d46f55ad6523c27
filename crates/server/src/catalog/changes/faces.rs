//! The images of a change: how they are stored, and the routes that lead to them.

use std::sync::Arc;

use belay_model::{AppManifest, Arm, Hash, Policy};

use super::contents::Contents;
use crate::{
    catalog::{
        AppRecord, AppShared, Catalog, CatalogError, ChangeRecord, FunctionRecord, VersionRecord,
        build::Work,
        load,
        manifest::encode_manifest,
        maps,
        record::FaceRecord,
        woven::{FaceWork, Pair, WovenWork},
    },
    routes::EffectiveRoutes,
    telemetry::ChangeCounters,
};

impl Catalog {
    pub(super) async fn store_change(
        &self,
        pair: &Pair,
        woven: &WovenWork,
        faces: &[FaceWork],
    ) -> Result<(Hash, Hash, Vec<FaceRecord>), CatalogError> {
        let details = Contents { parts: woven.parts.clone(), staying: woven.staying.clone() };
        let details = details.encode();
        let manifest = encode_manifest(&pair.before)?;
        let blobs = &self.inner.blobs;
        let (before, details) = tokio::try_join!(blobs.put(&manifest), blobs.put(&details))?;
        let mut stored = Vec::new();
        for face in faces {
            stored.push(self.store_face(face).await?);
        }
        Ok((before, details, stored))
    }

    pub(super) async fn store_face(&self, face: &FaceWork) -> Result<FaceRecord, CatalogError> {
        let maps = maps::encode(&face.maps).map_err(|e| CatalogError::damaged("maps", e))?;
        let image = face.image.to_bytes();
        let blobs = &self.inner.blobs;
        let (maps, image) = tokio::try_join!(blobs.put(&maps), blobs.put(&image))?;
        Ok(FaceRecord {
            arm: face.arm,
            environment: face.environment.clone(),
            functions: face.functions.clone(),
            egress: face.egress.clone(),
            databases: face.databases.clone(),
            maps,
            image,
            engine: face.engine,
        })
    }

    /// Publishes an app anew from its records. The images of `faces` are at hand.
    pub(in crate::catalog) fn publish_app(
        &self,
        record: &AppRecord,
        shared: Arc<AppShared>,
        versions: load::Versions,
        changes: load::ChangeRecords,
        faces: Vec<FaceWork>,
    ) -> Result<(), CatalogError> {
        let (blobs, images) = (&self.inner.blobs, &self.inner.images);
        let parts = load::Parts { blobs, images, shared: &shared };
        let routes = load::app_routes(record, &parts, versions, changes)?;
        if let Some(effective) = &routes.effective {
            for face in faces {
                let routes = match face.arm {
                    Arm::After => Some(&effective.after),
                    Arm::Before => effective.before.as_ref(),
                };
                routes.into_iter().for_each(|routes| routes.image.fill(face.image.clone()));
            }
        }
        let routes = Arc::new(routes);
        self.publish(|all| all.with_app(routes.clone()));
        Ok(())
    }
}

pub(super) fn plain_face(manifest: &AppManifest, work: Work) -> FaceWork {
    let functions =
        manifest.functions.iter().enumerate().map(|(entry, (name, spec))| {
            (name.clone(), FunctionRecord { entry, limits: spec.limits })
        });
    FaceWork {
        arm: Arm::After,
        image: work.image,
        maps: work.maps,
        criteria: work.criteria,
        engine: work.engine,
        environment: manifest.environment.clone(),
        functions: functions.collect(),
        egress: manifest.egress.clone(),
        databases: manifest.databases.clone(),
    }
}

/// The routes of what a change makes run.
pub(in crate::catalog) fn effective_routes(
    parts: &load::Parts<'_>,
    version: &VersionRecord,
    change: &ChangeRecord,
    policy: &Arc<Policy>,
) -> Option<EffectiveRoutes> {
    let face = |arm: Arm| {
        let face = change.faces.iter().find(|face| face.arm == arm)?;
        Some(parts.face(version, change, face))
    };
    let counters = Arc::new(ChangeCounters::new(change.parts.len()));
    let routes = EffectiveRoutes {
        version: change.version,
        arms: Arc::default(),
        trial: None,
        face_part: change.face_part,
        after: face(Arm::After)?,
        before: face(Arm::Before),
        counters,
    };
    Some(routes.at(&parts.shared.app, change, policy))
}
