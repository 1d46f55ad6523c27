//! Manifests and sources that no CLI of ours would send.

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{
    AppManifest, EnvironmentName, FunctionSpec, Hash, ImportEdge, ImportKind, ImportTarget, Limits,
    ModuleEntry, ModuleKind,
};
use belay_weave::{Loose, Tying, Weave, compile};
use proptest::prelude::*;

fn kind() -> impl Strategy<Value = ModuleKind> {
    prop_oneof![Just(ModuleKind::Esm), Just(ModuleKind::CommonJs), Just(ModuleKind::Json)]
}

fn path() -> impl Strategy<Value = String> {
    let odd = ["", "..", "a/../b.js", "/a.js", "a\\b.js", "a.txt", "a\u{0}.js", ".ts"];
    prop_oneof![
        8 => "[a-c]\\.(js|mjs|cjs|ts|tsx|json)",
        1 => proptest::sample::select(odd.to_vec()).prop_map(str::to_owned),
    ]
}

fn target() -> impl Strategy<Value = ImportTarget> {
    prop_oneof![
        6 => path().prop_map(ImportTarget::Module),
        1 => Just(ImportTarget::Builtin("belay".to_owned())),
        1 => "[a-z]{0,6}".prop_map(ImportTarget::Builtin),
        1 => Just(ImportTarget::Empty),
        1 => ".{0,8}".prop_map(ImportTarget::Missing),
    ]
}

fn edge() -> impl Strategy<Value = ImportEdge> {
    let kind =
        prop_oneof![Just(ImportKind::Import), Just(ImportKind::Dynamic), Just(ImportKind::Require)];
    (prop_oneof!["\\./[a-c]", ".{0,6}"], kind, target())
        .prop_map(|(specifier, kind, target)| ImportEdge { specifier, kind, target })
}

