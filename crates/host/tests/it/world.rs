//! A host of one app over a temporary directory, and short ways to call it.

use belay_host::{AppHost, HostConfig, HostOptions, HostShared, SecretSource};
use belay_model::{Call, CallId, EgressPolicy, Outcome};
use serde_json::Value;
use tempfile::TempDir;

/// Keeps the directory for as long as the host.
pub(crate) struct World {
    pub(crate) host: AppHost,
    pub(crate) shared: HostShared,
    pub(crate) dir: TempDir,
}

/// What a call answers, in a form that tests compare.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) value: Value,
    pub(crate) body: Option<Vec<u8>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut HostConfig)) -> Self {
        let dir = TempDir::new().unwrap();
        let shared = open(dir.path(), Vec::new());
        Self { host: app(&shared, "shop", change), shared, dir }
    }

    /// May fetch from these internal addresses, and from whatever is public.
    pub(crate) fn reaching(internal: &[&str]) -> Self {
        Self::with(|config| config.egress = reaching(internal))
    }

    /// Expects success.
    pub(crate) async fn ok(&self, op: &str, args: Value) -> Answer {
        ok(&self.host, call(op, args)).await
    }

    /// Expects failure; the code.
    pub(crate) async fn err(&self, op: &str, args: Value) -> String {
        match self.host.perform(&call(op, args)).await {
            Outcome::Err(error) => error.code,
            Outcome::Ok { value, .. } => panic!("{op} succeeded: {value}"),
        }
    }
}

pub(crate) fn reaching(internal: &[&str]) -> EgressPolicy {
    let allow_internal = internal.iter().map(|&entry| entry.to_owned()).collect();
    EgressPolicy { allow_internal, ..EgressPolicy::default() }
}

pub(crate) fn open(
    dir: &std::path::Path,
    extra_roots: Vec<rustls::pki_types::CertificateDer<'static>>,
) -> HostShared {
    let (kv_dir, sql_dir) = (dir.join("kv"), dir.join("sql"));
    HostShared::open(HostOptions { kv_dir, sql_dir, extra_roots }).unwrap()
}

pub(crate) fn app(
    shared: &HostShared,
    name: &str,
    change: impl FnOnce(&mut HostConfig),
) -> AppHost {
    let mut config = HostConfig::new(name.parse().unwrap());
    config.secrets = SecretSource::new(|name| (name == "token").then(|| "s3cret".to_owned()));
    change(&mut config);
    AppHost::open(config, shared).unwrap()
}

pub(crate) fn call(op: &str, args: Value) -> Call {
    Call { id: CallId(1), op: op.to_owned(), args: args.to_string(), body: None }
}

pub(crate) fn with_body(mut call: Call, body: &[u8]) -> Call {
    call.body = Some(body.to_vec());
    call
}

pub(crate) async fn ok(host: &AppHost, call: Call) -> Answer {
    match host.perform(&call).await {
        Outcome::Ok { value, body } => {
            Answer { value: serde_json::from_str(&value).unwrap(), body }
        }
        Outcome::Err(error) => panic!("{}: {error}", call.op),
    }
}
