//! "Did you mean …?": the candidate that differs least from what was written.

/// The candidate nearest to `wanted`, if it is near enough to be a slip of the pen.
pub fn nearest<'c>(wanted: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let allowed = wanted.chars().count().div_ceil(3).min(3);
    let near = candidates.into_iter().filter(|c| c.len().abs_diff(wanted.len()) <= 12);
    let ranked = near.map(|candidate| (distance(wanted, candidate), candidate));
    ranked.filter(|(distance, _)| *distance <= allowed).min().map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements that lead from one to the other, ignoring case.
pub(crate) fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
