//! Who is compared: the same transfer as a transaction of Belay, with its failure foreseen and without, and by hand in Node.
//!
//! Each run has an app of its own, as what is known of a transaction is kept with its app: nobody profits from what was learned
//! in another run.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{
    database::Database,
    order::{ACCOUNTS, INITIAL, RETRIES, TIMEOUT_MS},
    provider::Provider,
};
use crate::{
    Length,
    client::Client,
    http::{install, peers::free_address},
    process::{Guard, Process},
    server::{Belay, Home, invoke_path, target},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Kv,
    Sqlite,
    Postgres,
}

impl Store {
    pub(super) const ALL: [Self; 3] = [Self::Kv, Self::Sqlite, Self::Postgres];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Kv => include_str!("app/kv.js"),
            Self::Sqlite | Self::Postgres => include_str!("app/sql.js"),
        }
    }

    fn declaration(self) -> &'static str {
        match self {
            Self::Kv => "",
            Self::Sqlite => "[databases.main]\n",
            Self::Postgres => {
                "[databases.main]\nengine = \"postgres\"\nurl = \"secret:BANK\"\nreadonly_url = \"secret:READER\"\npool = 20\n"
            }
        }
    }
}

/// Connections of Node to PostgreSQL, as many as in `belay.toml` above.
const POOL: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Competitor {
    /// Belay without `@predict`.
    Plain,
    Predict,
    Node,
}

impl Competitor {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Predict => "predict",
            Self::Node => "node",
        }
    }
}

/// Everything that is there for all runs.
pub(super) struct World {
    pub(super) belay: Belay,
    pub(super) provider: Provider,
    /// Or why there is none.
    pub(super) database: Result<Database, String>,
    pub(super) node: Result<Node, String>,
    /// Of the next order.
    pub(super) ids: AtomicU64,
    /// Of the next app.
    apps: AtomicU64,
    _home: Home,
}

pub(super) struct Node {
    address: SocketAddr,
    guard: Guard,
}

/// One that takes orders.
pub(super) struct Bank {
    pub(super) address: SocketAddr,
    pub(super) process: Process,
    kind: Kind,
}

enum Kind {
    App(String),
    Node,
}

impl World {
    pub(super) fn new(length: Length) -> anyhow::Result<Self> {
        let (home, provider) = (Home::new()?, Provider::start()?);
        let database = Database::new().map_err(|error| format!("{error:#}"));
        let node = match &database {
            Ok(database) => {
                Node::start(database, &provider, length).map_err(|error| format!("{error:#}"))
            }
            Err(reason) => Err(reason.clone()),
        };
        let (ids, apps) = (AtomicU64::new(1), AtomicU64::new(0));
        Ok(Self { belay: home.up()?, provider, database, node, ids, apps, _home: home })
    }

    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.belay.stop()
    }

    /// One whose books are new; its app has so many functions that take orders.
    pub(super) fn open(
        &self,
        store: Store,
        competitor: Competitor,
        functions: u32,
    ) -> anyhow::Result<Bank> {
        let bank = match (competitor, &self.node) {
            (Competitor::Node, Ok(node)) => {
                Bank { address: node.address, process: node.guard.process(), kind: Kind::Node }
            }
            (Competitor::Node, Err(reason)) => anyhow::bail!("{reason}"),
            (Competitor::Plain | Competitor::Predict, _) => {
                self.deploy(store, competitor, functions)?
            }
        };
        Client::connect(bank.address)?.ask(&bank.path("setup"), "{}")?;
        Ok(bank)
    }

    fn deploy(&self, store: Store, competitor: Competitor, functions: u32) -> anyhow::Result<Bank> {
        let number = self.apps.fetch_add(1, Relaxed);
        let app = format!("{}-{}-{number}", store.name(), competitor.name());
        let folder = tempfile::tempdir()?;
        write(folder.path(), &app, (store, competitor, functions), self.provider.address)?;
        self.belay.deploy_folder(folder.path())?;
        if let (Store::Postgres, Ok(database)) = (store, &self.database) {
            let mut control = self.belay.control_client()?;
            for (name, url) in [("BANK", database.url()), ("READER", database.reader_url())] {
                let path = format!("/api/v1/apps/{app}/secrets/{name}");
                control.put(&path, &json!({ "value": url }).to_string())?;
            }
        }
        let (address, process) = (self.belay.http, self.belay.process());
        Ok(Bank { address, process, kind: Kind::App(app) })
    }

    /// What the server knows of its first transaction.
    pub(super) fn known(&self, bank: &Bank) -> anyhow::Result<Option<Value>> {
        let Kind::App(app) = &bank.kind else { return Ok(None) };
        let told =
            self.belay.control_client()?.get(&format!("/api/v1/transactions/{app}/transfer0"))?;
        Ok(Some(serde_json::from_str(&told)?))
    }

    /// What the server knows of all its transactions.
    pub(super) fn known_of_all(&self, bank: &Bank) -> anyhow::Result<Vec<Value>> {
        let Kind::App(app) = &bank.kind else { return Ok(Vec::new()) };
        let told: Value =
            serde_json::from_str(&self.belay.control_client()?.get("/api/v1/transactions")?)?;
        let all = told["transactions"].as_array().context("transactions")?;
        Ok(all.iter().filter(|known| known["app"] == *app.as_str()).cloned().collect())
    }

    /// The same without the last ones, for people.
    pub(super) fn counts(&self, bank: &Bank) -> String {
        let all = self.known_of_all(bank).unwrap_or_default();
        all.iter().map(Value::to_string).collect()
    }

    /// Its connections to databases end with it.
    pub(super) fn close(&self, bank: Bank) -> anyhow::Result<()> {
        match &bank.kind {
            Kind::App(app) => self.belay.control_client()?.delete(&format!("/api/v1/apps/{app}")),
            Kind::Node => Client::connect(bank.address)?.ask(&bank.path("close"), "{}").map(drop),
        }
    }
}

