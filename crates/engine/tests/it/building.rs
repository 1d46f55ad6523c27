//! Making an image: modules of every kind, and what is refused or warned of at deploy.

use belay_engine::{BuildError, Entry, NoteKind, Program, ProgramModule};
use belay_model::{BUILTIN_EXPORTS, Category, ImportTarget, ModuleKind};

use crate::support::{build, edge, module, program, run};

fn common_js(
    path: &str,
    body: &str,
    names: &[&str],
    imports: &[(&str, ImportTarget)],
) -> ProgramModule {
    ProgramModule {
        path: path.to_owned(),
        kind: ModuleKind::CommonJs,
        code: format!(
            "(function (exports, require, module, __filename, __dirname) {{\n{body}\n}})"
        ),
        export_names: names.iter().map(|n| (*n).to_owned()).collect(),
        imports: imports.iter().map(|(s, t)| edge(body, s, t.clone())).collect(),
    }
}

fn to(path: &str) -> ImportTarget {
    ImportTarget::Module(path.to_owned())
}

fn of_modules(modules: Vec<ProgramModule>) -> Program {
    let entries = vec![Entry { module: "main.js".to_owned(), export: "handler".to_owned() }];
    Program { modules, entries, ..Program::default() }
}

fn result(modules: Vec<ProgramModule>) -> String {
    let built = build(&of_modules(modules));
    run(&built.expect("it builds").image, "{}").expect("it runs")
}

