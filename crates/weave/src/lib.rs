//! JavaScript and TypeScript: from source files to code that the engine can run.
//!
//! Two halves, which meet in [`belay_model::AppManifest`]: [`resolve_graph`] follows imports from
//! the entry points over a file system that is passed in (the CLI calls it), and [`compile`] turns
//! a manifest and its sources into runnable code, a position map for each module, and diagnostics
//! (the server calls it).
//!
//! Invariants: no I/O, no clock, no logging, no threads; the same input gives the same output. This
//! is the only crate that names oxc. A source may be hostile: nesting is bounded before it is
//! parsed, and what is wrong with it is a [`belay_model::Diagnostic`], never a panic.

mod blocks;
mod compile;
mod dependencies;
mod fs;
mod graph;
mod limits;
mod lines;
mod linking;
mod map;
mod mixing;
mod syntax;
mod tags;
mod weaving;

pub use blocks::{Block, BlockKind, blocks, cuts, may_be_cut, same_code};
pub use compile::{Compiled, CompiledModule, Criterion, compile, compile_woven};
pub use dependencies::{Detail, Packages, Reach, dependencies, reach};
pub use fs::{FileKind, Meta, SourceFs};
pub use graph::{EntryPoint, GraphResult, ResolvedEntry, exported_functions, resolve_graph};
pub use limits::SourceLimits;
pub use linking::nearest;
pub use map::{MapError, PositionMap, map_frame, map_frames, map_stack};
pub use mixing::{Bound, NODE_ARMS, NODE_PRELUDE, group_check, node_arms, smallest};
pub use tags::{app_tags, same_tags, tags};
pub use weaving::{Loose, Sources, Tying, Weave, weave};
