//! Sources that nest without end are refused, and those just below the bound do not overflow the
//! stack.

use std::sync::Arc;

use belay_model::ModuleKind;
use belay_weave::{Detail, GraphResult, Packages, compile, dependencies, tags};

use crate::support::{compile_graph, errors, graph, manifest, render};

/// Shapes that make a parser recurse: a part before and a part after, repeated around a middle.
const SHAPES: &[(&str, &str, &str)] = &[
    ("[", "1", "]"),
    ("(", "1", ")"),
    ("({a:", "1", "})"),
    ("f(", "1", ")"),
    ("!", "1", ""),
    ("- ", "1", ""),
    ("typeof ", "1", ""),
    ("new ", "a", ""),
    ("a => ", "1", ""),
    ("() => { return ", "1", "}"),
    ("function(){ return ", "1", "}"),
    ("a ? b : ", "1", ""),
    ("a ? ", "1", " : b"),
    ("a ? (", "1", ") : b"),
    ("(a = ", "1", ") => 1"),
    ("async (", "1", ")"),
    ("(a, ", "1", ")"),
    ("<T>(", "1", ")"),
    ("a = ", "1", ""),
    ("1 + ", "1", ""),
    ("1 ** ", "1", ""),
    ("a && ", "1", ""),
    ("a ?? ", "1", ""),
    ("`${", "1", "}`"),
    ("", "a", ".b"),
    ("", "a", "()"),
    ("", "a", "`x`"),
    ("", "a", "?.b"),
    ("class extends ", "A", "{}"),
];

const STATEMENTS: &[(&str, &str, &str)] = &[
    ("{", "", "}"),
    ("if (a) ", ";", ""),
    ("if (a) ; else ", ";", ""),
    ("if (a) {} else ", ";", ""),
    ("for (;;) ", ";", ""),
    ("while (a) ", ";", ""),
    ("do ", ";", " while (a);"),
    ("try {", "", "} catch {}"),
    ("switch (a) { case 1: ", "", "}"),
    ("function f() {", "", "}"),
    ("if (a) if (b) x, (function () {", "", "})"),
    ("class A { static {", "", "} }"),
];

const TYPES: &[(&str, &str, &str)] = &[
    ("A<", "B", ">"),
    ("[", "B", "]"),
    ("{ a: ", "B", "}"),
    ("(x: ", "B", ") => void"),
    ("A extends B ? C : ", "D", ""),
    ("A | ", "B", ""),
    ("", "A", "[]"),
    ("keyof ", "A", ""),
];

fn nested(shape: &(&str, &str, &str), depth: usize) -> String {
    [shape.0.repeat(depth), shape.1.to_owned(), shape.2.repeat(depth)].concat()
}

/// Resolves and compiles; whether it was accepted. Whatever happens, the process survives.
fn check(path: &str, source: &str) -> bool {
    let file = format!("/app/{path}");
    let runtime = ("/app/node_modules/react/jsx-runtime.js", "exports.jsx = () => {};");
    let graph = graph(&[(&file, source), runtime], &[&format!("f = {path}#handler")]);
    let known = ["too-deep", "syntax-error", "no-such-handler"];
    let errors = errors(&graph.diagnostics);
    assert!(
        errors.iter().all(|e| known.contains(&e.code.as_str())),
        "{}",
        render(&graph.diagnostics)
    );
    if errors.is_empty() {
        assert!(compile_graph(&graph).is_ok());
        look_into(path, source, &graph);
    }
    errors.is_empty()
}

/// What reads the source as it was written has to survive it too.
fn look_into(path: &str, source: &str, graph: &GraphResult) {
    let manifest = manifest(graph);
    let text: Arc<str> = source.into();
    let detail = Detail { packages: Packages::Named, blocks: true };
    dependencies(&manifest, &|_| Some(text.clone()), &[], detail);
    let kind = manifest.modules.iter().find(|module| module.path == path).unwrap().kind;
    let (tagged, _) = tags(path, kind, &format!("{source}\n;\n/** @rollback fine */\nlast();\n"));
    assert_eq!(tagged.len(), 1);
    let deep = format!("/** @transaction t\n * @success {source} */\nasync function f() {{}}");
    tags("index.ts", ModuleKind::Esm, &deep);
}

