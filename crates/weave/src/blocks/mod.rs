//! A module as a tree of blocks, each addressed by the hash of what it says.
//!
//! ```text
//! module ─┬─ run            the statements of the top level, as far as they stand together
//!         ├─ function f ─┬─ run
//!         │              ├─ branch ── run
//!         │              └─ loop ──── function (a callback) ── run
//!         └─ class ── function
//! ```
//!
//! The address covers the content without its place, comments, white space, and what a formatter chooses: quotes,
//! semicolons, trailing commas, needless parentheses. Where a block contains another one, its content has the inner
//! one's address in place of the code (a Merkle tree), so equal addresses mean equal code all the way down. Blocks of
//! different modules, versions and apps are the same block when their addresses are equal.

mod content;
mod cuts;
mod tagged;

use std::borrow::Cow;

use belay_model::{Hash, ModuleKind};
use serde::{Deserialize, Serialize};

pub use self::cuts::{cuts, may_be_cut};
use crate::{
    lines::Lines,
    map::PositionMap,
    syntax::{Goal, NodeId, Printed, Tree, read_module, with_tree},
};

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    Module,
    Function,
    Class,
    Loop,
    Branch,
    /// Statements that stand together and are none of the others.
    Run,
}

/// One block, with those in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    pub kind: BlockKind,
    /// What a function or class is called, as far as the code says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address of the content.
    pub hash: Hash,
    /// First and last line in the user's own file, from 1.
    pub lines: (u32, u32),
    /// Bytes of its own code, without those of the blocks in it.
    pub bytes: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
}

/// The blocks of the module at `path`; `None` for a source that does not compile, which one that was deployed does.
pub fn blocks(path: &str, kind: ModuleKind, source: &str) -> Option<Block> {
    if kind == ModuleKind::Json {
        return json(source);
    }
    let module = read_module(path, source, Goal::Known(kind)).ok()?;
    let (code, map) = match module.printed {
        Some(Printed { code, segments }) => (Cow::Owned(code), PositionMap::printed(segments, 0)),
        None => (Cow::Borrowed(source), PositionMap::verbatim(source, 0)),
    };
    with_tree(&code, kind, |tree| {
        let lines = Lines::of(tree.code);
        let original = |offset: u32| {
            let (line, column) = lines.place(offset);
            map.original(line, column).0
        };
        let place =
            |start: u32, end: u32| (original(start), original(end.saturating_sub(1).max(start)));
        content::Blocks { tree, place: &place }.module()
    })
}

/// Whether two sources of the module at `path` say the same: they differ at most in comments, types and formatting.
/// Sources that do not compile never do.
pub fn same_code(path: &str, kind: ModuleKind, before: &str, after: &str) -> bool {
    let address = |source: &str| blocks(path, kind, source).map(|module| module.hash);
    before == after || address(before).is_some_and(|before| address(after) == Some(before))
}

fn json(text: &str) -> Option<Block> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(Block {
        kind: BlockKind::Module,
        name: None,
        hash: Hash::of(value.to_string().as_bytes()),
        lines: (1, u32::try_from(text.lines().count().max(1)).unwrap_or(u32::MAX)),
        bytes: u32::try_from(text.len()).unwrap_or(u32::MAX),
        blocks: Vec::new(),
    })
}