/// Pieces that mean something to this crate, in any order.
fn source() -> impl Strategy<Value = String> {
    let pieces = [
        "import {x} from './a';",
        "import * as n from './b'",
        "export * from './c';",
        "export {y as default} from './a';",
        "export default 1;",
        "require('./a')",
        "module.exports = ",
        "exports.x = ",
        "Object.defineProperty(exports, 'x', ",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "`${",
        "`",
        "'",
        "\"",
        "/",
        "/*",
        "*/",
        "//",
        "\n",
        "\\",
        "<a>",
        "</a>",
        "enum E { A }",
        "interface I {}",
        "export type T = ",
        "@dec class A {}",
        "namespace N {",
        "await import('./b')",
        "#!/bin/sh",
        "ü",
        "\u{2028}",
        "\u{feff}",
        "typeof require",
        "try {",
        "} catch {}",
        "using x = y;",
        "=> ",
        "async ",
        "accessor ",
        "<T>",
        "?.",
        "__export(",
        "{\"a\": [1, null]}",
        "-->",
        "<!--",
        "return",
        "class A extends B { constructor(private x) {} }",
        "yield",
        "\u{0}",
        "0",
        " ",
    ];
    let piece = prop_oneof![
        9 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned),
        1 => ".{0,4}",
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn module() -> impl Strategy<Value = (ModuleEntry, String)> {
    let imports = proptest::collection::vec(edge(), 0..4);
    (path(), kind(), imports, source(), any::<bool>()).prop_map(
        |(path, kind, imports, source, honest)| {
            let hashed = if honest { source.clone() } else { String::new() };
            (ModuleEntry { path, source: Hash::of(hashed.as_bytes()), kind, imports }, source)
        },
    )
}

fn manifest(modules: Vec<ModuleEntry>, entry: String, export: String) -> AppManifest {
    let spec = FunctionSpec {
        module: entry,
        export,
        limits: Limits::default(),
        tags: belay_model::Tags::default(),
    };
    AppManifest {
        app: "hostile".parse().unwrap(),
        functions: BTreeMap::from([("f".parse().unwrap(), spec)]),
        environment: EnvironmentName::default(),
        env: BTreeMap::new(),
        egress: belay_model::EgressPolicy::default(),
        databases: BTreeMap::new(),
        transactions: BTreeMap::new(),
        tags: belay_model::AppTags::default(),
        policy: belay_model::Policy::default(),
        modules,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Diagnostics or code, never a panic; and what compiles is complete.
    #[test]
    fn any_manifest_compiles_or_is_refused(
        modules in proptest::collection::vec(module(), 0..4),
        entry in path(),
        export in "default|x|handler",
    ) {
        let sources: BTreeMap<Hash, Arc<str>> =
            modules.iter().map(|(entry, source)| (entry.source, Arc::from(source.as_str()))).collect();
        let manifest = manifest(modules.into_iter().map(|(entry, _)| entry).collect(), entry, export);
        match compile(&manifest, &|hash| sources.get(hash).cloned()) {
            Ok(compiled) => prop_assert_eq!(compiled.modules.len(), manifest.modules.len()),
            Err(diagnostics) => prop_assert!(!crate::support::errors(&diagnostics).is_empty()),
        }
    }

    /// One module alone, with honest edges for all that it may ask.
    #[test]
    fn any_source_compiles_or_is_refused(source in source(), kind in kind(), path in "a\\.(js|ts|tsx|cts)") {
        let edges = ["./a", "./b", "./c"].into_iter().flat_map(|specifier| {
            [ImportKind::Import, ImportKind::Dynamic, ImportKind::Require].map(|kind| ImportEdge {
                specifier: specifier.to_owned(),
                kind,
                target: ImportTarget::Module(path.clone()),
            })
        });
        let entry = ModuleEntry { path: path.clone(), source: Hash::of(source.as_bytes()), kind, imports: edges.collect() };
        let manifest = manifest(vec![entry], path.clone(), "default".to_owned());
        let text: Arc<str> = Arc::from(source.as_str());
        let first = compile(&manifest, &|_| Some(text.clone())).map(|compiled| compiled.modules[0].code.clone());
        let second = compile(&manifest, &|_| Some(text.clone())).map(|compiled| compiled.modules[0].code.clone());
        prop_assert_eq!(first, second);
    }
}

/// Pieces about which a scanner and a parser may disagree.
const DISGUISES: &[&str] = &[
    "/",
    "/",
    "/",
    "\"",
    "'",
    "`",
    "${",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    "\\",
    "\n",
    "//",
    "/*",
    "*/",
    "<!--",
    "-->",
    "a",
    "1",
    "1.",
    ".5",
    "++",
    "--",
    "!",
    "=>",
    "=",
    "+",
    ";",
    ",",
    ":",
    "?",
    "?.",
    "...",
    ".",
    "<",
    ">",
    "if",
    "while",
    "for",
    "await",
    "yield",
    "return",
    "typeof",
    "of",
    "as",
    "async",
    "function",
    "function*",
    "class",
    "extends",
    "static",
    "let",
    "x = ",
    "a.if",
    "#if",
    "do",
    "else",
    " ",
    "type T = ",
    "interface I ",
    "<T>",
    "satisfies",
    "@",
    "\u{a0}",
    "\u{2028}",
    "#!",
    "in",
    "case",
    "import 'a'",
    "var x",
    "break",
    "\\u",
    "\\u{",
    "\\u{61}",
    "\\]",
    "\\}",
    "\\)",
    "g",
    "\u{feff}",
];

fn disguise() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(DISGUISES).prop_map(str::to_owned);
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever stands before them, brackets without end neither overflow the stack nor compile.
    #[test]
    fn any_disguise_of_endless_nesting_is_survived(
        before in disguise(),
        open in "\\[|\\(|!|\\{|`\\$\\{|a=>|<a>|a\\?|if\\(a\\)",
        path in "a\\.(mjs|cjs|ts|tsx)",
    ) {
        let source = [before.as_str(), &open.repeat(60_000)].concat();
        let kind = if path == "a.cjs" { ModuleKind::CommonJs } else { ModuleKind::Esm };
        let entry =
            ModuleEntry { path: path.clone(), source: Hash::of(b""), kind, imports: Vec::new() };
        let manifest = manifest(vec![entry], path, "default".to_owned());
        let _ = compile(&manifest, &|_| Some(Arc::from(source.as_str())));
    }
}

#[test]
fn every_incoherence_is_named() {
    let good = || ModuleEntry {
        path: "a.mjs".to_owned(),
        source: Hash::of(b""),
        kind: ModuleKind::Esm,
        imports: Vec::new(),
    };
    let check = |modules: Vec<ModuleEntry>, source: &str, expected: &str| {
        let manifest = manifest(modules, "a.mjs".to_owned(), "default".to_owned());
        let errors = compile(&manifest, &|_| Some(Arc::from(source))).unwrap_err();
        assert!(errors.iter().any(|e| e.message.contains(expected)), "{errors:?}");
    };
    check(vec![], "", "names a module that is not there");
    check(vec![good(), good()], "", "same path");
    check(vec![ModuleEntry { path: "../a.mjs".to_owned(), ..good() }], "", "is not a module path");
    check(vec![good()], "import './b.mjs'", "does not say where \"./b.mjs\" leads");
    let edge = |target| ImportEdge { specifier: "x".to_owned(), kind: ImportKind::Import, target };
    let nowhere = edge(ImportTarget::Module("b.mjs".to_owned()));
    check(vec![ModuleEntry { imports: vec![nowhere], ..good() }], "", "it is not there");
    let builtin = edge(ImportTarget::Builtin("fs".to_owned()));
    check(vec![ModuleEntry { imports: vec![builtin], ..good() }], "", "it is not there");
    check(vec![good(); 5_001], "", "at most 5000");
}

#[test]
fn commonjs_cannot_break_out_of_its_function() {
    let entry = ModuleEntry {
        path: "a.cjs".to_owned(),
        source: Hash::of(b""),
        kind: ModuleKind::CommonJs,
        imports: Vec::new(),
    };
    let manifest = manifest(vec![entry], "a.cjs".to_owned(), "default".to_owned());
    for source in ["}); globalThis.x = 1; (function () {", "/*", "`", "})//", "exports.x = 1 //"] {
        let result = compile(&manifest, &|_| Some(Arc::from(source)));
        let expected = source == "exports.x = 1 //";
        assert_eq!(result.is_ok(), expected, "{source}");
    }
}

/// What takes time that grows faster than the source would not end here.
#[test]
fn many_names_are_woven() {
    let names = |value: usize| {
        let one = |n: usize| format!("c{n} = {}", n * value);
        format!("export const {};\n", (0..800).map(one).collect::<Vec<_>>().join(", "))
    };
    let functions = |extra: usize| -> String {
        let one = |n: usize| format!("export function f{n}() {{ return f{}(); }}\n", n + 1);
        (0..400 + extra).map(one).collect::<String>()
            + &format!("export function f{}() {{}}\n", 400 + extra)
    };
    let made = |value: usize| row_of_constants(800, value, "c799");
    for (before, after) in
        [(names(1), names(2)), (functions(0), functions(400)), (made(1), made(2))]
    {
        let weave = weave_main(&before, &after);
        assert!(weave.parts_len() > 0 && weave.mismatches().next().is_none());
        assert_eq!(weave.image_part(), None);
    }
}

/// What one of them comes to would be found anew for each of the others, and in the second pair after each step.
#[test]
fn rows_that_cannot_be_bound_are_given_up() {
    let made = |value| row_of_constants(800, value, "make(c799)");
    let spread: String = made(2).replace(" + 2;", ", make() ];").replace("= c", "= [ ...c");
    for after in [made(2), spread] {
        let weave = weave_main(&made(1), &after);
        assert!(weave.image_part().is_some() && weave.mismatches().next().is_none());
    }
}

/// Constants that are each made of the one before, and what is made of the last one.
fn row_of_constants(len: usize, value: usize, last: &str) -> String {
    let one = |n: usize| format!("const c{n} = c{} + {value};\n", n - 1);
    let rest: String = (1..len).map(one).collect();
    format!("const c0 = {value};\n{rest}const last = {last};\nexport const get = () => last;\n")
}

fn weave_main(before: &str, after: &str) -> Weave {
    let sources = |text: &str| BTreeMap::from([("main.mjs".to_owned(), Arc::from(text))]);
    Loose::read(&sources(before), &sources(after)).weave(Tying::Default)
}

/// Variables that are made of each other, in rings and in long rows.
#[test]
fn what_is_made_of_itself_is_followed_to_an_end() {
    let row = |n: usize| format!("let a{n} = [a{}, a{}]; a{n} = a{}; ", n + 1, n + 2, n + 3);
    let rows: String = (0..400).map(row).collect();
    let plugin = format!(
        "import all from './main.mjs'; var own = own || {{}}; own.x = 1; let p = q, q = p; p.x = 1; {rows} a0.x = 1; \
         const list = [...list, ...a0]; let b = all; let c = b; b = c; export const set = new Set(a0);"
    );
    let main = |n: u8| format!("export const main = () => {n};\n");
    let sources = |all: &[(&str, &str)]| -> BTreeMap<String, Arc<str>> {
        all.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(*text))).collect()
    };
    let after =
        format!("import {{ set }} from './plugin.mjs';\n{}export const more = set;\n", main(2));
    let before = sources(&[("main.mjs", &main(1)), ("plugin.mjs", "export const set = 1;\n")]);
    let after = sources(&[("main.mjs", &after), ("plugin.mjs", &plugin)]);
    let weave = Loose::read(&before, &after).weave(Tying::Default);
    assert!(weave.parts_len() > 0 && weave.mismatches().next().is_none());
}
