//! The host side of one app: performs the calls of its functions.
//!
//! Invariant: whatever a call holds, `perform` answers with an [`Outcome`]; and nothing that it opened for the call
//! is still open when it has answered.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use belay_model::{AppName, Call, EgressPolicy, Outcome};
use rustls::pki_types::CertificateDer;

use crate::{
    HostError, SecretSource,
    fetch::{Clients, Egress, Fetch, FetchShared},
    kv::{self, Kv},
    request::Request,
    timer,
};

/// Default of [`HostConfig::kv_quota_bytes`].
pub const KV_QUOTA_BYTES: u64 = 1 << 30;

/// What all apps of a process share: threads for kv, connections for http. Cheap to clone.
///
/// Dropping the last clone, with the last [`AppHost`], writes what kv has queued and closes its files.
#[derive(Clone)]
pub struct HostShared {
    kv: Arc<kv::Pool>,
    kv_dir: Arc<Path>,
    fetch: Arc<FetchShared>,
}

/// Settings of a process.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// Where the kv files are: `<kv_dir>/<app>.sqlite`. Made when it is missing.
    pub kv_dir: PathBuf,
    /// Certificates (DER) that HTTPS trusts besides those of the system.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

impl HostShared {
    pub fn open(options: HostOptions) -> Result<Self, HostError> {
        let path = options.kv_dir;
        std::fs::create_dir_all(&path)
            .map_err(|source| HostError::Directory { path: path.clone(), source })?;
        let clients = Clients::new(options.extra_roots)?;
        Ok(Self {
            kv: Arc::new(kv::Pool::start().map_err(HostError::Thread)?),
            kv_dir: path.into(),
            fetch: Arc::new(FetchShared::new(clients)),
        })
    }

    /// Removes the kv file of an app, after what is queued for it. An app that calls kv afterwards starts anew.
    pub async fn erase_kv(&self, app: &AppName) -> Outcome {
        Kv::new(Arc::clone(&self.kv), &self.kv_path(app), 0).perform(kv::Command::Erase).await
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
    pub secrets: SecretSource,
    /// What keys and values may add up to, with 64 bytes for each entry.
    pub kv_quota_bytes: u64,
}

impl HostConfig {
    /// The default policy, no secrets.
    pub fn new(app: AppName) -> Self {
        Self {
            app,
            egress: EgressPolicy::default(),
            secrets: SecretSource::none(),
            kv_quota_bytes: KV_QUOTA_BYTES,
        }
    }
}

/// The host side of one app. Opens nothing until a call needs it.
pub struct AppHost {
    kv: Kv,
    fetch: Fetch,
    secrets: SecretSource,
}

impl AppHost {
    pub fn open(config: HostConfig, shared: &HostShared) -> Result<Self, HostError> {
        let path = shared.kv_path(&config.app);
        let egress = Egress::parse(&config.egress)?;
        Ok(Self {
            kv: Kv::new(Arc::clone(&shared.kv), &path, config.kv_quota_bytes),
            fetch: Fetch::new(Arc::clone(&shared.fetch), egress),
            secrets: config.secrets,
        })
    }

    /// As [`Self::perform_for`], of no trace.
    pub async fn perform(&self, call: &Call) -> Outcome {
        self.perform_for(call, None).await
    }

    /// Performs a call; a request goes out with `trace`. Dropping the future gives the call up: a wait ends, a connection closes; a kv write that
    /// was already queued may or may not be made.
    pub async fn perform_for(&self, call: &Call, trace: Option<Trace<'_>>) -> Outcome {
        match Request::decode(call) {
            Ok(Request::Timer(duration)) => timer::wait(duration).await,
            Ok(Request::Kv(command)) => self.kv.perform(command).await,
            Ok(Request::Fetch(request)) => self.fetch.perform(*request, trace).await,
            Ok(Request::Secret { name }) => self.secrets.answer(&name),
            Err(error) => Outcome::Err(error),
        }
    }
}

impl fmt::Debug for AppHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppHost(..)")
    }
}
