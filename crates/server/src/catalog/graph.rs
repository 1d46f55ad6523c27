//! What in an app needs what. Computed from the stored sources when somebody asks.

use std::{collections::HashMap, sync::Arc};

use belay_model::{AppName, DependencyGraph, Hash, VersionNumber};
use belay_weave::{Detail, dependencies};
use serde::Serialize;

use super::{Catalog, CatalogError, blocking::on_big_stack};

/// The graph of the live version.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GraphReport {
    app: AppName,
    version: VersionNumber,
    #[serde(flatten)]
    graph: DependencyGraph,
}

impl Catalog {
    /// What the functions, modules and, if asked, blocks of `app` need of each other.
    pub async fn graph_of(
        &self,
        app: &AppName,
        detail: Detail,
    ) -> Result<GraphReport, CatalogError> {
        let routes = self.app(app)?;
        let unknown = || CatalogError::UnknownVersion { app: app.clone(), version: routes.live };
        let record = routes.live().map(|live| live.record.clone()).ok_or_else(unknown)?;
        let (manifest, tags) = (self.manifest(&record).await?, self.tags(&record).await?);
        let mut sources: HashMap<Hash, Arc<str>> = HashMap::new();
        for module in &manifest.modules {
            if !sources.contains_key(&module.source) {
                let read = self.inner.builder.text(module.path.clone(), module.source);
                sources.extend([read.await?]);
            }
        }
        let work =
            move || dependencies(&manifest, &|hash| sources.get(hash).cloned(), &tags, detail);
        let graph = on_big_stack("belay-graph", work).await;
        let graph = graph.map_err(|_| CatalogError::BuildPanicked)?;
        Ok(GraphReport { app: app.clone(), version: record.version, graph })
    }
}
