//! Real AWS SDKs, unmodified. What they call and expect is in `tests/sdk` at the workspace's root.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use belay_model::Limits;
use serde_json::json;
use tokio::process::Command;

use crate::{
    data_support::until,
    support::{App, Server},
};

#[tokio::test(flavor = "multi_thread")]
async fn boto3_calls_functions() {
    let python = python().await;
    check("python", |server| {
        let mut command = client(server, &python);
        command.args(["-m", "unittest", "-v", "test_sdk"]).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_sdk_calls_functions() {
    npm_ci().await;
    check("javascript", |server| {
        let mut command = client(server, Path::new("node"));
        command.args(["--test", "sdk.test.mjs"]);
        command
    })
    .await;
}

/// Runs the tests of one SDK against two versions of the app, of which the older has the alias `old`.
async fn check(language: &str, command: impl FnOnce(&Server) -> Command) {
    let server = Server::start().await;
    server.deploy(&app().env("VERSION", "1")).await;
    server.deploy(&app().env("VERSION", "2")).await;
    let (status, _) = server.put("apps/shop/aliases/old", &json!({ "version": 1 })).await;
    assert!(status.is_success());
    let busy = server.lambda("busy", "{}");
    let busy = tokio::spawn(async move { drop(busy.send().await) });
    until(|| server.parts.invoker.running() == 1).await;

    let ran = command(&server).current_dir(sdk(language)).output().await;
    let ran = ran.unwrap_or_else(|error| panic!("{language} is needed for this test: {error}"));
    let text = [ran.stdout, ran.stderr].concat();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&text));

    server.parts.queue.idle().await;
    let arrived = format!("event from {language}");
    assert!(server.messages("logs").await.contains(&arrived));
    busy.abort();
    until(|| server.parts.invoker.running() == 0).await;
    server.stop().await;
}

/// A command that knows the server, and neither the user's AWS settings nor a proxy.
fn client(server: &Server, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("BELAY_ENDPOINT", format!("http://{}", server.http))
        .env("NO_PROXY", "127.0.0.1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_PROFILE");
    command
}

fn app() -> App {
    let code = fs::read_to_string(sdk("app.js")).unwrap();
    let app = App::new("shop").module("app.js", &code, &[]);
    let app =
        ["echo", "fails", "logs"].into_iter().fold(app, |app, name| app.function(name, "app.js"));
    let one = Limits { concurrency: 1, timeout_ms: 900_000, ..Limits::default() };
    app.limited("busy", "app.js", one)
}

fn sdk(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sdk").join(name)
}

/// The interpreter of a virtual environment that has the packages of `requirements.txt`.
async fn python() -> PathBuf {
    let (requirements, venv) = (sdk("python/requirements.txt"), "sdk-python-venv");
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(venv);
    let installed = venv.join("requirements.txt");
    let _lock = lock(&venv.with_extension("lock"));
    if fs::read(&installed).ok() != Some(fs::read(&requirements).unwrap()) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).await;
        let pip = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(venv.join("bin/pip")).args(pip).arg(&requirements)).await;
        fs::copy(&requirements, &installed).unwrap();
    }
    venv.join("bin/python")
}

async fn npm_ci() {
    let dir = sdk("javascript");
    let _lock = lock(&dir.join(".install-lock"));
    let time = |path: &str| dir.join(path).metadata().and_then(|meta| meta.modified()).ok();
    if time("node_modules/.package-lock.json") < time("package-lock.json") {
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(Command::new("npm").args(npm).current_dir(&dir)).await;
    }
}

/// Held while one process installs; the others wait, and find it done.
fn lock(path: &Path) -> File {
    let lock = File::create(path).unwrap();
    lock.lock().unwrap();
    lock
}

async fn run(command: &mut Command) {
    let ran = command.output().await.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
}
