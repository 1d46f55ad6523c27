//! From a manifest to a function image: read the sources, compile, evaluate top-level code.
//!
//! Pure in effect: it reads blobs and writes nothing. Used by deploys, and when a stored image belongs to another
//! engine and has to be made anew.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use belay_engine::{
    BuildError, Built, Engine, Entry, FunctionImage, LogLine, Program, ProgramModule,
};
use belay_fabric::Blobs;
use belay_host::tape;
use belay_model::{
    AppManifest, Arm, Diagnostic, FunctionName, FunctionSpec, Hash, Severity, Tagged,
};
use belay_weave::{Compiled, CompiledModule, Criterion, app_tags, compile};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::{
    CatalogError, Engines,
    blocking::{Broken, on_big_stack},
    diagnose::{Sources, explain, warn},
    maps::Maps,
};
use crate::telemetry::Level;

/// Blobs that are read at the same time.
const READS: usize = 16;

/// Makes images. Cheap to clone.
#[derive(Clone)]
pub struct Builder {
    engines: Engines,
    blobs: Blobs,
    /// Builds at the same time: they burn CPU that requests want too.
    turns: Arc<Semaphore>,
}

/// What a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A new version, of which everything is checked.
    Deploy,
    /// A version that has been accepted, by whatever rules there were for tags then.
    Rebuild,
}

/// A manifest made runnable.
pub(super) struct Work {
    pub(super) image: FunctionImage,
    pub(super) engine: Hash,
    pub(super) maps: Maps,
    pub(super) criteria: Criteria,
    /// Of the code; none of a rebuild.
    pub(super) tags: Vec<Tagged>,
    /// Warnings.
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) logs: Vec<BuildLine>,
    pub(super) compile: Duration,
    pub(super) build: Duration,
}

/// A line that top-level code logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BuildLine {
    pub level: Level,
    pub message: String,
}

/// What functions promise of their results, where they do.
pub(super) type Criteria = BTreeMap<FunctionName, tape::Criteria>;

/// Source texts by their hash.
pub(super) type Texts = HashMap<Hash, Arc<str>>;

impl Builder {
    pub fn new(engines: Engines, blobs: Blobs) -> Self {
        let turns = available_parallelism().map_or(1, usize::from);
        Self { engines, blobs, turns: Arc::new(Semaphore::new(turns)) }
    }

    pub(super) fn engines(&self) -> &Engines {
        &self.engines
    }

    pub(super) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    pub(super) async fn build(
        &self,
        manifest: &Arc<AppManifest>,
        purpose: Purpose,
    ) -> Result<Work, CatalogError> {
        let engine = self.engines.get(&manifest.environment).await?;
        let texts = self.texts(manifest).await?;
        let _turn = self.turns.acquire().await.map_err(|_| CatalogError::BuildPanicked)?;
        let manifest = manifest.clone();
        let work =
            on_big_stack("belay-build", move || make(&manifest, &texts, &engine, purpose)).await;
        work.unwrap_or_else(|Broken| Err(CatalogError::BuildPanicked))
    }

    pub(super) async fn texts(&self, manifest: &AppManifest) -> Result<Texts, CatalogError> {
        let hashes: Vec<Hash> = manifest.modules.iter().map(|module| module.source).collect();
        let missing = self.blobs.missing(&hashes).await?;
        if !missing.is_empty() {
            return Err(CatalogError::MissingBlobs(missing));
        }
        let paths: Vec<_> = manifest.modules.iter().map(|m| (m.path.clone(), m.source)).collect();
        let reads = stream::iter(paths).map(|(path, hash)| self.text(path, hash));
        reads.buffer_unordered(READS).try_collect().await
    }

    pub(super) async fn text(
        &self,
        path: String,
        hash: Hash,
    ) -> Result<(Hash, Arc<str>), CatalogError> {
        let bytes = self.blobs.get(&hash).await?;
        let bytes = bytes.ok_or_else(|| CatalogError::MissingBlobs(vec![hash]))?;
        let text = String::from_utf8(bytes).map_err(|_| not_text(&path))?;
        Ok((hash, text.into()))
    }
}

impl From<LogLine> for BuildLine {
    fn from(line: LogLine) -> Self {
        Self { level: line.level.into(), message: line.text }
    }
}

fn not_text(path: &str) -> CatalogError {
    let message = format!("{path} is not UTF-8 text");
    CatalogError::Refused(vec![Diagnostic::error("not-utf8", message)])
}

