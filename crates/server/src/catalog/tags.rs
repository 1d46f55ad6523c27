//! The tags of a version: those in its code as a blob, those in `belay.toml` in its manifest, as are the settings of
//! transactions, which go before them.

use std::collections::BTreeSet;

use belay_fabric::{Blobs, StoreError};
use belay_model::{
    AppManifest, Diagnostic, FunctionName, FunctionSpec, Hash, Resources, Tagged, Tags,
    TransactionName, TransactionSettings,
};

use super::{Catalog, CatalogError, VersionRecord};

/// Bytes of all tags of a function, or of all settings of a transaction, in a manifest.
const TAGS_BYTES_MAX: usize = 16 << 10;

/// Far above what real apps have.
const TRANSACTIONS_MAX: usize = 1_000;

impl Catalog {
    /// The tags in the code of a version, by module and place.
    pub async fn tags(&self, version: &VersionRecord) -> Result<Vec<Tagged>, CatalogError> {
        let Some(hash) = version.tags else { return Ok(Vec::new()) };
        let key = format!("tags {hash}");
        let bytes = self.inner.blobs.get(&hash).await?;
        let bytes = bytes.ok_or_else(|| CatalogError::damaged(&key, "the blob is missing"))?;
        serde_json::from_slice(&bytes).map_err(|error| CatalogError::damaged(&key, error))
    }
}

pub(super) async fn store(blobs: &Blobs, tags: &[Tagged]) -> Result<Option<Hash>, StoreError> {
    if tags.is_empty() {
        return Ok(None);
    }
    // Plain data, whose only maps have text keys: there is nothing that JSON cannot hold.
    let bytes = serde_json::to_vec(tags).unwrap_or_default();
    blobs.put(&bytes).await.map(Some)
}

/// Functions of which nothing is to be recorded, as `belay.toml` or their code says.
pub(super) fn notape(manifest: &AppManifest, tags: &[Tagged]) -> BTreeSet<FunctionName> {
    let in_code = |spec: &FunctionSpec| {
        let own = |tagged: &&Tagged| {
            tagged.module == spec.module && tagged.export.as_deref() == Some(&spec.export)
        };
        tags.iter().filter(own).any(|tagged| tagged.tags.notape)
    };
    let said = |spec: &FunctionSpec| spec.tags.notape || manifest.tags.notape || in_code(spec);
    let functions = manifest.functions.iter().filter(|(_, spec)| said(spec));
    functions.map(|(name, _)| name.clone()).collect()
}

/// What is wrong with the tags that a manifest has. Whether its functions can have them is for the compiler to say.
pub(super) fn check(manifest: &AppManifest) -> impl Iterator<Item = Diagnostic> {
    let problem = |(name, spec): (&FunctionName, &FunctionSpec)| {
        let problem = problem_of_tags(&spec.tags)?;
        Some(Diagnostic::error("bad-tag", format!("function {name}: {problem}")))
    };
    manifest.functions.iter().filter_map(problem).chain(check_transactions(manifest))
}

/// Whether the code has them is for the compiler to say, too. As it does, each message begins with the table.
fn check_transactions(manifest: &AppManifest) -> Vec<Diagnostic> {
    let count = manifest.transactions.len();
    if count > TRANSACTIONS_MAX {
        let message =
            format!("{count} transactions have settings; at most {TRANSACTIONS_MAX} may have");
        return vec![Diagnostic::error("too-large", message)];
    }
    let problem = |(id, settings): (&TransactionName, &TransactionSettings)| {
        let names: usize = settings.functions.iter().map(String::len).sum();
        let long = || {
            let message = format!("its functions are longer than {TAGS_BYTES_MAX} bytes");
            (names > TAGS_BYTES_MAX).then_some(message)
        };
        let problem = settings.problem().or_else(long);
        let problem = problem.or_else(|| problem_of_tags(&settings.over(id, &Tags::default())))?;
        Some(Diagnostic::error("bad-transaction", format!("[transactions.{id}]: {problem}")))
    };
    manifest.transactions.iter().filter_map(problem).collect()
}

fn problem_of_tags(tags: &Tags) -> Option<String> {
    let names = tags.retry.iter().chain(&tags.depends);
    let odd =
        |name: &&String| name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == ',');
    if let Some(odd) = names.clone().find(odd) {
        return Some(format!("{odd:?} is not a name"));
    }
    let bytes: usize = tags.lines().iter().map(String::len).sum();
    if bytes > TAGS_BYTES_MAX {
        return Some(format!("its tags are longer than {TAGS_BYTES_MAX} bytes"));
    }
    tags.resources.as_ref().and_then(Resources::problem)
}
