//! What is known of the parts of a change before any of them runs: from the code, and from what its policy says of it.

use std::collections::BTreeSet;

use belay_model::{Dependents, FunctionName, Granularity, PartId};

/// The code of a change, part by part.
pub trait Code {
    /// The functions in the code that a part touches.
    fn places(&self, part: PartId) -> BTreeSet<String>;

    /// The functions of the app that run code of a part.
    fn functions(&self, part: PartId) -> BTreeSet<FunctionName>;

    /// The parts that depend on a part, as their authors said, also by way of code that the change does not touch.
    fn users(&self, part: PartId) -> BTreeSet<PartId>;

    /// What is to become of these if the part is taken back.
    fn dependents(&self, part: PartId) -> Dependents;

    /// How much the policy wants to be taken back at once, if it says so.
    fn granularity(&self, part: PartId) -> Option<Granularity>;
}
