//! Real packages from npm resolve and compile without an error.
//!
//! They are installed once into `tests/npm` at the workspace's root, from its lock file.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use belay_model::{ImportTarget, ModuleEntry};
use belay_weave::{Block, GraphResult, blocks, resolve_graph};

use crate::support::{Disk, Memory, compile_graph, entry, errors, render};

/// `tests/npm` with its packages installed. Several test processes may ask at once: a file lock
/// lets one of them do it.
fn packages() -> PathBuf {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/npm").canonicalize().unwrap();
    let lock = File::create(directory.join(".install-lock")).unwrap();
    lock.lock().unwrap();
    let installed = directory.join("node_modules/.package-lock.json");
    let newer = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    if newer(&installed) < newer(&directory.join("package-lock.json")) {
        let status = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&directory)
            .status();
        assert!(status.expect("npm is needed for this test").success(), "npm ci failed");
    }
    directory
}

/// Writes an entry that uses a package, beside the packages, and resolves it.
fn resolve(source: &str, extension: &str) -> GraphResult {
    let packages = packages();
    let directory = tempfile::tempdir_in(&packages).unwrap();
    let file = directory.path().join(format!("index.{extension}"));
    std::fs::write(&file, source).unwrap();
    resolve_graph(&Disk, &packages, &[entry(&format!("f = {}#handler", file.display()))])
}

fn check(source: &str) {
    for extension in ["mjs", "ts"] {
        let graph = resolve(source, extension);
        assert!(errors(&graph.diagnostics).is_empty(), "{source}\n{}", render(&graph.diagnostics));
        let compiled = compile_graph(&graph).unwrap_or_else(|e| panic!("{source}\n{}", render(&e)));
        assert!(compiled.modules.len() > 1);
        assert!(errors(&compiled.diagnostics).is_empty());
        graph.modules.iter().for_each(|module| check_blocks(&graph, module));
    }
}

/// Every module is a tree of blocks that holds all of its code.
fn check_blocks(graph: &GraphResult, module: &ModuleEntry) {
    fn size(block: &Block) -> usize {
        block.bytes as usize + block.blocks.iter().map(size).sum::<usize>()
    }
    let source = std::str::from_utf8(&graph.sources[&module.source]).unwrap();
    let tree = blocks(&module.path, module.kind, source);
    let tree = tree.unwrap_or_else(|| panic!("{} has blocks", module.path));
    if module.path.ends_with("js") {
        assert!(size(&tree) <= source.len(), "{}", module.path);
    }
    assert!(tree.lines.1 as usize <= source.lines().count().max(1), "{}", module.path);
}

macro_rules! packages {
    ($($name:ident: $source:literal,)*) => {
        $(#[test]
        fn $name() {
            check(concat!($source, "\nexport const handler = () => 1;"));
        })*
    };
}

packages! {
    zod: "import { z } from 'zod'; globalThis.x = z.object({ a: z.string() });",
    dayjs: "import dayjs from 'dayjs'; import utc from 'dayjs/plugin/utc.js'; dayjs.extend(utc); globalThis.x = dayjs;",
    lodash: "import _, { groupBy } from 'lodash'; import get from 'lodash/get.js'; globalThis.x = [_, groupBy, get];",
    lodash_es: "import { groupBy, chunk } from 'lodash-es'; globalThis.x = [groupBy, chunk];",
    uuid: "import { v4, v5, validate } from 'uuid'; globalThis.x = [v4, v5, validate];",
    validator: "import validator from 'validator'; import isEmail from 'validator/lib/isEmail.js'; globalThis.x = [validator, isEmail];",
    nanoid: "import { nanoid, customAlphabet } from 'nanoid'; globalThis.x = [nanoid, customAlphabet];",
    qs: "import qs, { parse } from 'qs'; globalThis.x = [qs, parse];",
    ms: "import ms from 'ms'; globalThis.x = ms;",
    date_fns: "import { addDays, format } from 'date-fns'; import { de } from 'date-fns/locale'; globalThis.x = [addDays, format, de];",
    superjson: "import superjson from 'superjson'; globalThis.x = superjson;",
    ajv: "import { Ajv } from 'ajv'; globalThis.x = Ajv;",
    jose: "import { SignJWT, jwtVerify } from 'jose'; globalThis.x = [SignJWT, jwtVerify];",
    immer: "import { produce } from 'immer'; globalThis.x = produce;",
    hono: "import { Hono } from 'hono'; globalThis.x = new Hono();",
    mustache: "import Mustache from 'mustache'; globalThis.x = Mustache;",
    decimal_js: "import Decimal from 'decimal.js'; globalThis.x = Decimal;",
    yaml: "import { parse } from 'yaml'; globalThis.x = parse;",
    preact: "import { h } from 'preact'; import render from 'preact-render-to-string'; globalThis.x = [h, render];",
    slugify: "import slugify from 'slugify'; globalThis.x = slugify;",
    semver: "import semver, { satisfies } from 'semver'; globalThis.x = [semver, satisfies];",
    fast_xml_parser: "import { XMLParser } from 'fast-xml-parser'; globalThis.x = XMLParser;",
    tslib: "import { __awaiter } from 'tslib'; globalThis.x = __awaiter;",
}

