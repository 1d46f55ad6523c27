//! What in an app needs what, as far as its code tells.

use std::{fmt::Write as _, path::Path, sync::Arc};

use belay_model::{DependencyGraph, EdgeKind, NodeKind, Tags};
use belay_weave::{
    BlockKind, Detail, GraphResult, Packages, app_tags, dependencies, resolve_graph,
};
use proptest::prelude::*;

use crate::support::{Disk, entry, errors, graph, manifest, render};

fn of(
    found: &GraphResult,
    packages: Packages,
    change: impl Fn(&mut belay_model::AppManifest),
) -> DependencyGraph {
    in_detail(found, Detail { packages, blocks: false }, change)
}

fn with_blocks(found: &GraphResult) -> DependencyGraph {
    in_detail(found, Detail { packages: Packages::Named, blocks: true }, |_| {})
}

fn in_detail(
    found: &GraphResult,
    detail: Detail,
    change: impl Fn(&mut belay_model::AppManifest),
) -> DependencyGraph {
    assert!(errors(&found.diagnostics).is_empty(), "{}", render(&found.diagnostics));
    let mut manifest = manifest(found);
    change(&mut manifest);
    let source = |hash: &belay_model::Hash| {
        found.sources.get(hash).map(|bytes| Arc::from(String::from_utf8(bytes.clone()).unwrap()))
    };
    let (tags, _) = app_tags(&manifest, &source);
    dependencies(&manifest, &source, &tags, detail)
}

/// Every list of the graph, a line an item; every edge leads from a node to a node.
fn shown(graph: &DependencyGraph) -> String {
    let mut text = String::new();
    for node in &graph.nodes {
        let lines = node.lines.map(|(first, last)| format!(" {first}-{last}")).unwrap_or_default();
        writeln!(text, "{} ({:?}{lines})", node.id, node.kind).unwrap();
    }
    let known = |id: &String| assert!(graph.nodes.iter().any(|node| node.id == *id), "{id}");
    for edge in &graph.edges {
        known(&edge.from);
        known(&edge.to);
        writeln!(text, "{} {:?} {} {}", edge.from, edge.kind, edge.to, edge.names.join(", "))
            .unwrap();
    }
    for state in &graph.state {
        state.writers.iter().chain(&state.readers).for_each(known);
        let (writers, readers) = (state.writers.join(", "), state.readers.join(", "));
        writeln!(text, "{}:{} {}: {writers} | {readers}", state.module, state.line, state.name)
            .unwrap();
    }
    text
}

fn check(files: &[(&str, &str)], entries: &[&str]) -> String {
    shown(&of(&graph(files, entries), Packages::Named, |_| {}))
}

/// Calls and uses alone, as `from → to`.
fn calls(source: &str) -> Vec<String> {
    let found = graph(&[("/app/a.js", source)], &["f = a.js#f"]);
    let graph = of(&found, Packages::Named, |_| {});
    let edges =
        graph.edges.iter().filter(|edge| matches!(edge.kind, EdgeKind::Calls | EdgeKind::Uses));
    let name = |id: &str| id.trim_start_matches("a.js#").to_owned();
    edges.map(|edge| format!("{} {:?} {}", name(&edge.from), edge.kind, name(&edge.to))).collect()
}

#[test]
fn the_shop() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop");
    // Its packages are not installed: what is not there is left out.
    let entries = [
        "catalog = src/catalog.ts#catalog",
        "orders = src/orders.ts#orders",
        "refund = src/refund.ts#refund",
        "notify = src/notify.ts#notify",
    ];
    let entries: Vec<_> = entries.iter().map(|line| entry(line)).collect();
    let found = resolve_graph(&Disk, &root.canonicalize().unwrap(), &entries);
    insta::assert_snapshot!(shown(&of(&found, Packages::Named, |_| {})));
}

#[test]
fn blocks_need_each_other_by_the_variables_that_pass_between_them() {
    let source = "import { kv } from 'belay';\n\
        let count = 0;\n\
        const table = build();\n\
        function build() { return new Map(); }\n\
        export async function f({ items, rate }) {\n\
          const first = items[0];\n\
          let total = 0;\n\
          for (const item of items) {\n    const price = item.price * rate;\n    total += price;\n    if (price > 9) { count += 1; }\n  }\n\
          type T = string;\n\
          if (total > 10) {\n    /** @depends stripe */\n    await kv.put('big', total);\n  } else {\n    build();\n  }\n\
          const all = items.map((item) => {\n    const name = item.name + first;\n    return label(name);\n  });\n\
          function label(name) {\n    return name + count;\n  }\n\
          const { a, b: [c = first] } = all;\n\
          switch (a) {\n    case 1:\n      return c;\n    default:\n      throw new Error(total);\n  }\n\
        }\n";
    let found = graph(&[("/app/a.ts", source)], &["f = a.ts#f"]);
    insta::assert_snapshot!(shown(&with_blocks(&found)));
}

