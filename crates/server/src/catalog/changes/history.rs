//! The effective versions of a change: the one that the deploy made, and one for each flip. They never change.

use belay_model::{Arm, PartId, ProgramName};

use crate::catalog::ChangeRecord;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveVersion {
    pub name: ProgramName,
    /// Since when it is.
    pub at_ms: u64,
    /// The parts that were flipped to make it, and to which arm; none by the deploy.
    pub flipped: Option<(Vec<PartId>, Arm)>,
    /// Of all parts.
    pub arms: Vec<Arm>,
}

impl ChangeRecord {
    /// Oldest first.
    pub fn programs(&self) -> impl DoubleEndedIterator<Item = EffectiveVersion> {
        let name = |flips| ProgramName { version: self.version, flips };
        let deployed = EffectiveVersion {
            name: name(0),
            at_ms: self.created_ms,
            flipped: None,
            arms: self.first_arms(),
        };
        let flips = self.history.iter().map(move |flip| EffectiveVersion {
            name: name(flip.flips),
            at_ms: flip.at_ms,
            flipped: Some((flip.parts.clone(), flip.arm)),
            arms: flip.arms.clone(),
        });
        std::iter::once(deployed).chain(flips)
    }

    /// The arms that the parts began with: those of now, or what the first flip left with what it flipped put back.
    fn first_arms(&self) -> Vec<Arm> {
        let Some(first) = self.history.first() else {
            return self.parts.iter().map(|part| part.arm).collect();
        };
        let other = match first.arm {
            Arm::Before => Arm::After,
            Arm::After => Arm::Before,
        };
        let arms = (0..).map(PartId).zip(&first.arms);
        arms.map(|(part, arm)| if first.parts.contains(&part) { other } else { *arm }).collect()
    }
}
