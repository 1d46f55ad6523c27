//! What tests of transactions need around a server: a bank whose money is in one of the stores, a service that it calls, a
//! PostgreSQL database, and a way to that which breaks.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Uri},
    routing::any,
};
use belay_host::{AppHost, HostConfig, HostOptions, HostShared, SecretSource};
use belay_model::{Call, CallId, DatabaseSpec, Limits, Outcome, PoolSize};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
};

use crate::support::{App, YES, answer, client, deploy};

/// Where the bank has its money.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Store {
    Kv,
    Sqlite,
    Postgres,
}

impl Store {
    pub(crate) const ALL: [Self; 3] = [Self::Kv, Self::Sqlite, Self::Postgres];

    /// How its code reads and writes an account.
    fn code(self) -> &'static str {
        match self {
            Self::Kv => {
                "const open = async () => { await kv.put('a', 100); await kv.put('b', 100); };
const get = (name) => kv.get(name);
const set = (name, sum) => kv.put(name, sum);"
            }
            Self::Sqlite | Self::Postgres => {
                "const open = async () => {
  await sql.execute('CREATE TABLE account (name TEXT PRIMARY KEY, sum INTEGER NOT NULL)');
  await sql.execute(\"INSERT INTO account VALUES ('a', 100), ('b', 100)\");
};
const get = async (name) => (await sql.one('SELECT sum FROM account WHERE name = $1', [name])).sum;
const set = (name, sum) => sql.execute('UPDATE account SET sum = $2 WHERE name = $1', [name, sum]);"
            }
        }
    }
}

/// The bank's app: `f` takes from a, pays at `service`, gives to b, and has b notified, all in one transaction; then it says
/// whether that is done or has failed.
fn app(store: Store, service: SocketAddr) -> App {
    let code = format!(
        "let kv, sql, http;
const use = (context) => {{ ({{ kv, sql, http }} = context); }};
{}
const post = async (path) => {{
  const response = await http.post('http://{service}' + path, {{}});
  if (!response.ok) throw new Error(path + ': ' + response.status);
}};
/** @transaction transfer
 * @resources retries=2 */
async function transfer({{ sum }}, context) {{
  const [a, b] = [await get('a'), await get('b')];
  await set('a', a - sum);
  await post('/pay');
  await set('b', b + sum);
  await post('/notify');
  return {{ attempt: context.transaction.attempt }};
}}
export async function f(event, context) {{
  use(context);
  try {{
    const done = await transfer(event, context);
    await post('/done');
    return done;
  }} catch (error) {{
    await post('/failed');
    throw error;
  }}
}}
export async function start(_, context) {{
  use(context);
  await open();
}}
export async function sums(_, context) {{
  use(context);
  return [await get('a'), await get('b')];
}}
",
        store.code()
    );
    let mut app = App::new("bank").module("main.js", &code, &[]);
    // Also where it takes long until it is known that nobody knows.
    let patient = Limits { timeout_ms: 120_000, ..Limits::default() };
    for name in ["f", "start", "sums"] {
        app = app.limited(name, "main.js", patient);
    }
    app.manifest.egress.allow_internal = vec![service.to_string()];
    let spec = match store {
        Store::Kv => return app,
        Store::Sqlite => DatabaseSpec::Sqlite {},
        Store::Postgres => DatabaseSpec::Postgres {
            url: "LEDGER".parse().unwrap(),
            readonly_url: None,
            pool: PoolSize::default(),
        },
    };
    app.manifest.databases.insert("ledger".parse().unwrap(), spec);
    app
}

/// A bank that is deployed, by its server's addresses.
#[derive(Clone)]
pub(crate) struct Bank {
    http: SocketAddr,
    control: SocketAddr,
    client: Client,
}

impl Bank {
    /// One that is there.
    pub(crate) fn at(http: SocketAddr, control: SocketAddr) -> Self {
        Self { http, control, client: client() }
    }

    /// Deploys it, with 100 on each of its accounts. `url`: of its database, if that is PostgreSQL.
    pub(crate) async fn open(&self, store: Store, service: &Service, url: Option<&str>) {
        let app = app(store, service.address);
        let (status, told) = deploy(self.client.clone(), self.control, app, YES).await;
        assert!(status.is_success(), "{told:#}");
        if let Some(url) = url {
            let secret = format!("http://{}/api/v1/apps/bank/secrets/LEDGER", self.control);
            let set = self.client.put(secret).json(&json!({ "value": url }));
            assert!(answer(set).await.0.is_success());
        }
        assert_eq!(self.call("start").await["status"], "ok");
    }

