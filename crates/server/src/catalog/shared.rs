//! What all versions of an app share while the process runs: its host services, secrets, and concurrency gates.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use belay_host::{AppHost, HostConfig, HostError, HostShared, SecretSource};
use belay_mirror::Book;
use belay_model::{AppName, DatabaseName, DatabaseSpec, EgressPolicy, FunctionName};
use parking_lot::Mutex;

use super::{OffSwitches, VersionRecord};
use crate::{
    run::Gate,
    tapes::Shelves,
    telemetry::{FunctionStats, Labels, Telemetry},
};

/// The services that apps are opened with.
#[derive(Clone)]
pub struct Services {
    pub host: HostShared,
    pub telemetry: Arc<Telemetry>,
}

/// One app, from its first deploy (or the start of the process) to its removal.
pub struct AppShared {
    pub app: AppName,
    /// Differs between two apps that had the same name one after the other.
    pub incarnation: String,
    services: Services,
    secrets: Arc<ArcSwap<Secrets>>,
    /// One for each reach that some version has. Few, mostly one.
    hosts: Mutex<Vec<(Reach, Arc<AppHost>)>>,
    gates: Mutex<HashMap<(FunctionName, u32), Arc<Gate>>>,
    pub tapes: Shelves,
    /// What is known of its transactions.
    pub transactions: Arc<Book>,
    /// Functions that are off for a time.
    pub off: OffSwitches,
}

pub(super) type Secrets = BTreeMap<String, String>;

/// What functions of a version may reach.
struct Reach {
    egress: EgressPolicy,
    databases: BTreeMap<DatabaseName, DatabaseSpec>,
}

impl Reach {
    fn is_of(&self, record: &VersionRecord) -> bool {
        (&self.egress, &self.databases) == (&record.egress, &record.databases)
    }
}

impl AppShared {
    pub(super) fn new(
        app: AppName,
        incarnation: String,
        secrets: Secrets,
        services: Services,
    ) -> Self {
        Self {
            app,
            incarnation,
            services,
            secrets: Arc::new(ArcSwap::from_pointee(secrets)),
            hosts: Mutex::default(),
            gates: Mutex::default(),
            tapes: Shelves::default(),
            transactions: Arc::default(),
            off: OffSwitches::default(),
        }
    }

    /// Host services for a version; the same ones for the same reach.
    pub fn host(&self, record: &VersionRecord) -> Result<Arc<AppHost>, HostError> {
        let mut hosts = self.hosts.lock();
        if let Some((_, host)) = hosts.iter().find(|(reach, _)| reach.is_of(record)) {
            return Ok(host.clone());
        }
        let reach = Reach { egress: record.egress.clone(), databases: record.databases.clone() };
        let host = Arc::new(self.open_host(&reach)?);
        hosts.push((reach, host.clone()));
        Ok(host)
    }

    pub fn gate(&self, function: &FunctionName, limit: u32) -> Arc<Gate> {
        let mut gates = self.gates.lock();
        gates.entry((function.clone(), limit)).or_insert_with(|| Gate::new(limit)).clone()
    }

    pub fn stats(&self, function: &FunctionName, version: &VersionRecord) -> Arc<FunctionStats> {
        self.services.telemetry.function(&Labels {
            app: self.app.clone(),
            function: function.clone(),
            version: version.version,
            environment: version.environment.clone(),
        })
    }

    pub(super) fn secret(&self, name: &str) -> Option<String> {
        self.secrets.load().get(name).cloned()
    }

    /// Names only, sorted.
    pub fn secret_names(&self) -> Vec<String> {
        self.secrets.load().keys().cloned().collect()
    }

    /// Takes effect on the next `secret.get`, also of requests that run.
    pub(super) fn change_secrets(&self, change: impl Fn(&mut Secrets)) {
        self.secrets.rcu(|secrets| {
            let mut secrets = Secrets::clone(secrets);
            change(&mut secrets);
            secrets
        });
    }

    fn open_host(&self, reach: &Reach) -> Result<AppHost, HostError> {
        let secrets = self.secrets.clone();
        let config = HostConfig {
            egress: reach.egress.clone(),
            databases: reach.databases.clone(),
            secrets: SecretSource::new(move |name| secrets.load().get(name).cloned()),
            ..HostConfig::new(self.app.clone())
        };
        AppHost::open(config, &self.services.host)
    }
}
