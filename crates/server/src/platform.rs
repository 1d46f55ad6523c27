//! The whole server: opens everything on a data directory, serves two listeners, drains, and closes.
//!
//! | in the data directory | |
//! |---|---|
//! | `lock`, `store.sqlite` | the state of record |
//! | `blobs/` | sources, position maps, images |
//! | `kv/` | the apps' key-value files |
//! | `logs/` | what functions logged |
//! | `cache/` | machine code; may be deleted while no server runs |
//!
//! It prints nothing and reads no environment: that is the business of whoever starts it.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use belay_engine::{EngineError, EngineOptions};
use belay_fabric::{Blobs, Store, StoreError};
use belay_host::{HostError, HostOptions, HostShared};
use belay_model::EnvironmentName;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::{
    catalog::{Catalog, CatalogError, Engines, IdlePolicy, Services},
    control::{self, Access, Changes, Control, Rate},
    data::{self, ArmsAccess, DataPlane, DataPlaneConfig, Invoker},
    queue::{Queue, QueueConfig},
    run::{Executor, Policy},
    telemetry::{LogLimits, Logs, Telemetry},
    trial::{Judging, Observer, Reports},
};

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct PlatformConfig {
    /// Created when only its last part is missing.
    pub data_dir: PathBuf,
    /// Machine code and engine memories; `cache` in the data directory if none. May be shared by servers.
    pub cache_dir: Option<PathBuf>,
    /// Address of the data plane.
    pub http: SocketAddr,
    /// Address of the control plane.
    pub control: SocketAddr,
    /// Wanted from every caller of the control plane; must be given when that is not on loopback.
    pub token: Option<String>,
    /// Further host names by which a control plane on loopback may be called, such as that of a proxy before it.
    pub control_hosts: Vec<String>,
    /// Of the control plane, for each client.
    pub rate: Rate,
    /// Invocations at the same time, of all functions together.
    pub concurrency: u32,
    pub policy: Policy,
    pub data_plane: DataPlaneConfig,
    pub queue: QueueConfig,
    pub idle: IdlePolicy,
    /// Memory for functions that are ready to run at once; the others are kept compressed.
    pub ready_bytes_max: usize,
    pub logs: LogLimits,
    /// Longest time that requests and events get to come to their end when the server stops.
    pub drain: Duration,
}

impl PlatformConfig {
    /// The default addresses and bounds.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            cache_dir: None,
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8800)),
            control: SocketAddr::from((Ipv4Addr::LOCALHOST, 8801)),
            token: None,
            control_hosts: Vec::new(),
            rate: Rate::default(),
            concurrency: 1_024,
            policy: Policy::default(),
            data_plane: DataPlaneConfig::default(),
            queue: QueueConfig::default(),
            idle: IdlePolicy::default(),
            ready_bytes_max: EngineOptions::default().resident_bytes_max,
            logs: LogLimits::default(),
            drain: Duration::from_secs(30),
        }
    }
}

