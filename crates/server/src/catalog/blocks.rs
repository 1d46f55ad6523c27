//! What the versions of an app have in common, block by block.
//!
//! Computed from the stored sources when somebody asks: it is needed for looking, not for running.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use belay_model::{
    AppManifest, AppName, AppTags, FunctionName, Hash, ModuleEntry, Tagged, Tags, VersionNumber,
};
use belay_weave::{Block, BlockKind};
use serde::Serialize;

use super::{
    Catalog, CatalogError,
    across::SharedWithApps,
    blocking::on_big_stack,
    stored::{Measured, StoredSources},
};
use crate::routes::AppRoutes;

/// Versions that are compared, the newest ones.
pub(super) const VERSIONS_MAX: usize = 20;
/// Versions whose sources are measured, the newest ones.
const MEASURED_MAX: usize = 1_000;

/// The newest versions of an app as blocks, and what all of them take on disk.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BlocksReport {
    app: AppName,
    /// Oldest first; at most 20.
    versions: Vec<VersionBlocks>,
    /// What the sources of all versions take on disk; of an app with more than 1000, those of the newest.
    sources: StoredSources,
    /// What of that other apps have, too.
    shared: SharedWithApps,
    /// What `belay.toml` says of all functions of the version that is shown.
    tags: AppTags,
    /// What it says of single ones.
    functions: BTreeMap<FunctionName, Tags>,
    /// The live version, or the newest one when the live one is older than all of these.
    modules: Vec<ModuleBlocks>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct VersionBlocks {
    version: VersionNumber,
    blocks: u64,
    bytes: u64,
    /// Bytes of those that an earlier one of these versions has too.
    shared_bytes: u64,
    /// What its sources added to what those of all earlier ones take on disk.
    stored_bytes: u64,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ModuleBlocks {
    path: String,
    block: BlockInfo,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct BlockInfo {
    /// `module`, `function`, `class`, `loop`, `branch` or `run`.
    #[schema(value_type = String)]
    kind: BlockKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    hash: Hash,
    /// First and last, from 1.
    lines: (u32, u32),
    /// Of its own code, without the blocks in it.
    bytes: u32,
    /// The first of these versions that has it.
    since: VersionNumber,
    /// Of the block, or of a statement of it that is no block of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tagged>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    blocks: Vec<BlockInfo>,
}

/// A version with what its modules are.
type Version = (VersionNumber, Vec<ModuleEntry>);

/// What is said of the version that is shown.
struct Said {
    version: VersionNumber,
    app: AppTags,
    functions: BTreeMap<FunctionName, Tags>,
    code: Vec<Tagged>,
}

type Trees = BTreeMap<(String, Hash), Block>;

impl Catalog {
    /// The blocks of the newest versions of `app`, and what they share.
    pub async fn blocks_of(&self, app: &AppName) -> Result<BlocksReport, CatalogError> {
        let routes = self.app(app)?;
        let mut versions: Vec<Version> = Vec::new();
        let mut sources: HashMap<Hash, Arc<str>> = HashMap::new();
        let mut said = None;
        for (index, version) in routes.versions.values().rev().take(MEASURED_MAX).enumerate() {
            let manifest = self.manifest(&version.record).await?;
            let (record, modules) = (&version.record, manifest.modules.clone());
            if index < VERSIONS_MAX {
                // So that what is measured is not a moment between a deploy and what follows it.
                self.cut_sources(&modules).await;
                self.read_sources(&modules, &mut sources).await?;
                if said.is_none() || record.version == routes.live {
                    said = Some(Said::new(record.version, manifest, self.tags(record).await?));
                }
            }
            versions.push((record.version, modules));
        }
        versions.reverse();
        let measured = self.stored_sources(&versions, &images(&routes, &versions)).await?;
        let shared = self.shared_with_apps(app, &measured.files).await?;
        let (app, said) = (app.clone(), said.ok_or(CatalogError::BuildPanicked)?);
        let work = move || {
            let newest = &versions[versions.len().saturating_sub(VERSIONS_MAX)..];
            Report::of(newest, &trees(newest, &sources)).finish(app, said, measured, shared)
        };
        on_big_stack("belay-blocks", work).await.map_err(|_| CatalogError::BuildPanicked)
    }

    async fn read_sources(
        &self,
        modules: &[ModuleEntry],
        sources: &mut HashMap<Hash, Arc<str>>,
    ) -> Result<(), CatalogError> {
        for module in modules {
            if !sources.contains_key(&module.source) {
                let read = self.inner.builder.text(module.path.clone(), module.source);
                sources.extend([read.await?]);
            }
        }
        Ok(())
    }
}

impl VersionBlocks {
    fn new(version: VersionNumber) -> Self {
        Self { version, blocks: 0, bytes: 0, shared_bytes: 0, stored_bytes: 0 }
    }
}

impl Said {
    fn new(version: VersionNumber, manifest: AppManifest, code: Vec<Tagged>) -> Self {
        let functions = manifest.functions.into_iter().map(|(name, spec)| (name, spec.tags));
        let functions = functions.filter(|(_, tags)| !tags.is_empty()).collect();
        Self { version, app: manifest.tags, functions, code }
    }
}

/// What was made of these versions and their changes.
fn images(routes: &AppRoutes, versions: &[Version]) -> Vec<Hash> {
    let mut images = Vec::new();
    for (version, _) in versions {
        let own = routes.versions.get(version).map(|version| version.image.record());
        images.extend(own.iter().flat_map(|own| [own.image, own.maps]));
        let faces = routes.changes.get(version).into_iter().flat_map(|change| &change.faces);
        images.extend(faces.flat_map(|face| [face.image, face.maps]));
    }
    images
}

fn trees(versions: &[Version], sources: &HashMap<Hash, Arc<str>>) -> Trees {
    let mut trees = Trees::new();
    for module in versions.iter().flat_map(|(_, modules)| modules) {
        let key = (module.path.clone(), module.source);
        if let (false, Some(source)) = (trees.contains_key(&key), sources.get(&module.source)) {
            let tree = belay_weave::blocks(&module.path, module.kind, source);
            trees.extend(tree.map(|tree| (key, tree)));
        }
    }
    trees
}

struct Report<'a> {
    versions: &'a [Version],
    trees: &'a Trees,
    /// Where a block was first seen.
    since: HashMap<Hash, VersionNumber>,
    counted: Vec<VersionBlocks>,
}

impl<'a> Report<'a> {
    fn of(versions: &'a [Version], trees: &'a Trees) -> Self {
        let mut report = Self { versions, trees, since: HashMap::new(), counted: Vec::new() };
        for (version, modules) in versions {
            let mut own = VersionBlocks::new(*version);
            for module in modules {
                if let Some(tree) = report.tree(module) {
                    report.count(tree, &mut own);
                }
            }
            report.counted.push(own);
        }
        report
    }

    fn tree(&self, module: &ModuleEntry) -> Option<&'a Block> {
        self.trees.get(&(module.path.clone(), module.source))
    }

    fn count(&mut self, block: &Block, own: &mut VersionBlocks) {
        let first = *self.since.entry(block.hash).or_insert(own.version);
        own.blocks += 1;
        own.bytes += u64::from(block.bytes);
        own.shared_bytes += if first < own.version { u64::from(block.bytes) } else { 0 };
        block.blocks.iter().for_each(|inner| self.count(inner, own));
    }

    fn finish(
        mut self,
        app: AppName,
        said: Said,
        measured: Measured,
        shared: SharedWithApps,
    ) -> BlocksReport {
        // More versions are measured than compared: both lists end with the newest one.
        for (version, added) in self.counted.iter_mut().rev().zip(measured.added.iter().rev()) {
            version.stored_bytes = *added;
        }
        let shown = self.versions.iter().find(|(version, _)| *version == said.version);
        let module = |module: &ModuleEntry| {
            let tags = said.code.iter().filter(|tagged| tagged.module == module.path).collect();
            let block = self.info(self.tree(module)?, tags);
            Some(ModuleBlocks { path: module.path.clone(), block })
        };
        let modules =
            shown.into_iter().flat_map(|(_, modules)| modules).filter_map(module).collect();
        BlocksReport {
            app,
            modules,
            tags: said.app,
            functions: said.functions,
            sources: measured.total,
            shared,
            versions: self.counted,
        }
    }

    /// `tags` are those of the block and of the blocks in it.
    fn info(&self, block: &Block, tags: Vec<&Tagged>) -> BlockInfo {
        let newest = self.versions.last().map(|(version, _)| *version);
        let since = self.since.get(&block.hash).copied().or(newest);
        let mut inner: Vec<Vec<&Tagged>> = vec![Vec::new(); block.blocks.len()];
        let mut own = Vec::new();
        for tagged in tags {
            match block.way_to(tagged) {
                Some(at) => inner[at].push(tagged),
                None => own.push(tagged.clone()),
            }
        }
        let blocks = block.blocks.iter().zip(inner);
        BlockInfo {
            kind: block.kind,
            name: block.name.clone(),
            hash: block.hash,
            lines: block.lines,
            bytes: block.bytes,
            since: since.unwrap_or(VersionNumber::FIRST),
            tags: own,
            blocks: blocks.map(|(inner, tags)| self.info(inner, tags)).collect(),
        }
    }
}
