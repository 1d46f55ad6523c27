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

use std::borrow::Cow;

use belay_model::{Hash, ModuleKind};
use serde::{Deserialize, Serialize};

use crate::{
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

/// Where the lines of a text begin.
struct Lines(Vec<u32>);

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().zip(1..).filter(|(byte, _)| *byte == b'\n').map(|(_, next)| next);
        Self(std::iter::once(0).chain(breaks).collect())
    }

    /// Line and column from 1, the column in bytes.
    fn place(&self, offset: u32) -> (u32, u32) {
        let line = self.0.partition_point(|start| *start <= offset);
        let start = self.0.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        (u32::try_from(line).unwrap_or(u32::MAX), offset - start + 1)
    }
}
