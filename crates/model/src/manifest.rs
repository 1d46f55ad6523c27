//! What a deploy uploads: which functions an app has, and the module graph that they reach.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AppName, AppTags, DatabaseName, DatabaseSpec, EnvironmentName, FunctionName, Hash, Limits,
    Policy, Tags, TransactionName, TransactionSettings,
};

/// A complete description of one version of an app. Sources are referred to by hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AppManifest {
    pub app: AppName,
    pub functions: BTreeMap<FunctionName, FunctionSpec>,
    #[serde(default)]
    pub environment: EnvironmentName,
    /// What `process.env` and `env` hold. Part of the image: another value is another version.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub egress: EgressPolicy,
    /// What `sql` reaches; nothing else is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<DatabaseName, DatabaseSpec>,
    /// What `belay.toml` says of transactions, by their ids; it goes before tags in the code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub transactions: BTreeMap<TransactionName, TransactionSettings>,
    /// What `belay.toml` says of all functions; tags of a function, and tags in the code, go before.
    #[serde(default, skip_serializing_if = "AppTags::is_empty")]
    pub tags: AppTags,
    /// How its changes are let in and judged.
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub policy: Policy,
    /// Every module that is reached, each once, sorted by path.
    pub modules: Vec<ModuleEntry>,
}

/// One exported handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FunctionSpec {
    /// Path of the module, as in [`ModuleEntry::path`].
    pub module: String,
    /// Name of the export; `default` for the default export.
    pub export: String,
    #[serde(default)]
    pub limits: Limits,
    /// What `belay.toml` says of it; tags in the code go before.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// One source file and where its imports lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ModuleEntry {
    /// Path relative to the app's root, `/` between its parts; stacks name the module by it.
    pub path: String,
    /// Address of the source text as the user wrote it.
    pub source: Hash,
    pub kind: ModuleKind,
    pub imports: Vec<ImportEdge>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ModuleKind {
    /// An ES module, JavaScript or TypeScript (told by the extension of its path).
    Esm,
    CommonJs,
    Json,
}

/// One `import`, `export … from`, `import()` or `require()` with a literal specifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportEdge {
    /// As written.
    pub specifier: String,
    pub kind: ImportKind,
    pub target: ImportTarget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ImportKind {
    Import,
    Dynamic,
    Require,
}

/// What the module `belay` exports, as `npm/index.d.ts` declares it; the default export holds all the others.
pub const BUILTIN_EXPORTS: [&str; 8] =
    ["default", "kv", "sql", "http", "secrets", "env", "log", "BelayError"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ImportTarget {
    /// Path of another module of the manifest.
    Module(String),
    /// A module of the platform: `belay`, which exports [`BUILTIN_EXPORTS`].
    Builtin(String),
    /// A file that a package maps to nothing (`"browser": {"fs": false}`): an empty module.
    Empty,
    /// Optional and absent: a `require` inside `try`, or a dynamic import; it throws when it is reached.
    Missing(String),
}

/// Which hosts a function may fetch from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EgressPolicy {
    /// `host`, `host:port`, `*.domain` or `*`. Empty: no fetch at all.
    pub allow: Vec<String>,
    /// Addresses of loopback, link-local, private and metadata ranges are refused unless an entry of this list,
    /// `address` or `address:port` or `host:port`, names them.
    pub allow_internal: Vec<String>,
}

impl Default for EgressPolicy {
    /// Any public host, and nothing internal.
    fn default() -> Self {
        Self { allow: vec!["*".to_owned()], allow_internal: Vec::new() }
    }
}
