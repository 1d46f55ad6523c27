//! The process's HTTP clients: connection pools, name resolution that refuses internal addresses, TLS.
//!
//! There is one pool for everything public, and one for each distinct set of internal addresses that some app may
//! reach ([`Reach`]). The address filter sits in the resolver that the connection itself uses: there is no second
//! look-up that could answer differently.

use std::{
    error::Error as _,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect, retry,
};
use rustls::{ClientConfig, RootCertStore, crypto, pki_types::CertificateDer};
use rustls_platform_verifier::Verifier;
use tokio::sync::Semaphore;

use super::egress::{Denied, Reach};
use crate::HostError;

const USER_AGENT: &str = concat!("belay/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_PER_HOST: usize = 32;
const IDLE: Duration = Duration::from_secs(60);
const RESPONSE_HEADERS_MAX: usize = 128;
/// Look-ups at the same time: each holds a thread while a name server is slow.
const LOOKUPS: usize = 64;
/// Clients beside the public one; the one used least recently goes first.
const CLIENTS_MAX: usize = 32;

pub(crate) struct Clients {
    extra_roots: Vec<CertificateDer<'static>>,
    tls: OnceLock<ClientConfig>,
    public: OnceLock<Client>,
    /// The most recently used one is last.
    internal: Mutex<Vec<(Reach, Client)>>,
    lookups: Arc<Semaphore>,
}

impl Clients {
    /// Does no work that can wait: reading the system's certificates takes tens of milliseconds.
    pub(crate) fn new(extra_roots: Vec<CertificateDer<'static>>) -> Result<Self, HostError> {
        let mut store = RootCertStore::empty();
        extra_roots.iter().try_for_each(|root| store.add(root.clone())).map_err(HostError::Root)?;
        Ok(Self {
            extra_roots,
            tls: OnceLock::new(),
            public: OnceLock::new(),
            internal: Mutex::default(),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
        })
    }

    pub(crate) fn get(&self, reach: &Reach) -> Result<Client, HostError> {
        match reach {
            Reach::Public => self.public(),
            Reach::Addresses(_) | Reach::NamedHost => self.internal(reach),
        }
    }

    fn public(&self) -> Result<Client, HostError> {
        if let Some(client) = self.public.get() {
            return Ok(client.clone());
        }
        let client = self.build(Reach::Public)?;
        Ok(self.public.get_or_init(|| client).clone())
    }

    fn internal(&self, reach: &Reach) -> Result<Client, HostError> {
        let mut clients = self.internal.lock();
        let found = clients.iter().position(|(own, _)| own == reach);
        let entry = match found {
            Some(at) => clients.remove(at),
            None => (reach.clone(), self.build(reach.clone())?),
        };
        let client = entry.1.clone();
        clients.push(entry);
        if clients.len() > CLIENTS_MAX {
            clients.remove(0);
        }
        Ok(client)
    }

    fn build(&self, reach: Reach) -> Result<Client, HostError> {
        let resolver = Resolver { reach, lookups: Arc::clone(&self.lookups) };
        Client::builder()
            .user_agent(USER_AGENT)
            .no_proxy()
            .referer(false)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .dns_resolver(resolver)
            .tls_backend_preconfigured(self.tls()?)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE)
            .http1_max_headers(RESPONSE_HEADERS_MAX)
            .build()
            .map_err(HostError::Client)
    }

    fn tls(&self) -> Result<ClientConfig, HostError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let tls = tls(&self.extra_roots).map_err(HostError::Tls)?;
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

/// Trusts what the system trusts, and `extra_roots`. On a machine without certificates plain HTTP still works.
fn tls(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    match Verifier::new_with_extra_roots(extra_roots.iter().cloned(), provider) {
        Ok(verifier) => {
            let builder = builder.dangerous();
            let builder = builder.with_custom_certificate_verifier(Arc::new(verifier));
            Ok(builder.with_no_client_auth())
        }
        Err(error) => {
            tracing::warn!(%error, "no HTTPS: this machine has no root certificates");
            Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        }
    }
}

/// Resolves through the system and keeps the addresses within reach.
struct Resolver {
    reach: Reach,
    lookups: Arc<Semaphore>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, lookups) = (self.reach.clone(), Arc::clone(&self.lookups));
        Box::pin(async move {
            let _turn = lookups.acquire_owned().await?;
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut refused = None;
            let admit = |address: &std::net::SocketAddr| {
                reach
                    .admit(name.as_str(), address.ip())
                    .map_err(|denied| refused = Some(denied))
                    .is_ok()
            };
            let admitted: Vec<_> = found.filter(admit).collect();
            match refused {
                Some(denied) if admitted.is_empty() => Err(denied.into()),
                _ => Ok(Box::new(admitted.into_iter()) as Addrs),
            }
        })
    }
}

/// The refusal of the resolver within a client's error, if that is what it is.
pub(crate) fn denied(error: &reqwest::Error) -> Option<&Denied> {
    std::iter::successors(error.source(), |&error| error.source())
        .find_map(|error| error.downcast_ref::<Denied>())
}