#[test]
fn the_browser_field_and_conditions_choose_the_web_build() {
    let graph =
        resolve("import { nanoid } from 'nanoid'; export const handler = () => nanoid();", "ts");
    let paths: Vec<_> = graph.modules.iter().map(|module| module.path.as_str()).collect();
    assert!(paths.contains(&"node_modules/nanoid/index.browser.js"), "{paths:?}");
}

#[test]
fn names_of_commonjs_packages_are_found() {
    let graph = resolve(
        "import { parse } from 'qs'; import semver from 'semver'; export const handler = () => [parse, semver];",
        "mjs",
    );
    let compiled = compile_graph(&graph).unwrap();
    let names = |path: &str| {
        let module = compiled.modules.iter().find(|module| module.path == path).unwrap();
        module.export_names.clone()
    };
    assert_eq!(names("node_modules/qs/lib/index.js"), ["formats", "parse", "stringify"]);
    assert!(names("node_modules/semver/index.js").contains(&"satisfies".to_owned()));
}

/// Names that real `cjs-module-lexer` finds in the packages' CommonJS files must be found here too.
#[test]
fn names_agree_with_node() {
    let packages = packages();
    let script = "const { parse, init } = require('cjs-module-lexer'); const fs = require('fs'); \
        const out = {}; for (const f of process.argv.slice(1)) { \
        try { const r = parse(fs.readFileSync(f, 'utf8')); out[f] = r.exports.filter(n => n !== 'default'); } catch { } } \
        console.log(JSON.stringify(out));";
    let files = [
        "qs/lib/index.js",
        "uuid/dist-node/index.js",
        "semver/index.js",
        "ajv/dist/ajv.js",
        "superjson/dist/index.js",
        "validator/index.js",
        "yaml/dist/index.js",
        "tslib/tslib.js",
        "immer/dist/cjs/immer.cjs.development.js",
        "mustache/mustache.js",
    ];
    let existing: Vec<PathBuf> = files
        .iter()
        .map(|f| packages.join("node_modules").join(f))
        .filter(|f| f.exists())
        .collect();
    assert!(existing.len() >= 5, "{existing:?}");
    let output = Command::new("node")
        .arg("-e")
        .arg(script)
        .args(&existing)
        .current_dir(&packages)
        .output()
        .unwrap();
    let theirs: std::collections::BTreeMap<PathBuf, Vec<String>> =
        serde_json::from_slice(&output.stdout).unwrap();
    for (file, theirs) in theirs {
        let text = std::fs::read_to_string(&file).unwrap();
        let graph =
            resolve_graph(&Disk, &packages, &[entry(&format!("f = {}#default", file.display()))]);
        let Ok(compiled) = compile_graph(&graph) else { continue };
        let name = file.strip_prefix(&packages).unwrap().to_string_lossy().into_owned();
        let Some(module) = compiled.modules.iter().find(|module| module.path == name) else {
            continue;
        };
        if module.kind != belay_model::ModuleKind::CommonJs {
            continue;
        }
        let lacking: Vec<_> = theirs.iter().filter(|n| !module.export_names.contains(n)).collect();
        assert!(lacking.is_empty(), "{name} ({} bytes) lacks {lacking:?}", text.len());
    }
}

#[test]
fn a_package_that_needs_node_is_refused_with_its_chain() {
    let files = [
        ("/app/index.mjs", "import { a } from 'a'; export const handler = a;"),
        ("/app/node_modules/a/package.json", r#"{"name":"a","main":"a.js"}"#),
        ("/app/node_modules/a/a.js", "exports.a = require('b');"),
        ("/app/node_modules/b/package.json", r#"{"name":"b","main":"b.js"}"#),
        ("/app/node_modules/b/b.js", "const fs = require('fs'); module.exports = fs;"),
    ];
    let graph =
        resolve_graph(&Memory::of(&files), Path::new("/app"), &[entry("f = index.mjs#handler")]);
    let errors = errors(&graph.diagnostics);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].chain, ["index.mjs", "node_modules/a/a.js", "node_modules/b/b.js"]);
    assert!(
        !graph
            .modules
            .iter()
            .flat_map(|m| &m.imports)
            .any(|edge| matches!(&edge.target, ImportTarget::Module(p) if p.contains("fs")))
    );
}
