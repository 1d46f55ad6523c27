//! CommonJS, JSON, and how they and ES modules see each other.

use belay_engine::{Entry, Program, ProgramModule};
use belay_model::{ImportTarget, ModuleKind};

use crate::support::{build, edge, run};

fn target(name: &str) -> ImportTarget {
    match name {
        "belay" => ImportTarget::Builtin("belay".to_owned()),
        "empty" => ImportTarget::Empty,
        name if name.starts_with('?') => ImportTarget::Missing(name[1..].to_owned()),
        path => ImportTarget::Module(path.to_owned()),
    }
}

/// `exports` are the named exports found statically; each of `imports` is a specifier and its target.
fn module(path: &str, code: &str, exports: &[&str], imports: &[(&str, &str)]) -> ProgramModule {
    let kind = match path.rsplit('.').next() {
        Some("cjs") => ModuleKind::CommonJs,
        Some("json") => ModuleKind::Json,
        _ => ModuleKind::Esm,
    };
    let wrapped =
        format!("(function (exports, require, module, __filename, __dirname) {{\n{code}\n}})");
    ProgramModule {
        path: path.to_owned(),
        kind,
        code: if kind == ModuleKind::CommonJs { wrapped } else { code.to_owned() },
        export_names: exports.iter().map(|name| (*name).to_owned()).collect(),
        imports: imports.iter().map(|(s, t)| edge(code, s, target(t))).collect(),
    }
}

/// What the handler of `main.mjs` answers.
fn answer(modules: Vec<ProgramModule>) -> String {
    let entries = vec![Entry { module: "main.mjs".to_owned(), export: "handler".to_owned() }];
    let program = Program { modules, entries, ..Program::default() };
    match build(&program) {
        Ok(built) => run(&built.image, "{}").unwrap_or_else(|failure| panic!("{failure:?}")),
        Err(error) => panic!("{error}: {error:?}"),
    }
}

