//! Comments that say of a function that it is a transaction, and what kind of one: each of the two images has its own.
//!
//! A transaction is begun by code that is put around the function when it is compiled. Which of two versions of that code runs
//! is told by the image, as it is for variables of the environment.

use belay_model::HunkKind;
use oxc::span::Span;

use super::{
    hunk::{Edit, Emit, Output, Place, Refusal, Side},
    weaver::Weaver,
};
use crate::tags::Remark;

/// Why it is left to the images.
pub(super) const SAID_OF_TRANSACTIONS: &str =
    "what is said of a transaction is a part of the image";

impl Weaver<'_> {
    /// Where the function is chosen as a whole, what the new version says holds for both.
    pub(super) fn add_remarks(&self, output: &mut Output) {
        let ([before, after], [_, never]) = (self.reading.remarks, self.reading.rollbacks);
        for new in after {
            let old = before.iter().find(|old| {
                old.of == new.of
                    && old.said != new.said
                    && (old.is_transaction || new.is_transaction)
            });
            let Some(old) = old else { continue };
            let [b, a] = [old, new].map(above);
            let is_near = |edit: &Edit| edit.at.start <= a.end && a.start <= edit.at.end;
            if output.edits.iter().any(is_near) || never.is_never(Span::empty(new.at)) {
                continue;
            }
            let (is, was) = (Emit::Code(Side::After, a), Emit::Code(Side::Before, b));
            let mut hunk = self.hunk(HunkKind::Image, place(old), place(new));
            let at = place(new).cover();
            hunk.reason =
                Some(Refusal { message: SAID_OF_TRANSACTIONS.into(), side: Side::After, at });
            hunk.undo = Some(vec![Edit { at: a, emit: vec![was.clone()] }]);
            let emit = vec![Emit::Image { after: vec![is], before: vec![was] }];
            output.add(Output::of(Edit { at: a, emit }, hunk));
        }
    }
}

fn place(remark: &Remark) -> Place {
    remark.comment.map_or(Place::empty(remark.at), Place::from)
}

/// All that is between the comment and its function, too.
fn above(remark: &Remark) -> Span {
    Span::new(remark.comment.map_or(remark.at, |comment| comment.start), remark.at)
}