fn sources(depth: usize) -> impl Iterator<Item = (&'static str, String)> {
    let expressions = SHAPES.iter().flat_map(move |shape| {
        let source = format!("export const handler = x;\nlet x = {}", nested(shape, depth));
        [("index.mjs", source.clone()), ("index.ts", source.clone()), ("index.tsx", source)]
    });
    let statements = STATEMENTS.iter().flat_map(move |shape| {
        let source = format!("exports.handler = 1;\n{}", nested(shape, depth));
        [("index.cjs", source.clone()), ("index.cts", source)]
    });
    let types = TYPES.iter().map(move |shape| {
        (
            "index.ts",
            format!("export const handler = 1;\nexport type T = {};", nested(shape, depth)),
        )
    });
    let jsx = std::iter::once((
        "index.tsx",
        format!("export const handler = {};", nested(&("<a>", "", "</a>"), depth)),
    ));
    expressions.chain(statements).chain(types).chain(jsx)
}

#[test]
fn endless_nesting_is_refused() {
    for (path, source) in sources(100_000) {
        assert!(!check(path, &source), "accepted: {path} {}", &source[..80]);
    }
}

/// Most shapes reach the bound at a different depth, so that several are tried; each must either be
/// refused or pass through all stages on the stack that it was promised.
#[test]
fn nesting_below_the_bound_is_survived() {
    for depth in [1_000, 3_300, 6_600, 9_900, 19_000] {
        for (path, source) in sources(depth) {
            check(path, &source);
        }
    }
}

#[test]
fn ordinary_nesting_is_accepted() {
    for (path, source) in sources(40) {
        let broken = ["class extends ", "new ", "a => ", "- ", "!", "typeof ", "<T>"];
        let accepted = check(path, &source);
        assert!(accepted || broken.iter().any(|b| source.contains(b)), "{path} {source}");
    }
}

/// The scan must see brackets where the parser sees them, whatever is hidden in strings and regular
/// expressions.
#[test]
fn a_misleading_source_is_refused_all_the_same() {
    let brackets = "[".repeat(60_000);
    let disguises = [
        "x = a++ /\"/ ",
        "x = {} /\"/ ",
        "if (a) /\"/ + ",
        "x = (a) /\"/ ",
        "x = yield /\"/ ",
        "`${ /`/ }`, ",
        "x = ...await /\"/, ",
        "x = a.return /\"/ ",
        "<!--\n",
        "x\n-->\"\n",
        "return\u{a0}/\"/ + ",
        "/[/\"]/ + ",
        "/\\/\"/ + ",
        "'\\\r\n\"' + ",
        "#!\"\n",
    ];
    for disguise in disguises {
        for (before, after) in [("", ""), ("async function* f() { ", "")] {
            let source = format!("{before}{disguise}{brackets}{after}");
            for path in ["index.cjs", "index.mjs", "index.ts"] {
                assert!(!check(path, &source), "{path} {disguise}");
            }
        }
    }
}

#[test]
fn a_large_flat_file_is_no_nesting() {
    let table: String =
        (0..60_000).map(|n| format!("  [\"k{n}\", {{ a: {n}, b: /x[/]\"/g }}],\n")).collect();
    let functions: String = (0..20_000)
        .map(|n| format!("function f{n}(a) {{ if (a) {{ return a / 2 / 3; }} /re\"/.test(a); return `${{a}}`; }}\nf{n}(1);\n"))
        .collect();
    let source =
        format!("const table = [\n{table}];\n{functions}\nexports.handler = () => table;\n");
    assert!(check("index.cjs", &source));
}

#[test]
fn an_upload_is_checked_as_well() {
    let source = format!("export const handler = {}", "[".repeat(100_000));
    let mut graph =
        graph(&[("/app/index.mjs", "export const handler = 1;")], &["f = index.mjs#handler"]);
    graph.modules[0].source = belay_model::Hash::of(source.as_bytes());
    let result = compile(&manifest(&graph), &|_| Some(source.as_str().into()));
    assert_eq!(result.unwrap_err()[0].code, "too-deep");
}
