//! What the transactions of one id usually do: the sequences of their effects.

/// Sequences that are kept, and effects of each.
const KEPT: usize = 16;
const LENGTH: usize = 50;
/// From so many on it can be told.
const ENOUGH: f64 = 20.0;
/// What is rarer than this is not usual.
const RARE: f64 = 0.02;
/// After so many one counts half.
const HALF_LIFE: f64 = 200.0;

#[derive(Debug, Clone, Default)]
pub(crate) struct Usual {
    sequences: Vec<(Vec<String>, f64)>,
}

impl Usual {
    /// Notes one that has committed.
    pub(crate) fn note<'o>(&mut self, ops: impl Iterator<Item = &'o str>) {
        let ops: Vec<String> = counted(ops).map(str::to_owned).collect();
        let kept = (-f64::recip(HALF_LIFE)).exp2();
        self.sequences.iter_mut().for_each(|(_, count)| *count *= kept);
        match self.sequences.iter_mut().find(|(known, _)| *known == ops) {
            Some((_, count)) => *count += 1.0,
            None => self.sequences.push((ops, 1.0)),
        }
        if self.sequences.len() > KEPT {
            self.sequences.sort_by(|(_, one), (_, other)| other.total_cmp(one));
            self.sequences.truncate(KEPT);
        }
    }

    /// The distance of a sequence from the nearest usual one, as a share of its effects; 0 where too little is known.
    pub(crate) fn distance<'o>(&self, ops: impl Iterator<Item = &'o str>) -> f64 {
        let total: f64 = self.sequences.iter().map(|(_, count)| count).sum();
        if total < ENOUGH {
            return 0.0;
        }
        let ops: Vec<&str> = counted(ops).collect();
        let usual = self.sequences.iter().filter(|(_, count)| *count >= RARE * total);
        usual.map(|(known, _)| apart(&ops, known)).fold(1.0, f64::min)
    }
}

/// A mirror has no timers: its time passes at once.
fn counted<'o>(ops: impl Iterator<Item = &'o str>) -> impl Iterator<Item = &'o str> {
    ops.filter(|op| *op != "timer").take(LENGTH)
}

/// Levenshtein's distance as a share of the longer one.
fn apart(one: &[&str], other: &[String]) -> f64 {
    let longest = one.len().max(other.len());
    if longest == 0 {
        return 0.0;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, left) in one.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (place, right) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(row[place] + 1).min(diagonal + 1);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "at most fifty")]
    let share = row[other.len()] as f64 / longest as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_that_of_the_nearest_usual_sequence() {
        let mut usual = Usual::default();
        let often = ["kv.get", "kv.put"];
        assert!(usual.distance(["http.fetch"].into_iter()).abs() < 1e-9, "nothing is known yet");
        for _ in 0..100 {
            usual.note(often.into_iter());
        }
        usual.note(["kv.list"].into_iter());
        let distance = |ops: &[&str]| usual.distance(ops.iter().copied());
        assert!(distance(&often).abs() < 1e-9);
        assert!((distance(&["kv.get", "kv.get", "kv.put"]) - 1.0 / 3.0).abs() < 1e-9);
        assert!((distance(&["kv.list"]) - 1.0).abs() < 1e-9, "what was once is not usual");
        assert!(distance(&["kv.get", "timer", "kv.put"]).abs() < 1e-9, "a mirror has none");
    }
}
