//! The host side of one app: performs the calls of its functions.
//!
//! Invariant: whatever a call holds, `perform` answers with an [`Outcome`]; and nothing that it opened for the call
//! is still open when it has answered.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use belay_model::{AppName, Call, DatabaseName, DatabaseSpec, EffectError, EgressPolicy, Outcome};
use rustls::pki_types::CertificateDer;

use crate::{
    HostError, SecretSource,
    fetch::{Clients, Egress, Fetch, FetchShared},
    kv::{self, Kv, KvTransaction},
    request::Request,
    sql::{Query, Sql, SqlBegin, SqlEngine, SqlShared, SqlTransaction},
    timer,
};

/// Default of [`HostConfig::kv_quota_bytes`].
pub const KV_QUOTA_BYTES: u64 = 1 << 30;

/// What all apps of a process share: threads for kv, connections for sql and http. Cheap to clone.
///
/// Dropping the last clone, with the last [`AppHost`], writes what kv has queued and closes its files.
#[derive(Clone)]
pub struct HostShared {
    kv: Arc<kv::Pool>,
    kv_dir: Arc<Path>,
    fetch: Arc<FetchShared>,
    sql: Arc<SqlShared>,
}

/// Settings of a process.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// Where the kv files are: `<kv_dir>/<app>.sqlite`. Made when it is missing.
    pub kv_dir: PathBuf,
    /// Where the SQLite files are: `<sql_dir>/<app>/<database>.sqlite`. Made when a function needs one.
    pub sql_dir: PathBuf,
    /// Certificates (DER) that HTTPS and PostgreSQL trust besides those of the system.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

impl HostShared {
    pub fn open(options: HostOptions) -> Result<Self, HostError> {
        let path = options.kv_dir;
        std::fs::create_dir_all(&path)
            .map_err(|source| HostError::Directory { path: path.clone(), source })?;
        let sql = SqlShared::new(options.sql_dir, options.extra_roots.clone());
        let clients = Clients::new(options.extra_roots)?;
        Ok(Self {
            kv: Arc::new(kv::Pool::start().map_err(HostError::Thread)?),
            kv_dir: path.into(),
            fetch: Arc::new(FetchShared::new(clients)),
            sql: Arc::new(sql),
        })
    }

    /// Removes the kv file of an app, after what is queued for it. An app that calls kv afterwards starts anew.
    pub async fn erase_kv(&self, app: &AppName) -> Outcome {
        Kv::new(Arc::clone(&self.kv), &self.kv_path(app), 0).perform(kv::Command::Erase).await
    }

    /// Closes the connections of an app to its databases, and removes its SQLite files. What runs comes to its end.
    pub async fn erase_sql(&self, app: &AppName) -> io::Result<()> {
        let (sql, app) = (Arc::clone(&self.sql), app.clone());
        let erased = tokio::task::spawn_blocking(move || sql.erase(&app)).await;
        erased.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn kv_path(&self, app: &AppName) -> PathBuf {
        self.kv_dir.join(format!("{app}.sqlite"))
    }
}

impl fmt::Debug for HostShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostShared").field("kv_dir", &self.kv_dir).finish_non_exhaustive()
    }
}

/// A W3C `traceparent` that names the invocation as the parent. It becomes text only when a request goes out.
#[derive(Clone, Copy)]
pub struct Trace<'a>(pub &'a (dyn fmt::Display + Sync));

/// Settings of an app.
#[derive(Debug, Clone)]
pub struct HostConfig {
    pub app: AppName,
    pub egress: EgressPolicy,
    /// What `sql` reaches.
    pub databases: BTreeMap<DatabaseName, DatabaseSpec>,
    pub secrets: SecretSource,
    /// What keys and values may add up to, with 64 bytes for each entry.
    pub kv_quota_bytes: u64,
}

impl HostConfig {
    /// The default policy, no databases, no secrets.
    pub fn new(app: AppName) -> Self {
        Self {
            app,
            egress: EgressPolicy::default(),
            databases: BTreeMap::new(),
            secrets: SecretSource::none(),
            kv_quota_bytes: KV_QUOTA_BYTES,
        }
    }
}

/// The host side of one app. Opens nothing until a call needs it.
pub struct AppHost {
    kv: Kv,
    fetch: Fetch,
    sql: Sql,
    secrets: SecretSource,
}

impl AppHost {
    pub fn open(config: HostConfig, shared: &HostShared) -> Result<Self, HostError> {
        let path = shared.kv_path(&config.app);
        let egress = Egress::parse(&config.egress)?;
        let (databases, secrets) = (config.databases, config.secrets.clone());
        Ok(Self {
            kv: Kv::new(Arc::clone(&shared.kv), &path, config.kv_quota_bytes),
            sql: Sql::new(config.app, databases, secrets, Arc::clone(&shared.sql)),
            fetch: Fetch::new(Arc::clone(&shared.fetch), egress),
            secrets: config.secrets,
        })
    }

    /// As [`Self::perform_for`], of no trace.
    pub async fn perform(&self, call: &Call) -> Outcome {
        self.perform_for(call, None).await
    }

    /// As [`Self::perform_for`]; a request that may change something goes out with an idempotency key, unless it has one.
    pub async fn perform_once(&self, call: &Call, trace: Option<Trace<'_>>, key: &str) -> Outcome {
        match Request::decode(call) {
            Ok(Request::Fetch(mut request)) => {
                request.hop.keyed(key);
                self.fetch.perform(*request, trace).await
            }
            _ => self.perform_for(call, trace).await,
        }
    }

    /// Opens a transaction of kv.
    pub fn begin_kv(&self) -> KvTransaction {
        KvTransaction::new(self.kv.clone())
    }

    /// Performs a call; a request goes out with `trace`. Dropping the future gives the call up: a wait ends, a connection closes; a kv write that
    /// was already queued may or may not be made.
    pub async fn perform_for(&self, call: &Call, trace: Option<Trace<'_>>) -> Outcome {
        match Request::decode(call) {
            Ok(Request::Timer(duration)) => timer::wait(duration).await,
            Ok(Request::Kv(command)) => self.kv.perform(command).await,
            Ok(Request::Sql(query)) => self.sql.perform(*query).await,
            Ok(Request::Fetch(request)) => self.fetch.perform(*request, trace).await,
            Ok(Request::Secret { name }) => self.secrets.answer(&name),
            Err(error) => Outcome::Err(error),
        }
    }

    /// Begins a transaction on a database of the app, which is the one named `main`, or the only one, if `database` is
    /// not said. Fails as a `sql.query` outside of it would.
    pub async fn begin_sql(
        &self,
        database: Option<&str>,
        begin: SqlBegin,
    ) -> Result<SqlTransaction, EffectError> {
        self.sql.begin(database, &begin).await
    }

    /// Which database a `sql.query` is for.
    pub fn database_of(&self, call: &Call) -> Result<(DatabaseName, SqlEngine), EffectError> {
        let query = Query::decode(call)?;
        let (name, spec) = self.sql.find(query.database.as_deref())?;
        Ok((name.clone(), spec.into()))
    }
}

impl fmt::Debug for AppHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppHost(..)")
    }
}
