//! Why the host side of an app cannot be set up.
//!
//! What goes wrong in a call of a running function is not here: that is an [`belay_model::EffectError`].

use std::{io, path::PathBuf};

use crate::fetch::PatternError;

#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// An entry of the egress policy is not a pattern.
    #[error("egress policy: {0}")]
    Egress(#[from] PatternError),
    /// A certificate of [`crate::HostOptions::extra_roots`] is not one.
    #[error("an extra root certificate cannot be used")]
    Root(#[source] rustls::Error),
    /// The HTTP client cannot be made.
    #[error("cannot make the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The TLS provider offers no protocol version.
    #[error("cannot configure TLS")]
    Tls(#[source] rustls::Error),
    /// The directory of the kv files cannot be made.
    #[error("cannot make the directory {}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    /// The threads that serve kv cannot be started.
    #[error("cannot start a kv thread")]
    Thread(#[source] io::Error),
}
