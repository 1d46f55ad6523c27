//! In which order modules are loaded: from the entries on, each behind what it imports.

use std::collections::BTreeSet;

/// What is loaded with `entries`, in order.
pub(super) fn order(entries: &[usize], imports: &dyn Fn(usize) -> Vec<usize>) -> Vec<usize> {
    let (mut order, mut known) = (Vec::new(), BTreeSet::new());
    // A module, and those of its imports that are still to be visited, the next one last.
    let mut open: Vec<(usize, Vec<usize>)> = Vec::new();
    for &entry in entries {
        let mut next = known.insert(entry).then_some(entry);
        loop {
            if let Some(module) = next.take() {
                let mut rest = imports(module);
                rest.reverse();
                open.push((module, rest));
            }
            let Some((module, rest)) = open.last_mut() else { break };
            match rest.pop() {
                Some(import) => next = known.insert(import).then_some(import),
                None => {
                    order.push(*module);
                    open.pop();
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_come_first_and_once() {
        let edges: [&[usize]; 5] = [&[1, 2], &[3], &[3, 0], &[], &[2]];
        let imports = |module: usize| edges[module].to_vec();
        assert_eq!(order(&[0], &imports), [3, 1, 2, 0]);
        assert_eq!(order(&[4, 0], &imports), [3, 1, 0, 2, 4]);
        assert!(order(&[], &imports).is_empty());
    }
}
