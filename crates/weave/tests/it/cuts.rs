//! Where sources are cut: pieces are the source again, none is tiny, and an edit changes hardly any other.

use std::collections::BTreeSet;

use belay_model::ModuleKind;
use belay_weave::cuts;
use proptest::prelude::*;

const MIN: usize = 4 << 10;

fn pieces<'s>(path: &str, source: &'s str) -> Vec<&'s str> {
    let cuts = cuts(path, ModuleKind::Esm, source);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([source.len()]);
    starts.zip(ends).map(|(start, end)| &source[start..end]).collect()
}

/// Bytes of the pieces of `after` that `before` does not have.
fn new_bytes(path: &str, before: &str, after: &str) -> usize {
    let known: BTreeSet<_> = pieces(path, before).into_iter().collect();
    let new = pieces(path, after).into_iter().filter(|piece| !known.contains(piece));
    new.map(str::len).sum()
}

fn function(number: usize) -> String {
    format!(
        "/** Number {number}. */\nexport function f{number}(a, b) {{\n  // äöü\n  for (const c of a) {{\n    \
         if (c > {number}) return `${{b}} ${{c}}`;\n  }}\n  return {{ a, number: {number} }};\n}}\n\n"
    )
}

fn module(functions: usize) -> String {
    (0..functions).map(function).collect()
}

#[test]
fn pieces_are_the_source_and_none_is_tiny() {
    let source = module(1_000);
    let pieces = pieces("a.js", &source);
    assert_eq!(pieces.concat(), source);
    assert!(pieces.iter().all(|piece| (MIN..6 * MIN).contains(&piece.len())));
    let average = source.len() / pieces.len();
    assert!((MIN..3 * MIN).contains(&average), "{average}");
}

#[test]
fn an_edit_changes_a_piece_or_two() {
    let before = module(1_000);
    let mut all = Vec::new();
    for number in (0..1_000).step_by(13) {
        let place = format!("c > {number})");
        let edited = before.replace(&place, &format!("c >= {number} && b.length > 2)"));
        assert_ne!(edited, before);
        all.push(new_bytes("a.js", &before, &edited));
        let next = format!("/** Number {number}.");
        let inserted = before.replacen(&next, &format!("{}{next}", function(7_777)), 1);
        all.push(new_bytes("a.js", &before, &inserted));
        let removed = before.replacen(&function(number), "", 1);
        all.push(new_bytes("a.js", &before, &removed));
    }
    let (most, average) = (all.iter().max().unwrap(), all.iter().sum::<usize>() / all.len());
    assert!(*most <= 8 * MIN && average <= 3 * MIN, "{average}, at most {most}");
}

#[test]
fn text_that_repeats_itself_is_cut_too() {
    for line in ["f(1);\n", "0,"] {
        let source = format!("const a = [\n{}];\n", line.replace(";\n", ",").repeat(30_000));
        let pieces = pieces("a.js", &source);
        assert_eq!(pieces.concat(), source);
        assert!(pieces.iter().all(|piece| (MIN..10 * MIN).contains(&piece.len())), "{line}");
    }
}

#[test]
fn one_long_statement_is_cut_within() {
    let members = |from: usize| -> String {
        (from..400)
            .map(|n| format!("  member{n}(a) {{ return a.map((b) => b * {n} + 1); }}\n"))
            .collect()
    };
    for (path, head, tail) in [
        ("a.ts", "export class A<T extends object> {\n", "}\n"),
        ("a.js", "(function () { var a = class {\n", "}; })();\n"),
    ] {
        let source = format!("{head}{}{tail}", members(0));
        let pieces = pieces(path, &source);
        assert!(pieces.len() > 2, "{path}");
        assert_eq!(pieces.concat(), source);
    }
    let one_line =
        format!("const a=[{}];", (0..9_000).map(|n| format!("f({n}),")).collect::<String>());
    assert!(pieces("a.js", &one_line).len() > 4);
}

#[test]
fn what_has_no_blocks_stays_whole() {
    let whole = |path, kind, source: &str| assert_eq!(cuts(path, kind, source), [0; 0]);
    whole("a.js", ModuleKind::Esm, "export const a = 1;\n");
    whole("a.js", ModuleKind::Esm, &format!("{}function (", module(200)));
    whole("a.js", ModuleKind::Esm, &format!("export const a = `{}`;", "text ".repeat(9_000)));
    whole("a.wat", ModuleKind::Esm, &module(200));
    whole("a.json", ModuleKind::Json, &format!("[{}0]", "1, ".repeat(9_000)));
    whole("a.js", ModuleKind::Esm, &"(".repeat(100_000));
}

proptest! {
    #[test]
    fn whatever_the_source_pieces_are_the_source(parts in prop::collection::vec("[a-z(){};äß\"`/*\n ]{0,400}", 0..60)) {
        // Some of it parses, most does not.
        let source = parts.concat() + &module(60);
        let pieces = pieces("a.js", &source);
        prop_assert_eq!(pieces.concat(), source.clone());
        prop_assert!(pieces.len() == 1 || pieces.iter().all(|piece| piece.len() >= MIN));
    }
}