#[test]
fn modules_of_every_kind_work_together() {
    let main = module(
        "main.js",
        "import { twice, default as all } from './cjs';
         import data from './data.json';
         import * as other from './other.js';
         export const handler = async () =>
            [twice(4), all.name, data.n, other.answer, (await import('./lazy.js')).lazy, import.meta.url];",
        &[("./cjs", "cjs.js"), ("./data.json", "data.json"), ("./other.js", "other.js"), ("./lazy.js", "lazy.js")],
    );
    let cjs = common_js(
        "cjs.js",
        "const inner = require('./inner'); exports.twice = (n) => inner.times * n; exports.name = __filename;",
        &["twice", "name"],
        &[("./inner", to("inner.js"))],
    );
    let inner = common_js("inner.js", "module.exports = { times: 2 }", &["times"], &[]);
    let data = ProgramModule {
        path: "data.json".to_owned(),
        kind: ModuleKind::Json,
        code: r#"{"n":5}"#.to_owned(),
        ..cjs.clone()
    };
    let other = module("other.js", "export const answer = 42", &[]);
    let lazy = module("lazy.js", "export const lazy = 'lazy'", &[]);
    let result = result(vec![main, cjs, inner, data, other, lazy]);
    assert_eq!(result, r#"[8,"cjs.js",5,42,"lazy","file:///main.js"]"#);
}

#[test]
fn a_lazy_require_works_at_request_time() {
    let main = common_js(
        "main.js",
        "exports.handler = () => { try { require('./absent') } catch (e) { return [require('./lazy').v, e.code] } }",
        &["handler"],
        &[("./lazy", to("lazy.js")), ("./absent", ImportTarget::Missing("./absent".to_owned()))],
    );
    let lazy = common_js("lazy.js", "exports.v = 'lazy'", &["v"], &[]);
    assert_eq!(result(vec![main, lazy]), r#"["lazy","MODULE_NOT_FOUND"]"#);
}

#[test]
fn what_is_only_imported_at_request_time_finds_the_built_in_modules() {
    let main = module(
        "main.js",
        "export const handler = async () => {
            const { kv } = await import('belay');
            const { log } = await import('./lazy.js');
            return [typeof kv, typeof log] }",
        &[("belay", "belay"), ("./lazy.js", "lazy.js")],
    );
    let lazy = ProgramModule {
        imports: vec![
            edge("", "belay", ImportTarget::Builtin("belay".to_owned())),
            edge("", "./none", ImportTarget::Empty),
        ],
        ..module("lazy.js", "import none from './none'; export { log } from 'belay'", &[])
    };
    assert_eq!(result(vec![main, lazy]), r#"["object","function"]"#);
}

#[test]
fn cyclic_imports_work() {
    let main = module(
        "main.js",
        "import { b } from './b.js'; export const a = () => 'a'; export const handler = () => b()",
        &[("./b.js", "b.js")],
    );
    let b = module(
        "b.js",
        "import { a } from './main.js'; export const b = () => a() + 'b'",
        &[("./main.js", "main.js")],
    );
    assert_eq!(result(vec![main, b]), r#""ab""#);
}

/// Deploys are checked against this list, and users read those types.
#[test]
fn the_built_in_module_exports_what_its_types_declare() {
    let code = "import * as belay from 'belay'; import all from 'belay';
         const there = (module) => Object.keys(module).filter((name) => module[name]).sort();
         export const handler = () => [there(belay), there(all)]";
    let names: Vec<&str> = BUILTIN_EXPORTS.into_iter().collect();
    let types = include_str!("../../../../npm/index.d.ts").lines().filter_map(|line| {
        let value = line.strip_prefix("export const ").or(line.strip_prefix("export class "))?;
        value.split([':', ' ']).next()
    });
    let sorted = |mut names: Vec<&str>| -> Vec<String> {
        names.sort_unstable();
        names.into_iter().map(str::to_owned).collect()
    };
    let declared = sorted(types.collect());
    assert_eq!(sorted(names.iter().copied().filter(|name| *name != "default").collect()), declared);
    let built = build(&of_modules(vec![module("main.js", code, &[("belay", "belay")])]));
    let answer = run(&built.expect("it builds").image, "{}").expect("it runs");
    let found: [Vec<String>; 2] = serde_json::from_str(&answer).expect("two lists");
    assert_eq!(found, [sorted(names), declared]);
}

#[test]
fn env_is_part_of_the_image() {
    let mut with = program(
        "import { env } from 'belay';
         const at_deploy = process.env.NAME;
         export const handler = () => [at_deploy, process.env.NAME, env.NAME]",
        &["handler"],
    );
    with.env.insert("NAME".to_owned(), "value".to_owned());
    let image = build(&with).expect("it builds").image;
    assert_eq!(run(&image, "{}"), Ok(r#"["value","value","value"]"#.to_owned()));
    with.env.insert("NAME".to_owned(), "other".to_owned());
    assert_ne!(build(&with).expect("it builds").image.hash(), image.hash());
}

#[test]
fn top_level_code_that_throws_names_its_place() {
    let Err(BuildError::Module { failure, .. }) =
        build(&program("const a = 1;\nnull.x;", &["handler"]))
    else {
        panic!("it is refused")
    };
    assert_eq!((failure.category, failure.error_type.as_str()), (Category::Exception, "TypeError"));
    assert!(failure.stack[0].contains("main.js:2:"), "{:?}", failure.stack);
}

#[test]
fn what_is_thrown_without_a_stack_names_the_module_that_was_loaded() {
    let Err(BuildError::Module { module, failure }) = build(&program("throw 5", &["handler"]))
    else {
        panic!("it is refused")
    };
    assert_eq!((module.as_deref(), failure.stack.len()), (Some("main.js"), 0));
}

#[test]
fn effects_at_top_level_are_refused() {
    for (code, effect) in [
        ("import { kv } from 'belay';\nawait kv.get('a');", "kv.get"),
        ("await fetch('https://example.com');", "http.fetch"),
        ("setTimeout(() => {}, 1);", "timer"),
    ] {
        let Err(BuildError::Effect { op, stack }) = build(&program(code, &["handler"])) else {
            panic!("{code} is refused")
        };
        assert_eq!(op, effect);
        assert!(stack.iter().any(|frame| frame.contains("main.js")), "{stack:?}");
    }
}

#[test]
fn an_effect_at_top_level_whose_refusal_is_caught_is_noted_once() {
    let code = "import { kv, BelayError } from 'belay';\nlet kind;\n\
                for (let i = 0; i < 1000; i++) try { await kv.get('a') } catch (e) { kind = e instanceof BelayError }\n\
                export const handler = () => kind";
    let built = build(&program(code, &["handler"])).expect("it builds");
    let [note] = built.notes.as_slice() else { panic!("{:?}", built.notes) };
    assert_eq!(note.kind, NoteKind::Effect("kv.get".to_owned()));
    assert!(note.stack.iter().any(|frame| frame.contains("main.js:3:")), "{note:?}");
    assert_eq!(run(&built.image, "{}"), Ok("true".to_owned()));
}

#[test]
fn clock_and_randomness_at_top_level_are_noted() {
    let code = "const t = Date.now();\nconst d = new Date();\nconst r = Math.random();\nconst u = crypto.randomUUID();\n\
                export const handler = () => 1";
    let notes = build(&program(code, &["handler"])).expect("it builds").notes;
    let at = |kind, line: &str| {
        notes.iter().any(|n| n.kind == kind && n.stack.iter().any(|frame| frame.contains(line)))
    };
    assert!(at(NoteKind::Clock, "main.js:1:"), "{notes:?}");
    assert!(at(NoteKind::Clock, "main.js:2:"), "{notes:?}");
    assert!(at(NoteKind::Random, "main.js:3:"), "{notes:?}");
    assert!(at(NoteKind::Random, "main.js:4:"), "{notes:?}");
}

#[test]
fn what_is_not_there_or_does_not_end_is_refused() {
    let refused = |code: &str| build(&program(code, &["handler"])).err().expect("it is refused");
    assert!(matches!(refused("export const other = 1"), BuildError::NoSuchExport { entry: 0, .. }));
    assert!(matches!(
        refused("export const handler = 1"),
        BuildError::NotAFunction { entry: 0, .. }
    ));
    assert!(matches!(refused("await new Promise(() => {})"), BuildError::NeverSettles { .. }));
    assert!(matches!(
        refused("const f = () => f() + 1; f()"),
        BuildError::Limit { failure, .. } if failure.category == Category::StackOverflow
    ));
    assert!(matches!(
        refused("const a = []; for (;;) a.push(new Array(10000).fill(1))"),
        BuildError::Limit { failure, .. } if failure.category == Category::OutOfMemory
    ));
    assert!(matches!(refused("Promise.reject(new Error('x'))"), BuildError::Module { .. }));
}
