//! Blocks: what makes two pieces of code the same, and the tree that a module is.

use belay_model::ModuleKind;
use belay_weave::{Block, blocks, same_code};
use proptest::prelude::*;

fn same(before: &str, after: &str) -> bool {
    same_code("main.ts", ModuleKind::Esm, before, after)
}

#[track_caller]
fn check_same(before: &str, after: &str) {
    assert!(same(before, after), "{before}\n{after}");
}

#[track_caller]
fn check_other(before: &str, after: &str) {
    assert!(!same(before, after), "{before}\n{after}");
}

#[test]
fn comments_types_and_formatting_are_no_change() {
    check_same("const a = 1", "/** why */\nconst a   =\n 1; // so\n;\n");
    check_same("f('a', \"b\")", "f(\n  \"a\",\n  'b',\n);");
    check_same("const o = {a: 1}", "const o: Record<string, number> = {\n  a: 1,\n};\n");
    check_same("let x = (a + b) * c", "let x = ((a + b)) * (c)");
    check_same("export const f = a => a + 1", "export const f = (a) => (a + 1);");
    check_same("for (;;) g()", "for (; ; ) g();");
    check_same("interface A {}\nf()", "f();");
    check_same("const t = `a${ b }c`", "const t = `a${b}c`;");
}

#[test]
fn whatever_runs_otherwise_is_a_change() {
    check_other("const a = 1", "const a = 2");
    check_other("const a = 1", "let a = 1");
    check_other("f('a')", "f('A')");
    check_other("let x = (a + b) * c", "let x = a + b * c");
    check_other("const f = () => {}", "const f = () => ({})");
    check_other("for (a;;) g()", "for (;a;) g()");
    check_other("f(a, b)", "f((a, b))");
    check_other("const a = [b,,c]", "const a = [b,c]");
    check_other("const t = `a${b}c`", "const t = `a${b} c`");
    check_other("f(); g()", "g(); f()");
    check_other("if (a) b(); c()", "if (a) { b(); c() }");
    check_other("new A", "A()");
    check_other("const a = b\n;[1].map(c)", "const a = b[1].map(c)");
    check_other(
        "async () => { for await (const a of b) c() }",
        "async () => { for (const a of b) c() }",
    );
    check_other("class A { static a() {} }", "class A { a() {} }");
    let same = |kind| same_code("a.js", kind, "'use strict'; f()", "f()");
    assert!(!same(ModuleKind::CommonJs));
    assert!(same(ModuleKind::Esm), "an ES module is strict anyway");
}

#[test]
fn json_is_compared_by_its_values() {
    let same = |a, b| same_code("data.json", ModuleKind::Json, a, b);
    assert!(same("{\"a\":[1,2]}", "{\n  \"a\": [1, 2]\n}\n"));
    assert!(!same("{\"a\":[1,2]}", "{\"a\":[2,1]}"));
    assert!(!same("{", "{ "), "what is no JSON is never the same");
}

fn shown(block: &Block, depth: usize, text: &mut String) {
    let (first, last) = block.lines;
    let name = block.name.as_deref().unwrap_or_default();
    *text += &format!("{:depth$}{:?} {name} {first}-{last} {}\n", "", block.kind, block.bytes);
    block.blocks.iter().for_each(|inner| shown(inner, depth + 2, text));
}

const SHOP: &str = "import { kv } from 'belay';

interface Item { price: number }

const rate = 1.2;
export async function total(items: Item[]): Promise<number> {
  let sum = 0;
  for (const item of items) {
    if (item.price > 0) {
      sum += item.price * rate;
    }
  }
  return sum;
}

class Basket {
  add = (item: Item) => kv.put('item', item);
  count() {
    return 1;
  }
}
export default new Basket();
";

fn tree(code: &str) -> Block {
    blocks("main.ts", ModuleKind::Esm, code).expect("it compiles")
}

#[test]
fn a_module_is_a_tree() {
    let mut text = String::new();
    shown(&tree(SHOP), 0, &mut text);
    insta::assert_snapshot!(text);
}

#[test]
fn a_change_changes_the_addresses_on_the_way_to_it_and_no_others() {
    fn addresses(block: &Block, into: &mut Vec<belay_model::Hash>) {
        into.push(block.hash);
        block.blocks.iter().for_each(|inner| addresses(inner, into));
    }
    let of = |code: &str| {
        let mut all = Vec::new();
        addresses(&tree(code), &mut all);
        all
    };
    let (before, after) = (of(SHOP), of(&SHOP.replace("item.price * rate", "item.price")));
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    // The module, the function, the loop, the branch, and the statement.
    assert_eq!((before.len(), after.len(), changed), (before.len(), before.len(), 5));
    let copied = of(&format!("// moved\n\n{SHOP}"));
    assert_eq!(copied, before, "an address does not know its place");
}

proptest! {
    /// Whatever is given, comparing ends, and what compiles is the same with a comment more.
    #[test]
    fn any_text_can_be_compared(text in "\\PC{0,60}|([a-z(){}\\[\\];,'\"`=> \n]{0,60})") {
        let compiles = blocks("main.ts", ModuleKind::Esm, &text).is_some();
        prop_assert_eq!(same(&text, &format!("{text}\n/* more */\n")), compiles);
    }
}
