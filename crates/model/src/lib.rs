//! The nouns that every other crate shares: names, versions, manifests, limits, tags, effects,
//! failures, diagnostics.
//!
//! Invariant: no I/O, no clock, no randomness, and no logic beyond what keeps a value well-formed.
//! A value of one of these types is valid from its construction on, also when it came from JSON.

pub mod arm;
pub mod change;
pub mod database;
pub mod decimal;
pub mod diagnostic;
pub mod effect;
pub mod failure;
pub mod graph;
pub mod hash;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod policy;
pub mod tags;
pub mod transaction;
pub mod units;

pub use arm::{Arm, PARTS_MAX};
pub use change::{ChangeId, EditId, HunkInfo, HunkKind, PartId, PartInfo, ProgramName, Tie};
pub use database::{
    DatabaseSpec, MAIN_DATABASE, PoolSize, PoolSizeError, SecretName, SecretNameError,
};
pub use decimal::Decimal;
pub use diagnostic::{Diagnostic, Label, Severity};
pub use effect::{Call, CallId, EffectClass, EffectError, Outcome};
pub use failure::{Category, Failure};
pub use graph::{DependencyGraph, EdgeKind, GraphEdge, GraphNode, NodeKind, SharedState};
pub use hash::{Hash, HashError};
pub use limits::Limits;
pub use manifest::{
    AppManifest, BUILTIN_EXPORTS, EgressPolicy, FunctionSpec, ImportEdge, ImportKind, ImportTarget,
    ModuleEntry, ModuleKind,
};
pub use name::{
    AppName, DatabaseName, EnvironmentName, FunctionName, FunctionRef, NameError, Qualifier,
    TransactionName, VersionNumber,
};
pub use policy::{
    AlertPolicy, CanaryPolicy, Dependents, ImpactPolicy, Inconclusive, JudgePolicy, KeySource,
    Outputs, PlacePolicy, Policy, TapePolicy,
};
pub use tags::{Alternative, AppTags, Granularity, Isolation, Resources, Tagged, TaggedKind, Tags};
pub use transaction::{Measure, RuleClass, RuleName, RuleNameError, RuleSpec, TransactionSettings};
