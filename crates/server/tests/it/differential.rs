//! Every fixture of the weaver in the engine: with all arms at one version, its `main` answers what that version does.

use std::{fs, path::Path};

use belay_model::{ImportEdge, ImportKind, ImportTarget, ModuleKind};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{App, Server};

/// One version of a fixture: all files of a directory, or the one of that name beside it.
fn version(app: &str, fixture: &Path, name: &str) -> App {
    let directory = fixture.join(name);
    let files = if directory.is_dir() { &directory } else { fixture };
    let files = fs::read_dir(files).unwrap().map(|entry| entry.unwrap().path());
    let own = files.filter(|file| directory.is_dir() || file.file_stem().unwrap() == name);
    let modules: Vec<(String, String)> = own
        .map(|file| {
            let extension = file.extension().unwrap().to_str().unwrap();
            let name = file.file_name().unwrap().to_str().unwrap();
            let path =
                if directory.is_dir() { name.to_owned() } else { format!("main.{extension}") };
            (path, fs::read_to_string(&file).unwrap())
        })
        .collect();
    let mut app = App::new(app);
    for (path, code) in &modules {
        app = app.module(path, code, &[]);
        let module = app.manifest.modules.last_mut().unwrap();
        if path.ends_with(".cjs") {
            module.kind = ModuleKind::CommonJs;
        }
        let others = modules.iter().map(|(other, _)| (format!("./{other}"), other.clone()));
        let path = ["path", "node:path"].map(|name| (name.to_owned(), "node_path.cjs".to_owned()));
        module.imports = imports(code, others.chain(path));
    }
    app = app.module("node_path.cjs", "exports.join = (...names) => names.join('/');", &[]);
    app.manifest.modules.last_mut().unwrap().kind = ModuleKind::CommonJs;
    app.manifest.modules.sort_by(|a, b| a.path.cmp(&b.path));
    let main = modules.iter().map(|(path, _)| path).find(|path| path.starts_with("main."));
    app.function("main", main.unwrap())
}

/// What a module imports of `targets`, by specifier, in the order of its text.
fn imports(code: &str, targets: impl Iterator<Item = (String, String)>) -> Vec<ImportEdge> {
    let mut imports: Vec<(usize, ImportEdge)> = Vec::new();
    for (specifier, target) in targets {
        let quoted = ['"', '\''].map(|quote| format!("{quote}{specifier}{quote}"));
        let places = quoted.iter().flat_map(|quoted| code.match_indices(quoted.as_str()));
        imports.extend(places.map(|(at, _)| {
            let kind = match &code[..at] {
                before if before.ends_with("require(") => ImportKind::Require,
                before if before.ends_with("import(") => ImportKind::Dynamic,
                _ => ImportKind::Import,
            };
            let target = ImportTarget::Module(target.clone());
            (at, ImportEdge { specifier: specifier.clone(), kind, target })
        }));
    }
    imports.sort_by_key(|(at, _)| *at);
    let mut edges: Vec<ImportEdge> = Vec::new();
    for (_, edge) in imports {
        if !edges.contains(&edge) {
            edges.push(edge);
        }
    }
    edges
}

async fn answer(server: &Server, function: &str) -> Value {
    let answer = server.invoke(function, &json!({})).await;
    let failure = &answer["failure"];
    json!([answer["status"], answer["result"], failure["error_type"], failure["message"]])
}

#[tokio::test(flavor = "multi_thread")]
async fn woven_fixtures_answer_in_the_engine_what_plain_ones_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../weave/tests/it/fixtures");
    let all = ["weave", "importers"].map(|set| fs::read_dir(root.join(set)).unwrap());
    let fixtures: Vec<_> = all.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    assert!(fixtures.len() > 25);
    let server = Server::start().await;
    for fixture in fixtures {
        let app = fixture.file_name().unwrap().to_str().unwrap().replace('_', "-");
        for name in ["before", "after"] {
            server.deploy(&version(&app, &fixture, name)).await;
        }
        let before = answer(&server, &format!("{app}.main:1")).await;
        let after = answer(&server, &format!("{app}.main:2")).await;
        let woven = format!("{app}.main");
        assert_eq!(answer(&server, &woven).await, after, "{app}");
        let (_, change) = server.get(&format!("apps/{app}/changes/2")).await;
        assert_eq!(change["whole"], Value::Null, "{app} is not woven");
        let all = json!({ "parts": [] });
        let (status, taken) = server.post(&format!("apps/{app}/changes/2/take-back"), &all).await;
        assert_eq!(status, StatusCode::OK, "{app}: {taken:#}");
        assert_eq!(answer(&server, &woven).await, before, "{app}");
    }
    server.stop().await;
}
