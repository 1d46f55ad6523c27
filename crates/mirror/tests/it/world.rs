//! Real functions with transactions, built and run by the engine over a kv of their own.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use belay_engine::{Engine, Entry, FunctionImage, Instance, Program, ProgramModule, Start, Step};
use belay_host::{
    AppHost, Finished, HostConfig, HostOptions, HostShared, Recorder, Runner, SecretSource,
};
use belay_mirror::{Book, Invocation, drive};
use belay_model::{
    Call, CallId, DatabaseSpec, EgressPolicy, EnvironmentName, ImportEdge, ImportKind,
    ImportTarget, Limits, ModuleKind, Outcome,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

pub(crate) const CONTEXT: &str = r#"{"awsRequestId":"r-1","functionName":"f","functionVersion":"1",
    "invokedFunctionArn":"arn","memoryLimitInMB":128,"deadlineMs":9e15,"traceparent":"00-1"}"#;

/// Guest code needs more stack than a test's thread has.
const STACK_BYTES: usize = 32 << 20;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    // Kept with the build, so that tests do not compile it each time.
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("machine-code");
    Engine::open(&EnvironmentName::default(), &cache).unwrap()
});

/// A thread for each step.
pub(crate) struct Threads;

impl Runner for Threads {
    fn run(&self, mut instance: Instance) -> impl Future<Output = (Instance, Step)> + Send {
        let (sender, receiver) = oneshot::channel();
        let step = move || {
            let step = instance.step();
            let _ = sender.send((instance, step));
        };
        thread::Builder::new().stack_size(STACK_BYTES).spawn(step).unwrap();
        async { receiver.await.unwrap() }
    }
}

/// An app of one module, which begins with what compiled transactions import and has the export `handler`.
pub(crate) fn image(code: &str) -> FunctionImage {
    let code = format!("import {{ transaction, transactional }} from \"belay:weave\";\n{code}");
    let program = Program {
        modules: vec![ProgramModule {
            path: "main.js".to_owned(),
            kind: ModuleKind::Esm,
            code,
            export_names: Vec::new(),
            imports: vec![ImportEdge {
                specifier: "belay:weave".to_owned(),
                kind: ImportKind::Import,
                target: ImportTarget::Builtin("belay:weave".to_owned()),
            }],
        }],
        entries: vec![Entry { module: "main.js".to_owned(), export: "handler".to_owned() }],
        ..Program::default()
    };
    let build = || ENGINE.build(&program).unwrap().image;
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, build);
        thread.unwrap().join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Keeps the directory, and its database on the server, for as long as the host.
pub(crate) struct World {
    pub(crate) host: AppHost,
    pub(crate) book: Book,
    /// Of what can be done at a time where it runs.
    pub(crate) load: f64,
    dir: TempDir,
    database: Option<Database>,
}

/// Where the server of the tests is, without the name of a database.
fn server() -> String {
    let known = std::env::var("BELAY_TEST_POSTGRES");
    known.unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432".to_owned())
}

/// A database of one test on the server, which ends with it.
struct Database {
    name: String,
    /// A role that may do nothing but what it is granted.
    reader: Option<String>,
}

impl Database {
    async fn new() -> Self {
        let random: u128 = rand::random();
        let name = format!("belay_{random:032x}");
        administer(&format!("CREATE DATABASE {name}")).await;
        Self { name, reader: None }
    }

    async fn with_reader() -> Self {
        let mut database = Self::new().await;
        let reader = database.reader.insert(format!("{}_reader", database.name));
        administer(&format!("CREATE ROLE {reader} LOGIN PASSWORD '{reader}'")).await;
        database
    }

    /// That of its owner, then that of the reader.
    fn urls(&self) -> Vec<String> {
        let (server, name) = (server(), &self.name);
        let (scheme, rest) = server.split_once("://").unwrap();
        let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
        let reader = self.reader.iter();
        let reader = reader.map(|role| format!("{scheme}://{role}:{role}@{address}/{name}"));
        [format!("{server}/{name}")].into_iter().chain(reader).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop_database = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let drop_reader = self.reader.iter().map(|role| format!("DROP ROLE IF EXISTS {role}"));
        let all: Vec<_> = [drop_database].into_iter().chain(drop_reader).collect();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                for text in all {
                    administer(&text).await;
                }
            });
        });
        thread.join().unwrap();
    }
}

async fn administer(text: &str) {
    let dir = TempDir::new().unwrap();
    let host = host(&dir, &[format!("{}/postgres", server())]);
    let outcome = host.perform(&query("ledger", text)).await;
    assert!(matches!(outcome, Outcome::Ok { .. }), "{outcome:?}");
}

fn query(database: &str, text: &str) -> Call {
    call("sql.query", json!({ "database": database, "text": text, "params": [] }))
}

/// Connections to the server, where nothing is said.
const POOL: u32 = 8;

fn host(dir: &TempDir, urls: &[String]) -> AppHost {
    pooled(dir, urls, POOL)
}

