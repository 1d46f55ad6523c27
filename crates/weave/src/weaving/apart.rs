//! Statements tagged `@rollback never` are hunks of their own, so that what stands beside them can be taken back.

use std::ops::Range;

use super::{hunk::Side, weaver::Weaver};
use crate::syntax::NodeId;

/// Places of one list, and of the other one in their place.
type Run = (Range<usize>, Range<usize>);

/// Two lists, and places in them of statements that continue each other.
pub(super) struct Pairs<'p> {
    pub(super) old: &'p [NodeId],
    pub(super) new: &'p [NodeId],
    pub(super) pairs: &'p [(usize, usize)],
}

impl Weaver<'_> {
    /// Cuts a run where statements that stay begin and end: the other list is cut where it goes on with what follows.
    pub(super) fn apart(&self, lists: &Pairs<'_>, (mut old, mut new): Run) -> Vec<Run> {
        let mut runs = Vec::new();
        while let Some(stays) = self.staying_in(Side::After, lists.new, new.clone()) {
            let mut follow = lists.pairs.iter().filter(|(row, column)| {
                *column >= stays.start && new.contains(column) && old.contains(row)
            });
            let cut = follow.next().map_or(old.end, |(row, _)| *row);
            runs.extend(self.apart_old(lists, (old.start..cut, new.start..stays.start)));
            // What stays takes the place of what it continues, and of what was tagged there.
            let tagged = self.staying_in(Side::Before, lists.old, cut..old.end);
            let tagged = tagged.filter(|tagged| tagged.start == cut).map_or(cut, |it| it.end);
            let continued = lists
                .pairs
                .iter()
                .filter(|(row, column)| stays.contains(column) && (cut..old.end).contains(row));
            let continued = continued.map(|(row, _)| row + 1).max().unwrap_or(cut);
            let twin = cut..tagged.max(continued);
            (old.start, new.start) = (twin.end, stays.end);
            runs.push((twin, stays));
        }
        runs.extend(self.apart_old(lists, (old, new)));
        runs
    }

    /// Where nothing new stays.
    fn apart_old(&self, lists: &Pairs<'_>, (mut old, mut new): Run) -> Vec<Run> {
        let mut runs = Vec::new();
        while let Some(stays) = self.staying_in(Side::Before, lists.old, old.clone()) {
            let mut follow = lists
                .pairs
                .iter()
                .filter(|(row, column)| *row >= stays.start && new.contains(column));
            let cut = follow.next().map_or(new.end, |(_, column)| *column);
            runs.push((old.start..stays.start, new.start..cut));
            (old.start, new.start) = (stays.end, cut);
            runs.push((stays, cut..cut));
        }
        runs.push((old, new));
        runs.retain(|(old, new)| !old.is_empty() || !new.is_empty());
        runs
    }

    /// The first neighbours that stay.
    fn staying_in(
        &self,
        side: Side,
        items: &[NodeId],
        range: Range<usize>,
    ) -> Option<Range<usize>> {
        let rollbacks = &self.reading.rollbacks[usize::from(side == Side::After)];
        let stays = |index: &usize| rollbacks.is_never(self.tree(side).span(items[*index]));
        let start = range.clone().find(stays)?;
        let end = (start..range.end).find(|index| !stays(index)).unwrap_or(range.end);
        Some(start..end)
    }
}