impl Bank {
    pub(super) fn path(&self, function: &str) -> String {
        match &self.kind {
            Kind::App(app) => invoke_path(app, function),
            Kind::Node => format!("/{function}"),
        }
    }

    /// Its own books.
    pub(super) fn audit(&self) -> anyhow::Result<Value> {
        let told = Client::connect(self.address)?.ask(&self.path("audit"), "{}")?;
        Ok(serde_json::from_str(&told)?)
    }
}

impl Node {
    const START_MAX: Duration = Duration::from_secs(30);

    fn start(database: &Database, provider: &Provider, length: Length) -> anyhow::Result<Self> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tx/peer");
        let folder = install::installed(&target()?.join("bench-peers-tx"), &sources, length)?;
        // Those of this source tree, beside the packages that it finds there.
        fs::copy(sources.join("server.mjs"), folder.join("server.mjs"))?;
        let address = free_address()?;
        let numbers =
            [u64::from(ACCOUNTS), INITIAL, TIMEOUT_MS, u64::from(RETRIES), u64::from(POOL)];
        let mut command = Command::new("node");
        command.arg("server.mjs").arg(address.port().to_string()).arg(database.url());
        command.arg(pay_url(provider.address)).args(numbers.map(|number| number.to_string()));
        let guard = Guard::spawn(command.current_dir(folder).stdout(Stdio::null()))?;
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(start.elapsed() < Self::START_MAX, "it does not listen on {address}");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { address, guard })
    }
}

fn pay_url(provider: SocketAddr) -> String {
    format!("http://{provider}/pay")
}

/// Writes the app.
fn write(
    folder: &Path,
    app: &str,
    (store, competitor, functions): (Store, Competitor, u32),
    provider: SocketAddr,
) -> anyhow::Result<()> {
    let mut names = vec!["setup".to_owned(), "audit".to_owned()];
    let mut code = format!(
        "const [ACCOUNTS, INITIAL, PROVIDER] = [{ACCOUNTS}, {INITIAL}, \"{}\"];\n{}\n{}",
        pay_url(provider),
        store.code(),
        include_str!("app/later.js"),
    );
    let predict = if competitor == Competitor::Predict { "@predict" } else { "" };
    for number in 0..functions {
        names.push(format!("order{number}"));
        let order = include_str!("app/order.js").replace("_N_", &number.to_string());
        let order = order.replace("_PREDICT_", predict);
        let order = order.replace("_TIMEOUT_", &TIMEOUT_MS.to_string());
        code.push_str(&order.replace("_RETRIES_", &RETRIES.to_string()));
    }
    let functions: Vec<String> =
        names.iter().map(|name| format!("{name} = \"bank.js#{name}\"\n")).collect();
    let declared = store.declaration();
    let toml = format!(
        "app = \"{app}\"\n\n[functions]\n{}\n[egress]\nallow_internal = [\"{provider}\"]\n\n[tapes]\nrate = 0\n\n{declared}",
        functions.concat(),
    );
    fs::write(folder.join("belay.toml"), toml)?;
    fs::write(folder.join("bank.js"), code)?;
    Ok(())
}