/// Why a server does not start. The messages are for who starts it.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    #[error(
        "the control plane would listen on {control}, which other machines can reach: give it a token of at least \
         {TOKEN_MIN} characters, or let it listen on 127.0.0.1"
    )]
    TokenRequired { control: SocketAddr },
    #[error("the token has {found} characters; use at least {TOKEN_MIN}")]
    ShortToken { found: usize },
    #[error("cannot listen on {address} for {what}{}", in_use(.source))]
    Bind {
        what: &'static str,
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The data directory is missing, not writable, of a newer format, or in use.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the catalog cannot be read")]
    Catalog(#[from] CatalogError),
    #[error("the engine cannot be opened")]
    Engine(#[from] EngineError),
    #[error("the host services cannot be opened")]
    Host(#[from] HostError),
    #[error("cannot {action}")]
    Io {
        action: &'static str,
        #[source]
        source: io::Error,
    },
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered, every event that ran came to its end.
    Clean,
    /// Some did not in time, and were cut off. Events among them run again after the next start.
    Cut,
}

/// Guessing a shorter one is too easy.
const TOKEN_MIN: usize = 16;

/// A server that is open and listens, but does not serve yet.
pub struct Platform {
    config: PlatformConfig,
    store: Store,
    http: TcpListener,
    http_address: SocketAddr,
    control: TcpListener,
    control_address: SocketAddr,
    parts: Control,
    judging: Judging,
    stop: watch::Sender<bool>,
}

impl Platform {
    /// Opens everything. The first start on a machine compiles the engine, which takes seconds.
    pub async fn open(config: PlatformConfig) -> Result<Self, PlatformError> {
        check_token(&config)?;
        let store = Store::open(&config.data_dir).await?;
        match Self::open_on(store.clone(), config).await {
            Ok(platform) => Ok(platform),
            Err(error) => {
                // So that the directory is free when the caller hears of it.
                store.close().await;
                Err(error)
            }
        }
    }

    /// Where functions are called.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    pub fn control_address(&self) -> SocketAddr {
        self.control_address
    }

    /// What the control plane works on; for tests and embedding.
    pub fn parts(&self) -> &Control {
        &self.parts
    }

    /// Serves until `shutdown` is ready, then lets what runs come to its end, and closes.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Drained {
        let background = self.background();
        let store = self.store.clone();
        let Control { catalog, logs, queue, changes, .. } = self.parts.clone();
        let (drain, stop) = (self.config.drain, self.stop.clone());
        let (mut listeners, judging) = self.listen();
        shutdown.await;
        stop.send_replace(true);
        let drained = async {
            while listeners.join_next().await.is_some() {}
            judging.stop().await;
            changes.ended().await;
            queue.close().await;
        };
        let drained = timeout(drain, drained).await.map_or(Drained::Cut, |()| Drained::Clean);
        listeners.shutdown().await;
        background.abort();
        logs.flush().await;
        catalog.blobs().close().await;
        store.close().await;
        drained
    }

    async fn open_on(store: Store, config: PlatformConfig) -> Result<Self, PlatformError> {
        let http = bind("function calls", config.http).await?;
        let control = bind("the control plane", config.control).await?;
        let io = |action| move |source| PlatformError::Io { action, source };
        let http_address = http.local_addr().map_err(io("read an address"))?;
        let control_address = control.local_addr().map_err(io("read an address"))?;

        let dir = &config.data_dir;
        let blobs = Blobs::open(&dir.join("blobs")).await?;
        let logs = Logs::open(&dir.join("logs"), config.logs).map_err(io("open the logs"))?;
        let (kv_dir, sql_dir) = (dir.join("kv"), dir.join("sql"));
        let host = HostOptions { kv_dir, sql_dir, ..HostOptions::default() };
        let telemetry = Arc::new(Telemetry::new(control_address.to_string()));
        let services = Services { host: HostShared::open(host)?, telemetry: telemetry.clone() };
        let cache = config.cache_dir.clone().unwrap_or_else(|| dir.join("cache"));
        let resident_bytes_max = config.ready_bytes_max;
        let options = EngineOptions { resident_bytes_max, ..EngineOptions::default() };
        let engines = Engines::new(cache, options);
        let catalog = Catalog::open(store.clone(), blobs, engines.clone(), services, config.idle);
        // The default engine is opened now: a server that says it is ready does not keep the first deploy waiting.
        let environment = EnvironmentName::default();
        let engine = async { Ok(engines.get(&environment).await?) };
        let catalog = async { Ok::<_, PlatformError>(catalog.await?) };
        let (catalog, _engine) = tokio::try_join!(catalog, engine)?;

        let executor = Executor::start(config.policy).map_err(io("start the engine threads"))?;
        let (observer, heard) = Observer::new();
        let invoker = Invoker::new(executor.clone(), logs.clone(), config.concurrency, observer);
        let (routes, events) = (catalog.routes().clone(), config.queue.clone());
        let queue = Queue::open(store.clone(), routes, invoker.clone(), events).await?;
        let (stop, stopping) = watch::channel(false);
        let data_plane = format!("http://{}", reachable(http_address)).into();
        let (changes, reports) = (Changes::default(), Reports::default());
        let seen = catalog.kept_evidence().await?;
        let judging =
            Judging::start(catalog.clone(), changes.clone(), reports.clone(), heard, seen)
                .map_err(io("start the judge"))?;
        let parts = Control {
            catalog,
            changes,
            invoker,
            executor,
            queue,
            logs,
            telemetry,
            reports,
            data_plane,
            stopping,
        };
        Ok(Self {
            config,
            store,
            http,
            http_address,
            control,
            control_address,
            parts,
            judging,
            stop,
        })
    }

    fn background(&self) -> JoinHandle<()> {
        self.parts.catalog.tidy_in_background();
        let sweep = self.parts.catalog.images().clone().sweep();
        let webhooks = self.parts.catalog.clone().deliver_webhooks();
        tokio::spawn(async move {
            tokio::join!(sweep, webhooks);
        })
    }

    fn listen(self) -> (JoinSet<()>, Judging) {
        let plane = DataPlane {
            routes: self.parts.catalog.routes().clone(),
            invoker: self.parts.invoker.clone(),
            queue: self.parts.queue.clone(),
            config: self.config.data_plane,
            arms: ArmsAccess::new(self.config.token.as_deref()),
        };
        let (mut for_data, for_control) = (self.stop.subscribe(), self.stop.subscribe());
        let access = Access::new(
            self.config.token.as_deref(),
            self.control_address.ip(),
            self.config.control_hosts,
        );
        let router = control::router(self.parts, access, self.config.rate);
        let mut listeners = JoinSet::new();
        let stopped = async move { drop(for_data.wait_for(|stop| *stop).await) };
        listeners.spawn(data::serve(self.http, Arc::new(plane), stopped));
        listeners.spawn(control::serve(self.control, router, for_control));
        (listeners, self.judging)
    }
}

fn check_token(config: &PlatformConfig) -> Result<(), PlatformError> {
    match &config.token {
        None if config.control.ip().is_loopback() => Ok(()),
        None => Err(PlatformError::TokenRequired { control: config.control }),
        Some(token) if token.len() < TOKEN_MIN => {
            Err(PlatformError::ShortToken { found: token.len() })
        }
        Some(_) => Ok(()),
    }
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, PlatformError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| PlatformError::Bind { what, address, source })
}

fn in_use(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            ": something listens there already, perhaps another Belay; stop it or choose another address"
        }
        io::ErrorKind::PermissionDenied => ": ports below 1024 are for root; choose another",
        io::ErrorKind::AddrNotAvailable => ": this machine does not have that address",
        _ => "",
    }
}

/// An address that "all addresses" can be reached by.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
