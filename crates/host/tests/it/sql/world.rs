//! An app with databases: SQLite in a temporary directory, PostgreSQL as a database of its own on a server.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use belay_host::{AppHost, HostShared, SecretSource, SqlBegin, SqlTransaction};
use belay_model::{Call, DatabaseSpec, Outcome};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::world::{app, call, open};

const SERVER: &str = "postgres://postgres@127.0.0.1:5432";

/// Where the server of the tests is, without the name of a database.
pub(crate) fn server() -> String {
    std::env::var("BELAY_TEST_POSTGRES").unwrap_or_else(|_| SERVER.to_owned())
}

/// A connection of the test's own.
pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A database of one test, which ends with it.
pub(crate) struct Server {
    pub(crate) url: String,
    name: String,
}

impl Server {
    pub(crate) async fn new() -> Self {
        let name = format!("belay_{}", uuid::Uuid::new_v4().simple());
        let admin = connect(&format!("{}/postgres", server())).await;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Self { url: format!("{}/{name}", server()), name }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let work = async move {
            let admin = connect(&format!("{}/postgres", server())).await;
            admin.batch_execute(&drop).await.unwrap();
        };
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(work);
        });
        thread.join().unwrap();
    }
}

/// An app with the databases `main` (SQLite) and, if there is one, `ledger` (PostgreSQL).
pub(crate) struct Databases {
    pub(crate) host: AppHost,
    pub(crate) shared: HostShared,
    pub(crate) dir: TempDir,
    pub(crate) url: Arc<Mutex<String>>,
    pub(crate) server: Option<Server>,
}

pub(crate) const SQLITE: &str = "main";
pub(crate) const POSTGRES: &str = "ledger";

impl Databases {
    pub(crate) fn sqlite() -> Self {
        Self::with(None, "")
    }

    pub(crate) async fn both() -> Self {
        Self::pooled("").await
    }

    /// `more` is added to the declaration of the server.
    pub(crate) async fn pooled(more: &str) -> Self {
        Self::with(Some(Server::new().await), more)
    }

    fn with(server: Option<Server>, more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let shared = open(dir.path(), Vec::new());
        let url = server.as_ref().map_or_else(String::new, |server| server.url.clone());
        let url = Arc::new(Mutex::new(url));
        let known = Arc::clone(&url);
        let host = app(&shared, "shop", |config| {
            config.databases.insert(SQLITE.parse().unwrap(), DatabaseSpec::Sqlite {});
            let spec =
                format!(r#"{{"engine":"postgres","url":"URL","readonly_url":"READ"{more}}}"#);
            if server.is_some() {
                let spec = serde_json::from_str(&spec).unwrap();
                config.databases.insert(POSTGRES.parse().unwrap(), spec);
            }
            config.secrets = SecretSource::new(move |name| {
                ["URL", "READ"].contains(&name).then(|| known.lock().unwrap().clone())
            });
        });
        Self { host, shared, dir, url, server }
    }

    pub(crate) async fn outcome(&self, database: &str, text: &str, params: Value) -> Outcome {
        self.host.perform(&query(database, text, params)).await
    }

    /// The rows.
    pub(crate) async fn rows(&self, database: &str, text: &str, params: Value) -> Value {
        rows(self.outcome(database, text, params).await)
    }

    /// How much was changed.
    pub(crate) async fn run(&self, database: &str, text: &str) -> u64 {
        changed(self.outcome(database, text, json!([])).await)
    }

    /// The code.
    pub(crate) async fn err(&self, database: &str, text: &str, params: Value) -> String {
        code(self.outcome(database, text, params).await)
    }

    pub(crate) async fn begin(&self, database: &str) -> SqlTransaction {
        self.host.begin_sql(Some(database), SqlBegin::default()).await.unwrap()
    }
}

pub(crate) fn query(database: &str, text: &str, params: Value) -> Call {
    call("sql.query", json!({ "database": database, "text": text, "params": params }))
}

fn value(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Ok { value, body: None } => serde_json::from_str(&value).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn rows(outcome: Outcome) -> Value {
    value(outcome)["rows"].take()
}

pub(crate) fn changed(outcome: Outcome) -> u64 {
    value(outcome)["changed"].as_u64().unwrap()
}

pub(crate) fn code(outcome: Outcome) -> String {
    match outcome {
        Outcome::Err(error) => error.code,
        Outcome::Ok { value, .. } => panic!("succeeded: {value}"),
    }
}

pub(crate) fn message(outcome: Outcome) -> String {
    match outcome {
        Outcome::Err(error) => error.message,
        Outcome::Ok { value, .. } => panic!("succeeded: {value}"),
    }
}

/// A statement in a transaction, without parameters.
pub(crate) async fn within(transaction: &mut SqlTransaction, text: &str) -> Outcome {
    let database = transaction.database().to_owned();
    transaction.perform(&query(&database, text, json!([]))).await
}

/// `SELECT 1 UNION ALL SELECT 2 …`, for results of any size on both engines.
pub(crate) fn numbers(count: usize) -> String {
    let mut text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n".to_owned();
    let _ = write!(text, " WHERE i < {count}) SELECT i FROM n");
    text
}
