//! From a connection string to connections.
//!
//! TLS is used when the string asks for it, with `sslmode=require` or stricter; then the certificate is always checked
//! against the authorities that HTTPS trusts, and against the name of the host.
//!
//! Invariant: a connection string, or a part of one, is in no message.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use belay_model::{DatabaseName, EffectError};
use rustls::{ClientConfig, crypto, pki_types::CertificateDer};
use rustls_platform_verifier::Verifier;
use tokio_postgres::{Config, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{super::error, connection::PostgresConnection, failure};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is stricter than `require`, and what that does here anyway.
const VERIFYING: [&str; 2] = ["sslmode=verify-full", "sslmode=verify-ca"];

/// TLS for all servers; made when the first one asks for it.
#[derive(Clone)]
pub(in super::super) struct Tls(Arc<Lazy>);

struct Lazy {
    extra_roots: Vec<CertificateDer<'static>>,
    made: OnceLock<MakeRustlsConnect>,
}

impl Tls {
    pub(in super::super) fn new(extra_roots: Vec<CertificateDer<'static>>) -> Self {
        Self(Arc::new(Lazy { extra_roots, made: OnceLock::new() }))
    }

    fn get(&self) -> Result<MakeRustlsConnect, rustls::Error> {
        if let Some(made) = self.0.made.get() {
            return Ok(made.clone());
        }
        let provider = Arc::new(crypto::ring::default_provider());
        let roots = self.0.extra_roots.iter().cloned();
        let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(self.0.made.get_or_init(|| MakeRustlsConnect::new(config)).clone())
    }
}

/// Where a server is, and how it is spoken to.
pub(in super::super) struct Connector {
    database: DatabaseName,
    config: Config,
    tls: Tls,
}

impl Connector {
    pub(in super::super) fn parse(
        database: &DatabaseName,
        url: &str,
        tls: &Tls,
    ) -> Result<Self, EffectError> {
        let url =
            VERIFYING.iter().fold(url.to_owned(), |url, mode| url.replace(mode, "sslmode=require"));
        // What is wrong with it may be a part of a password.
        let config = url.parse::<Config>();
        let mut config = config.map_err(|_| {
            error::unavailable(format!(
                "database {database}: its secret is not a connection string such as \
                 postgres://user:password@host/database"
            ))
        })?;
        if config.get_ssl_mode() == SslMode::Prefer {
            config.ssl_mode(SslMode::Disable);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("belay");
        }
        Ok(Self { database: database.clone(), config, tls: tls.clone() })
    }

    pub(super) async fn connect(&self) -> Result<PostgresConnection, EffectError> {
        let connecting = self.connected();
        // Longer than the attempt itself: a server that accepts and says nothing must not hold anybody up.
        let connected = tokio::time::timeout(2 * CONNECT_TIMEOUT, connecting).await;
        connected.unwrap_or_else(|_| Err(self.unavailable("it does not answer")))
    }

    async fn connected(&self) -> Result<PostgresConnection, EffectError> {
        let told = |error| self.unavailable(&failure::reason(&error));
        if self.config.get_ssl_mode() == SslMode::Require {
            let tls = self.tls.get();
            let tls = tls.map_err(|_| self.unavailable("TLS cannot be configured"))?;
            let (client, connection) = self.config.connect(tls.clone()).await.map_err(told)?;
            return Ok(PostgresConnection::new(client, connection, Some(tls)));
        }
        let (client, connection) = self.config.connect(NoTls).await.map_err(told)?;
        Ok(PostgresConnection::new(client, connection, None))
    }

    fn unavailable(&self, reason: &str) -> EffectError {
        error::unavailable(format!("database {} cannot be reached: {reason}", self.database))
    }
}
