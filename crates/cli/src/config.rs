//! `belay.toml`: what it may say, read with an exact place for every mistake.
//!
//! All mistakes of a file are reported at once, in the order of the file. The reference is `docs/belay-toml.md`.
//! This module does not look at the file system: whether a module exists is for the resolver to say.

mod databases;
mod limits;
pub mod policy;
mod read;
mod reader;
mod tags;
mod transactions;
mod write;

use std::collections::BTreeMap;

use belay_model::{
    AppName, AppTags, DatabaseName, DatabaseSpec, EgressPolicy, EnvironmentName, FunctionName,
    Label, Limits, Policy, Tags, TransactionName, TransactionSettings,
};

pub use belay_model::units;
pub use read::parse;
pub use transactions::placed;
pub use write::write;

/// The name of the file.
pub const FILE: &str = "belay.toml";

/// The content of a `belay.toml` without mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BelayToml {
    pub app: AppName,
    pub environment: EnvironmentName,
    pub functions: BTreeMap<FunctionName, Function>,
    pub env: BTreeMap<String, String>,
    pub egress: EgressPolicy,
    pub databases: BTreeMap<DatabaseName, DatabaseSpec>,
    /// What goes before the tags in the code.
    pub transactions: BTreeMap<TransactionName, Transaction>,
    /// Of all functions that say nothing else.
    pub tags: AppTags,
    /// How changes are let in and judged.
    pub policy: Policy,
    /// The command that runs the app's own tests.
    pub test: Option<String>,
}

/// One function: an export of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Relative to the file, without `./`.
    pub module: String,
    pub export: String,
    pub limits: Limits,
    pub tags: Tags,
    /// Where the file names the module, for diagnostics that come later.
    pub place: Option<Label>,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub settings: TransactionSettings,
    /// Where the file names it, for diagnostics that come later.
    pub place: Option<Label>,
}