/// With the databases `main` (SQLite) and, where it is said where that is, `ledger` (PostgreSQL). A second url is that of its
/// `readonly_url`.
fn pooled(dir: &TempDir, urls: &[String], pool: u32) -> AppHost {
    let options = HostOptions {
        kv_dir: dir.path().join("kv"),
        sql_dir: dir.path().join("sql"),
        ..HostOptions::default()
    };
    let mut config = HostConfig::new("bank".parse().unwrap());
    let allow_internal = vec!["127.0.0.1".to_owned()];
    config.egress = EgressPolicy { allow_internal, ..EgressPolicy::default() };
    config.databases.insert("main".parse().unwrap(), DatabaseSpec::Sqlite {});
    if !urls.is_empty() {
        let mut spec = json!({ "engine": "postgres", "url": "URL", "pool": pool });
        if urls.len() > 1 {
            spec["readonly_url"] = json!("READ");
        }
        let spec = serde_json::from_value(spec).unwrap();
        config.databases.insert("ledger".parse().unwrap(), spec);
        let urls = urls.to_vec();
        config.secrets =
            SecretSource::new(move |name| urls.get(usize::from(name == "READ")).cloned());
    }
    AppHost::open(config, &HostShared::open(options).unwrap()).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self { host: host(&dir, &[]), book: Book::default(), load: 0.0, dir, database: None }
    }

    /// As [`Self::new`], with a database on the server.
    pub(crate) async fn with_server() -> Self {
        Self::with_pool(POOL).await
    }

    /// As [`Self::with_server`], with so many connections to it.
    pub(crate) async fn with_pool(pool: u32) -> Self {
        Self::of(Database::new().await, pool)
    }

    /// As [`Self::with_server`]; mirrors have a role of their own there, [`Self::reader`].
    pub(crate) async fn with_reader() -> Self {
        Self::of(Database::with_reader().await, POOL)
    }

    fn of(database: Database, pool: u32) -> Self {
        let dir = TempDir::new().unwrap();
        let host = pooled(&dir, &database.urls(), pool);
        Self { host, book: Book::default(), load: 0.0, dir, database: Some(database) }
    }

    /// The role that may do nothing but what it is granted.
    pub(crate) fn reader(&self) -> &str {
        self.database.as_ref().unwrap().reader.as_deref().unwrap()
    }

    /// Performs a statement on the server over a connection that is none of the world's own.
    pub(crate) async fn beside(&self, text: &str) {
        let dir = TempDir::new().unwrap();
        let host = host(&dir, &self.database.as_ref().unwrap().urls());
        let outcome = host.perform(&query("ledger", text)).await;
        assert!(matches!(outcome, Outcome::Ok { .. }), "{outcome:?}");
    }

    /// The rows.
    pub(crate) async fn sql(&self, database: &str, text: &str) -> Value {
        match self.host.perform(&query(database, text)).await {
            Outcome::Ok { value, .. } => {
                let answer: Value = serde_json::from_str(&value).unwrap();
                answer["rows"].clone()
            }
            Outcome::Err(error) => panic!("{text}: {error}"),
        }
    }

    /// Runs a handler's body, which sees `event`, `context`, `kv`, `http` and `sql`, to its end.
    pub(crate) async fn run(&self, body: &str) -> Finished {
        self.run_with(body, Limits::default(), None).await
    }

    pub(crate) async fn run_with(
        &self,
        body: &str,
        limits: Limits,
        recorder: Option<&mut Recorder>,
    ) -> Finished {
        self.start(&self.image(body), limits, recorder).await
    }

    /// A function of a handler's body.
    pub(crate) fn image(&self, body: &str) -> FunctionImage {
        image(&format!(
            "export async function handler(event, context) {{ const {{ kv, http, sql }} = context; {body} }}"
        ))
    }

    pub(crate) async fn start(
        &self,
        image: &FunctionImage,
        limits: Limits,
        recorder: Option<&mut Recorder>,
    ) -> Finished {
        self.start_on(&Threads, image, (limits, recorder)).await
    }

    pub(crate) async fn start_on(
        &self,
        runner: &impl Runner,
        image: &FunctionImage,
        (limits, recorder): (Limits, Option<&mut Recorder>),
    ) -> Finished {
        let start =
            Start { entry: 0, event: "{}", context: CONTEXT, limits, seed: [7; 32], arms: &[] };
        let instance = image.start(start).unwrap();
        let deadline = Instant::now() + Duration::from_millis(limits.timeout_ms);
        let invocation = Invocation { request: "r-1", book: &self.book, load: self.load };
        drive((instance, &self.host, None), runner, deadline, recorder, invocation).await
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs it, and gives its result.
    pub(crate) async fn ok(&self, body: &str) -> Value {
        let finished = self.run(body).await;
        serde_json::from_str(&finished.result.unwrap()).unwrap()
    }

    /// The value of a key.
    pub(crate) async fn get(&self, key: &str) -> Value {
        let call = call("kv.get", json!({ "key": key }));
        match self.host.perform(&call).await {
            Outcome::Ok { value, .. } => {
                let found: Value = serde_json::from_str(&value).unwrap();
                found["json"].clone()
            }
            Outcome::Err(error) => panic!("{error}"),
        }
    }

    /// All that is in the kv, with its revisions.
    pub(crate) async fn listed(&self) -> Value {
        match self.host.perform(&call("kv.list", json!({}))).await {
            Outcome::Ok { value, .. } => serde_json::from_str(&value).unwrap(),
            Outcome::Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn put(&self, key: &str, value: Value) {
        let call = call("kv.put", json!({ "key": key, "json": value }));
        assert!(matches!(self.host.perform(&call).await, Outcome::Ok { .. }));
    }
}

fn call(op: &str, args: Value) -> Call {
    Call { id: CallId(1), op: op.to_owned(), args: args.to_string(), body: None }
}

/// What `tx.begin` is told, as a literal of JavaScript.
pub(crate) fn spec(more: &Value) -> String {
    let mut spec = json!({ "id": "transfer", "ways": ["transfer", "later", "never"] });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    Value::from(spec.to_string()).to_string()
}
