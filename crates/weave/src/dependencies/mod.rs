//! What in an app needs what, found without running it: imports, calls, and variables that functions share.
//!
//! ```text
//! module ──▶ bindings: names of other modules ─┐
//!        ──▶ units: functions with names ──────┤
//!        ──▶ sections: blocks of functions ────┼─▶ facts: who refers to what ──▶ link: across modules ──▶ graph
//!        ──▶ chain: what is done with a name ──┘                tags: @depends ──▶ declared ──────────────┘
//! ```
//!
//! [`reach`] tells of the parts of a change who uses them.
//!
//! Only what is certain is told. A call whose callee is computed, passed in or found at run time has no edge, which
//! `@depends` is for. Packages are known by their names and not looked into.

mod bindings;
mod chain;
mod declared;
mod facts;
mod link;
mod nodes;
mod reach;
mod sections;
mod units;

use std::sync::Arc;

use belay_model::{AppManifest, DependencyGraph, Hash, Tagged};

pub use reach::{Reach, reach};

/// How packages are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packages {
    /// Each by its name.
    Named,
    /// Module by module.
    Whole,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    pub packages: Packages,
    /// Whether blocks of functions are nodes, too.
    pub blocks: bool,
}

/// The graph of an app that [`crate::compile`] accepts. `source` gives a source text by its hash; `tags` are those of
/// [`crate::app_tags`].
pub fn dependencies(
    manifest: &AppManifest,
    source: &dyn Fn(&Hash) -> Option<Arc<str>>,
    tags: &[Tagged],
    detail: Detail,
) -> DependencyGraph {
    let mut app = link::App::read(manifest, source, detail);
    app.imports();
    app.references();
    app.entries();
    app.declared(tags);
    app.finish()
}