    /// A transfer of 30, not sent yet.
    pub(crate) fn transfer(&self) -> RequestBuilder {
        let url = format!("http://{}/api/v1/functions/f/invocations", self.control);
        self.client.post(url).json(&json!({ "sum": 30 }))
    }

    /// The same, as an event; its request id.
    pub(crate) async fn send_transfer(&self) -> String {
        let url = format!("http://{}/2015-03-31/functions/f/invocations", self.http);
        let send = self.client.post(url).header("x-amz-invocation-type", "Event");
        let reply = send.json(&json!({ "sum": 30 })).send().await.unwrap();
        assert_eq!(reply.status(), 202);
        reply.headers()["x-amzn-requestid"].to_str().unwrap().to_owned()
    }

    /// What is on both accounts.
    pub(crate) async fn sums(&self) -> Value {
        let told = self.call("sums").await;
        assert_eq!(told["status"], "ok", "{told:#}");
        told["result"].clone()
    }

    async fn call(&self, function: &str) -> Value {
        let url = format!("http://{}/api/v1/functions/{function}/invocations", self.control);
        answer(self.client.post(url).json(&Value::Null)).await.1
    }

    /// The newest of the transactions that are remembered.
    pub(crate) async fn story(&self) -> Value {
        let url = format!("http://{}/api/v1/transactions/bank/transfer", self.control);
        answer(self.client.get(url)).await.1["stories"][0].clone()
    }
}

/// A service. When it answers is up to the test, which so knows where a transaction is.
pub(crate) struct Service {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Heard>,
}

/// A request that waits for its answer.
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    answer: oneshot::Sender<()>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let hear = |State(sender): State<mpsc::UnboundedSender<Heard>>,
                    uri: Uri,
                    headers: HeaderMap| async move {
            let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
            let (answer, answered) = oneshot::channel();
            sender.send(Heard { path: uri.path().to_owned(), key, answer }).unwrap();
            // A test that drops it is not interested in who asks.
            let _ = answered.await;
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(any(hear)).with_state(sender);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, requests }
    }

    /// Waits for the next request, which has to be to `path`.
    pub(crate) async fn next(&mut self, path: &str) -> Heard {
        let heard = self.requests.recv().await.unwrap();
        assert_eq!(heard.path, path);
        heard
    }

    /// Answers requests to these, in turn.
    pub(crate) async fn serve(&mut self, paths: &[&str]) {
        for path in paths {
            self.next(path).await.answer();
        }
    }
}

impl Heard {
    /// Who asked may be gone.
    pub(crate) fn answer(self) {
        let _ = self.answer.send(());
    }
}

const SERVER: &str = "postgres://postgres@127.0.0.1:5432";

/// A database of one test, which ends with it.
pub(crate) struct Postgres {
    server: String,
    name: String,
}

impl Postgres {
    pub(crate) async fn new() -> Self {
        let server = std::env::var("BELAY_TEST_POSTGRES").unwrap_or_else(|_| SERVER.to_owned());
        let name = format!("belay_{:032x}", rand::random::<u128>());
        let new = Self { server, name };
        new.administer(&format!("CREATE DATABASE {}", new.name)).await;
        new
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// The same database by another way.
    pub(crate) fn url_by(&self, way: &Way) -> String {
        let (user, _) = self.server.split_once('@').unwrap();
        format!("{user}@{}/{}", way.address, self.name)
    }

    fn address(&self) -> &str {
        self.server.split_once('@').unwrap().1
    }

    /// Runs a statement on the server's own database: by a host, so that tests need no other client.
    async fn administer(&self, text: &str) {
        let dir = tempfile::tempdir().unwrap();
        let (kv_dir, sql_dir) = (dir.path().join("kv"), dir.path().join("sql"));
        let options = HostOptions { kv_dir, sql_dir, extra_roots: Vec::new() };
        let shared = HostShared::open(options).unwrap();
        let mut config = HostConfig::new("admin".parse().unwrap());
        let spec = json!({ "engine": "postgres", "url": "URL" });
        config.databases.insert("main".parse().unwrap(), serde_json::from_value(spec).unwrap());
        let url = format!("{}/postgres", self.server);
        config.secrets = SecretSource::new(move |_| Some(url.clone()));
        let host = AppHost::open(config, &shared).unwrap();
        let args = json!({ "database": "main", "text": text, "params": [] }).to_string();
        let call = Call { id: CallId(1), op: "sql.query".to_owned(), args, body: None };
        let outcome = host.perform(&call).await;
        assert!(matches!(outcome, Outcome::Ok { .. }), "{outcome:?}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        std::thread::scope(|scope| {
            let administer = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(self.administer(&drop));
            };
            scope.spawn(administer).join().unwrap();
        });
    }
}

