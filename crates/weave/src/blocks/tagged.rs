//! Which block tags belong to: the function or class that they stand above, or the run of statements with the one that
//! they stand above. Told by lines, which is what blocks and tags have in common.

use belay_model::{Tagged, TaggedKind};

use super::{Block, BlockKind};

impl Block {
    /// Which of the blocks in this one the tags belong to, or to one in it; `None` if to this one itself.
    pub fn way_to(&self, tagged: &Tagged) -> Option<usize> {
        if self.is_of(tagged) {
            return None;
        }
        self.blocks.iter().position(|block| block.is_of(tagged) || block.holds(tagged))
    }

    /// Whether the tags speak of just this block.
    fn is_of(&self, tagged: &Tagged) -> bool {
        match (self.kind, tagged.kind) {
            (BlockKind::Function, TaggedKind::Function | TaggedKind::Method)
            | (BlockKind::Class, TaggedKind::Class) => {
                self.name == tagged.name && covers(tagged.lines, self.lines)
            }
            (BlockKind::Loop | BlockKind::Branch, TaggedKind::Statement) => {
                self.lines == tagged.lines
            }
            (BlockKind::Module | BlockKind::Function | BlockKind::Class, _)
            | (BlockKind::Loop | BlockKind::Branch | BlockKind::Run, _) => false,
        }
    }

    /// A function within a tagged statement may have the same lines and is not meant.
    fn holds(&self, tagged: &Tagged) -> bool {
        let wider = self.lines != tagged.lines;
        covers(self.lines, tagged.lines)
            && match self.kind {
                BlockKind::Run | BlockKind::Loop | BlockKind::Branch => true,
                BlockKind::Module | BlockKind::Function | BlockKind::Class => wider,
            }
    }
}

fn covers(outer: (u32, u32), inner: (u32, u32)) -> bool {
    outer.0 <= inner.0 && inner.1 <= outer.1
}
