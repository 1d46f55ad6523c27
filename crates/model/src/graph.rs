//! What an app is made of and what in it needs what: inferred from its code, or said by its author.

use serde::{Deserialize, Serialize};

/// The parts of one version of an app, and how they hang together. Lists are sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DependencyGraph {
    pub nodes: Vec<GraphNode>,
    pub edges: Vec<GraphEdge>,
    /// Variables of modules that several functions touch, and at least one changes; of a graph with blocks also those of
    /// functions that several blocks touch.
    pub state: Vec<SharedState>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GraphNode {
    /// `function:NAME`, `module:PATH`, `PATH#NAME`, `package:NAME`, `builtin:NAME` or `component:NAME`; of a block the
    /// function's with a number, such as `PATH#NAME/2`, and `PATH#/2` at the top level.
    pub id: String,
    pub kind: NodeKind,
    /// For people; of code within other code with the names around it, such as `Basket.add`.
    pub name: String,
    /// Path of the module that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// First and last line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<(u32, u32)>,
    /// Of a block: the id of the block, function or module that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A function of the app, which can be called from outside.
    Entry,
    Module,
    /// A function in the code that has a name.
    Function,
    Class,
    /// A block: a loop of a function, or of a module.
    Loop,
    /// A block: an `if`, `switch` or `try`.
    Branch,
    /// A block: statements that stand together and are none of the others.
    Run,
    /// A package from npm.
    Package,
    /// A module of the platform.
    Builtin,
    /// Something that a tag names and the app does not have.
    Component,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GraphEdge {
    /// Id of a node.
    pub from: String,
    /// Id of a node.
    pub to: String,
    pub kind: EdgeKind,
    /// What is used of a package or a module of the platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EdgeKind {
    /// From an entry to the code that it runs.
    Handles,
    /// From module to module.
    Imports,
    Calls,
    /// Passes it on, or reads it, without a call that can be seen.
    Uses,
    /// Said by a tag.
    Depends,
}

/// A variable of a module or a function. It lives no longer than a request: instances are not shared between requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SharedState {
    pub module: String,
    pub name: String,
    /// Where it is declared, from 1.
    pub line: u32,
    /// Id of the function that it is of; nothing for one of the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Ids of the nodes that change it after it was declared; of a function's variable also of the block that declares it.
    pub writers: Vec<String>,
    /// Ids of the nodes that only read it.
    pub readers: Vec<String>,
}