/// What a way does to the next commit that goes by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cut {
    /// It never gets to the server.
    Before,
    /// The server carries it out, and its answer gets lost.
    After,
}

/// A way to a PostgreSQL server that can be cut, and mended.
pub(crate) struct Way {
    address: SocketAddr,
    state: Arc<WayState>,
}

struct WayState {
    /// Whether anybody gets through.
    is_open: watch::Sender<bool>,
    /// What is to become of the next commit, and whether nobody gets through from then on.
    armed: Mutex<Option<(Cut, bool)>>,
}

impl Way {
    pub(crate) async fn to(postgres: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = WayState { is_open: watch::Sender::new(true), armed: Mutex::default() };
        let state = Arc::new(state);
        let (own, server) = (Arc::clone(&state), postgres.address().to_owned());
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let mut cut = own.is_open.subscribe();
                if !*cut.borrow_and_update() {
                    continue;
                }
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&own), cut));
            }
        });
        Self { address, state }
    }

    /// All connections break off. New ones can be made.
    pub(crate) fn cut(&self) {
        self.state.is_open.send_replace(true);
    }

    /// All connections break off, and nobody gets through.
    pub(crate) fn close(&self) {
        self.state.is_open.send_replace(false);
    }

    /// There is nothing left to be cut.
    pub(crate) fn mend(&self) {
        self.cut();
    }

    /// The next commit is cut off, and if it is `for_good`, so is the way, until it is mended.
    pub(crate) fn cut_commit(&self, cut: Cut, for_good: bool) {
        *self.state.armed.lock().unwrap() = Some((cut, for_good));
    }
}

/// Passes on what either side says, until the way is cut.
async fn pass(
    client: TcpStream,
    server: TcpStream,
    way: Arc<WayState>,
    mut cut: watch::Receiver<bool>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = async {
        // That it breaks off is no matter.
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        None
    };
    let armed = tokio::select! {
        _ = cut.changed() => None,
        end = back => end,
        armed = forth(&mut from_client, &mut to_server, &way) => armed,
    };
    let Some(((cut, for_good), commit)) = armed else { return };
    if cut == Cut::After {
        carry_out(&commit, &mut from_server, &mut to_server).await;
    }
    // The client, whose connection ends with this function, finds a way that is as it is to be.
    if for_good {
        way.is_open.send_replace(false);
    }
}

/// To the end, or up to the commit that is to be cut: with what was not passed on.
async fn forth(
    from_client: &mut OwnedReadHalf,
    to_server: &mut OwnedWriteHalf,
    way: &WayState,
) -> Option<((Cut, bool), Vec<u8>)> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from_client.read(&mut bytes).await.unwrap_or(0);
        let part = &bytes[..count];
        if part.windows(7).any(|part| part == b"COMMIT\0")
            && let Some(armed) = way.armed.lock().unwrap().take()
        {
            return Some((armed, part.to_vec()));
        }
        if count == 0 || to_server.write_all(part).await.is_err() {
            return None;
        }
    }
}

/// Has the server commit, and returns when it is over: the server ends the connection then, as nothing more is to come.
async fn carry_out(commit: &[u8], from_server: &mut OwnedReadHalf, to_server: &mut OwnedWriteHalf) {
    to_server.write_all(commit).await.unwrap();
    to_server.shutdown().await.unwrap();
    let mut answer = Vec::new();
    from_server.read_to_end(&mut answer).await.unwrap();
    assert!(answer.windows(6).any(|part| part == b"COMMIT"), "it is not committed: {answer:?}");
}
