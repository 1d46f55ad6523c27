//! A server for a test, apps to deploy on it, and a client to call it with.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    panic::Location,
    path::{Path, PathBuf},
    sync::Once,
};

use belay_fabric::Store;
use belay_model::{
    AppManifest, EgressPolicy, EnvironmentName, FunctionSpec, Hash, ImportEdge, ImportKind,
    ImportTarget, Limits, ModuleEntry, ModuleKind,
};
use belay_server::{Drained, Platform, PlatformConfig, control::Rate};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

/// A server that runs within the test's process.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) parts: belay_server::control::Control,
    pub(crate) client: reqwest::Client,
    dir: TempDir,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Drained>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// `change` is made to the configuration before the start.
    pub(crate) async fn start_with(change: impl FnOnce(&mut PlatformConfig)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    /// On a data directory that another server may have left.
    pub(crate) async fn start_in(dir: TempDir, change: impl FnOnce(&mut PlatformConfig)) -> Self {
        let mut config = config(dir.path());
        change(&mut config);
        let platform = Platform::open(config).await.unwrap();
        let (http, control) = (platform.http_address(), platform.control_address());
        let parts = platform.parts().clone();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(platform.serve(async move { drop(stopped.await) }));
        Self { http, control, parts, client: client(), dir, stop, served }
    }

    /// Shuts down as `belay up` does on a signal, and gives the data directory back.
    pub(crate) async fn stop(self) -> TempDir {
        let (dir, drained) = self.stop_how().await;
        assert_eq!(drained, Drained::Clean);
        dir
    }

    pub(crate) async fn stop_how(self) -> (TempDir, Drained) {
        let Self { stop, served, dir, parts, client, .. } = self;
        // Both hold on to things that are to be closed.
        drop((parts, client));
        stop.send(()).unwrap();
        let drained = served.await.unwrap();
        (dir, drained)
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// `path` is behind `/api/v1/`.
    pub(crate) fn api(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}/api/v1/{path}", self.control))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.api(Method::GET, path)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.api(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.api(Method::POST, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        answer(self.api(Method::DELETE, path)).await
    }

    /// Deploys as a client does, and wants it to succeed, with nothing to ask about.
    #[track_caller]
    pub(crate) fn deploy(&self, app: &App) -> impl Future<Output = Value> + use<> {
        succeed(deploy(self.client.clone(), self.control, app.clone(), NOW))
    }

    /// As [`Self::deploy`], and lets the change in step by step.
    #[track_caller]
    pub(crate) fn deploy_in_steps(&self, app: &App) -> impl Future<Output = Value> + use<> {
        succeed(deploy(self.client.clone(), self.control, app.clone(), ""))
    }

    /// As [`Self::deploy`], with a yes to whatever is asked.
    #[track_caller]
    pub(crate) fn deploy_anyway(&self, app: &App) -> impl Future<Output = Value> + use<> {
        succeed(deploy(self.client.clone(), self.control, app.clone(), YES))
    }

    pub(crate) async fn try_deploy(&self, app: &App) -> (StatusCode, Value) {
        deploy(self.client.clone(), self.control, app.clone(), YES).await
    }

    /// As [`Self::try_deploy`], without the yes to whatever is asked.
    pub(crate) async fn try_deploy_asking(&self, app: &App) -> (StatusCode, Value) {
        deploy(self.client.clone(), self.control, app.clone(), NOW).await
    }

    /// Calls a function through the control plane; the whole answer.
    pub(crate) async fn invoke(&self, function: &str, event: &Value) -> Value {
        let (status, body) = self.post(&format!("functions/{function}/invocations"), event).await;
        assert_eq!(status, StatusCode::OK, "{body:#}");
        body
    }

    /// Calls a function, which must succeed; its result.
    pub(crate) async fn call(&self, function: &str, event: &Value) -> Value {
        let answer = self.invoke(function, event).await;
        assert_eq!(answer["status"], "ok", "{answer:#}");
        answer["result"].clone()
    }
}

/// The store of a server that is stopped.
pub(crate) async fn edit(dir: &std::path::Path, change: impl AsyncFnOnce(&Store)) {
    let store = Store::open(&dir.join("data")).await.unwrap();
    change(&store).await;
    store.close().await;
}

/// Free ports, and machine code that all tests share. A test that waits for something asks for it as often as it can:
/// how often that is until it is there depends on the machine, so there is no limit.
pub(crate) fn config(dir: &Path) -> PlatformConfig {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    PlatformConfig {
        http: any,
        control: any,
        rate: Rate { per_second: 1e9, burst: 1e9, ..Rate::default() },
        cache_dir: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("engine-cache")),
        ..PlatformConfig::new(dir.join("data"))
    }
}

