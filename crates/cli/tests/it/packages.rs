//! Real npm packages do on Belay what they do in Node: the same file runs in both, and the answers are equal.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::support::Server;

/// `tests/npm` with its packages installed from its lock file. Several test processes may ask at once: a file lock
/// makes one of them install and the others wait.
fn installed() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/npm");
    let lock = File::create(directory.join(".install-lock")).unwrap();
    lock.lock().unwrap();
    let changed = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    let done = changed(&directory.join("node_modules/.package-lock.json"));
    if done < changed(&directory.join("package-lock.json")) {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&directory);
        assert!(npm.status().expect("npm is needed for this test").success());
    }
    directory
}

fn in_node(directory: &Path) -> Value {
    let script =
        "import('./run.mjs').then((m) => m.handler()).then((r) => console.log(JSON.stringify(r)))";
    let node =
        Command::new("node").args(["-e", script]).env("TZ", "UTC").current_dir(directory).output();
    let output = node.expect("node is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn packages_answer_as_in_node() {
    let directory = installed();
    let server = Server::start();
    let bench = server.bench();
    bench.run(&["deploy", directory.to_str().unwrap()]).ok();
    let answers = bench.run(&["invoke", "packages.run"]).ok().json();
    let expected = in_node(&directory);
    for (name, expected) in expected.as_object().unwrap() {
        assert_eq!(&answers[name], expected, "{name}");
    }
    assert_eq!(answers.as_object().unwrap().len(), expected.as_object().unwrap().len());
}
