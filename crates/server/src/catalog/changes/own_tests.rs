//! What the app's own tests say of a deploy. Whoever deploys has run them, where the project is; the server runs none.

use std::collections::BTreeSet;

use belay_model::{EditId, Hash, PartId};

use crate::catalog::PartRecord;

/// What the tests say. An edit stands for the part that has it, and is named by its fingerprint ([`EditId::fingerprint`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnTests {
    /// What was run.
    pub command: String,
    /// They fail with these.
    pub failed: BTreeSet<Hash>,
    /// They fail with some of a set, and not with all of it, nor with none.
    pub tied: Vec<BTreeSet<Hash>>,
}

/// The same, of the parts of a change.
#[derive(Debug, Default)]
pub(super) struct Tested {
    command: String,
    pub(super) failed: BTreeSet<PartId>,
    pub(super) tied: Vec<BTreeSet<PartId>>,
}

impl OwnTests {
    /// Of parts that are on trial. Edits that are in none of them were made since then: nothing is known of what is there now.
    pub(super) fn on(&self, parts: &[PartRecord], trial: &BTreeSet<PartId>) -> Tested {
        let with = |edits: &BTreeSet<Hash>| -> BTreeSet<PartId> {
            let has = |part: &PartRecord| {
                part.edits.iter().map(EditId::fingerprint).any(|edit| edits.contains(&edit))
            };
            let found =
                (0..).map(PartId).zip(parts).filter(|(id, part)| trial.contains(id) && has(part));
            found.map(|(id, _)| id).collect()
        };
        let failed = if self.failed.is_empty() { BTreeSet::new() } else { with(&self.failed) };
        let tied = self.tied.iter().map(with).map(|set| &set - &failed);
        let tied = tied.filter(|set| set.len() > 1).collect();
        Tested { command: self.command.clone(), failed, tied }
    }
}

impl Tested {
    /// What they say of parts that they fail with.
    pub(super) fn reason(&self) -> String {
        format!("`{}` fails with it", self.command)
    }
}