pub(crate) fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder().tls_certs_only([]).build().unwrap()
}

/// Status and body; `null` if there is none. Every answer of the control plane is JSON.
pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.bytes().await.unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_str(&text);
    (status, body.unwrap_or_else(|error| panic!("{status}: {error} in {text:?}")))
}

/// The query of a deploy that all requests run at once.
const NOW: &str = "?now=true";
/// … that is confirmed, whatever it loses.
pub(crate) const YES: &str = "?yes=true&now=true";

/// Says where it was asked for: the future does not know.
#[track_caller]
fn succeed(deploy: impl Future<Output = (StatusCode, Value)>) -> impl Future<Output = Value> {
    let place = Location::caller();
    async move {
        let (status, body) = deploy.await;
        assert!(status.is_success(), "{place}: {status} {body:#}");
        body
    }
}

/// Uploads what is missing, then deploys; anew if what was there has been collected as garbage in between.
pub(crate) async fn deploy(
    client: reqwest::Client,
    control: SocketAddr,
    app: App,
    query: &'static str,
) -> (StatusCode, Value) {
    let deployed = upload_and_deploy(&client, control, &app, query).await;
    match deployed.1["error"]["code"].as_str() {
        Some("missing-blobs") => upload_and_deploy(&client, control, &app, query).await,
        _ => deployed,
    }
}

async fn upload_and_deploy(
    client: &reqwest::Client,
    control: SocketAddr,
    app: &App,
    query: &str,
) -> (StatusCode, Value) {
    let base = format!("http://{control}/api/v1");
    let hashes: Vec<_> = app.manifest.modules.iter().map(|module| module.source).collect();
    let missing = client.post(format!("{base}/blobs/missing")).json(&json!({ "hashes": hashes }));
    let (_, missing) = answer(missing).await;
    for hash in missing["missing"].as_array().unwrap() {
        let source = app.sources[hash.as_str().unwrap()].clone();
        let put = client.put(format!("{base}/blobs/{}", hash.as_str().unwrap())).body(source);
        assert_eq!(answer(put).await.0, StatusCode::OK);
    }
    let url = format!("{base}/apps/{}/versions{query}", app.manifest.app);
    answer(client.post(url).json(&app.manifest)).await
}

/// An app in memory.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) manifest: AppManifest,
    /// By hash.
    pub(crate) sources: BTreeMap<String, String>,
}

impl App {
    pub(crate) fn new(name: &str) -> Self {
        let manifest = AppManifest {
            app: name.parse().unwrap(),
            functions: BTreeMap::new(),
            environment: EnvironmentName::default(),
            env: BTreeMap::new(),
            egress: EgressPolicy::default(),
            databases: BTreeMap::new(),
            transactions: BTreeMap::new(),
            tags: belay_model::AppTags::default(),
            policy: belay_model::Policy::default(),
            modules: Vec::new(),
        };
        Self { manifest, sources: BTreeMap::new() }
    }

    /// One function `f` in one module: `body` is that of its handler.
    pub(crate) fn of(name: &str, body: &str) -> Self {
        let code = format!("export async function f(event, context) {{\n  {body}\n}}\n");
        Self::new(name).module("main.js", &code, &[]).function("f", "main.js")
    }

    /// A module, with what its imports mean.
    pub(crate) fn module(mut self, path: &str, code: &str, imports: &[(&str, &str)]) -> Self {
        let source = Hash::of(code.as_bytes());
        let imports = imports.iter().map(|(specifier, path)| ImportEdge {
            specifier: (*specifier).to_owned(),
            kind: ImportKind::Import,
            target: ImportTarget::Module((*path).to_owned()),
        });
        self.manifest.modules.push(ModuleEntry {
            path: path.to_owned(),
            source,
            kind: ModuleKind::Esm,
            imports: imports.collect(),
        });
        self.sources.insert(source.to_hex(), code.to_owned());
        self
    }

    /// The module that was added last is a CommonJS one.
    pub(crate) fn commonjs(mut self) -> Self {
        let module = self.manifest.modules.last_mut().unwrap();
        module.kind = ModuleKind::CommonJs;
        module.imports.iter_mut().for_each(|edge| edge.kind = ImportKind::Require);
        self
    }

    /// A function that is the export of the same name.
    pub(crate) fn function(self, name: &str, module: &str) -> Self {
        self.limited(name, module, Limits::default())
    }

    pub(crate) fn limited(mut self, name: &str, module: &str, limits: Limits) -> Self {
        let spec = FunctionSpec {
            module: module.to_owned(),
            export: name.to_owned(),
            limits,
            tags: belay_model::Tags::default(),
        };
        self.manifest.functions.insert(name.parse().unwrap(), spec);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.manifest.env.insert(name.to_owned(), value.to_owned());
        self
    }
}
