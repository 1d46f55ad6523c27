//! Manifests: what a well-typed one may still get wrong about functions and policies, and how they are stored.
//!
//! Modules and their edges are the compiler's to check.

use belay_engine::Engine;
use belay_fabric::Blobs;
use belay_host::Egress;
use belay_model::{AppManifest, Diagnostic, FunctionName, FunctionSpec, Hash};

use super::{
    CatalogError,
    named::{Unknown, unknown_functions},
    tags,
};

/// Limits on a manifest beyond what its size allows. Far above what real apps have.
const FUNCTIONS_MAX: usize = 1_000;
const ENV_BYTES_MAX: usize = 256 << 10;

/// All that is wrong with `manifest` itself.
pub(super) fn check(manifest: &AppManifest) -> Result<(), CatalogError> {
    let limits = manifest.functions.iter().filter_map(|(name, spec)| limit(name, spec));
    let found: Vec<_> = [
        functions(manifest),
        env(manifest),
        environment(manifest),
        egress(manifest),
        policy(manifest),
    ]
    .into_iter()
    .flatten()
    .chain(limits)
    .chain(tags::check(manifest))
    .chain(unknown_functions(manifest, &manifest.policy.places).into_iter().map(Unknown::error))
    .collect();
    if found.is_empty() { Ok(()) } else { Err(CatalogError::Refused(found)) }
}

fn functions(manifest: &AppManifest) -> Option<Diagnostic> {
    match manifest.functions.len() {
        0 => {
            let help = "export a function `handler`, or name functions in belay.toml";
            Some(Diagnostic::error("no-functions", "the app has no function").help(help))
        }
        many if many > FUNCTIONS_MAX => {
            let message =
                format!("the app has {many} functions; at most {FUNCTIONS_MAX} are accepted");
            Some(Diagnostic::error("too-large", message))
        }
        _ => None,
    }
}

fn env(manifest: &AppManifest) -> Option<Diagnostic> {
    let bytes: usize = manifest.env.iter().map(|(name, value)| name.len() + value.len()).sum();
    (bytes > ENV_BYTES_MAX).then(|| {
        let message = format!("env is {bytes} bytes long; at most {ENV_BYTES_MAX} are accepted");
        Diagnostic::error("too-large", message)
    })
}

fn environment(manifest: &AppManifest) -> Option<Diagnostic> {
    let known = Engine::environments();
    let names: Vec<_> = known.iter().map(|name| name.0.as_str()).collect();
    (!known.contains(&manifest.environment)).then(|| {
        let message = format!("there is no environment {:?}", manifest.environment.0);
        let help = format!("use one of {}", names.join(", "));
        Diagnostic::error("unknown-environment", message).help(help)
    })
}

fn egress(manifest: &AppManifest) -> Option<Diagnostic> {
    let problem = Egress::parse(&manifest.egress).err()?;
    let help = "write `host`, `host:port`, `*.domain` or `*`";
    Some(Diagnostic::error("bad-egress", format!("egress: {problem}")).help(help))
}

fn policy(manifest: &AppManifest) -> Option<Diagnostic> {
    let problem = manifest.policy.problem()?;
    Some(Diagnostic::error("bad-policy", problem))
}

fn limit(name: &FunctionName, spec: &FunctionSpec) -> Option<Diagnostic> {
    let problem = spec.limits.problem()?;
    Some(Diagnostic::error("bad-limit", format!("function {name}: {problem}")))
}

/// The same manifest gives the same bytes: every map in it is sorted.
pub(super) fn encode_manifest(manifest: &AppManifest) -> Result<Vec<u8>, CatalogError> {
    serde_json::to_vec(manifest).map_err(|error| CatalogError::damaged("manifest", error))
}

pub(super) async fn read_manifest(blobs: &Blobs, hash: &Hash) -> Result<AppManifest, CatalogError> {
    let key = format!("manifest {hash}");
    let bytes = blobs.get(hash).await?;
    let bytes = bytes.ok_or_else(|| CatalogError::damaged(&key, "the blob is missing"))?;
    serde_json::from_slice(&bytes).map_err(|error| CatalogError::damaged(&key, error))
}
