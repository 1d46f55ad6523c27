//! Graphs that are easier to build than to write down: limits, odd files, and single files.

use belay_weave::exported_functions;

use crate::support::{compile_graph, errors, graph, render};

#[test]
fn too_many_modules_are_refused() {
    let names: Vec<_> = (0..5_001).map(|n| format!("/app/m{n}.js")).collect();
    let texts: Vec<_> =
        (1..5_002).map(|n| format!("import './m{n}.js'; export const handler = 1;")).collect();
    let files: Vec<_> =
        names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let found = graph(&files, &["f = m0.js#handler"]);
    assert!(
        errors(&found.diagnostics).iter().any(|e| e.code == "too-large"),
        "{}",
        render(&found.diagnostics)
    );
}

#[test]
fn a_long_chain_of_modules_is_followed() {
    let names: Vec<_> = (0..4_000).map(|n| format!("/app/m{n}.js")).collect();
    let texts: Vec<_> =
        (1..4_001).map(|n| format!("export * from './m{}.js';", n % 4_000)).collect();
    let mut files: Vec<_> =
        names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files[3_999].1 = "export const handler = 1; export * from './m0.js';";
    let found = graph(&files, &["f = m0.js#handler"]);
    assert_eq!(found.modules.len(), 4_000, "{}", render(&found.diagnostics));
    assert!(compile_graph(&found).is_ok());
}

#[test]
fn a_file_that_is_too_long_or_no_text_is_refused() {
    let long = format!("export const handler = 1;{}", " ".repeat(16 << 20));
    let found = graph(&[("/app/a.js", &long)], &["f = a.js#handler"]);
    assert_eq!(errors(&found.diagnostics)[0].code, "too-large");
    let memory = std::collections::BTreeMap::from([(
        "/app/a.js".into(),
        crate::support::Node::File(vec![0xff, 0xfe, 0]),
    )]);
    let fs = crate::support::Memory(std::sync::Arc::new(memory));
    let entries = [crate::support::entry("f = a.js#handler")];
    let found = belay_weave::resolve_graph(&fs, std::path::Path::new("/app"), &entries);
    assert_eq!(errors(&found.diagnostics)[0].code, "not-text");
}

#[test]
fn functions_of_a_single_file_are_found() {
    let check = |path: &str, source: &str, expected: &[&str]| {
        assert_eq!(exported_functions(path, source).unwrap(), expected, "{source}");
    };
    check(
        "a.ts",
        "export async function handler() {} export const limit = 1, wrapped = wrap(() => 1);",
        &["handler", "wrapped"],
    );
    check(
        "a.ts",
        "export default (x: number) => x; export class A {} export interface B {}",
        &["default"],
    );
    check("a.js", "function f() {} export { f as g };", &["g"]);
    check("a.js", "exports.handler = async () => 1;", &["handler"]);
    assert_eq!(exported_functions("a.js", "export {").unwrap_err()[0].code, "syntax-error");
    assert_eq!(exported_functions("a.txt", "").unwrap_err()[0].code, "unsupported-file");
}

#[test]
fn the_same_sources_give_the_same_graph() {
    let files = [
        ("/app/a.js", "import './b.js'; export const handler = 1;"),
        ("/app/b.js", "import './a.js';"),
    ];
    let (one, two) = (graph(&files, &["f = a.js#handler"]), graph(&files, &["f = a.js#handler"]));
    assert_eq!(one.modules, two.modules);
    assert!(one.modules.is_sorted_by(|a, b| a.path < b.path));
}