#[test]
fn an_es_module_imports_commonjs_by_default_and_by_name() {
    let main = "import lib, { a, b } from './lib'; export const handler = () => [lib.a, a, b, typeof lib];";
    let lib = "exports.a = 1; exports.b = __filename + '|' + __dirname + '|' + (this === exports);";
    let modules = vec![
        module("main.mjs", main, &[], &[("./lib", "dir/lib.cjs")]),
        module("dir/lib.cjs", lib, &["a", "b"], &[]),
    ];
    assert_eq!(answer(modules), r#"[1,1,"dir/lib.cjs|dir|true","object"]"#);
}

#[test]
fn cycles_see_what_is_exported_so_far() {
    let main = "import a from './a'; export const handler = () => a;";
    let a = "exports.early = 1; const b = require('./b'); exports.seen = b.seen; exports.late = b.whole.early;";
    let b = "const a = require('./a'); exports.seen = Object.keys(a); exports.whole = a;";
    let modules = vec![
        module("main.mjs", main, &[], &[("./a", "a.cjs")]),
        module("a.cjs", a, &[], &[("./b", "b.cjs")]),
        module("b.cjs", b, &[], &[("./a", "a.cjs")]),
    ];
    assert_eq!(answer(modules), r#"{"early":1,"seen":["early"],"late":1}"#);
}

#[test]
fn a_module_runs_once_and_a_failed_one_again() {
    let main = "import lib from './lib'; export const handler = () => lib.run();";
    let lib = "let tries = 0; globalThis.failures = 0;
        exports.run = () => {
            const attempt = () => { try { return require('./bad') } catch (e) { return e.message } };
            return [require('./once') === require('./once'), attempt(), attempt(), globalThis.failures,
                module.loaded, module.id, require.resolve('./once'), require.cache['once.cjs'].id];
        };";
    let imports = [("./once", "once.cjs"), ("./bad", "bad.cjs")];
    let modules = vec![
        module("main.mjs", main, &[], &[("./lib", "lib.cjs")]),
        module("lib.cjs", lib, &[], &imports),
        module("once.cjs", "module.exports = {};", &[], &[]),
        module("bad.cjs", "globalThis.failures++; throw new Error('bad');", &[], &[]),
    ];
    assert_eq!(answer(modules), r#"[true,"bad","bad",2,true,"lib.cjs","once.cjs","once.cjs"]"#);
}

#[test]
fn what_is_first_required_by_a_request_was_compiled_at_deploy() {
    let main = "import lib from './lib'; export const handler = async () => [lib.lazy(), (await import('./late')).x];";
    let lib =
        "exports.lazy = () => [require('./lazy').v, require('./data').list, require('./esm').x];";
    let modules = vec![
        module("main.mjs", main, &[], &[("./lib", "lib.cjs"), ("./late", "late.mjs")]),
        module(
            "lib.cjs",
            lib,
            &[],
            &[("./lazy", "lazy.cjs"), ("./data", "data.json"), ("./esm", "esm.mjs")],
        ),
        module("lazy.cjs", "exports.v = typeof require;", &[], &[]),
        module("data.json", r#"{"list":[1,2]}"#, &[], &[]),
        module("esm.mjs", "export const x = 'esm';", &[], &[]),
        module("late.mjs", "export const x = 'late';", &[], &[]),
    ];
    assert_eq!(answer(modules), r#"[["function",[1,2],"esm"],"late"]"#);
}

#[test]
fn a_request_imports_commonjs_and_json_dynamically() {
    let main = "export const handler = async () => {
        const lib = await import('./lib');
        return [lib.named, lib.default.named, (await import('./data')).default.list, globalThis.runs];
    };";
    let lib = "globalThis.runs = (globalThis.runs ?? 0) + 1; exports.named = 'n';";
    let modules = vec![
        module("main.mjs", main, &[], &[("./lib", "lib.cjs"), ("./data", "data.json")]),
        module("lib.cjs", lib, &["named"], &[]),
        module("data.json", r#"{"list":[1,2]}"#, &[], &[]),
    ];
    assert_eq!(answer(modules), r#"["n","n",[1,2],1]"#);
}

#[test]
fn commonjs_gets_the_namespace_of_an_es_module() {
    let main = "import lib from './lib'; export const handler = () => lib;";
    let lib = "const plain = require('./plain'), both = require('./both'), own = require('./own');
        module.exports = [Object.keys(plain), plain.__esModule, both.__esModule, both.default, both.named, own];";
    let own =
        "const value = { mine: true }; export { value as 'module.exports' }; export default 1;";
    let modules = vec![
        module("main.mjs", main, &[], &[("./lib", "lib.cjs")]),
        module(
            "lib.cjs",
            lib,
            &[],
            &[("./plain", "plain.mjs"), ("./both", "both.mjs"), ("./own", "own.mjs")],
        ),
        module("plain.mjs", "export const a = 1;", &[], &[]),
        module("both.mjs", "export default 'd'; export const named = 'n';", &[], &[]),
        module("own.mjs", own, &[], &[]),
    ];
    assert_eq!(answer(modules), r#"[["a"],null,true,"d","n",{"mine":true}]"#);
}

#[test]
fn the_builtin_an_empty_and_a_missing_module() {
    let main = "import lib from './lib'; export const handler = () => lib.run();";
    let lib = "exports.run = () => {
            const codeOf = (run) => { try { run(); return 'none' } catch (e) { return [e.name, e.code ?? null, e.message] } };
            return [typeof require('belay').kv.get, Object.keys(require('./none')), codeOf(() => require('fs')),
                codeOf(() => require('./' + 'computed'))[0], codeOf(() => require(5))[0]];
        };";
    let imports = [("belay", "belay"), ("./none", "empty"), ("fs", "?fs")];
    let modules = vec![
        module("main.mjs", main, &[], &[("./lib", "lib.cjs")]),
        module("lib.cjs", lib, &[], &imports),
    ];
    assert_eq!(
        answer(modules),
        r#"["function",[],["Error","MODULE_NOT_FOUND","Cannot find module 'fs', imported by lib.cjs"],"TypeError","TypeError"]"#
    );
}

#[test]
fn a_computed_import_says_what_it_needs() {
    let main = "export const handler = async () => {
            try { await import('./' + 'computed') } catch (e) { return [e.name, e.message.includes('literal specifier')] }
        };";
    assert_eq!(answer(vec![module("main.mjs", main, &[], &[])]), r#"["TypeError",true]"#);
}

#[test]
fn json_modules_have_a_default_export_and_modules_know_their_url() {
    let main = "import data from './data'; export const handler = () => [data, import.meta.url];";
    let modules = vec![
        module("main.mjs", main, &[], &[("./data", "data.json")]),
        module("data.json", r#"{"a":[1]}"#, &[], &[]),
    ];
    assert_eq!(answer(modules), r#"[{"a":[1]},"file:///main.mjs"]"#);
}
