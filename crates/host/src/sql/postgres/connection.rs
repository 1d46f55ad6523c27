//! One connection to a server, with the statements that were prepared on it.
//!
//! Invariants: dropping it closes the socket at once; if a statement was under way, the server is asked to stop it,
//! as it would notice only when it has something to say. No more statements are kept than [`STATEMENTS_MAX`].

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};
use tokio_postgres::{CancelToken, Client, Connection, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::described::Description;

/// For each connection; the server holds a plan for each of them.
const STATEMENTS_MAX: usize = 128;
/// A statement of a mirror that takes longer is of no use to anybody.
const MIRROR_TIMEOUT: Duration = Duration::from_secs(1);
/// Nor is it worth waiting for a lock.
const MIRROR_LOCK_TIMEOUT: Duration = Duration::from_millis(5);

pub(in super::super) struct PostgresConnection {
    pub(super) client: Client,
    speaking: JoinHandle<()>,
    prepared: HashMap<Arc<str>, Prepared>,
    uses: u64,
    busy: Arc<AtomicBool>,
    tls: Option<MakeRustlsConnect>,
}

#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) statement: Statement,
    pub(super) described: Arc<Description>,
    pub(super) writes: bool,
    used: u64,
}

/// A statement is under way, until this is told otherwise.
pub(super) struct Busy(Arc<AtomicBool>);

impl Busy {
    pub(super) fn done(self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl PostgresConnection {
    pub(super) fn new<S, T>(
        client: Client,
        connection: Connection<S, T>,
        tls: Option<MakeRustlsConnect>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // What ends a connection is told by the statement that misses its answer.
        let speaking = tokio::spawn(async move { drop(connection.await) });
        let busy = Arc::new(AtomicBool::new(false));
        Self { client, speaking, prepared: HashMap::new(), uses: 0, busy, tls }
    }

    pub(super) fn busy(&self) -> Busy {
        self.busy.store(true, Ordering::Relaxed);
        Busy(Arc::clone(&self.busy))
    }

    /// Whether the next one may have it.
    pub(super) fn is_clean(&self) -> bool {
        !self.client.is_closed() && !self.busy.load(Ordering::Relaxed)
    }

    /// Has the text prepared, or finds that it is.
    pub(super) async fn prepare(&mut self, text: &str) -> Result<Prepared, tokio_postgres::Error> {
        self.uses += 1;
        if let Some(found) = self.prepared.get_mut(text) {
            found.used = self.uses;
            return Ok(found.clone());
        }
        let statement = self.client.prepare(text).await?;
        let writes = super::super::statement::writes(text);
        let described = Arc::new(Description::of(&statement));
        let made = Prepared { statement, described, writes, used: self.uses };
        if self.prepared.len() >= STATEMENTS_MAX {
            self.forget_oldest();
        }
        self.prepared.insert(text.into(), made.clone());
        Ok(made)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.prepared.iter().min_by_key(|(_, prepared)| prepared.used);
        if let Some(text) = oldest.map(|(text, _)| Arc::clone(text)) {
            self.prepared.remove(&text);
        }
    }

    pub(super) fn forget(&mut self, text: &str) {
        self.prepared.remove(text);
    }

    /// For those who change nothing, and wait for nothing: whatever is sent before a transaction has begun, or instead of it, does
    /// neither.
    pub(super) async fn read_only(&self) -> Result<(), tokio_postgres::Error> {
        let text = format!(
            "SET default_transaction_read_only = on; SET statement_timeout = {}; SET lock_timeout = {}",
            MIRROR_TIMEOUT.as_millis(),
            MIRROR_LOCK_TIMEOUT.as_millis()
        );
        self.client.batch_execute(&text).await
    }

    /// Forgets what the server keeps for this session, as if it were new, and [`Self::read_only`].
    pub(super) async fn discard(&mut self) -> Result<(), tokio_postgres::Error> {
        self.prepared.clear();
        self.client.clear_type_cache();
        let discarding = self.client.batch_execute("DISCARD ALL");
        let (discarded, read_only) = future::join(discarding, self.read_only()).await;
        discarded.and(read_only)
    }
}

impl Drop for PostgresConnection {
    fn drop(&mut self) {
        self.speaking.abort();
        if self.busy.load(Ordering::Relaxed) && !self.client.is_closed() {
            let stopping = stop(self.client.cancel_token(), self.tls.take());
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(stopping);
            }
        }
    }
}

/// Fails where the server is gone, and then there is nothing to stop.
async fn stop(token: CancelToken, tls: Option<MakeRustlsConnect>) {
    let _ = match tls {
        Some(tls) => token.cancel_query(tls).await,
        None => token.cancel_query(NoTls).await,
    };
}