/// Blocks are counted as [`belay_weave::blocks`] cuts them.
#[test]
fn blocks_are_those_of_the_tree() {
    let source = "if (a) f(); else if (b) { g(); h(); } else h();\n\
        f();\nlabel: for (;;) { if (b) break label; }\n{ f(); }\ng(); ;h();\n\
        class A { static { f(); } m() { try { f(); } catch { g(); } finally { h(); } } }\n\
        const k = () => { while (a) do f(); while (b); };\n\
        export function f() { return a; }\nexport const a = 1, b = 2;\nfunction g() {}\nfunction h() {}\n";
    let found = graph(&[("/app/a.js", source)], &["f = a.js#f"]);
    let graph = with_blocks(&found);
    let mut nodes: Vec<_> = graph.nodes.iter().filter(|node| node.within.is_some()).collect();
    nodes.sort_by_key(|node| node.lines);
    let kinds = |kind| nodes.iter().filter(|node| node.kind == kind).count();
    let tree = belay_weave::blocks("a.js", belay_model::ModuleKind::Esm, source).unwrap();
    assert_eq!(kinds(NodeKind::Run), count(&tree, BlockKind::Run));
    assert_eq!(kinds(NodeKind::Loop), count(&tree, BlockKind::Loop));
    assert_eq!(kinds(NodeKind::Branch), count(&tree, BlockKind::Branch));
}

fn count(block: &belay_weave::Block, kind: BlockKind) -> usize {
    let inner: usize = block.blocks.iter().map(|inner| count(inner, kind)).sum();
    usize::from(block.kind == kind) + inner
}

#[test]
fn cycles_of_modules_and_of_calls() {
    insta::assert_snapshot!(check(
        &[
            (
                "/app/a.js",
                "import { even } from './b.js';\nexport function f(n) { return even(n); }\nexport function odd(n) { return n !== 0 && even(n - 1); }\nexport * from './b.js';\n"
            ),
            (
                "/app/b.js",
                "import { odd } from './a.js';\nexport function even(n) { return n === 0 || odd(n - 1); }\nexport function self() { return self(); }\nexport * from './a.js';\nself();\n"
            ),
        ],
        &["f = a.js#f", "g = a.js#even"],
    ));
}

#[test]
fn names_are_followed_through_imports_exports_and_require() {
    insta::assert_snapshot!(check(
        &[
            (
                "/app/a.ts",
                "import def, { one as uno, type T } from './lib';\nimport * as lib from './lib';\nimport old from './old.cjs';\nimport { kv } from 'belay';\nimport { z } from 'zod';\n\
                 export async function f(t: T) {\n  uno();\n  lib.two();\n  lib.missing();\n  def();\n  old.three();\n  const { three } = await import('./old.cjs');\n  three();\n  await kv.get('a');\n  return z.string();\n}\n",
            ),
            (
                "/app/lib.ts",
                "export interface T {}\nexport { two } from './deep';\nfunction first() {}\nexport { first as one };\nexport default () => first();\n",
            ),
            ("/app/deep.ts", "export const two = function inner() { return inner; };\n"),
            (
                "/app/old.cjs",
                "const deep = require('./older.cjs');\nconst { five } = require('./older.cjs');\nfunction three() { deep.four(); five(); }\nmodule.exports = { three };\n",
            ),
            ("/app/older.cjs", "exports.four = () => {};\nexports.five = function () {};\n"),
            ("/app/node_modules/zod/package.json", "{ \"name\": \"zod\", \"main\": \"index.js\" }"),
            ("/app/node_modules/zod/index.js", "exports.z = require('./lib/z.js');"),
            ("/app/node_modules/zod/lib/z.js", "exports.string = () => {};"),
        ],
        &["f = a.ts#f"],
    ));
}

#[test]
fn packages_are_told_module_by_module_if_asked() {
    let files = [
        ("/app/a.js", "import { z } from '@s/zod';\nexport const f = () => z();\n"),
        (
            "/app/node_modules/@s/zod/package.json",
            "{ \"name\": \"@s/zod\", \"main\": \"index.js\" }",
        ),
        ("/app/node_modules/@s/zod/index.js", "exports.z = require('./z.js');"),
        ("/app/node_modules/@s/zod/z.js", "module.exports = () => {};"),
    ];
    let found = graph(&files, &["f = a.js#f"]);
    insta::assert_snapshot!(shown(&of(&found, Packages::Whole, |_| {})));
    let named = of(&found, Packages::Named, |_| {});
    let packages: Vec<_> =
        named.nodes.iter().filter(|node| node.kind == NodeKind::Package).collect();
    assert_eq!(packages.len(), 1);
    assert_eq!(packages[0].id, "package:@s/zod");
}