pub(super) fn make(
    manifest: &AppManifest,
    texts: &Texts,
    engine: &Engine,
    purpose: Purpose,
) -> Result<Work, CatalogError> {
    let started = Instant::now();
    let compiled = compile(manifest, &|hash| texts.get(hash).cloned());
    let Compiled { modules, criteria, mut diagnostics } =
        compiled.map_err(CatalogError::Refused)?;
    let tags = match purpose {
        Purpose::Deploy => tags(manifest, texts, &mut diagnostics)?,
        Purpose::Rebuild => Vec::new(),
    };
    let compile = started.elapsed();

    let started = Instant::now();
    let (program, maps, criteria) = program(manifest, modules, criteria);
    let sources = Sources { manifest, texts, maps: &maps };
    let built = engine.build(&program).map_err(|error| refuse(error, &sources, &diagnostics))?;
    let Built { image, notes, logs, reached: _ } = built;
    fits(manifest, &image).map_err(CatalogError::Refused)?;
    for warning in notes.iter().map(|note| warn(note, &sources)) {
        // One place that is reached in several ways is one finding.
        if !diagnostics.contains(&warning) {
            diagnostics.push(warning);
        }
    }
    let engine = engine.hash();
    let logs = logs.into_iter().map(BuildLine::from).collect();
    let build = started.elapsed();
    Ok(Work { image, engine, maps, criteria, tags, diagnostics, logs, compile, build })
}

/// What is wrong with them goes to `diagnostics`; an error refuses the deploy.
fn tags(
    manifest: &AppManifest,
    texts: &Texts,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<Tagged>, CatalogError> {
    let (tags, problems) = app_tags(manifest, &|hash| texts.get(hash).cloned());
    diagnostics.extend(problems);
    let refused = diagnostics.iter().any(|problem| problem.severity == Severity::Error);
    if refused { Err(CatalogError::Refused(std::mem::take(diagnostics))) } else { Ok(tags) }
}

/// A function whose limit is below what the image holds could not answer a single request.
fn fits(manifest: &AppManifest, image: &FunctionImage) -> Result<(), Vec<Diagnostic>> {
    let (needed, _) = image.sizes();
    let small = |spec: &FunctionSpec| spec.limits.memory_bytes < needed as u64;
    let problem = |(name, spec): (&FunctionName, &FunctionSpec)| {
        let message = format!(
            "function `{name}` may use {} MB of memory, but the app holds {} MB before its first request",
            whole_mb(spec.limits.memory_bytes),
            whole_mb(needed as u64),
        );
        let help = format!("raise its memory limit to {}MB or more", whole_mb(needed as u64) + 1);
        Diagnostic::error("memory-limit", message).help(help)
    };
    let small = manifest.functions.iter().filter(|(_, spec)| small(spec));
    let problems: Vec<_> = small.map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Rounded up.
fn whole_mb(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Warnings of the compiler go along: they may be the reason.
fn refuse(error: BuildError, sources: &Sources<'_>, warnings: &[Diagnostic]) -> CatalogError {
    match explain(error, sources) {
        Ok(diagnostic) => {
            debug_assert_eq!(diagnostic.severity, Severity::Error);
            CatalogError::Refused([&[diagnostic], warnings].concat())
        }
        Err(error) => CatalogError::Engine(error),
    }
}

/// The entries of criteria come behind those of the functions.
pub(super) fn program(
    manifest: &AppManifest,
    modules: Vec<CompiledModule>,
    promised: Vec<Criterion>,
) -> (Program, Maps, Criteria) {
    let mut maps = BTreeMap::new();
    let modules = modules.into_iter().map(|module| {
        maps.insert(module.path.clone(), module.map);
        ProgramModule {
            path: module.path,
            kind: module.kind,
            code: module.code,
            export_names: module.export_names,
            imports: module.imports,
        }
    });
    let modules = modules.collect();
    let entries = manifest
        .functions
        .values()
        .map(|function| Entry { module: function.module.clone(), export: function.export.clone() });
    let (mut entries, mut criteria): (Vec<_>, _) = (entries.collect(), Criteria::new());
    for Criterion { function, arm, module, export, text } in promised {
        let criterion = tape::Criterion { entry: entries.len(), text };
        let own = criteria.entry(function).or_default();
        match arm {
            Arm::Before => own.before = Some(criterion),
            Arm::After => own.after = Some(criterion),
        }
        entries.push(Entry { module, export });
    }
    let (env, arms) = (manifest.env.clone(), Vec::new());
    (Program { modules, entries, env, arms }, maps, criteria)
}
