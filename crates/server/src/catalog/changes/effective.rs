//! What runs, or ran, as sources. Whatever is listed can be had: nothing that it is made of is garbage.

use std::collections::BTreeSet;

use belay_model::{AppManifest, AppName, Arm, PartId, ProgramName};
use serde::Serialize;

use super::resolve::Resolved;
use crate::{
    catalog::{Catalog, CatalogError, ChangeRecord},
    routes::AppRoutes,
};

/// An effective version, as sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EffectiveProgram {
    pub app: AppName,
    /// Such as `12+1`.
    pub program: String,
    /// Something of `belay.toml` is otherwise in it than it was deployed.
    pub settings_differ: bool,
    /// What it says beside its sources, and what these import.
    pub manifest: AppManifest,
    /// All modules of the app, sorted.
    pub files: Vec<EffectiveFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EffectiveFile {
    pub path: String,
    /// As the version was deployed; absent if that has no such file.
    pub deployed: Option<String>,
    /// As it is in the effective version; absent if it is not.
    pub text: Option<String>,
}

impl Catalog {
    /// The sources of what runs, or of an earlier effective version, and those that its version was deployed with.
    /// Stores nothing.
    pub async fn effective(
        &self,
        app: &AppName,
        at: Option<ProgramName>,
    ) -> Result<EffectiveProgram, CatalogError> {
        let routes = self.app(app)?;
        let name = at.unwrap_or_else(|| routes.program());
        let unknown = || CatalogError::UnknownProgram { app: app.clone(), program: name };
        let version = routes.versions.get(&name.version).ok_or_else(unknown)?;
        let deployed = self.read_program(&version.record.manifest).await?;
        let change = match at {
            Some(_) => routes.changes.get(&name.version).cloned(),
            None => routes.running_change(),
        };
        let program = match change {
            Some(change) => {
                let arms = self.arms_at(app, &change, name.flips).await?.ok_or_else(unknown)?;
                self.program_at(&routes, &change, &arms).await?
            }
            // What the version runs as is what it was deployed as.
            None if at.is_none() || name.flips == 0 => None,
            None => return Err(unknown()),
        };
        let program = program.as_ref().unwrap_or(&deployed);
        Ok(EffectiveProgram {
            app: app.clone(),
            program: name.to_string(),
            settings_differ: settings_differ(&deployed.manifest, &program.manifest),
            manifest: program.manifest.clone(),
            files: files(&deployed, program),
        })
    }

    /// `None` if it is the version as it was deployed.
    async fn program_at(
        &self,
        app: &AppRoutes,
        change: &ChangeRecord,
        arms: &[Arm],
    ) -> Result<Option<Resolved>, CatalogError> {
        if arms.iter().all(|arm| *arm == Arm::After) {
            return Ok(None);
        }
        let now = change.parts.iter().map(|part| part.arm);
        match &change.settled {
            Some(settled) if now.eq(arms.iter().copied()) => self.read_program(settled).await,
            Some(_) | None => {
                let arm = |part: PartId| arms.get(usize::from(part.0)).copied();
                self.resolve(app, change, &|part| arm(part).unwrap_or(Arm::After)).await
            }
        }
        .map(Some)
    }
}

fn settings_differ(one: &AppManifest, other: &AppManifest) -> bool {
    one.functions != other.functions
        || one.egress != other.egress
        || one.databases != other.databases
        || one.env != other.env
        || one.environment != other.environment
        || one.transactions != other.transactions
}

fn files(deployed: &Resolved, runs: &Resolved) -> Vec<EffectiveFile> {
    let paths: BTreeSet<&String> = deployed.texts.keys().chain(runs.texts.keys()).collect();
    let text = |program: &Resolved, path: &str| program.texts.get(path).map(ToString::to_string);
    let file = |path: &String| EffectiveFile {
        path: path.clone(),
        deployed: text(deployed, path),
        text: text(runs, path),
    };
    paths.into_iter().map(file).collect()
}