#[test]
fn a_call_is_told_where_its_callee_is_certain() {
    assert_eq!(calls("export function f() { g(); }\nfunction g() {}"), ["f Calls g"]);
    assert_eq!(calls("export const f = () => [1].map(g);\nconst g = (n) => n;"), ["f Uses g"]);
    assert_eq!(calls("export const f = () => [1].map(() => g());\nfunction g() {}"), ["f Calls g"]);
    assert_eq!(calls("export const f = (g) => g();\nfunction g() {}"), Vec::<String>::new());
    assert_eq!(calls("export function f() { f(); }"), ["f Calls f"]);
    assert_eq!(
        calls("export const f = wrap(async () => g());\nfunction g() {}\nfunction wrap() {}"),
        ["f Calls g", "f Calls wrap"]
    );
    assert_eq!(calls("export function f() { new A(); }\nclass A {}"), ["f Calls A"]);
    assert_eq!(
        calls(
            "export class f { a() { this.b(); [1].map(() => this.b); } b() { (function () { this.a(); }); } }"
        ),
        ["f.a Calls f.b"]
    );
    assert_eq!(
        calls("export function f() { const g = () => h(); g(); }\nfunction h() {}"),
        ["f Calls f.g", "f.g Calls h"]
    );
    assert_eq!(calls("export function f() { g.call(1); g?.(); }\nfunction g() {}"), ["f Calls g"]);
    assert_eq!(calls("function g() {}\nexport { g as f };"), Vec::<String>::new());
}

#[test]
fn variables_that_functions_share() {
    insta::assert_snapshot!(check(
        &[
            (
                "/app/a.js",
                "import { cache, hits } from './state.js';\nlet count = 0;\nlet alone = 0;\nconst fixed = 1;\nconst list = [];\nlet taken;\n\
                 export function f() { count += 1; cache.set('a', fixed); list.push(1); return hits; }\n\
                 export function g() { alone++; list[0] = 2; ({ taken } = { taken: 1 }); return count + fixed + cache.size; }\n\
                 export const h = () => [taken, list.length, (count) => count];\ncount = 2;\n",
            ),
            (
                "/app/state.js",
                "export const cache = new Map();\nexport let hits = 0;\nexport function hit() { hits++; }\n"
            ),
        ],
        &["f = a.js#f", "g = a.js#g"],
    ));
}

#[test]
fn what_authors_say() {
    let found = graph(
        &[
            (
                "/app/src/a.js",
                "import './b.js';\n/** @depends g, ./b, helper, elsewhere, stripe */\nexport async function f() {\n  /** @depends src/b.js */\n  const one = 1;\n  return one;\n}\nfunction helper() {}\nexport const g = 1;\nclass A {\n  /** @depends test.f */\n  run() {}\n}\n",
            ),
            ("/app/src/b.js", "export function elsewhere() {}\n"),
        ],
        &["f = src/a.js#f", "g = src/a.js#g"],
    );
    let graph = of(&found, Packages::Named, |manifest| {
        let spec = manifest.functions.values_mut().next().unwrap();
        spec.tags = Tags { depends: vec!["database".to_owned()], ..Tags::default() };
    });
    let declared = graph.edges.iter().filter(|edge| edge.kind == EdgeKind::Depends);
    let declared: Vec<_> = declared.map(|edge| format!("{} → {}", edge.from, edge.to)).collect();
    insta::assert_snapshot!(declared.join("\n"));
}

proptest! {
    /// Whatever the code, the graph ends, and its edges lead to its nodes.
    #[test]
    fn any_code_has_a_graph(parts in prop::collection::vec(
        "(function f\\(\\) \\{|\\}|f\\(\\);|const f = |\\(\\) => |class A \\{|export |import \\* as a from './a.js';|a\\.f\\(\\);|this\\.f\\(\\);|let x = 1;|x\\.push\\(f\\);|\\{ f\\(\\) \\{\\} \\};|\n)",
        0..12,
    )) {
        let source = format!("{}\nexport const handler = () => 1;", parts.concat());
        let found = graph(&[("/app/a.js", &source)], &["f = a.js#handler"]);
        if errors(&found.diagnostics).is_empty() {
            shown(&of(&found, Packages::Named, |_| {}));
        }
    }
}
